from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.cli.plain import plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\r\n\tc", "a↵b↵ c"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x9b2J\x07\x00x\x7f", "2Jx"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("lone\ud800", "lone"),
        ("para\u2029graph", "para↵graph"),
        ("café 漢字 [bold]", "café 漢字 [bold]"),
    ],
)
def test_what_steers_a_terminal_goes_and_the_rest_stays(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(st.text())
def test_the_result_is_one_line_that_can_be_printed(text: str) -> None:
    result = plain(text)
    assert not [char for char in result if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    assert len(result.splitlines()) <= 1
    assert plain(result) == result
