"""The pages of a run of assay steer: its findings, and what each method writes, dose by dose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from assay.findings.found import scored
from assay.referee import MARGIN
from assay.steer.outcome import SCALE
from assay.view.export.write import export
from assay.view.labs.concept import concept_page
from assay.view.labs.steer import first_method, writing
from assay.view.pages import Ask, Site
from assay.view.shelf import Shelf
from view.browsing import THEMES, WIDTHS, browsing, follow, overflow, violations
from view.test_concept import BAD, client_of, estimate, no_script, text_of, write
from view.test_export import dead_links

PROMPTS = ("The film was", f"Her soup {BAD}")
DOSES = (-0.2, -0.1, 0.0, 0.1, 0.2)
KL = {0.1: 0.06, 0.2: 0.61}
OWN = f"mine {BAD}"


def said(method: str, dose: float, prompt: str) -> str:
    return f" {method} at {dose} after {prompt} \u202e" if dose else f" plain\n\nafter {prompt}"


def row(method: str, effect: float | None, verdict: str | None, **changed: Any) -> dict[str, Any]:
    curve = [
        {"dose": dose, "effect": 30 * dose, "lo": 30 * dose - 0.5, "hi": 30 * dose + 0.5, "kl": KL.get(dose)}
        for dose in DOSES
    ]
    own = {"method": method, "layer": 6, "dose": 0.1, "effect": effect, "lo": 2.5, "hi": 3.5, "null_hi": 0.75}
    return {**own, "kl": 0.07, "curve": curve, "verdict": verdict, **changed}


ROWS = (
    row("actadd", 9.0, "undecided"),
    row(OWN, 3.0, "supported"),
    row("lat", 2.0, "supported", dose=None),
    row("prompt", 2.5, "supported", layer=None, dose=None, curve=[]),
    {"method": "torn", "layer": None, "dose": None, "effect": None, "verdict": None},
)


def continuations() -> list[dict[str, Any]]:
    doses = {"actadd": DOSES, OWN: DOSES, "lat": DOSES, "prompt": (0.0, 1.0)}
    return [
        {"method": name, "layer": 6, "dose": dose, "prompt": prompt, "text": said(name, dose, prompt)}
        for name, own in doses.items()
        for dose in own
        for prompt in PROMPTS
    ]


def write_steer(root: Path, **changed: Any) -> Path:
    findings = [scored(f"{one['method']} leans there", "rise", estimate(0.9), 0.5, n=24) for one in ROWS[:4]]
    told = {"findings": findings, "results": [dict(one) for one in ROWS], "more": {"continuations": continuations()}}
    return write(root, "steer", **{**told, **changed})


@pytest.fixture
def path(tmp_path) -> Path:
    return write_steer(tmp_path / "runs")


def data_of(path: Path, **query: str) -> dict[str, Any]:
    return client_of(path.parent).get(f"/run/{path.name}.json", params=query).json()["writing"]


# What is shown


def forest_of(root: Path, *claims: str) -> list[str]:
    """What stands to the left of the forest's rows, where a run has such findings."""
    path = write_steer(root, findings=[scored(claim, "rise", estimate(0.9), 0.5, n=24) for claim in claims])
    page = client_of(root).get(f"/run/{path.name}").text
    svg = page[page.index("<svg") : page.index("</svg>")]
    return [label.strip() for label in re.findall(r'<text text-anchor="end"[^>]*>([^<]*)', svg)]


def test_what_all_claims_say_alike_is_left_out_of_the_figure(tmp_path: Path) -> None:
    assert forest_of(tmp_path / "a", "lat, layer 6: it leans", "prompt: it leans") == ["lat, layer 6", "prompt"]
    others = ("lat, layer 6: it leans", "prompt: it falls")
    assert forest_of(tmp_path / "b", *others) == list(others)
    assert forest_of(tmp_path / "c", "prompt: it leans") == ["prompt: it leans"]
    assert forest_of(tmp_path / "d", "it leans", "so it does") == ["it leans", "so it does"]


def test_the_supported_method_with_the_largest_effect_is_shown_at_the_dose_of_its_trial(path):
    found = data_of(path)
    assert (found["method"], found["methods"]) == (OWN, ["actadd", OWN, "lat", "prompt"])
    assert found["prompts"] == list(PROMPTS)
    assert found["plain"] == [said(OWN, 0.0, prompt) for prompt in PROMPTS]
    assert [dose["dose"] for dose in found["doses"]] == list(DOSES)
    assert found["shown"] == found["doses"][3]
    shown = found["shown"]
    assert [shown[name] for name in ("effect", "lo", "hi", "null", "kl")] == [3.0, 2.5, 3.5, 0.75, 0.07]
    assert shown["texts"] == [said(OWN, 0.1, prompt) for prompt in PROMPTS]
    assert shown["says"] == "Dose 0.1, the trial’s: effect 3.00 [2.50 3.50], null 0.75, KL 0.07"


def test_the_first_method_is_shown_where_none_is_supported(tmp_path):
    rows = [{**one, "verdict": "undecided"} for one in ROWS]
    assert data_of(write_steer(tmp_path / "runs", results=rows))["method"] == "actadd"
    wrote = [one for one in continuations() if one["method"] in ("actadd", "lat")]
    assert first_method({"results": ROWS, "continuations": wrote}) == "lat"


def test_a_method_and_a_dose_are_asked_for(path):
    found = data_of(path, method="actadd", dose="-0.2")
    assert found["method"] == "actadd"
    assert found["shown"]["texts"] == [said("actadd", -0.2, prompt) for prompt in PROMPTS]
    assert found["shown"]["says"] == "Dose −0.2: effect −6.00 [−6.50 −5.50], KL not measured"
    assert (found["shown"]["null"], found["shown"]["kl"]) == (None, None)
    text = text_of(client_of(path.parent).get(f"/run/{path.name}", params={"method": "actadd", "dose": "-0.2"}).text)
    assert "dose −0.2 The film was" in text
    assert found["shown"]["says"] in text


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ({"method": f"{BAD}?"}, "unknown method"),
        ({"method": "torn"}, "known: actadd"),
        ({"dose": "0.15"}, "unknown dose '0.15'; did you mean '0.1'?"),
        ({"dose": "much"}, "known: -0.2, -0.1, 0, 0.1, 0.2"),
        ({"method": "prompt", "dose": "0.2"}, "unknown dose '0.2'"),
    ],
)
def test_what_was_not_written_is_one_clear_line(path, query, known):
    answer = client_of(path.parent).get(f"/run/{path.name}", params=query)
    assert answer.status_code == 404
    assert known in text_of(answer.text)
    no_script(answer.text)


@pytest.mark.parametrize("dose", [None, 1.0])
def test_a_method_without_doses_has_the_numbers_of_its_trial(tmp_path, dose):
    rows = [{**one, "dose": dose} if one["method"] == "prompt" else one for one in ROWS]
    found = data_of(write_steer(tmp_path / "runs", results=rows), method="prompt")
    assert [dose["key"] for dose in found["doses"]] == ["0", "1"]
    assert found["shown"]["says"] == "Dose 1, the trial’s: effect 2.50 [2.50 3.50], null 0.75, KL 0.07"
    assert found["doses"][0]["says"] == "Dose 0: untreated"
    assert "It has no doses" in found["about"]


def test_where_no_dose_kept_the_cap_the_lowest_is_shown(path):
    found = data_of(path, method="lat")
    assert (found["shown"]["key"], found["shown"]["null"], found["shown"]["kl"]) == ("0.1", 0.75, 0.07)
    assert "No dose kept the KL under its cap" in found["about"]


def test_numbers_that_a_run_lacks_are_not_measured():
    wrote = [{"method": "x", "layer": 1, "dose": dose, "prompt": "a", "text": ""} for dose in (-1.0, -2.0)]
    found = writing({"results": [], "continuations": wrote}, {})
    assert found.shown.says == "Dose −1: effect not measured, KL not measured"
    assert (found.plain, found.shown.texts) == ([""], [""])


def test_every_dose_stands_in_the_page_and_leads_to_itself(path):
    client = client_of(path.parent)
    html = client.get(f"/run/{path.name}").text
    for dose in ("-0.2", "-0.1", "0", "0.1", "0.2"):
        assert f'href="?{urlencode({"method": OWN, "dose": dose})}#writes"' in html
    text = text_of(html)
    for one in continuations():
        if one["method"] == OWN:
            assert " ".join(one["text"].replace("\u202e", "[U+202E]").split()) in text
    assert "6.00 [5.50 6.50] 0.61" in text
    assert "−3.00 [−3.50 −2.50] not measured" in text
    assert "untreated –" in text


@pytest.mark.parametrize("method", ["actadd", OWN, "lat", "prompt"])
def test_hostile_text_is_text(path, method):
    answer = client_of(path.parent).get(f"/run/{path.name}", params={"method": method})
    assert answer.status_code == 200
    no_script(answer.text)
    assert "\u202e" not in answer.text
    assert f"Her soup {BAD}" in text_of(answer.text)


@pytest.mark.parametrize("more", [{}, {"continuations": []}])
def test_a_run_without_continuations_shows_its_findings(tmp_path, more):
    path = write_steer(tmp_path / "runs", more=more)
    client = client_of(path.parent)
    data = client.get(f"/run/{path.name}.json").json()
    labels = [one["label"] for one in data["sections"][0]["table"]["rows"]]
    assert labels == [f"{one['method']} leans there" for one in ROWS[:4]]
    assert "writing" not in data
    assert "What it writes" not in client.get(f"/run/{path.name}").text


def test_findings_have_pages_and_placebos_are_called_so(path):
    client = client_of(path.parent)
    for at, one in enumerate(json.loads((path / "result.json").read_text(encoding="utf-8"))["findings"]):
        answer = client.get(f"/run/{path.name}/claim/{at}")
        assert answer.status_code == 200
        assert f'href="/run/{path.name}/claim/{at}"' in client.get(f"/run/{path.name}").text
        data = client.get(f"/run/{path.name}/claim/{at}.json").json()
        assert (data["title"], data["sections"][0]["table"]["rows"][0]["value"]) == (one["claim"], one["value"])
        assert f"{SCALE * MARGIN:g} nats" in data["thresholds"][0]["gloss"]
    assert client.get(f"/run/{path.name}/claim/4").status_code == 404


@pytest.mark.parametrize(("verb", "named"), [("steer", "placebos"), ("probe", "random probes")])
def test_what_posed_as_claims_is_named_for_what_it_is(tmp_path, verb, named):
    path = write(tmp_path / "runs", verb)
    result = json.loads((path / "result.json").read_text(encoding="utf-8"))
    result["summary"]["controls"] |= {"n": 20, "passed": 9}
    result["findings"][0]["verdict"] = "void"
    page = posed(path, result)
    assert f"Of 20 {named} that posed as claims 9 passed." in page["words"]
    assert page["meanings"]["void"] == f"{named} pass too often"


def posed(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """The page of a run whose result is another one."""
    opened = Site(Shelf((), path.parent)).shelf.open(path.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(opened.run), "result", lambda _: result)
        return dict(concept_page(opened, Ask({}, {})).data)


# In a browser


def test_the_slider_goes_through_the_doses_and_the_address_keeps_up(chromium, served, path):
    with browsing(chromium) as page:
        page.goto(f"{served(path.parent)}/run/{path.name}")
        page.evaluate("window.stays = true")
        changed, slider = page.locator("#written .changed"), page.get_by_role("slider", name="Dose")
        expect(changed.first).to_have_text(said(OWN, 0.1, PROMPTS[0]).replace("\u202e", "[U+202E]"))
        slider.press("ArrowRight")
        for at, prompt in enumerate(PROMPTS):
            expect(changed.nth(at)).to_have_text(said(OWN, 0.2, prompt).replace("\u202e", "[U+202E]"))
        expect(page.locator("#says")).to_have_text("Dose 0.2: effect 6.00 [5.50 6.50], KL 0.61")
        expect(page.locator("#written th").nth(2)).to_have_text("dose 0.2")
        expect(slider).to_have_attribute("aria-valuetext", "0.2")
        twin = page.request.get(page.locator("footer a").evaluate("a => a.href")).json()["writing"]
        assert (twin["method"], twin["shown"]["dose"]) == (OWN, 0.2)
        slider.press("Home")
        expect(page.locator("#says")).to_have_text("Dose −0.2: effect −6.00 [−6.50 −5.50], KL not measured")
        assert page.evaluate("window.stays")
        page.reload()
        assert page.evaluate("window.stays === undefined")
        expect(changed.first).to_have_text(said(OWN, -0.2, PROMPTS[0]).replace("\u202e", "[U+202E]"))
        assert slider.input_value() == "0"
        follow(page.get_by_role("link", name="actadd", exact=True))
        expect(page.locator("#says")).to_contain_text("Dose 0.1, the trial’s")


def test_without_scripts_all_doses_are_there(chromium, served, path):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served(path.parent)}/run/{path.name}?method=lat")
    assert not page.locator("#dose").is_visible()
    page.get_by_text("Every dose of lat (5)").click()
    row = page.locator("#doses tbody tr").first
    expect(row).to_contain_text("lat at -0.2 after The film was")
    row.get_by_role("link", name="−0.2").click()
    page.wait_for_url("**dose=-0.2#writes")
    expect(page.locator("#says")).to_have_text("Dose −0.2: effect −6.00 [−6.50 −5.50], KL not measured")
    expect(page.locator("#written .changed").first).to_contain_text("lat at -0.2 after The film was")
    context.close()


def test_hostile_text_does_nothing_in_a_browser(chromium, served, tmp_path):
    wild = "<img src=x onerror=\"document.title='owned'\"></td></table><script>document.title='owned'</script>"
    wrote = [
        {**one, "text": wild + "w" * (10 if one["dose"] == 0.1 else 10_000), "prompt": wild} for one in continuations()
    ]
    path = write_steer(tmp_path / "runs", more={"continuations": wrote})
    for width in WIDTHS:
        with browsing(chromium, width=width) as page:
            page.goto(f"{served(path.parent)}/run/{path.name}?method=actadd")
            column = page.locator("#named").evaluate("cell => cell.offsetWidth")
            page.get_by_role("slider").press("End")
            expect(page.locator("#written .changed").first).to_have_text(wrote[0]["text"])
            assert page.locator("#named").evaluate("cell => cell.offsetWidth") == column
            page.get_by_text("Every dose of actadd").click()
            assert "owned" not in page.title()
            assert page.locator("main img").count() == 0
            assert overflow(page) <= 0


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_have_no_violations_and_fit(chromium, served, path, theme, width):
    with browsing(chromium, theme=theme, width=width) as page:
        base = f"{served(path.parent)}/run/{path.name}"
        for rest in ("", "?method=prompt", "/claim/1"):
            page.goto(base + rest)
            if not rest.startswith("/"):
                page.get_by_text("Every dose of").click()
                page.get_by_role("slider").press("Home")
            assert violations(page) == [], rest
            assert overflow(page) <= 0, rest


# As files


def test_an_export_has_a_page_of_every_method_in_which_the_slider_works(chromium, path, tmp_path):
    export(Site(Shelf((), path.parent), live=False), tmp_path / "site", None, lambda message, share: None)
    folder = tmp_path / "site/run"
    assert dead_links(tmp_path / "site") == []
    client = client_of(path.parent)
    for query, name in (({}, ""), ({"method": "lat"}, ".method-lat"), ({"method": "actadd"}, ".method-actadd")):
        twin = (folder / f"{path.name}{name}.json").read_text(encoding="utf-8")
        assert twin == client.get(f"/run/{path.name}.json", params=query).text
    assert len(list(folder.glob("*.method-*.html"))) == 3 * len(list(folder.glob("*.method-lat*.html")))
    with browsing(chromium) as page:
        page.goto((folder / f"{path.name}.order-up.sort-value.html").as_uri())
        follow(page.get_by_role("link", name="lat", exact=True))
        page.get_by_role("slider").press("End")
        expect(page.locator("#written .changed").first).to_contain_text("lat at 0.2 after The film was")
        assert page.url.endswith("?method=lat&dose=0.2#writes")
        page.reload()
        expect(page.locator("#says")).to_contain_text("Dose 0.2")
        follow(page.get_by_role("link", name=OWN, exact=True))
        expect(page.locator("#written .changed").first).to_contain_text(f"{OWN} at 0.1")
        assert page.url.endswith(f"{path.name}.html#writes")
