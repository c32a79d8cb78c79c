"""Wandering through a run in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

import synthetic
from view.browsing import THEMES, WIDTHS, browsing, follow, overflow, violations

TOP = "element => element.getBoundingClientRect().top + scrollY"
NASTY = "%3Cscript%3Ealert(1)%3C/script%3E"
PAGES = ("", "/units", "/map", "/rate", "/agreement", "/evidence", "/claim/0")
UNIT, OTHER = synthetic.TARGETS
HOSTILE = '<script>document.title="owned"</script> "onerror="document.title=1 \u202e ../../x \x00 ' + "w" * 10_000


@pytest.fixture
def path(tmp_path) -> Path:
    return synthetic.write_run(tmp_path / "runs", hostile=HOSTILE)


def test_from_the_list_of_runs_to_a_neighbours_neighbour_in_five_clicks(chromium, served, path):
    with browsing(chromium) as page:
        page.goto(served(path.parent))
        clicks = 0
        for link in (path.name, "units", OTHER, UNIT, "L0.mlp_act:7"):
            place = page.locator("main") if clicks != 1 else page.locator("header.top")
            follow(place.get_by_role("link", name=link, exact=True).first)
            clicks += 1
        assert clicks == 5
        expect(page.locator("h1")).to_have_text("L0.mlp_act:7")
        assert "did not explain" in page.locator("main").inner_text()


def test_map_unit_lucky_and_search(chromium, served, path):
    with browsing(chromium) as page:
        page.goto(f"{served(path.parent)}/run/{path.name}/map")
        follow(page.locator("svg a").first)
        expect(page.locator("h1")).to_have_text(re.compile(f"{re.escape(UNIT)}|{re.escape(OTHER)}"))
        page.get_by_text("I’m feeling lucky").click()
        follow(page.get_by_role("link", name="supported", exact=True))
        expect(page.locator("h1")).to_have_text(UNIT)
        page.get_by_label("Search explanations").fill("years 1984")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("q=years"))
        assert page.get_by_role("status").inner_text().startswith("2 units")
        page.get_by_label("Units that fire on a token").fill(" 1984")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("token=.1984"))
        expect(page.locator("h1")).to_contain_text("fires on")
        assert page.locator("tbody tr").count() == 2


def test_hostile_text_does_nothing(chromium, served, path):
    with browsing(chromium) as page:
        base = served(path.parent)
        for rest in (
            "",
            "/units",
            f"/unit/{UNIT}",
            "/map",
            "/units?q=%3Cscript%3Ealert(1)%3C/script%3E&token=%00%22onerror=",
        ):
            page.goto(f"{base}/run/{path.name}{rest}")
            assert "owned" not in page.title()
            assert page.locator("script:not([src]):not([type='application/json'])").count() == 0
            assert overflow(page) <= 0, rest


def test_a_hostile_name_of_a_run_is_a_name(chromium, served, path):
    path.rename(path.with_name('<img src=x onerror="document.title=1">\u202e&?#%2e%2e run'))
    with browsing(chromium) as page:
        page.goto(served(path.parent))
        follow(page.locator("tbody a").first)
        expect(page.locator("h1")).to_contain_text("synthetic")
        follow(page.locator("header.top").get_by_role("link", name="units", exact=True))
        follow(page.get_by_role("link", name=UNIT, exact=True))
        expect(page.locator("h1")).to_have_text(UNIT)
        follow(page.get_by_label("Prediction by").get_by_role("link", name="lookup"))
        page.wait_for_url(re.compile("by=lookup"))
        assert page.locator("figure.picture img").evaluate("e => e.decode().then(() => e.naturalWidth)") > 0
        assert page.title().startswith(UNIT)


def test_tokens_show_their_values_and_can_be_walked(chromium, served, path):
    with browsing(chromium) as page:
        page.goto(f"{served(path.parent)}/run/{path.name}/unit/{UNIT}")
        first = page.locator(".t i.k").first
        first.focus()
        said = first.evaluate("e => getComputedStyle(e, '::after').content")
        assert said == f'"real {first.get_attribute("data-r")} · predicted {first.get_attribute("data-p")}"'
        row = first.locator("xpath=..").locator("i")
        at = row.evaluate_all("all => all.indexOf(document.activeElement)")
        page.keyboard.press("ArrowLeft")
        assert row.evaluate_all("all => all.indexOf(document.activeElement)") == at - 1
        page.keyboard.press("End")
        assert row.evaluate_all("all => all.indexOf(document.activeElement)") == row.count() - 1
        page.keyboard.press("ArrowRight")
        assert row.evaluate_all("all => all.indexOf(document.activeElement)") == row.count() - 1


def test_the_overlay_is_switched(chromium, served, path):
    def shade() -> str:
        return token.evaluate("e => getComputedStyle(e).backgroundImage + getComputedStyle(e).backgroundColor")

    with browsing(chromium) as page:
        page.goto(f"{served(path.parent)}/run/{path.name}/unit/{OTHER}")
        token = page.locator(".t i[class*='a']:not([class*='p'])").first  # real and not predicted
        both = shade()
        page.get_by_label("real activation").check()
        real = shade()
        page.get_by_label("prediction", exact=True).check()
        said = shade()
        assert "gradient" in both
        assert "gradient" not in real + said
        assert real != said
        assert "rgba(0, 0, 0, 0)" in said


def test_the_prediction_of_another_explainer_is_laid_over(chromium, served, path):
    with browsing(chromium) as page:
        page.goto(f"{served(path.parent)}/run/{path.name}/unit/{UNIT}")
        before = page.locator(".t i.k").first.get_attribute("data-p")
        follow(page.get_by_label("Prediction by").get_by_role("link", name="lookup"))
        page.wait_for_url(re.compile("by=lookup"))
        assert page.locator("[aria-current=true]").inner_text() == "lookup"
        assert page.locator(".legend .m").inner_text().endswith("lookup")
        assert before is not None


@pytest.mark.parametrize("width", WIDTHS)
def test_a_late_picture_moves_nothing(chromium, served, path, width):
    with browsing(chromium, width=width) as page:
        held: list[Route] = []
        page.route("**/histogram.svg", lambda route: held.append(route))
        picture, below = page.locator(".picture img"), page.locator("#neighbours")
        with page.expect_request("**/histogram.svg"):
            page.goto(f"{served(path.parent)}/run/{path.name}/unit/{UNIT}", wait_until="domcontentloaded")
            picture.evaluate("image => image.scrollIntoView()")
        before = below.evaluate(TOP)
        assert len(held) == 1
        held[0].continue_()
        picture.evaluate("image => image.decode()")
        assert below.evaluate(TOP) == before
        assert picture.evaluate("image => image.naturalHeight") == 188


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_have_no_violations_and_fit(chromium, served, path, theme, width):
    with browsing(chromium, theme=theme, width=width) as page:
        base = served(path.parent)
        other = synthetic.write_run(path.parent).name
        more = (f"/run/{path.name}/unit/{UNIT}", f"/run/{path.name}/unit/{synthetic.COMPANION}")
        more += (f"/compare?a={path.name}&b={other}",)
        for address in ("/", *(f"/run/{path.name}{rest}" for rest in PAGES), *more):
            page.goto(base + address)
            page.wait_for_selector("[aria-busy]", state="detached")
            assert violations(page) == [], address
            assert overflow(page) <= 0, address


def test_everything_can_be_reached_by_keyboard(chromium, served, path):
    with browsing(chromium) as page:
        page.goto(f"{served(path.parent)}/run/{path.name}/unit/{UNIT}")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.tagName + (document.activeElement.name || '')"))
        assert {"A", "SUMMARY", "INPUTq", "INPUTtoken", "BUTTON", "INPUTsee", "I"} <= reached
