"""The page of a run: what it says, that hostile text stays text, and how it behaves in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import synthetic
from assay.explain.page import RunContent, build_page
from assay.explain.page_views import score_text, unit_views
from assay.store import Run, open_run

HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'


class Elements(HTMLParser):
    """Every element with its attributes, and the text below each kind of element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return open_run(synthetic.write_run(tmp_path_factory.mktemp("runs"), hostile=HOSTILE))


@pytest.fixture(scope="module")
def page(run) -> str:
    return build_page(run)


def content_of(run: Run) -> RunContent:
    return RunContent(
        run.spec,
        {name: run.rows(name) for name in ("units", "claims", "evidence", "tokens")},
        {name: run.tensors(name) for name in ("test", "behaviour", "exemplars")},
        run.result(),
    )


def test_page_allows_nothing_but_inline_style_and_data_images(page):
    policies = [attrs["content"] for tag, attrs in Elements(page).found if attrs.get("http-equiv")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_page_has_no_script_no_handler_and_no_outside_address(page):
    for tag, attrs in Elements(page).found:
        assert tag not in {"script", "img", "iframe", "object", "link", "base", "form"}
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith("#")
    assert "url(" not in page
    assert "@import" not in page


def test_hostile_text_is_shown_as_text(page):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page  # a token
    assert "&lt;script&gt;document.title" in page  # an explanation
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "[U+202E]" in page


def test_every_target_has_a_row_and_a_section_and_no_companion_has(page):
    for name in synthetic.TARGETS:
        assert f'href="#{name}"' in page
        assert f'<section class="unit" id="{name}">' in page
    assert synthetic.COMPANION not in page


def test_controls_are_not_shown_as_claims(run):
    views = unit_views(run)
    assert [[claim.explainer for claim in view.claims] for view in views] == [["rules", "lookup"]] * 2


def test_verdicts_reasons_and_sentences_come_from_the_tables(run):
    first, second = (view.claims[0] for view in unit_views(run))
    assert (first.verdict, second.verdict) == ("supported", "undecided")
    assert second.reason == synthetic.REASON
    assert first.text.startswith(synthetic.SENTENCE)


def test_scores_stand_beside_nulls_references_and_intervals(run):
    row = unit_views(run)[0].claims[0].scores[0]
    r = synthetic.r_of(run.tensors("test"), 0)
    assert (row.name, row.value) == ("r", score_text(r))
    assert row.interval == f"{score_text(r - 0.05)} to {score_text(r + 0.05)}"
    assert row.nulls == "constant 0.00, shuffled 0.01, other unit 0.03"
    assert row.references == "lookup 0.50, bigram 0.40, lookup full 0.60"
    assert row.strip is not None
    assert row.strip.at == pytest.approx(100 * (r + 0.25) / 1.25, abs=0.06)
    assert row.strip.nulls[0] == 20.0


def test_unscored_says_why_and_has_no_number(run, page):
    row = unit_views(run)[0].claims[0].scores[1]
    assert (row.name, row.value, row.unscored, row.strip) == ("behaviour", "–", "not run", None)
    assert "unscored: not run" in page


def test_arms_are_shares_of_the_mean_replacement(run):
    claim = unit_views(run)[0].claims[0]
    sums = run.tensors("behaviour")["J"][0].mean(1)
    assert claim.arms[0].name == "this prediction"
    assert claim.arms[0].share == f"{100 * sums[0] / sums[1]:.0f} %"
    assert claim.arms[-1].share == "100 %"
    assert f"{sums[1] / 1e-8:,.0f} times" in claim.floor


def test_arms_are_left_out_where_behaviour_was_not_run(run):
    content = content_of(run)
    content.arrays["behaviour"]["J"][0] = np.nan
    first, other = unit_views(content)[0].claims
    assert first.arms == []
    assert len(other.arms) == 5
    del content.arrays["behaviour"]
    assert unit_views(content)[0].claims[1].arms == []


def test_numbers_on_tokens_are_the_stored_ones(run, page):
    test = run.tensors("test")
    strongest = test["activations"][0][test["scored"].astype(bool)].max()
    assert f'data-r="{strongest:.2f}"' in page
    shown = {float(n.replace("−", "-")) for n in re.findall(r'data-p="([^"]+)"', page)}
    stored = {round(float(p), 2) for p in test["predictions"][:4].ravel()}
    assert shown <= stored


def test_page_of_a_run_in_memory_is_the_page_of_the_run(run, page):
    assert build_page(content_of(run)) == page


def test_rule_lines_are_split_into_value_and_condition(run):
    content = content_of(run)
    content.tables["claims"][0]["lines"] = json.dumps(["-4.1 when the token is “a”", "otherwise"])
    assert unit_views(content)[0].claims[0].lines == [("−4.1", "the token is “a”"), ("", "otherwise")]


def test_64_units_stay_under_3_mb(run):
    assert len(build_page(enlarged(content_of(run), 64)).encode()) < 3_000_000


def enlarged(content: RunContent, units: int) -> RunContent:
    """The run with that many target units on longer text, each with a rules and a lookup claim."""
    rng = np.random.default_rng(0)
    n, documents = 6000, 100
    names = [f"L3.mlp_act:{100 + i}" for i in range(units)]
    tables = {
        "tokens": content.tables["tokens"],
        "units": [content.tables["units"][0] | {"unit": name} for name in names],
        "claims": [
            content.tables["claims"][c % 2] | {"claim": c, "unit": names[c // 2]} for c in range(2 * units)
        ],
        "evidence": [row | {"claim": c} for c in range(2 * units) for row in content.tables["evidence"][:3]],
    }  # fmt: skip
    windows = (np.arange(n) // 60).astype(np.int32)
    test = {
        "ids": rng.integers(0, len(synthetic.WORDS), n).astype(np.int32),
        "documents": windows % documents,
        "windows": windows,
        "scored": np.ones(n, np.uint8),
        "activations": rng.normal(size=(units, n)).astype(np.float32),
        "predictions": rng.normal(size=(2 * units, n)).astype(np.float32),
    }
    one = content.arrays["exemplars"]
    exemplars = {key: np.repeat(value[:1], units, axis=0) for key, value in one.items()}
    entries = [content.contract["units"][c % 2] | {"unit": names[c // 2]} for c in range(2 * units)]
    return RunContent(
        content.spec, tables, {"test": test, "exemplars": exemplars}, content.contract | {"units": entries}
    )


@pytest.mark.parametrize(("value", "text"), [(0.625, "0.62"), (-0.251, "−0.25"), (-0.001, "0.00"), (None, "–")])
def test_score_text(value, text):
    assert score_text(value) == text


def test_pages_are_built_without_torch():
    code = "import sys, assay.explain.page; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def opened(page, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page, encoding="utf-8")
    return path


def test_browser_runs_no_hostile_text_and_fetches_nothing(chromium, opened):
    view = chromium.new_page(viewport={"width": 1100, "height": 900})
    requests, troubles = [], []
    view.on("request", lambda request: requests.append(request.url))
    view.on("console", lambda message: troubles.append(message.text))
    view.on("dialog", lambda dialog: troubles.append(dialog.message))
    view.goto(opened.as_uri())
    assert view.title().startswith("synthetic: 2 units explained")
    assert requests == [opened.as_uri()]
    assert troubles == []
    assert view.locator("script").count() == 0
    assert view.locator("text=<script>alert(1)</script>").count() > 0
    view.close()


@pytest.mark.parametrize("width", [390, 1100])
def test_page_does_not_scroll_sideways(chromium, opened, width):
    view = chromium.new_page(viewport={"width": width, "height": 800})
    view.goto(opened.as_uri())
    view.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    view.close()


def test_halves_of_a_token_show_real_and_predicted_and_the_tip_says_both(chromium, opened):
    view = chromium.new_page(viewport={"width": 1100, "height": 900})
    view.goto(opened.as_uri())
    token = view.locator("section.unit i.k").first
    token.focus()
    tip = token.evaluate("e => getComputedStyle(e, '::after').content")
    assert "real " in tip
    assert "predicted" in tip
    fill = token.evaluate("e => getComputedStyle(e).backgroundImage")
    upper, lower = re.findall(r"((?:color|rgba?)\([^)]*\)|transparent) 50%", fill)
    assert upper != lower or "0)" not in upper  # a fired and predicted token has two shades
    view.close()


def contrast(view) -> float:
    """Contrast ratio (WCAG) of the body's text on its background."""
    colours = view.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    light = []
    for colour in colours:
        channels = np.array([int(c) for c in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_light_and_dark_are_both_legible(chromium, opened):
    view = chromium.new_page()
    backgrounds = set()
    for scheme in ("light", "dark"):
        view.emulate_media(color_scheme=scheme)
        view.goto(opened.as_uri())
        assert contrast(view) > 10
        backgrounds.add(view.evaluate("getComputedStyle(document.body).backgroundColor"))
        ink = view.evaluate("getComputedStyle(document.body).color")
        labels = view.evaluate("getComputedStyle(document.querySelector('.plot text')).fill")
        assert labels == ink  # the figure follows
    assert len(backgrounds) == 2
    view.close()
