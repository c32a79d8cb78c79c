"""The literature's scores are those of scikit-learn and scipy, and what they are blind to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, spearmanr
from sklearn import metrics

from assay.errors import UsageError
from assay.stats import (
    auc,
    confusion,
    cosine,
    detection_accuracy,
    mean_activation_difference,
    spearman,
    wilson,
)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """A prediction with many ties, and an activation that it knows a little of."""
    rng = np.random.default_rng(0)
    predicted = rng.integers(0, 6, 500).astype(float)
    return predicted, predicted + 4 * rng.standard_normal(500)


def test_counts_give_the_scores_of_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    says, fires = data[0] > 3, data[1] > 4
    counts = confusion(says, fires)
    assert sum(counts) == 500
    assert counts.recall == pytest.approx(metrics.recall_score(fires, says))
    assert counts.precision == pytest.approx(metrics.precision_score(fires, says))
    assert counts.accuracy == pytest.approx(metrics.accuracy_score(fires, says))
    assert counts.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(fires, says))
    assert counts.iou == pytest.approx(metrics.jaccard_score(fires, says))


def test_ranks_give_the_scores_of_scikit_learn_and_scipy(data: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, activations = data
    assert auc(predicted, activations > 4) == pytest.approx(metrics.roc_auc_score(activations > 4, predicted))
    assert spearman(predicted, activations) == pytest.approx(spearmanr(predicted, activations)[0])
    assert cosine(predicted, activations) == pytest.approx(
        1 - metrics.pairwise.cosine_distances(predicted[None], activations[None])[0, 0]
    )


def test_mean_activation_difference_is_in_standard_deviations() -> None:
    activations = np.array([0.0, 0.0, 2.0, 2.0])
    assert mean_activation_difference(np.array([False, False, True, True]), activations) == pytest.approx(2.0)
    assert mean_activation_difference(np.array([False, True, True, False]), activations) == 0


def test_what_has_no_case_has_no_score() -> None:
    nothing, everything = np.zeros(4, dtype=bool), np.ones(4, dtype=bool)
    assert math.isnan(confusion(nothing, everything).precision)
    assert math.isnan(confusion(everything, nothing).recall)
    assert math.isnan(auc(np.arange(4.0), everything))
    assert math.isnan(mean_activation_difference(nothing, np.arange(4.0)))
    assert math.isnan(detection_accuracy(nothing, everything, np.arange(4)))
    assert cosine(np.zeros(4), np.arange(4.0)) == 0
    assert spearman(np.zeros(4), np.arange(4.0)) == 0


def test_detection_goes_by_excerpts_half_of_them_with_a_firing() -> None:
    """20 excerpts of 10 tokens, a firing in every fourth. What is said elsewhere in the excerpt counts as found."""
    excerpts = np.repeat(np.arange(20), 10)
    fires, says = np.zeros(200, dtype=bool), np.zeros(200, dtype=bool)
    fires[::40] = True
    assert detection_accuracy(fires, fires, excerpts) == 1
    says[5::40] = True
    assert detection_accuracy(says, fires, excerpts) == 1  # never at the right token
    assert detection_accuracy(np.ones(200, dtype=bool), fires, excerpts) == 0.5
    said_once = fires & (np.arange(200) < 40)
    assert detection_accuracy(said_once, fires, excerpts) == pytest.approx((1 / 5 + 1) / 2)


def test_detection_draws_no_more_than_asked_for() -> None:
    rng = np.random.default_rng(1)
    excerpts, fires = np.repeat(np.arange(400), 5), np.repeat(rng.random(400) < 0.5, 5)
    says = fires & (np.repeat(np.arange(400), 5) % 2 == 0)
    drawn = {detection_accuracy(says, fires, excerpts, seed, each=10) for seed in range(8)}
    assert len(drawn) > 1
    assert all(value * 20 == pytest.approx(round(value * 20)) for value in drawn)
    assert detection_accuracy(says, fires, excerpts, 3) == detection_accuracy(says, fires, excerpts, 3)


def test_fuzzing_is_balanced_accuracy_and_hardly_sees_labels_too_many() -> None:
    """A unit that fires on 1 % of tokens, half of what is said of it wrong: .995, where r is .70."""
    fires = np.arange(100_000) % 100 == 0
    says = np.arange(100_000) % 50 == 0
    assert confusion(says, fires).balanced_accuracy == pytest.approx(0.995, abs=1e-4)
    assert auc(says.astype(float), fires) == pytest.approx(0.995, abs=1e-4)
    assert np.corrcoef(says, fires)[0, 1] == pytest.approx(0.70, abs=0.01)


@pytest.mark.parametrize(("successes", "cases"), [(0, 10), (3, 10), (10, 10), (119, 400)])
def test_the_interval_of_a_share_is_scipy_s(successes: int, cases: int) -> None:
    found = wilson(successes, cases)
    wanted = binomtest(successes, cases).proportion_ci(method="wilson")
    assert found == pytest.approx((successes / cases, wanted.low, wanted.high), abs=1e-9)


def test_a_share_of_nothing_has_no_value_and_one_above_1_is_refused() -> None:
    assert all(map(math.isnan, wilson(0, 0)))
    with pytest.raises(UsageError, match="0 to 3, got 4"):
        wilson(4, 3)
