"""The texts of a unit's page: where it is high, low and in between, with a claim laid over them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.draw.heat import Scale, visible
from assay.explain.excerpts import Amount, Excerpt, Group, draw, exemplars, shaded_token
from assay.explain.page_views import seen
from assay.view.opened import Opened
from assay.view.predicting import predict

AMOUNT = Amount(strongest=6, predicted=4, quantiles=5, random=5, exemplars=6, before=20, after=9)
_BANDS = (0.99, 0.9, 0.75, 0.5, 0.25, 0.1, 0.01)

Unit = dict[str, Any]
Claim = Mapping[str, Any]


class UnitTexts(NamedTuple):
    """Excerpts, by where they are from, and the scale that all of them share.

    ``test``: of the test split, with stored predictions. ``fit``: of the fit split, which the explanations were fitted
    on: exemplars of both polarities, and tokens of the natural sample.
    """

    test: list[Group]
    fit: list[Group]
    scale: Scale


def unit_texts(opened: Opened, unit: Unit, claim: Claim | None) -> UnitTexts:
    """The excerpts of one unit, with what ``claim`` predicts where that can be had.

    Predictions on test text are the stored ones. Elsewhere rules and lookups are executed here; what a judge would
    have said there is not known.
    """
    tails, real = opened.tails(unit), None
    if unit["test"] is not None:
        real = opened.run.tensor_row("test", "activations", unit["test"])
        scale = Scale.of(real[opened.test.scored])
    else:
        tops = [tails[f"{side}_activations"].ravel() for side in ("top", "bottom") if tails]
        scale = Scale.of(np.concatenate([*tops, np.zeros(10)]).astype(np.float32))
    test: list[Group] = []
    if real is not None and claim is not None and claim["test"] is not None:
        predicted = opened.run.tensor_row("test", "predictions", claim["test"])
        arrays = {} if np.isfinite(predicted).all() else {"sampled": opened.sampled}
        test = draw(seen(opened.test, arrays, predicted), unit["unit"], real, predicted, AMOUNT, scale)
    return UnitTexts(test, _fit(opened, unit, tails, real is None, claim, scale), scale)


def _fit(
    opened: Opened, unit: Unit, tails: Mapping[str, NDArray[Any]], natural: bool, claim: Claim | None, scale: Scale
) -> list[Group]:
    """Excerpts of the fit split. All of their windows are predicted at once."""
    most = AMOUNT.exemplars
    sides = [(tails[f"{side}_ids"][:most], tails[f"{side}_activations"][:most]) for side in ("top", "bottom") if tails]
    drawn = _draw(opened, unit) if natural else None
    windows = [ids for ids, _ in sides] + ([drawn.ids] if drawn else [])
    if not windows:
        return []
    ids = np.concatenate(windows)
    texts = opened.index.texts(np.unique(ids[ids >= 0]).tolist())
    predicted = predict(claim["detail"], ids, texts) if claim is not None else None
    if predicted is None:
        predicted = np.full(ids.shape, np.nan, np.float32)
    parts = np.split(predicted, np.cumsum([len(own) for own in windows])[:-1])
    groups: list[Group] = []
    titles = (("Strongest", "highest peaks"), ("Lowest", "lowest peaks"))
    for (own, values), said, (title, note) in zip(sides, parts, titles, strict=False):
        shown = exemplars(texts, own, values.astype(np.float32), title == "Lowest", AMOUNT, scale, said)
        if shown:
            groups.append(Group(title, f"{note}, each of another document", shown))
    return groups + (_natural(drawn, parts[-1], texts, scale) if drawn else [])


class _Drawn(NamedTuple):
    """Tokens of the natural sample: labels, windows (n, length), positions in them and activations (n,)."""

    labels: list[str]
    ids: NDArray[np.int32]
    positions: NDArray[np.int64]
    values: NDArray[np.float32]


def _draw(opened: Opened, unit: Unit) -> _Drawn | None:
    """Tokens at quantiles, with labels, and some at random; None where no sample is stored."""
    values, sample = opened.natural(unit), opened.sample
    if values is None or sample is None:
        return None
    order = np.argsort(values, kind="stable")
    bands = [int(order[round(q * (len(values) - 1))]) for q in _BANDS]
    rng = np.random.default_rng(zlib.crc32(unit["unit"].encode()))
    random = rng.choice(len(values), min(AMOUNT.random, len(values)), replace=False).tolist()
    labels, rows = [*(f"q{100 * q:g}" for q in _BANDS), *([""] * len(random))], [*bands, *random]
    return _Drawn(labels, sample["ids"][rows], sample["positions"][rows].astype(np.int64), values[rows])


def _natural(drawn: _Drawn, predicted: NDArray[np.float32], texts: Mapping[int, str], scale: Scale) -> list[Group]:
    made = [
        _at(label, ids, at, value, said, texts, scale)
        for label, ids, at, value, said in zip(
            drawn.labels, drawn.ids, drawn.positions.tolist(), drawn.values.tolist(), predicted, strict=True
        )
    ]
    note = "only the outlined token’s activation is stored"
    bands = len(_BANDS)
    return [
        Group("Across the range", f"tokens at quantiles of a natural sample; {note}", made[:bands]),
        Group("At random", f"any token of that sample; {note}", made[bands:]),
    ]


def _at(
    label: str,
    ids: NDArray[np.int32],
    at: int,
    value: float,
    predicted: NDArray[np.float32],
    texts: Mapping[int, str],
    scale: Scale,
) -> Excerpt:
    size = int((ids >= 0).sum())
    span = range(max(0, at - AMOUNT.before), min(size, at + AMOUNT.after + 1))
    shaded = [
        shaded_token(
            visible(texts.get(int(ids[i]), f"[{ids[i]}]")),
            value if i == at else np.nan,
            float(predicted[i]),
            scale,
            i == at,
        )
        for i in span
    ]
    return Excerpt(label, shaded, scale.number(value), shaded[at - span[0]].predicted, span[0] > 0, span[-1] + 1 < size)
