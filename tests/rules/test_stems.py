"""Stems: forms of one word share one."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from assay.rules.stems import stem


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        ("draw draws drawing drawings drew drawn", "draw"),
        ("economy economies", "economi"),
        ("choose choosing chose chosen choice", "choos"),
        ("manufacture manufacturer manufacturing", "manufactur"),
        ("child children", "child"),
        ("life", "life"),
    ],
)
def test_forms_of_a_word_share_a_stem(forms: str, expected: str) -> None:
    assert {stem(form) for form in forms.split()} == {expected}


@pytest.mark.parametrize("text", ["", ",", "7", "\n", "über", "don't", "x1"])
def test_what_is_not_a_word_of_ascii_letters_has_no_stem(text: str) -> None:
    assert stem(text) == ""


def test_an_irregular_form_is_listed_once_and_leads_to_the_stem_of_its_base() -> None:
    table = tomllib.loads(files("assay.rules").joinpath("irregular.toml").read_text(encoding="utf-8"))
    forms = [form for listed in table.values() for form in listed.split()]
    assert len(set(forms)) == len(forms)
    assert not set(forms) & set(table)
    assert all(stem(form) == stem(base) for base, listed in table.items() for form in listed.split())
