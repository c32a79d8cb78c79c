"""Rules and lookups as a notebook shows them."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from assay.rules import Lookup, RuleList
from rules.texts import view_of

DAYS = RuleList.from_json(
    {
        "base": 0.25,
        "rules": [
            {"when": [{"slot": "token", "any_of": [" Monday", " <script>alert(1)</script>"]}], "value": 2.0},
            {"when": [{"slot": "previous token", "any_of": [" on"]}], "value": -0.5},
        ],
    }
)
TEXT = ["It", " was", " on", " Monday", ",", " on", " Friday"]


def test_a_rule_list_shows_its_sentence_and_every_rule():
    html = DAYS._repr_html_()
    assert DAYS.sentence().replace("<", "&lt;").replace(">", "&gt;") in html
    assert "2 rules, base 0.25" in html
    assert re.findall(r'<i class="(\w+)">([^<]+)</i>', html) == [("b8", "+2"), ("bn2", "−0.5")]
    for rule in DAYS.rules:
        assert rule.phrase().replace("<", "&lt;").replace(">", "&gt;") in html
    assert "<script" not in html


def test_many_rules_are_counted():
    rule = {"when": [{"slot": "form", "any_of": ["x"]}], "value": 1.0}
    html = RuleList.from_json({"rules": [rule] * 30})._repr_html_()
    assert html.count('scope="row"') == 24
    assert "and 6 more rules" in html


def test_a_lookup_shows_its_strongest_entries_first():
    lookup = Lookup({" a": 0.5, (" b", " c"): -3.0, "<b>": 1.0}, 0.0, 100)
    html = lookup._repr_html_()
    heads = re.findall(r'scope="row">([^<]+)<', html)
    assert heads == ["“ c” after “ b”", "“&lt;b&gt;”", "“ a”"]
    assert re.findall(r'<i class="(\w+)">([^<]+)</i>', html) == [("bn8", "−3"), ("b3", "+1"), ("b1", "+0.5")]


@pytest.mark.parametrize("explanation", [DAYS, Lookup({" Monday": 1.0, (" on", " Friday"): -1.0}, 0.0, 100)])
def test_on_a_text_shades_what_is_predicted(explanation):
    seen = explanation.on(TEXT)
    np.testing.assert_array_equal(seen.predicted, explanation.predict(view_of([TEXT])))
    assert seen.tokens == tuple(TEXT)
    assert [token.text for token in seen.shaded()] == TEXT
    assert "predicted" in seen._repr_html_()


def test_on_a_text_beside_what_the_unit_did():
    seen = DAYS.on(TEXT, np.arange(7.0))
    assert [token.real for token in seen.shaded()] == ["0.00", "1.00", "2.00", "3.00", "4.00", "5.00", "6.00"]
    assert DAYS.on([]).shaded() == []
    with pytest.raises(ValueError, match="one length"):
        DAYS.on(TEXT, [1.0])


def test_importing_rules_imports_no_template_engine_and_no_plots():
    code = """if True:
        import sys
        from assay.rules import Lookup, RuleList
        assert not {"altair", "jinja2", "assay.draw.notebook"} & set(sys.modules)
        RuleList(()).on(["a"])._repr_html_(), Lookup({}, 0.0, 10)._repr_html_()
        assert not {"altair", "vl_convert", "jinja2"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)
