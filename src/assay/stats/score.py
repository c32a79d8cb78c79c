"""``assay.score``: every prediction score of a claim, from arrays alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from assay.errors import UsageError
from assay.stats.bootstrap import DocumentIndex, Estimate, Interval, document_index, document_weights
from assay.stats.context import correlate_in_context
from assay.stats.correlation import correlate
from assay.stats.firing import auprc, f1
from assay.stats.undecided import MIN_DOCUMENTS, reasons_undecided

FIRING_QUANTILE = 0.99


@dataclass(frozen=True)
class Scores:
    """Scores of a prediction, each with its 95 % interval over documents; None where a score is not defined.

    With fewer than 20 documents the bounds are NaN. ``reasons`` say why the data can't carry a verdict.
    """

    r: Interval | None
    r_pos: Interval | None
    r_neg: Interval | None
    r_context: Interval | None
    f1: Interval | None
    auprc: Interval | None
    n_tokens: int
    n_documents: int
    fire_above: float
    reasons: tuple[str, ...]

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.stats.notebook import scores_html

        return scores_html(self)


def score(
    predicted: ArrayLike,
    activations: ArrayLike,
    documents: ArrayLike,
    *,
    tokens: ArrayLike | None = None,
    token_means: ArrayLike | None = None,
    predicted_token_means: ArrayLike | None = None,
    fire_above: float | None = None,
    threshold: float | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Scores:
    """Score a prediction of a unit's activation, one number a token, over all tokens given.

    Hand in the tokens of a test split at their natural frequency, without position 0 of a window and without special
    tokens. Nothing is fitted here.

    Args:
        predicted: (n,) predicted activations, on any scale for r and AUPRC; on the threshold's for F1; for
            ``r_pos`` and ``r_neg`` 0 must mean the same as in ``activations``.
        activations: (n,) what the unit did.
        documents: (n,) the document of each token, integers or strings; the bootstrap resamples these.
        tokens: (n,) token ids. With ``token_means`` gives ``r_context``.
        token_means: (v,) mean activation at each token id, from the fit split
            (:func:`~assay.stats.context.token_means`).
        predicted_token_means: (v,) the same of the predictions; by default taken from the predictions given.
        fire_above: a token fires when its activation is above this. Give the fit split's 99th percentile; the default
            is the 99th percentile of ``activations``, which looks at the data that are scored.
        threshold: the prediction says "fires" above this; chosen on the choose split
            (:func:`~assay.stats.firing.best_threshold`). Without it there is no F1.
        replicates: resamples of the documents.
        seed: of the resamples.

    Returns:
        r, Pearson's correlation; r_pos of max(x, 0) and r_neg of max(-x, 0) on both sides; r_context; F1; AUPRC
        (average precision). A constant prediction has r = 0.

    Raises:
        UsageError: arrays that are empty, not of one length, NaN or infinite; only one of ``tokens`` and
            ``token_means``.
    """
    p, a, where = checked_arrays(predicted, activations, documents)
    weights = document_weights(where.n_documents, replicates, seed)
    level = float(np.quantile(a, FIRING_QUANTILE)) if fire_above is None else fire_above
    fires = a > level

    def shown(estimate: Estimate | None) -> Interval | None:
        if estimate is None or np.isnan(estimate.value):
            return None
        return estimate.interval() if where.n_documents >= MIN_DOCUMENTS else Interval(estimate.value, np.nan, np.nan)

    def r(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Interval | None:
        return shown(correlate(x, y, where.of_token, weights))

    return Scores(
        r=r(p, a),
        r_pos=r(np.maximum(p, 0), np.maximum(a, 0)),
        r_neg=r(np.maximum(-p, 0), np.maximum(-a, 0)),
        r_context=shown(_in_context(p, a, where, weights, tokens, token_means, predicted_token_means)),
        f1=None if threshold is None else shown(f1(p > threshold, fires, where.of_token, weights)),
        auprc=shown(auprc(p, fires, where.of_token, weights)),
        n_tokens=a.size,
        n_documents=where.n_documents,
        fire_above=level,
        reasons=reasons_undecided(a, where.of_token, where.n_documents, level),
    )


def checked_arrays(
    predicted: ArrayLike, activations: ArrayLike, documents: ArrayLike
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], DocumentIndex]:
    """The three arrays as float64, float64 and document numbers.

    Raises:
        UsageError: arrays that are empty, not of one length, NaN or infinite.
    """
    p, a, d = _vector("predicted", predicted), _vector("activations", activations), np.asarray(documents)
    if d.ndim != 1 or not p.size == a.size == d.size:
        shapes = f"{p.shape}, {a.shape} and {d.shape}"
        raise UsageError(f"predicted, activations and documents must be of one length; got {shapes}")
    return p, a, document_index(d)


def _vector(name: str, values: ArrayLike) -> Float[np.ndarray, " n"]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "biuf":
        raise UsageError(f"{name} must be numbers, one a token; got shape {array.shape} of {array.dtype}")
    array = array.astype(np.float64)
    if bad := int((~np.isfinite(array)).sum()):
        raise UsageError(f"{name} must be finite; {bad} of {array.size} values are NaN or infinite")
    return array


def _in_context(
    p: Float[np.ndarray, " n"],
    a: Float[np.ndarray, " n"],
    where: DocumentIndex,
    weights: Float[np.ndarray, "b d"],
    tokens: ArrayLike | None,
    means: ArrayLike | None,
    predicted_means: ArrayLike | None,
) -> Estimate | None:
    if tokens is None and means is None and predicted_means is None:
        return None
    if tokens is None or means is None:
        raise UsageError("r_context needs both tokens and token_means")
    ids = np.asarray(tokens)
    if ids.shape != a.shape or ids.dtype.kind not in "iu":
        raise UsageError(f"tokens must be {a.size} integers, one a token; got shape {ids.shape} of {ids.dtype}")
    of_activations = _vector("token_means", means)
    of_predictions = None if predicted_means is None else _vector("predicted_token_means", predicted_means)
    return correlate_in_context(p, a, ids, of_activations, of_predictions, where.of_token, weights)
