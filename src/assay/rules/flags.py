"""Named yes-or-no facts about a position, computed from the left context inside its window."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.int64]
Mask = NDArray[np.bool_]


def flag_table(tokens: Grid, names: Sequence[str], forms: Grid) -> dict[str, Mask]:
    """Every flag over a (windows, length) grid of token keys; ``names`` are the keys' texts, key 0 is padding.

    ``forms`` are keys of the folded tokens, used for repetition regardless of case and spaces.
    """
    kinds = _Kinds(tokens, names)
    return _positions(tokens) | _sentences(kinds) | _lines(kinds) | _nesting(kinds) | _words(kinds) | _repeats(forms)


class _Kinds:
    """Boolean grids of what each token is."""

    def __init__(self, tokens: Grid, names: Sequence[str]) -> None:
        self.tokens, self.names = tokens, names
        self.stop = self.matching(r"\s*[.!?]+[\"'”’)]*\s*|.*\n\s*\n.*")
        self.newline = self.matching(r"(?s).*\n.*")
        self.mark = self.matching(r"\s*[^\w\s]+\s*")
        self.starts_word = self.matching(r"\s.*|[^A-Za-z].*")
        self.capital = self.matching(r"\s*[A-Z].*")
        self.small_word = self.matching(r"\s+[a-z].*")
        self.digit = self.matching(r"\s*\d+")
        self.symbol = self.matching(r"\s*[=(){}\[\]<>_;/\\|*#+`]+.*")

    def matching(self, pattern: str) -> Mask:
        test = re.compile(pattern)
        return np.array([test.fullmatch(name) is not None for name in self.names])[self.tokens]

    def counts(self, test: Callable[[str], int]) -> Grid:
        return np.array([test(name) for name in self.names], dtype=np.int64)[self.tokens]


def _before(grid: NDArray[np.generic], back: int = 1) -> NDArray[np.generic]:
    shifted = np.zeros_like(grid)
    shifted[:, back:] = grid[:, : grid.shape[1] - back]
    return shifted


def _since(event: Mask) -> Grid:
    """Tokens since the last event strictly before each position; a window's start counts as one before position 0."""
    columns = np.arange(event.shape[1])
    last = np.maximum.accumulate(np.where(event, columns, -1), axis=1)
    previous = np.full(event.shape, -1)
    previous[:, 1:] = last[:, :-1]
    return columns - previous


def _any_within(event: Mask, reach: int) -> Mask:
    """Did it happen at one of the previous ``reach`` tokens?"""
    found = np.zeros_like(event)
    for back in range(1, reach + 1):
        found |= _before(event, back).astype(bool)
    return found


def _positions(tokens: Grid) -> dict[str, Mask]:
    column = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    return {
        "second token of the window": column == 1,
        "among the first 4 tokens of the window": column < 4,
        "among the first 8 tokens of the window": column < 8,
        "among the first 16 tokens of the window": column < 16,
        "past the 32nd token of the window": column >= 32,
    }


def _sentences(kinds: _Kinds) -> dict[str, Mask]:
    place = _since(kinds.stop)
    any_stop = np.cumsum(kinds.stop, axis=1) - kinds.stop > 0
    comma = kinds.matching(r"\s*,.*")
    since_mark = _since(kinds.mark)
    comma_in_sentence = _since(comma) < place
    return {
        "first token of a sentence": (place == 1) & any_stop,
        "second token of a sentence": (place == 2) & any_stop,
        "among the first 4 tokens of a sentence": (place <= 4) & any_stop,
        "past the 16th token of a sentence": place > 16,
        "past the 32nd token of a sentence": place > 32,
        "right after a punctuation mark": since_mark == 1,
        "within 3 tokens of a punctuation mark": since_mark <= 3,
        "more than 8 tokens past a punctuation mark": since_mark > 8,
        "a comma earlier in the sentence": comma_in_sentence,
        "a question mark among the previous 16 tokens": _any_within(kinds.matching(r".*\?.*"), 16),
        "an exclamation mark among the previous 16 tokens": _any_within(kinds.matching(r".*!.*"), 16),
    }


def _lines(kinds: _Kinds) -> dict[str, Mask]:
    place = _since(kinds.newline)
    any_line = np.cumsum(kinds.newline, axis=1) - kinds.newline > 0
    first = np.where(place == 1, kinds.tokens, 0)
    rows = np.arange(len(first))[:, None]
    start = np.maximum(np.arange(first.shape[1]) - place + 1, 0)
    opener = kinds.tokens[rows, start]
    table = {
        "first token of a line": (place == 1) & any_line,
        "second token of a line": (place == 2) & any_line,
        "in a line past its 24th token": place > 24,
    }
    for name, pattern in {
        "in a line that starts with a digit": r"\s*\d+.*",
        "in a line that starts with a bullet": r"\s*[-*•+]+.*",
        "in a line that starts with # or |": r"\s*[#|]+.*",
        "in an indented line": r"\s{2,}.*",
    }.items():
        test = re.compile(pattern)
        table[name] = np.array([test.fullmatch(n) is not None for n in kinds.names])[opener] & any_line & (place > 1)
    return table


def _nesting(kinds: _Kinds) -> dict[str, Mask]:
    opened = kinds.counts(lambda t: sum(t.count(c) for c in "([{"))
    closed = kinds.counts(lambda t: sum(t.count(c) for c in ")]}"))
    depth = np.cumsum(opened - closed, axis=1)
    lowest = np.minimum(np.minimum.accumulate(depth, axis=1), 0)
    depth = _before(depth - lowest)
    straight = kinds.counts(lambda t: t.count('"'))
    left, right = kinds.counts(lambda t: t.count("“")), kinds.counts(lambda t: t.count("”"))
    curly = _before(np.cumsum(left - right, axis=1)) > 0
    return {
        "inside brackets": depth > 0,
        "inside two brackets or more": depth > 1,
        "inside double quotes": (_before(np.cumsum(straight, axis=1)) % 2 == 1) | curly,
        "within 8 tokens of a double quote": _any_within((straight + left + right) > 0, 8),
    }


def _words(kinds: _Kinds) -> dict[str, Mask]:
    piece = _since(kinds.starts_word)
    inside = ~kinds.starts_word & (np.arange(kinds.tokens.shape[1]) > 0)
    capitals = sum(_before(kinds.capital, back).astype(int) for back in range(1, 5))
    symbols = np.cumsum(kinds.symbol, axis=1) / (np.arange(kinds.tokens.shape[1]) + 1)
    assert isinstance(capitals, np.ndarray)
    return {
        "inside a word": inside,
        "second piece of a word": inside & (piece == 1),
        "third or later piece of a word": inside & (piece >= 2),
        "capital letter at the previous token": _before(kinds.capital).astype(bool),
        "two capitalised tokens among the previous four": capitals >= 2,
        "a digit among the previous four tokens": _any_within(kinds.digit, 4),
        "text full of symbols": symbols > 0.2,
        "text without symbols": (symbols == 0) & (np.arange(kinds.tokens.shape[1]) >= 8),
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
        "a token not seen before in the window": ~seen,
        "after a token that has occurred before": primed,
        "a repetition of an earlier pair of tokens": copied,
    }


FLAG_NAMES: tuple[str, ...] = tuple(flag_table(np.zeros((1, 2), np.int64), ("",), np.zeros((1, 2), np.int64)))
