"""Fragments for notebooks: style of their own, headers of tables, and text that stays text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup, escape

import assay.draw
from assay.draw import ForestRow, notebook
from assay.draw.heat import Scale, ShadedToken
from assay.draw.notebook import evidence, fragment, heat, paragraph, table, verdict
from assay.draw.token_heat import TokenHeat

HOSTILE = [
    "<script>window.bad=1</script>",
    '"onerror="window.bad=1" x="',
    "'><img src=x onerror=window.bad=1>",
    "\u202eevil\u200f",
    "nul\x00l",
    "&lt;b&gt;",
    "w" * 10_000,
    "\ud800",
]
CSS = Path(assay.draw.__file__).parent / "templates" / "page.css"


def page_of(chromium, html, scheme="light", width=900):
    """The fragment in a page, with all that the console says."""
    page = chromium.new_page(color_scheme=scheme, viewport={"width": width, "height": 700})
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.set_content(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title><p id="out">out</p>{html}')
    return page, heard


def everything() -> str:
    """A fragment with every part, hostile in each."""
    tokens = [ShadedToken(text, "b3", text, text, i == 0) for i, text in enumerate(HOSTILE)]
    rows = [ForestRow(text, 0.1, 0.0, 0.2, {text: 0.0}, {text: None}, verdict=text) for text in HOSTILE]
    parts = [paragraph(text, "s") for text in HOSTILE] + [verdict(text) for text in HOSTILE]
    parts += [heat(tokens, True, True), evidence(HOSTILE[0], rows), table(HOSTILE[1], HOSTILE[:3], [HOSTILE[:3]])]
    return fragment(*parts)


def test_browser_shows_hostile_text_as_text(chromium):
    page, heard = page_of(chromium, everything())
    assert heard == []
    assert page.evaluate("window.bad") is None
    assert page.locator(".assay-html").locator("script, img, b").count() == 0
    attributes = page.evaluate(
        "[...new Set([...document.querySelectorAll('.assay-html *')].flatMap(e => e.getAttributeNames()))]"
    )
    assert set(attributes) == {"class", "title", "scope", "aria-hidden"}
    shown = page.locator(".t i").all_text_contents()
    assert shown[:3] == HOSTILE[:3]
    assert shown[3:6] == ["[U+202E]evil[U+200F]", "nul␀l", "&lt;b&gt;"]
    assert len(shown[6]) == notebook.LONGEST
    assert shown[7] == "�"
    page.close()


def test_a_long_word_does_not_widen_the_page(chromium):
    page, _ = page_of(chromium, everything(), width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_tables_have_captions_and_headers(chromium):
    page, _ = page_of(chromium, fragment(evidence("Scores", [ForestRow("r", 0.5), ForestRow("F1", None)])))
    assert page.locator("caption").all_text_contents() == ["Scores"]
    assert page.locator("thead th[scope=col]").all_text_contents() == ["score", "value"]  # the rest nobody fills
    assert page.locator("tbody th[scope=row]").all_text_contents() == ["r", "F1"]
    assert page.locator("td").all_text_contents() == ["0.50", "unscored"]
    page.close()


def test_evidence_says_all_that_a_row_holds():
    html = evidence("x", [ForestRow("r", 0.5, 0.4, 0.6, {"other_unit": 0.1}, {"lookup": 0.45}, verdict="refuted")])
    text = " ".join(re.sub("<[^>]+>", " ", html).split())
    assert text == (
        "x score value 95 % interval nulls references verdict r 0.50 0.40 to 0.60 other unit 0.10 lookup 0.45 ✕ refuted"
    )


def test_a_verdict_is_never_a_colour_alone():
    for name, glyph in zip(notebook.VERDICTS, "●◐○✕⊘", strict=True):
        assert re.sub("<[^>]+>", "", verdict(name)).split() == [glyph, name]


def test_tokens_are_shaded_as_on_pages_and_say_their_numbers(chromium):
    values = np.array([0.0, 1.0, -2.0, 0.5], np.float32)
    seen = TokenHeat.of([" a", "b", "\n", "  "], values)
    page, heard = page_of(chromium, seen._repr_html_())
    scale = Scale.of(values)
    tokens = page.locator(".t i")
    assert tokens.all_text_contents() == [" a", "b", "⏎", "␣␣"]
    assert [token.get_attribute("class") or "" for token in tokens.all()] == [
        scale.shade("b", float(v)) for v in values
    ]
    assert [token.get_attribute("title") for token in tokens.all()] == [
        f"predicted {scale.number(float(v))}" for v in values
    ]
    painted = [token.evaluate("e => getComputedStyle(e).backgroundImage") for token in tokens.all()]
    assert len(set(painted)) == 4
    assert heard == []
    page.close()


def test_two_numbers_shade_two_halves():
    seen = TokenHeat.of(["a", "b"], [1.0, 0.0], [-1.0, 1.0])
    assert [(t.shades, t.real, t.predicted) for t in seen.shaded()] == [
        ("an8 p8", "−1.000", "1.000"),
        ("a8", "1.000", "0.000"),
    ]
    assert 'title="real −1.000 · predicted 1.000"' in seen._repr_html_()
    with pytest.raises(ValueError, match="one length"):
        TokenHeat.of(["a"], [1.0, 2.0])


def test_style_stays_inside_and_follows_screen_and_notebook(chromium):
    html = fragment(verdict("supported"), heat([ShadedToken("x", "b8", "", "1", False)]))
    colour = "e => getComputedStyle(e).getPropertyValue('--green')"
    seen = {}
    for scheme in ("light", "dark"):
        page, _ = page_of(chromium, html, scheme)
        inside = page.locator(".assay-html")
        seen[scheme] = inside.evaluate(colour)
        page.evaluate("document.body.dataset.jpThemeLight = 'false'")
        seen[scheme, "dark notebook"] = inside.evaluate(colour)
        page.evaluate("document.body.dataset.jpThemeLight = 'true'")
        seen[scheme, "light notebook"] = inside.evaluate(colour)
        assert page.locator("#out").evaluate(colour) == ""
        page.close()
    light, dark = notebook.LIGHT[4], notebook.DARK[4]
    assert seen == {
        "light": light,
        ("light", "dark notebook"): dark,
        ("light", "light notebook"): light,
        "dark": dark,
        ("dark", "dark notebook"): dark,
        ("dark", "light notebook"): light,
    }
    for rule in re.findall(r"[^{}]+(?=\{)", re.search("<style>(.*)</style>", html)[1]):
        assert "assay-html" in rule or rule.startswith("@media")


def test_colours_are_those_of_pages():
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", part)) for part in CSS.read_text().split("dark)", 1))
    for i, name in enumerate(notebook._NAMES):
        assert (notebook.LIGHT[i], notebook.DARK[i]) == (light[name], dark[name])


def test_markup_is_not_escaped_twice_and_text_once():
    html = table("c", ["a", "b"], [("x<y", Markup("<b>z</b>"))])
    assert '<th scope="row">x&lt;y</th><td><b>z</b></td>' in html
    assert escape(fragment(paragraph("x"))) != fragment(paragraph("x"))  # a plain string: pages would escape it
