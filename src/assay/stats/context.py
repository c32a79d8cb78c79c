"""What a prediction knows beyond "which token is it"."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Integer

from assay.errors import UsageError
from assay.stats.bootstrap import Estimate
from assay.stats.correlation import correlate

PSEUDO_COUNT = 4.0
ROUNDING = 1e-6


def token_means(
    values: Float[np.ndarray, " n"],
    tokens: Integer[np.ndarray, " n"],
    vocab_size: int,
    pseudo_count: float = PSEUDO_COUNT,
) -> Float[np.ndarray, " v"]:
    """Mean value at each token id, drawn towards the mean over all tokens as if seen there ``pseudo_count`` times.

    A token that never occurs gets the mean over all. Activations are noisy and need the shrinkage; predictions are
    exact, take 0.

    Raises:
        UsageError: no values, or a token id outside the vocabulary.
    """
    if values.size == 0:
        raise UsageError("token means need at least one token; got none")
    _check_tokens(tokens, vocab_size)
    exact = values.astype(np.float64)
    overall = exact.mean()
    counts = np.bincount(tokens, minlength=vocab_size)
    sums = np.bincount(tokens, weights=exact - overall, minlength=vocab_size)
    return overall + sums / np.maximum(counts + pseudo_count, 1)


def remove_token_means(
    values: Float[np.ndarray, " n"], tokens: Integer[np.ndarray, " n"], means: Float[np.ndarray, " v"]
) -> Float[np.ndarray, " n"]:
    """Values minus the mean of their token. What is left of rounding alone (a millionth of the range) becomes 0.

    Raises:
        UsageError: a token id without a mean.
    """
    _check_tokens(tokens, means.size)
    exact = values.astype(np.float64)
    rest = exact - means[tokens]
    rest[np.abs(rest) <= ROUNDING * np.abs(exact).max(initial=0.0)] = 0.0
    return rest


def correlate_in_context(
    predicted: Float[np.ndarray, " n"],
    activations: Float[np.ndarray, " n"],
    tokens: Integer[np.ndarray, " n"],
    means: Float[np.ndarray, " v"],
    predicted_means: Float[np.ndarray, " v"] | None,
    index: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "b d"],
) -> Estimate:
    """r_context: Pearson's r after each token's mean is taken from both sides.

    ``means`` are those of the activations on the fit split. Without ``predicted_means`` the prediction's own means
    over the tokens given are taken, unshrunk: they hold nothing of the truth, and a prediction that is a function of
    the token alone is then left with exactly 0, hence scores 0.
    """
    if predicted_means is None:
        predicted_means = token_means(predicted, tokens, means.size, pseudo_count=0.0)
    rest = remove_token_means(predicted, tokens, predicted_means)
    return correlate(rest, remove_token_means(activations, tokens, means), index, weights)


def _check_tokens(tokens: Integer[np.ndarray, " n"], size: int) -> None:
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < size):
        raise UsageError(f"token ids must be 0 to {size - 1}; got {tokens.min()} to {tokens.max()}")
