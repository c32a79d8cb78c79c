"""Scores of a trial, with intervals and nulls, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from assay.referee import CheckInput, exceeded_by_few
from assay.stats.bootstrap import Estimate, Interval, document_index, document_sums, document_weights
from assay.stats.proportion import wilson
from assay.stats.undecided import too_few_documents
from assay.steer.trial import array

EITHER = "trained on either side"  # what a finetune and its rival do on average is not the behaviour's doing
SCALE = 10.0  # nats; the rule's margin of .02 of the range is .2 nats


class Point(NamedTuple):
    """A dose, how much the log odds rise there on the half reported, and the KL on the half chosen on, if known."""

    dose: float
    effect: Estimate
    kl: float | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a treatment did on the half reported. Log odds are in nats.

    ``effect``: mean rise over prompts; ``nulls``: the 95th percentile of the placebos' means, and of those that were
    given the same choice, and what a finetune and its rival did on average; all with resamples of the prompts.
    ``wrong_way``: share of prompts that fall. ``kl`` and ``ratio`` (of perplexities) on neutral text, ``by_corpus``
    too. ``slope``: nats per unit of dose; ``reversal``: the dose up to which more does more, None where it is so
    throughout or there are no doses. ``off_target``: mean rise of other behaviours' words, by name, with what one
    placebo in twenty falls below and exceeds. What begins with ``placebo`` is the mean of placebos.
    """

    effect: Estimate
    nulls: Mapping[str, Estimate]
    wrong_way: Interval
    placebo_wrong_way: float
    kl: Estimate
    ratio: Estimate
    by_corpus: dict[str, dict[str, float]]
    placebo_kl: float
    placebo_ratio: float
    slope: Estimate | None
    reversal: float | None
    curve: tuple[Point, ...]
    off_target: dict[str, dict[str, float]]
    check: CheckInput
    controls: tuple[CheckInput, ...]


class Setting(NamedTuple):
    """What scores are made with. ``documents``, ``corpora``: of each scored token of neutral text."""

    cap: float
    replicates: int
    seed: int
    documents: Shaped[NDArray[np.str_], " t"]
    corpora: Shaped[NDArray[np.str_], " t"]
    others: Sequence[str]


def outcome(measured: Mapping[str, Any], dose: float | None, setting: Setting) -> Outcome:
    """Scores of what :func:`assay.steer.trial.measure` gave; ``dose`` is None where none keeps the cap."""
    rises, drawn = array(measured, "rises"), array(measured, "placebos")
    rise, null = rises[0], drawn[:, 0]
    weights = resampled(len(rise), setting)
    means = weights @ np.vstack([rise, null]).T
    effect = Estimate(float(rise.mean()), means[:, 0])
    nulls = {"random": fence(null.mean(1), means[:, 1:])}
    if measured["likewise"] is not None:
        likewise = array(measured, "likewise")
        nulls["random, chosen"] = fence(likewise.mean(1), weights @ likewise.T)
    either = None if measured["rival"] is None else (rises + array(measured, "rival")) / 2
    if either is not None:
        nulls[EITHER] = Estimate(float(either[0].mean()), weights @ either[0])
    kl, ratio, by_corpus = harm_of(measured, setting)
    reasons = (*too_few_documents(len(rise), "prompts"), *_over(measured, dose, kl, setting.cap))
    curve = _curve(measured, weights)
    return Outcome(
        effect,
        nulls,
        wilson(int((rise < 0).sum()), len(rise)),
        float((null < 0).mean()),
        kl,
        ratio,
        by_corpus,
        float(np.mean(measured["placebo_kl"])),
        _exp(float(np.mean(measured["placebo_loss"]))),
        _slope(measured, dose, weights),
        _reversal(curve),
        curve,
        off_target(
            rises[1:].mean(1),
            np.vstack([drawn[:, 1:].mean(2), *([] if either is None else [either[1:].mean(1)])]),
            setting.others,
        ),
        _check(effect, nulls, reasons),
        _controls(array(measured, "posing"), nulls["random"], weights, reasons),
    )


def resampled(count: int, setting: Setting) -> Float[NDArray[np.float64], "b n"]:
    """Weights of n prompts in each resample, which sum to 1."""
    weights = document_weights(count, setting.replicates, setting.seed)
    return weights / weights.sum(1, keepdims=True)


def fence(null: Float[NDArray[np.float64], " k"], means: Float[NDArray[np.float64], "b k"]) -> Estimate:
    """What one in twenty of k placebos exceeds, by their means, also in resamples."""
    return Estimate(float(exceeded_by_few(null[None])[0]), exceeded_by_few(means))


def harm_of(measured: Mapping[str, Any], setting: Setting) -> tuple[Estimate, Estimate, dict[str, dict[str, float]]]:
    """Mean KL and ratio of perplexities with resamples of the documents, and both by corpus."""
    kl, loss = array(measured, "kl"), array(measured, "loss")
    index = document_index(setting.documents)
    sums = document_sums([kl, loss, np.ones(len(kl))], index.of_token, index.n_documents)
    drawn = document_weights(index.n_documents, setting.replicates, setting.seed) @ sums
    parts = {
        str(name): {"kl": float(kl[own].mean()), "perplexity_ratio": _exp(loss[own].mean())}
        for name in dict.fromkeys(setting.corpora.tolist())
        if (own := setting.corpora == name).any()
    }
    ratio = Estimate(_exp(loss.mean()), np.exp(np.minimum(drawn[:, 1] / drawn[:, 2], _MOST)))
    return Estimate(float(kl.mean()), drawn[:, 0] / drawn[:, 2]), ratio, parts


_MOST = 50.0  # nats


def _exp(nats: float) -> float:
    return float(np.exp(min(nats, _MOST)))


def _over(measured: Mapping[str, Any], dose: float | None, kl: Estimate, cap: float) -> tuple[str, ...]:
    if dose is None:
        lowest = min(one[3] for one in measured["tried"] if one[3] is not None)
        if lowest <= cap:
            return ("no dose has a finite effect",)
        return (f"no dose keeps the KL on neutral text under {cap:g}; the least is {lowest:.2f}",)
    if kl.interval().lo > cap:
        return (f"the KL on other neutral text is {kl.value:.2f}, above the cap of {cap:g}",)
    return ()


def _check(effect: Estimate, nulls: Mapping[str, Estimate], reasons: tuple[str, ...]) -> CheckInput:
    every = {**nulls, "untreated": Estimate(0.0, np.zeros(len(effect.replicates)))}
    return CheckInput(
        effect.value / SCALE,
        {name: null.value / SCALE for name, null in every.items()},
        effect.replicates / SCALE,
        {name: null.replicates / SCALE for name, null in every.items()},
        reasons,
        SCALE,
    )


def _controls(
    posing: Float[NDArray[np.float64], "c n"],
    null: Estimate,
    weights: Float[NDArray[np.float64], "b n"],
    reasons: tuple[str, ...],
) -> tuple[CheckInput, ...]:
    """Further placebos as claims, against the null of those that claims are held against."""
    return tuple(_check(Estimate(float(one.mean()), weights @ one), {"random": null}, reasons) for one in posing)


def _curve(measured: Mapping[str, Any], weights: Float[NDArray[np.float64], "b n"]) -> tuple[Point, ...]:
    if not measured["curve"]:
        return ()
    layer = measured["layer"]
    known = {one[1]: one[3] for one in measured["tried"] if one[0] == layer}
    rises = {0.0: np.zeros(weights.shape[1])} | {dose: np.array(rise) for dose, rise in measured["curve"]}
    return tuple(
        Point(dose, Estimate(float(rises[dose].mean()), weights @ rises[dose]), known.get(dose))
        for dose in sorted(rises)
    )


def _slope(
    measured: Mapping[str, Any], dose: float | None, weights: Float[NDArray[np.float64], "b n"]
) -> Estimate | None:
    """Of the line through the rises at the doses between the chosen one and its opposite, 0 among them."""
    if not measured["curve"]:
        return None
    rises = {0.0: np.zeros(weights.shape[1])} | {one: np.array(rise) for one, rise in measured["curve"]}
    most = min(abs(one) for one in rises if one) if dose is None else dose
    within = np.array([one for one in rises if abs(one) <= most])
    centred = within - within.mean()
    slopes = centred @ np.stack([rises[float(one)] for one in within]) / (centred @ centred)
    return Estimate(float(slopes.mean()), weights @ slopes)


def _reversal(curve: Sequence[Point]) -> float | None:
    up = [point for point in curve if point.dose >= 0]
    return next((now.dose for now, then in pairwise(up) if then.effect.value < now.effect.value), None)


def off_target(
    own: Float[NDArray[np.float64], " m"], drawn: Float[NDArray[np.float64], "k m"], others: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Mean rise of the words of each of the others, between what one more placebo falls below with a chance of one in
    twenty, and what it exceeds with such a chance."""
    low, high = -exceeded_by_few(-drawn.T), exceeded_by_few(drawn.T)
    rows = zip(own, low, high, strict=True)
    return {
        name: dict(zip(("rise", "lo", "hi"), map(float, row), strict=True))
        for name, row in zip(others, rows, strict=False)
    }
