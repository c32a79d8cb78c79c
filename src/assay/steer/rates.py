"""What is written, in scores with intervals and nulls: the share of hits, and what a judge gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.judge.steered import HIGHEST, Rating
from assay.referee import CheckInput
from assay.referee.checks import MAX_UNSCORED
from assay.stats.bootstrap import Estimate
from assay.stats.undecided import too_few_documents
from assay.steer.outcome import EITHER, Setting, fence, resampled
from assay.steer.trial import array


class Rates(NamedTuple):
    """A mean over continuations.

    ``nulls``: of the placebos what one in twenty exceeds, that of the untreated model, and what a finetune and its
    rival have on average.
    """

    score: Estimate
    nulls: Mapping[str, Estimate]
    check: CheckInput


def rates(
    wrote: Mapping[str, Any], untreated: Mapping[str, Any], setting: Setting, reasons: tuple[str, ...] = ()
) -> Rates:
    """Share of hits in what :func:`assay.steer.trial.write` gave; ``reasons`` not to judge the treatment count here
    too."""
    drawn = array(wrote, "placebo_hits")
    hits, plain = (array(one, "hits").reshape(-1, drawn.shape[1]).mean(0) for one in (wrote, untreated))
    rival = None if wrote["rival_hits"] is None else array(wrote, "rival_hits")
    return _rates(hits, plain, drawn, rival, setting, reasons)


def ratings(
    heard: Mapping[str, Any], untreated: Sequence[Any], prompts: int, setting: Setting, reasons: tuple[str, ...] = ()
) -> Rates | str:
    """Mean rating by a judge, 0 to 2; or why there is none.

    Args:
        heard: ratings of a treatment's continuations, ``own`` (m, 2), of those of its ``placebos`` (p, m, 2), and of
            ``rival`` (m, 2) where there is one, None in the place of a pair that is unscored.
        untreated: (m, 2) the same of the untreated model.
        prompts: how many; continuations are one of each, then the next of each.
    """
    sides = {"own": [heard["own"]], "untreated": [untreated], "placebos": heard["placebos"]}
    if heard["rival"] is not None:
        sides["rival"] = [heard["rival"]]
    scores = {name: np.array([scored(one) for one in rows]) for name, rows in sides.items()}
    for name, rows in scores.items():
        if (missing := int(np.isnan(rows).sum())) > MAX_UNSCORED * rows.size or np.isnan(rows).all(1).any():
            return f"{missing} of {rows.size} continuations ({name}) have no rating"
    by_prompt = {name: _known_mean(rows.reshape(len(rows), -1, prompts)) for name, rows in scores.items()}
    rival = by_prompt["rival"][0] if "rival" in by_prompt else None
    own, plain = by_prompt["own"][0], by_prompt["untreated"][0]
    return _rates(own, plain, by_prompt["placebos"], rival, setting, reasons, HIGHEST)


def scored(rated: Sequence[Sequence[int] | None]) -> Float[NDArray[np.float64], " m"]:
    """(m,) the score of each rating, NaN where there is none."""
    return np.array([np.nan if one is None else Rating(*one).score for one in rated])


def _known_mean(drawn: Float[NDArray[np.float64], "p k n"]) -> Float[NDArray[np.float64], "p n"]:
    """Over the k continuations of a prompt, those without a score left out; NaN where none has one."""
    known = np.isfinite(drawn)
    with np.errstate(invalid="ignore"):
        return np.where(known, drawn, 0).sum(1) / known.sum(1)


def _rates(
    own: Float[NDArray[np.float64], " n"],
    plain: Float[NDArray[np.float64], " n"],
    drawn: Float[NDArray[np.float64], "p n"],
    rival: Float[NDArray[np.float64], " n"] | None,
    setting: Setting,
    reasons: tuple[str, ...],
    unit: float = 1.0,
) -> Rates:
    weights = resampled(len(own), setting)
    rows = {"own": own, "untreated": plain} | ({} if rival is None else {EITHER: (own + rival) / 2})
    made = {name: Estimate(float(np.nanmean(row)), _means(weights, row[None])[:, 0]) for name, row in rows.items()}
    score = made.pop("own")
    nulls = {"random": fence(np.nanmean(drawn, axis=1), _means(weights, drawn))} | made
    check = CheckInput(
        score.value / unit,
        {name: one.value / unit for name, one in nulls.items()},
        score.replicates / unit,
        {name: one.replicates / unit for name, one in nulls.items()},
        tuple(dict.fromkeys((*too_few_documents(len(own), "prompts"), *reasons))),
        unit,
    )
    return Rates(score, nulls, check)


def _means(
    weights: Float[NDArray[np.float64], "b n"], rows: Float[NDArray[np.float64], "k n"]
) -> Float[NDArray[np.float64], "b k"]:
    """Weighted means of rows, over what is known of each."""
    known = np.isfinite(rows)
    return weights @ np.where(known, rows, 0).T / (weights @ known.T)
