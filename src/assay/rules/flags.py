"""Named yes-or-no facts about a position, computed from the left context inside its window."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from assay.rules.classes import fold, word_lists

FUNCTION_WORDS = (
    "article",
    "demonstrative",
    "possessive determiner",
    "subject pronoun",
    "object pronoun",
    "preposition",
    "coordinating conjunction",
    "form of be",
    "form of have",
    "form of do",
    "modal",
)

Grid = NDArray[np.int64]
Mask = NDArray[np.bool_]


def flag_table(
    tokens: Int64[np.ndarray, "windows length"], names: Sequence[str], forms: Int64[np.ndarray, "windows length"]
) -> dict[str, Bool[np.ndarray, "windows length"]]:
    """Every flag over a (windows, length) grid of token keys; ``names`` are the keys' texts, key 0 is padding.

    ``forms`` are keys of the folded tokens, used for repetition regardless of case and spaces. Every name completes
    the sentence "the token is ...".
    """
    kinds = _Kinds(tokens, names)
    parts = (_sentences, _lines, _nesting, _pieces, _words)
    tables = [_positions(tokens), *(part(kinds) for part in parts), _repeats(forms)]
    return {name: mask for table in tables for name, mask in table.items()}


class _Kinds:
    """Boolean grids of what each token is."""

    def __init__(self, tokens: Grid, names: Sequence[str]) -> None:
        self.tokens, self.names = tokens, names
        self.stop = self.matching(r"\s*[.!?]+[\"'”’)]*\s*|.*\n\s*\n.*")
        self.newline = self.matching(r".*\n.*")
        self.indent = self.matching(r".*\n[ \t]+")
        self.mark = self.matching(r"\s*[^\w\s]+\s*")
        self.letter_first, self.letter_last = self.matching(r"[A-Za-z].*"), self.matching(r".*[A-Za-z]")
        self.capital = self.matching(r"\s*[A-Z].*")
        self.inside = self.letter_first & (_before(self.letter_last.astype(np.int64)) > 0)
        self.digit = self.matching(r"\s*\d+")
        self.symbol = self.matching(r"\s*[=(){}\[\]<>_;/\\|*#+`]+.*")

    def listed(self, *classes: str) -> Mask:
        """Is a token a word of one of these lists?"""
        lists = word_lists()
        words = {word for name in classes for word in lists[name]}
        return np.array([fold(name) in words for name in self.names])[self.tokens]

    def matching(self, pattern: str) -> Mask:
        return self.table(pattern)[self.tokens]

    def table(self, pattern: str) -> Mask:
        test = re.compile(pattern, re.DOTALL)
        return np.array([test.fullmatch(name) is not None for name in self.names])

    def counts(self, test: Callable[[str], int]) -> Grid:
        return np.array([test(name) for name in self.names], dtype=np.int64)[self.tokens]


def _before(grid: Grid, back: int = 1) -> Grid:
    """What stood ``back`` positions earlier; 0 before the window."""
    shifted = np.zeros_like(grid)
    shifted[:, back:] = grid[:, : max(grid.shape[1] - back, 0)]
    return shifted


def _happened(event: Mask) -> Mask:
    """Did it happen strictly before each position?"""
    return np.cumsum(event, axis=1) - event > 0


def _open(steps: Grid) -> Grid:
    """How many are open before each position, where +1 opens and -1 closes; what was never opened can't be closed."""
    depth = np.cumsum(steps, axis=1)
    lowest = np.minimum(np.minimum.accumulate(depth, axis=1), 0)
    return _before(depth - lowest)


def _columns(grid: NDArray[Any]) -> Grid:
    return np.arange(grid.shape[1], dtype=np.int64)


def _since(event: Mask) -> Grid:
    """Tokens since the last event strictly before each position; a window's start counts as one before position 0."""
    columns = _columns(event)
    last = np.maximum.accumulate(np.where(event, columns, -1), axis=1)
    previous = np.full(event.shape, -1)
    previous[:, 1:] = last[:, :-1]
    return columns - previous


def _any_within(event: Mask, reach: int) -> Mask:
    """Did it happen at one of the previous ``reach`` tokens?"""
    found = np.zeros_like(event)
    for back in range(1, reach + 1):
        found |= _before(event.astype(np.int64), back) > 0
    return found


def _positions(tokens: Grid) -> dict[str, Mask]:
    column = np.broadcast_to(_columns(tokens), tokens.shape)
    return {
        "second token of the window": column == 1,
        "among the first 4 tokens of the window": column < 4,
        "among the first 8 tokens of the window": column < 8,
        "among the first 16 tokens of the window": column < 16,
        "past the 32nd token of the window": column >= 32,
    }


def _sentences(kinds: _Kinds) -> dict[str, Mask]:
    place, started = _since(kinds.stop), _happened(kinds.stop)
    since_mark, marked = _since(kinds.mark), _happened(kinds.mark)
    return {
        "first token of a sentence": (place == 1) & started,
        "second token of a sentence": (place == 2) & started,
        "among the first 4 tokens of a sentence": (place <= 4) & started,
        "past the 16th token of a sentence": place > 16,
        "past the 32nd token of a sentence": place > 32,
        "right after a punctuation mark": (since_mark == 1) & marked,
        "within 3 tokens after a punctuation mark": (since_mark <= 3) & marked,
        "after 8 tokens without punctuation": since_mark > 8,
        "after a comma in the same sentence": _since(kinds.matching(r"\s*,.*")) < place,
        "after a question word in the same sentence": _since(kinds.listed("question word")) < place,
        "after 12 tokens without a function word": _since(kinds.listed(*FUNCTION_WORDS)) > 12,
        "within 16 tokens after a question mark": _any_within(kinds.matching(r".*\?.*"), 16),
        "within 16 tokens after an exclamation mark": _any_within(kinds.matching(r".*!.*"), 16),
    }


def _lines(kinds: _Kinds) -> dict[str, Mask]:
    place, started = _since(kinds.newline), _happened(kinds.newline)
    rows = np.arange(len(place))[:, None]
    start = _columns(place) - place + 1
    opener = kinds.tokens[rows, start]
    inside = started & (place > 1)
    table = {
        "first token of a line": (place == 1) & started,
        "second token of a line": (place == 2) & started,
        "past the 24th token of a line": place > 24,
    }
    for name, pattern in {
        "in a line that starts with a digit": r"\s*\d+.*",
        "in a line that starts with a bullet": r"\s*[-*•+]+.*",
        "in a line that starts with # or |": r"\s*[#|]+.*",
    }.items():
        table[name] = kinds.table(pattern)[opener] & inside
    indented = kinds.table(r"\s{2,}.*")[opener] | kinds.indent[rows, np.maximum(start - 1, 0)]
    return table | {"in an indented line": indented & inside}


def _nesting(kinds: _Kinds) -> dict[str, Mask]:
    depth = _open(kinds.counts(lambda t: sum(t.count(c) for c in "([{") - sum(t.count(c) for c in ")]}")))
    straight = kinds.counts(lambda t: t.count('"'))
    curly = kinds.counts(lambda t: t.count("“") - t.count("”"))
    fences = kinds.counts(lambda t: t.count("```"))
    return {
        "in a block of code": _before(np.cumsum(fences, axis=1)) % 2 == 1,
        "inside brackets": depth > 0,
        "inside two brackets or more": depth > 1,
        "inside double quotes": (_before(np.cumsum(straight, axis=1)) % 2 == 1) | (_open(curly) > 0),
        "within 8 tokens after a double quote": _any_within(kinds.matching(r".*[\"“”].*"), 8),
    }


def _pieces(kinds: _Kinds) -> dict[str, Mask]:
    place, columns = _since(~kinds.inside), _columns(kinds.tokens)
    number = kinds.matching(r"\d+") & (_before(kinds.digit.astype(np.int64)) > 0)
    digits = _since(~number)
    capitals = kinds.matching(r"\s*[A-Z]+")
    start = columns - np.where(kinds.inside, place, 0)
    unlike = np.maximum.accumulate(np.where(capitals, -1, columns), axis=1)
    return {
        "inside a word": kinds.inside,
        "second piece of a word": kinds.inside & (place == 1),
        "third or later piece of a word": kinds.inside & (place >= 2),
        "in a word of capitals": (unlike < start) & (kinds.inside | kinds.matching(r"\s*[A-Z]{2,}")),
        "second piece of a number": number & (digits == 1),
        "third or later piece of a number": number & (digits >= 2),
    }


def _words(kinds: _Kinds) -> dict[str, Mask]:
    capital = kinds.capital.astype(np.int64)
    capitals = sum((_before(capital, back) for back in range(1, 5)), np.zeros_like(capital))
    column = _columns(kinds.tokens)
    symbols: NDArray[np.float64] = np.cumsum(kinds.symbol, axis=1) / (column + 1)
    return {
        "after a capitalised token": _before(capital) > 0,
        "soon after two capitalised tokens": capitals >= 2,
        "within 4 tokens after a number in digits": _any_within(kinds.digit, 4),
        "in text full of symbols": symbols > 0.2,
        "in text without symbols": (symbols == 0) & (column >= 8),
    }


def _repeats(forms: Grid) -> dict[str, Mask]:
    earlier = np.tril(np.ones((forms.shape[1],) * 2, dtype=bool), -1)
    seen, primed, copied = (np.zeros(forms.shape, dtype=bool) for _ in range(3))
    previous = _before(forms)
    for block in range(0, len(forms), 512):  # bounds the (block, length, length) comparison
        now, past = forms[block : block + 512], previous[block : block + 512]
        same = (now[:, :, None] == now[:, None, :]) & earlier & (now > 0)[:, :, None]
        same_past = (past[:, :, None] == past[:, None, :]) & earlier & (past > 0)[:, :, None]
        seen[block : block + 512] = same.any(2)
        primed[block : block + 512] = same_past.any(2)
        copied[block : block + 512] = (same & same_past).any(2)
    return {
        "a repetition of an earlier token": seen,
        "new in the window": ~seen,
        "after a token that has occurred before": primed,
        "end of a repeated pair of tokens": copied,
    }


FLAG_NAMES: tuple[str, ...] = tuple(flag_table(np.zeros((1, 2), np.int64), ("",), np.zeros((1, 2), np.int64)))
