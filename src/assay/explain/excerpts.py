"""Excerpts of the test split on which a prediction can be seen beside the truth.

The tokens to look at are drawn five ways, since each way alone misleads: the strongest activations show what the
unit likes, the strongest predictions show false alarms, the quantiles show the middle of the range, and random
tokens show the rest. Draws are seeded by the unit's name.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.draw.heat import Scale, ShadedToken, visible

_QUANTILES = (0.999, 0.99, 0.9, 0.5, 0.1)
_TAIL = 0.3  # a tail counts as one when it reaches this share of the other


class Amount(NamedTuple):
    """How many excerpts of each draw, and how many tokens stand before and after the one looked at."""

    strongest: int
    predicted: int
    quantiles: int
    random: int
    exemplars: int
    before: int
    after: int


class Excerpt(NamedTuple):
    """A stretch of one window, with both numbers of the token looked at.

    ``label`` says why it was drawn; ``cut_before`` and ``cut_after`` whether the document goes on there.
    """

    label: str
    tokens: list[ShadedToken]
    real: str
    predicted: str
    cut_before: bool
    cut_after: bool


class Group(NamedTuple):
    """Excerpts drawn the same way."""

    title: str
    note: str
    excerpts: list[Excerpt]


@dataclass(frozen=True)
class TestText:
    """The test split, flat: token ids, document, window and position of each token, whether it is scored; (n,) each.

    ``texts`` maps a token id to its text.
    """

    __test__ = False  # not a test class, whatever pytest thinks

    ids: NDArray[np.int32]
    documents: NDArray[np.int32]
    windows: NDArray[np.int32]
    scored: NDArray[np.bool_]
    texts: Mapping[int, str]


def draw(
    text: TestText, unit: str, real: NDArray[np.float32], predicted: NDArray[np.float32], amount: Amount, scale: Scale
) -> list[Group]:
    """Excerpts for one claim, grouped by the way they were drawn; a draw without any token is left out.

    ``real`` and ``predicted`` are (n,) over the test split. Within a group no document comes twice.
    """
    rng = np.random.default_rng(zlib.crc32(unit.encode()))
    tokens = np.flatnonzero(text.scored)
    tokens = tokens[rng.permutation(tokens.size)]  # so that ties are broken at random

    def top(values: NDArray[np.float32], count: int) -> list[int]:
        if not count:
            return []
        return _first_of_documents(tokens[np.argsort(-values[tokens], kind="stable")], text.documents, count)

    two_tails = _two_tails(real[tokens])
    low = (amount.strongest + 1) // 2 if two_tails else 0
    low_predicted = (amount.predicted + 1) // 2 if two_tails else 0
    quantiles = _at_quantiles(tokens, real, amount.quantiles)
    draws: list[tuple[str, str, list[tuple[str, int]]]] = [
        ("Strongest", "highest real activation", _named(top(real, amount.strongest))),
        ("Lowest", "most negative real activation", _named(top(-real, low))),
        ("Strongest by claim", "highest prediction, ties at random: false alarms show here",
         _named(top(predicted, amount.predicted))),
        ("Lowest by claim", "most negative prediction", _named(top(-predicted, low_predicted))),
        ("Across the range", "tokens at quantiles of the real activation", quantiles),
        ("At random", "any scored token", _named(_first_of_documents(tokens, text.documents, amount.random))),
    ]  # fmt: skip
    return [
        Group(title, note, [_excerpt(text, label, at, real, predicted, amount, scale) for label, at in chosen])
        for title, note, chosen in draws
        if chosen
    ]


def exemplars(
    texts: Mapping[int, str],
    ids: NDArray[np.int32],
    activations: NDArray[np.float32],
    negative: bool,
    amount: Amount,
    scale: Scale,
    predicted: NDArray[np.float32] | None = None,
) -> list[Excerpt]:
    """Recorded exemplars, (k, length) padded with -1, strongest first; rows without a token are left out.

    ``predicted``: what a claim says of the same tokens, to be laid over them.
    """
    found: list[Excerpt] = []
    for number, (row, recorded) in enumerate(zip(ids.tolist(), activations.astype(np.float64), strict=True)):
        size = sum(token >= 0 for token in row)
        if not size or len(found) == amount.exemplars:
            continue
        at = int(np.argmin(recorded[:size]) if negative else np.argmax(recorded[:size]))
        values = recorded.tolist()
        span = range(max(0, at - amount.before), min(size, at + amount.after + 1))
        if predicted is None:
            shaded = [
                ShadedToken(_text(texts, row[i]), scale.shade("b", values[i]), scale.number(values[i]), "", i == at)
                for i in span
            ]
        else:
            claimed = predicted[number].tolist()
            shaded = [shaded_token(_text(texts, row[i]), values[i], claimed[i], scale, i == at) for i in span]
        found.append(Excerpt("", shaded, scale.number(values[at]), shaded[at - span[0]].predicted, span[0] > 0, True))
    return found


def shaded_token(text: str, real: float, predicted: float, scale: Scale, looked_at: bool) -> ShadedToken:
    """A token with both of its values; NaN is one that is unknown, as where a judge was not asked."""
    shades, numbers = list[str](), list[str]()
    for prefix, value in (("a", real), ("p", predicted)):
        known = not np.isnan(value)
        shades.append(scale.shade(prefix, value) if known else "")
        numbers.append(scale.number(value) if known else "")
    return ShadedToken(text, " ".join(shades).strip(), numbers[0], numbers[1], looked_at)


def _two_tails(values: NDArray[np.float32]) -> bool:
    return bool(values.size and -values.min() > _TAIL * values.max() and values.min() < 0)


def _first_of_documents(ordered: NDArray[np.intp], documents: NDArray[np.int32], count: int) -> list[int]:
    """The first ``count`` tokens in this order, no two of one document."""
    chosen: dict[int, int] = {}
    for token in ordered.tolist():
        if len(chosen) == count:
            break
        chosen.setdefault(int(documents[token]), token)
    return list(chosen.values())


def _at_quantiles(tokens: NDArray[np.intp], real: NDArray[np.float32], count: int) -> list[tuple[str, int]]:
    if not tokens.size:
        return []
    ordered = tokens[np.argsort(real[tokens], kind="stable")]
    return [(f"q{100 * q:g}", int(ordered[round(q * (tokens.size - 1))])) for q in _QUANTILES[:count]]


def _named(tokens: list[int]) -> list[tuple[str, int]]:
    return [("", token) for token in tokens]


def _excerpt(
    text: TestText,
    label: str,
    at: int,
    real: NDArray[np.float32],
    predicted: NDArray[np.float32],
    amount: Amount,
    scale: Scale,
) -> Excerpt:
    low, high = max(0, at - amount.before), min(text.ids.size, at + amount.after + 1)
    inside = [i for i in range(low, high) if text.windows[i] == text.windows[at]]
    shaded: list[ShadedToken] = []
    for i in inside:
        word = _text(text.texts, int(text.ids[i]))
        shaded.append(shaded_token(word, float(real[i]), float(predicted[i]), scale, i == at))
    before, after = (
        0 <= edge < text.ids.size and bool(text.documents[edge] == text.documents[at])
        for edge in (inside[0] - 1, inside[-1] + 1)
    )
    return Excerpt(label, shaded, scale.number(float(real[at])), scale.number(float(predicted[at])), before, after)


def _text(texts: Mapping[int, str], token: int) -> str:
    return visible(texts.get(token, f"[{token}]"))
