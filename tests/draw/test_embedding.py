"""Figures inside a page under a strict policy, alone as a file, and with hostile text in them."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest

import assay.draw
from assay.draw import (
    AgreementRow,
    ForestRow,
    activation_histogram,
    agreement_plot,
    embedding,
    forest_plot,
    inline,
    layer_map,
    scatter_plot,
    standalone,
)
from draw.reading import links

HOSTILE = [
    "<script>window.bad=1</script>",
    '"onerror="window.bad=1',
    "\u202eevil\u200f",
    "nul\x00l",
    "w" * 10_000,
    "\ud800",
    "]]>",
]
CSS = Path(assay.draw.__file__).parent / "templates" / "page.css"


def figures() -> dict[str, assay.draw.Figure]:
    """One of each kind, hostile where a figure takes text."""
    rows = [
        ForestRow(text, 0.1, 0.0, 0.2, {text: 0.0}, {text: 0.3}, text, "supported", f"unit/{i}")
        for i, text in enumerate(HOSTILE)
    ]
    numbers = [0.1 * i for i in range(len(HOSTILE))]
    return {
        "histogram": activation_histogram([-1.0, 0.5, 2.0], name=HOSTILE[0]),
        "forest": forest_plot(rows, score=HOSTILE[0], zero_name=HOSTILE[1]),
        "agreement": agreement_plot([AgreementRow(HOSTILE[1], 0.6, 0.5, 0.7, 9)]),
        "dots": layer_map(range(len(HOSTILE)), numbers, names=HOSTILE, unit_link="unit/{unit}", score=HOSTILE[0]),
        "cells": layer_map([0, 1, 1], [0.1, 0.2, 0.3], cell_link="units?layer={layer}&from={low}&to={high}"),
        "scatter": scatter_plot(numbers, numbers, names=HOSTILE, unit_link="unit/{unit}", x_name=HOSTILE[0]),
    }


@pytest.fixture(scope="module")
def drawn() -> dict[str, assay.draw.Figure]:
    return figures()


def test_no_figure_styles_or_runs_anything(drawn):
    for figure in drawn.values():
        assert not re.search(r"<(?!/?(svg|g|a|path|line|text|title|circle)\b)", figure.svg)
        assert not re.search(r"<[^>]*\s(style|on\w+)=", re.sub(r'="[^"]*"', "=", figure.svg))
        inline(figure.svg)  # the proof is made again


def test_browser_runs_no_hostile_text_and_blocks_nothing(chromium, drawn):
    page = chromium.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    body = "".join(f'<figure class="plot">{figure.svg}</figure>' for figure in drawn.values())
    html = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>{body}'
    policy = {"content-security-policy": "default-src 'self'", "content-type": "text/html; charset=utf-8"}
    page.route("**/*", lambda route: route.fulfill(body=html, headers=policy))
    page.goto("http://figures.test/page")
    assert heard == []  # a blocked style attribute would be reported here
    assert page.evaluate("window.bad") is None
    assert page.locator("script").count() == 0
    names = page.evaluate("[...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-label'))")
    assert names == [figure.alternative for figure in drawn.values()]
    unnamed = page.evaluate("[...document.querySelectorAll('svg a')].filter(a => !a.getAttribute('aria-label')).length")
    assert unnamed == 0
    page.locator("svg a").last.click()
    assert "/unit/" in page.url
    page.close()


def test_colours_turn_dark_as_those_of_pages():
    css = CSS.read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", part)) for part in css.split("prefers-color-scheme: dark", 1))
    for colour, turned in embedding.DARK.items():
        for side in ("fill", "stroke"):
            rule = re.search(rf'\.plot \[{side}="{colour}"\] {{ {side}: var\(--(\w+)\); }}', css)
            if rule:
                assert dark.get(rule[1], light[rule[1]]) == turned
    assert f"--ink: {embedding.DARK['#26262b']}" in css


def test_a_file_in_an_image_is_dark_on_a_dark_screen(chromium, drawn):
    picture = base64.b64encode(drawn["histogram"].standalone().encode()).decode()
    seen = {}
    for scheme in ("light", "dark"):
        page = chromium.new_page(color_scheme=scheme)
        page.set_content(
            f'<meta name="color-scheme" content="light dark"><img id="i" src="data:image/svg+xml;base64,{picture}">'
        )
        seen[scheme] = page.evaluate(
            """async () => { const image = document.getElementById('i'); await image.decode();
            const canvas = document.createElement('canvas'); canvas.width = image.width; canvas.height = image.height;
            const pen = canvas.getContext('2d'); pen.drawImage(image, 0, 0);
            const bytes = pen.getImageData(0, 0, canvas.width, canvas.height).data; const seen = new Set();
            for (let i = 0; i < bytes.length; i += 4) if (bytes[i + 3] == 255)
              seen.add('#' + [0, 1, 2].map(k => bytes[i + k].toString(16).padStart(2, '0')).join(''));
            return [...seen] }"""
        )
        page.close()
    assert "#d55e00" in seen["light"]
    assert embedding.DARK["#d55e00"] in seen["dark"]
    assert "#d55e00" not in seen["dark"]


WRAP = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'


@pytest.mark.parametrize(
    "inside",
    [
        "<script>1</script>",
        "<style>a{}</style>",
        '<path onclick="1"/>',
        '<image xlink:href="x.png"/>',
        '<foreignObject><p xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>',
        '<a xlink:href="javascript:alert(1)"><path/></a>',
        '<a xlink:href=" java&#10;script:alert(1)"><path/></a>',
        '<a xlink:href="data:text/html,x"><path/></a>',
        '<path fill="url(http://elsewhere/x)"/>',
        '<path href="units"/>',
    ],
)
def test_what_no_figure_needs_is_refused(inside):
    with pytest.raises(ValueError, match="a figure must"):
        inline(WRAP.format(inside))


def test_styles_become_attributes_and_ids_become_unique():
    drawing = WRAP.format(
        '<clipPath id="c"><path/></clipPath><g style="pointer-events: none; cursor: pointer" clip-path="url(#c)"/>'
    )
    first, second = inline(drawing), inline(drawing.replace("<path/>", '<path d="M0,0"/>'))
    assert 'pointer-events="none"' in first
    assert "style" not in first
    assert "cursor" not in first
    ids = [re.search(r'id="([^"]+)"', text)[1] for text in (first, second)]
    assert ids[0] != ids[1]
    assert f'clip-path="url(#{ids[0]})"' in first


def test_lines_over_cells_let_clicks_through(chromium):
    figure = layer_map([0, 0, 1, 1], [0.42, 0.42, 0.12, 0.62], cell_link="units?layer={layer}&from={low}")
    page = chromium.new_page(viewport={"width": 900, "height": 500})
    page.set_content(f'<body style="margin:0">{figure.svg}')
    hit = page.evaluate(
        """() => { const link = document.querySelector('svg a[href*="layer=0"]');
        const box = link.getBoundingClientRect();  // both its units, and so the median's mark, are in its middle
        const found = document.elementFromPoint(box.x + box.width / 2, box.y + box.height * .6);
        return found.closest('a').getAttribute('href') }"""
    )
    assert hit == "units?layer=0&from=0.4"
    page.close()


def test_links_stay_relative_and_a_template_with_a_scheme_is_refused():
    assert list(links(layer_map([0], [0.5], names=["a"], unit_link="/unit/{unit}"))) == ["/unit/a"]
    assert list(links(layer_map([0], [0.5], names=["a"], unit_link="https://x.org/{unit}"))) == ["https://x.org/a"]
    with pytest.raises(ValueError, match="a figure must not"):
        layer_map([0], [0.5], names=["a"], unit_link="javascript:alert({unit})")
    with pytest.raises(KeyError):
        layer_map([0], [0.5], names=["a"], unit_link="unit/{nothing}")


def test_figures_of_runs_can_be_made_fit_as_well():
    import synthetic
    from assay.explain.figure import figure_svg

    fit = inline(figure_svg(synthetic.result_of([0.9, 0.5, 0.4, 0.6])), "the figure of a run")
    assert 'aria-label="the figure of a run"' in fit
    assert standalone(fit).count("<style>") == 1


def test_equal_input_gives_equal_bytes(drawn):
    assert {name: figure.svg for name, figure in figures().items()} == {n: f.svg for n, f in drawn.items()}


def test_the_door_is_lazy_and_complete():
    code = """if True:
        import sys, assay.draw, assay.draw.heat, assay.draw.notebook, assay.draw.token_heat
        assert not {"altair", "vl_convert", "jinja2"} & set(sys.modules), "a heavy import"
        assert set(assay.draw.__all__) == set(assay.draw._PLACES)
        assert all(getattr(assay.draw, name) is not None for name in assay.draw.__all__)
        for name in assay.draw.__all__:
            assert not isinstance(getattr(assay.draw, name), type(sys)), name  # a module of the same name would hide it
    """
    subprocess.run([sys.executable, "-c", code], check=True)
