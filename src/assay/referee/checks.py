"""The checks of an explanation, from stored arrays alone: they need no model, and give the same numbers again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike

from assay.errors import UsageError
from assay.referee.verdict import CheckInput
from assay.stats.bootstrap import Estimate, Interval, document_index, document_weights
from assay.stats.correlation import correlate
from assay.stats.divergence import ratio_score
from assay.stats.score import checked_arrays
from assay.stats.undecided import reasons_undecided, too_few_documents

# Stored with every piece of evidence. A changed number needs a new version: the golden test sees to it.
PREDICTION_VERSION = 1
BEHAVIOUR_VERSION = 1

NOISE_MULTIPLE = 10
MAX_UNSCORED = 0.05
CLAIM_ARM, MEAN_ARM, BENCHMARK_ARM = "prediction", "mean", "noise_equal_r"
NULL_ARMS = ("other_unit", "shuffled")


class BehaviourCheck(NamedTuple):
    """The behaviour check of one claim.

    ``score`` is 1 - ΣJ(prediction) / ΣJ(mean). ``surplus`` is how far it lies above the arm with the true activation
    plus noise at the claim's own r, paired; None when that arm was not run. It decides nothing: where r is 1 that arm
    is the true activation, which nothing can beat. ``arms`` are the scores of all arms that were run.
    """

    check: CheckInput
    score: Interval
    surplus: Interval | None
    arms: Mapping[str, Interval]


def prediction_check(
    predicted: ArrayLike,
    activations: ArrayLike,
    documents: ArrayLike,
    fire_above: float,
    other_unit: ArrayLike | None = None,
    *,
    unscored: int = 0,
    replicates: int = 2000,
    seed: int = 0,
) -> CheckInput:
    """Does the claim predict the unit's activation? Pearson's r over all scored tokens of the test split.

    Nulls: ``constant``, whose r is 0 by definition; ``shuffled``, the claim's own predictions permuted over all scored
    tokens; ``other_unit``, another unit's predictions on the same tokens, where given.

    Args:
        predicted: (n,) the claim's predictions.
        activations: (n,) what the unit did.
        documents: (n,) document of each token.
        fire_above: what counts as firing, from the fit split; few firings leave the claim undecided.
        other_unit: (n,) predictions of the explanation of another unit of the same layer.
        unscored: tokens besides these n of which the claim should have said something, and could not be asked. More
            than 5 % of all leave it undecided.
        replicates: resamples of the documents.
        seed: of the resamples and of the permutation.

    Raises:
        UsageError: arrays that are empty, not of one length, NaN or infinite.
    """
    p, a, where = checked_arrays(predicted, activations, documents)
    weights = document_weights(where.n_documents, replicates, seed)
    claim = correlate(p, a, where.of_token, weights)
    nulls = {
        "constant": Estimate(0.0, np.zeros(replicates)),
        "shuffled": correlate(shuffled(p, seed), a, where.of_token, weights),
    }
    if other_unit is not None:
        nulls["other_unit"] = correlate(checked_arrays(other_unit, a, documents)[0], a, where.of_token, weights)
    reasons = reasons_undecided(a, where.of_token, where.n_documents, fire_above)
    if unscored > MAX_UNSCORED * (unscored + p.size):
        reasons += (f"too much unscored: {unscored} of {unscored + p.size} tokens",)
    return _check_input(claim, nulls, reasons)


def unscored_check(reason: str) -> CheckInput:
    """A check of which nothing could be measured: it has no score, and leaves its claim undecided with this reason."""
    nothing, nan = np.full(1, np.nan), float("nan")
    return CheckInput(nan, {"constant": nan}, nothing, {"constant": nothing}, (f"unscored: {reason}",))


def shuffled(predicted: Float[np.ndarray, " n"], seed: int = 0) -> Float[np.ndarray, " n"]:
    """The predictions in another order: same values, over the whole split, at tokens that have nothing to do with them.

    The behaviour check's arm of this name should use the same function.
    """
    return np.random.default_rng([seed, predicted.size]).permutation(predicted)


def behaviour_check(
    divergences: Mapping[str, Float[np.ndarray, " e"]],
    documents: Shaped[np.ndarray, " e"],
    excerpt_weights: Float[np.ndarray, " e"],
    floor: Float[np.ndarray, " e"],
    *,
    replicates: int = 2000,
    seed: int = 0,
) -> BehaviourCheck:
    """Does the model go on as before when the unit is replaced by the claim's prediction?

    Nulls: ``mean``, the unit held at its mean, whose score is 0 by definition; ``other_unit`` and ``shuffled``, where
    run. An excerpt with NaN in an arm that was run counts as unscored and is left out of all arms. Undecided with fewer
    than 20 documents, with an effect ΣJ(mean) under ten times the numerical noise, or with more than 5 % of the
    excerpts unscored.

    Args:
        divergences: by arm, (e,) Jensen-Shannon divergence in nats from the unedited run, summed over the positions of
            each excerpt. Arms: ``prediction``, ``mean``, ``other_unit``, ``shuffled``, ``noise_equal_r``; the first two
            are required. All NaN, or absent: not run.
        documents: (e,) document of each excerpt.
        excerpt_weights: (e,) weights that bring the excerpts to their natural frequency.
        floor: (e,) the same divergence of an unedited run at another padding: the numerical noise.
        replicates: resamples of the documents.
        seed: of the resamples.

    Raises:
        UsageError: an unknown arm, or a required one that was not run.
    """
    arms = _arms_run(divergences)
    scored = np.isfinite(np.stack([*arms.values(), floor])).all(axis=0)
    where = document_index(documents[scored])
    weights = document_weights(where.n_documents, replicates, seed)
    arms = {name: j[scored] for name, j in arms.items()}
    share = excerpt_weights[scored]
    estimates = {
        name: ratio_score(j, arms[MEAN_ARM], where.of_token, share, weights)
        for name, j in arms.items()
        if name != MEAN_ARM
    }
    nulls = {name: estimates[name] for name in NULL_ARMS if name in estimates}
    nulls[MEAN_ARM] = Estimate(0.0, np.zeros(replicates))
    reasons = list(too_few_documents(where.n_documents))
    if not share @ arms[MEAN_ARM] > NOISE_MULTIPLE * (share @ floor[scored]):
        reasons.append(f"effect under {NOISE_MULTIPLE} times the numerical noise")
    if (unscored := int((~scored).sum())) > MAX_UNSCORED * scored.size:
        reasons.append(f"too much unscored: {unscored} of {scored.size} excerpts")
    claim, benchmark = estimates[CLAIM_ARM], estimates.get(BENCHMARK_ARM)
    surplus = None if benchmark is None else _minus(claim, benchmark).interval()
    intervals = {name: estimate.interval() for name, estimate in estimates.items()}
    return BehaviourCheck(_check_input(claim, nulls, tuple(reasons)), claim.interval(), surplus, intervals)


def _arms_run(divergences: Mapping[str, Float[np.ndarray, " e"]]) -> dict[str, Float[np.ndarray, " e"]]:
    known = (CLAIM_ARM, MEAN_ARM, *NULL_ARMS, BENCHMARK_ARM)
    if unknown := sorted(set(divergences) - set(known)):
        raise UsageError(f"unknown arm {unknown[0]!r} of the behaviour check; known: {', '.join(known)}")
    arms = {name: divergences[name] for name in known if name in divergences and not np.isnan(divergences[name]).all()}
    if missing := [name for name in (CLAIM_ARM, MEAN_ARM) if name not in arms]:
        raise UsageError(f"the behaviour check needs the arm {missing[0]!r}, which was not run")
    return arms


def _minus(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(one.value - other.value, one.replicates - other.replicates)


def _check_input(claim: Estimate, nulls: Mapping[str, Estimate], reasons: tuple[str, ...]) -> CheckInput:
    return CheckInput(
        claim.value,
        {name: null.value for name, null in nulls.items()},
        claim.replicates,
        {name: null.replicates for name, null in nulls.items()},
        reasons,
    )
