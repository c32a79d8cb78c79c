from __future__ import annotations

import numpy as np
import pytest

from assay.rules.flags import FLAG_NAMES
from rules.texts import view_of

FORTY = [" w"] * 40


def words(text: str) -> list[str]:
    """Space-separated tokens: _ stands for a leading space, ⏎ for a line break."""
    return [token.replace("_", " ").replace("⏎", "\n") for token in text.split()]


# Of each flag: a window, and all positions at which it holds.
CASES: dict[str, list[tuple[list[str], list[int]]]] = {
    "second token of the window": [(words("a b c"), [1])],
    "among the first 4 tokens of the window": [(words("a b c d e f"), [0, 1, 2, 3])],
    "among the first 8 tokens of the window": [(FORTY, list(range(8)))],
    "among the first 16 tokens of the window": [(FORTY, list(range(16)))],
    "past the 32nd token of the window": [(FORTY, list(range(32, 40)))],
    "first token of a sentence": [
        (words("It _is . He _was ! _Who ?”  Me"), [3, 6, 8]),
        (words("a ⏎⏎ b , c : d"), [2]),
        (words("a ⏎ b"), []),
    ],
    "second token of a sentence": [(words("It _is . He _was ! _Who ?” Me"), [4, 7])],
    "among the first 4 tokens of a sentence": [(words("a b . c d e f g h"), [3, 4, 5, 6])],
    "past the 16th token of a sentence": [
        (FORTY[:20], [16, 17, 18, 19]),
        ([" w", ".", *FORTY[:18]], [18, 19]),
    ],
    "past the 32nd token of a sentence": [([".", *FORTY[:34]], [33, 34])],
    "right after a punctuation mark": [(words("a , b . c d"), [2, 4]), (words("a b"), [])],
    "within 3 tokens after a punctuation mark": [(words("a , b c d e f"), [2, 3, 4]), (words("a b c"), [])],
    "after 8 tokens without punctuation": [
        (FORTY[:11], [8, 9, 10]),
        (["a", ",", *FORTY[:10]], [10, 11]),
    ],
    "after a comma in the same sentence": [
        (words("a , b c . d e , f"), [2, 3, 4, 8]),
        (words("a b"), []),
    ],
    "after a question word in the same sentence": [
        (words("_What _is _it ? _The _What"), [1, 2, 3]),
        (words("_a _b"), []),
    ],
    "after 12 tokens without a function word": [
        (FORTY[:14], [12, 13]),
        (["x", " The", *FORTY[:13]], [14]),
        (["x", " Mandate", *FORTY[:13]], [12, 13, 14]),
    ],
    "within 16 tokens after a question mark": [(["?”", *FORTY[:18]], list(range(1, 17)))],
    "within 16 tokens after an exclamation mark": [(["oh", "!", *FORTY[:18]], list(range(2, 18)))],
    "first token of a line": [(words("a b ⏎ c d .⏎ e"), [3, 6])],
    "second token of a line": [(words("a b ⏎ c d .⏎ e"), [4])],
    "past the 24th token of a line": [(FORTY[:26], [24, 25]), (["\n", *FORTY[:26]], [25, 26])],
    "in a line that starts with a digit": [(words("1 . a ⏎ 2 . b ⏎ c d"), [5, 6, 7])],
    "in a line that starts with a bullet": [(words("- a ⏎ - b c ⏎ d - e"), [4, 5, 6])],
    "in a line that starts with # or |": [(words("# a ⏎ ## _b ⏎ | c ⏎ d"), [4, 5, 7, 8])],
    "in an indented line": [
        (["a", "\n", "  ", " b", " c", "\n", "d", " e"], [3, 4, 5]),
        (["a", "\n   ", " b", " c", "\n", "d", " e"], [3, 4]),
        (["   ", "a", " b"], []),
    ],
    "in a block of code": [(words("a ``` b c ``` d"), [2, 3, 4])],
    "inside brackets": [
        (words("a ( b ) c"), [2, 3]),
        (words(") a ( b [ c ] d"), [3, 4, 5, 6, 7]),
        (words("f(x) y g( z"), [3]),
    ],
    "inside two brackets or more": [(words("( a [ b ) c ]"), [3, 4])],
    "inside double quotes": [
        (words('a " b c " d'), [2, 3, 4]),
        (words("a “ b ” c"), [2, 3]),
        (words("a ” b “ c ” d"), [4, 5]),
    ],
    "within 8 tokens after a double quote": [(['"', *FORTY[:10]], list(range(1, 9)))],
    "inside a word": [
        (words("_un belie vable _is 7 th , x ' s"), [1, 2]),
        (words('" I _am ⏎ The n'), [5]),
    ],
    "second piece of a word": [(words("_un belie vable _is"), [1])],
    "third or later piece of a word": [(words("_un belie va ble _is"), [2, 3])],
    "in a word of capitals": [
        (words("_NASA _LO WE _A _M ART _Mc D X ray"), [0, 1, 2, 5]),
        (words("U S _of _A B c D"), [1, 4]),
    ],
    "second piece of a number": [(words("1 2 3 _4 5 , 6 7"), [1, 4, 7]), (words("_ 1 2"), [2])],
    "third or later piece of a number": [(words("1 2 3 4 _5 6 a 7"), [2, 3])],
    "after a capitalised token": [(words("_The _old Man s"), [1, 3])],
    "soon after two capitalised tokens": [(words("A B c d e f g"), [2, 3, 4]), (words("A b c d E f"), [])],
    "within 4 tokens after a number in digits": [(words("7 a b c d e 7th f"), [1, 2, 3, 4])],
    "in text full of symbols": [(words("= a b c d e ="), [0, 1, 2, 3, 6])],
    "in text without symbols": [([*FORTY[:10], "=", " w"], [8, 9])],
    "a repetition of an earlier token": [(words("the _The _a the _A b"), [1, 3, 4])],
    "new in the window": [(words("the _The _a the _A b"), [0, 2, 5])],
    "after a token that has occurred before": [(words("a b _A c b d"), [3, 5])],
    "end of a repeated pair of tokens": [(words("a b c _A B d c b"), [4]), (words("a b x a c x b"), [])],
}


def test_every_flag_has_a_case_here() -> None:
    assert set(CASES) == set(FLAG_NAMES)
    assert len(set(FLAG_NAMES)) == len(FLAG_NAMES)


@pytest.mark.parametrize("name", CASES)
def test_a_flag_holds_there_and_nowhere_else(name: str) -> None:
    column = FLAG_NAMES.index(name)
    for window, expected in CASES[name]:
        found = np.flatnonzero(view_of([window]).flags[:, column]).tolist()
        assert found == expected, window


def test_a_repetition_reaches_as_far_as_the_window_and_no_further() -> None:
    view = view_of([["a", *FORTY, "a"], ["a", "b"]])
    column = view.flags[:, FLAG_NAMES.index("a repetition of an earlier token")]
    assert column[41] == 1
    assert column[42:].tolist() == [0, 0]


def test_repetition_over_many_windows_is_that_of_each_window() -> None:
    """More windows than are compared at once."""
    rng = np.random.default_rng(5)
    windows = [[str(token) for token in rng.integers(0, 6, 4)] for _ in range(1100)]
    view = view_of(windows)
    found = view.flags[:, FLAG_NAMES.index("a repetition of an earlier token")]
    assert found.tolist() == [float(token in window[:at]) for window in windows for at, token in enumerate(window)]
