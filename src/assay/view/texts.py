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
    fit = _exemplars(opened, tails, claim, scale)
    if real is None:
        fit += _natural(opened, unit, claim, scale)
    return UnitTexts(test, fit, scale)


def _exemplars(opened: Opened, tails: Mapping[str, NDArray[Any]], claim: Claim | None, scale: Scale) -> list[Group]:
    groups: list[Group] = []
    for side, title, note in (
        ("top", "Strongest", "highest peaks, each of another document"),
        ("bottom", "Lowest", "lowest, each of another document"),
    ):
        if not tails:
            continue
        most = AMOUNT.exemplars
        ids, values = tails[f"{side}_ids"][:most], tails[f"{side}_activations"][:most].astype(np.float32)
        texts = opened.index.texts(np.unique(ids[ids >= 0]).tolist())
        predicted = predict(claim["detail"], ids, texts) if claim is not None else None
        if predicted is None:
            predicted = np.full(ids.shape, np.nan, np.float32)
        shown = exemplars(texts, ids, values, side == "bottom", AMOUNT, scale, predicted)
        if shown:
            groups.append(Group(title, note, shown))
    return groups


def _natural(opened: Opened, unit: Unit, claim: Claim | None, scale: Scale) -> list[Group]:
    """Tokens at quantiles and at random, from the sample that all units share."""
    values, sample = opened.natural(unit), opened.sample
    if values is None or sample is None:
        return []
    order = np.argsort(values, kind="stable")
    bands = [(f"q{100 * q:g}", int(order[round(q * (len(values) - 1))])) for q in _BANDS]
    rng = np.random.default_rng(zlib.crc32(unit["unit"].encode()))
    drawn = [("", int(i)) for i in rng.choice(len(values), min(AMOUNT.random, len(values)), replace=False)]
    rows = [row for _, row in (*bands, *drawn)]
    ids, positions = sample["ids"][rows], sample["positions"][rows]
    texts = opened.index.texts(np.unique(ids[ids >= 0]).tolist())
    predicted = predict(claim["detail"], ids, texts) if claim is not None else None
    if predicted is None:
        predicted = np.full(ids.shape, np.nan, np.float32)
    made = [
        _at(label, ids[i], int(positions[i]), float(values[row]), predicted[i], texts, scale)
        for i, (label, row) in enumerate((*bands, *drawn))
    ]
    note = "only the outlined token’s activation is stored"
    return [
        Group("Across the range", f"tokens at quantiles of a natural sample; {note}", made[: len(bands)]),
        Group("At random", f"any token of that sample; {note}", made[len(bands) :]),
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
