"""AUROC and its bootstrap over groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from sklearn.metrics import roc_auc_score

from assay.errors import UsageError
from assay.stats import (
    Estimate,
    auroc,
    auroc_estimate,
    auroc_estimates,
    document_index,
    document_weights,
    folded,
)


def cases(n: int = 60, groups: int = 12, columns: int = 3, decimals: int = 1) -> tuple[Any, Any, Any]:
    """Scores with ties, both labels, groups that are strings."""
    rng = np.random.default_rng(n)
    labels = rng.integers(0, 2, n)
    scores = np.round(rng.standard_normal((n, columns)) + labels[:, None] * np.arange(columns), decimals)
    return scores, labels, np.array([f"city {i}" for i in rng.integers(0, groups, n)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_in_order(drawn: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([s for s, _ in drawn], np.float64), np.array([int(y) for _, y in drawn])
    pairs = [(p > q) + (p == q) / 2 for p in scores[labels == 1] for q in scores[labels == 0]]
    found = auroc(scores, labels)
    assert np.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs), abs=1e-14)


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_every_resample_is_sklearn_s_with_weights(decimals: int) -> None:
    scores, labels, groups = cases(decimals=decimals)
    found = auroc_estimates(scores, labels, groups, replicates=40, seed=5)
    index = document_index(groups)
    weights = document_weights(index.n_documents, 40, 5)
    for j in range(scores.shape[1]):
        assert found.values[j] == pytest.approx(roc_auc_score(labels, scores[:, j]), abs=1e-14)
        for b in range(40):
            expected = roc_auc_score(labels, scores[:, j], sample_weight=weights[b, index.of_token])
            assert found.replicates[j, b] == pytest.approx(expected, abs=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, labels, groups = cases()
    whole = auroc_estimates(scores, labels, groups, replicates=100)
    monkeypatch.setitem(auroc_estimates.__globals__, "_CELLS", 60 * 16)
    assert np.array_equal(auroc_estimates(scores, labels, groups, replicates=100).replicates, whole.replicates)


def test_one_scorer_alone_sees_the_resamples_that_many_see() -> None:
    scores, labels, groups = cases()
    many, one = auroc_estimates(scores, labels, groups, 50, 3), auroc_estimate(scores[:, 1], labels, groups, 50, 3)
    assert one.value == many.one(1).value
    assert np.array_equal(one.replicates, many.replicates[1])
    assert not np.array_equal(one.replicates, auroc_estimate(scores[:, 1], labels, groups, 50, 4).replicates)


def test_a_monotone_function_of_the_scores_changes_nothing_and_its_negative_is_the_complement() -> None:
    scores, labels, groups = cases(columns=1)
    both = auroc_estimates(np.column_stack([scores, scores**3, -scores]), labels, groups, 50)
    assert np.array_equal(both.replicates[0], both.replicates[1])
    np.testing.assert_allclose(both.replicates[2], 1 - both.replicates[0], atol=1e-14)


def test_infinite_scores_are_the_highest_and_lowest() -> None:
    assert auroc(np.array([-np.inf, 0.0, np.inf, np.inf]), np.array([0, 1, 1, 0])) == (1 + 0.5 + 1 + 0) / 4


def test_a_resample_without_either_label_is_unscored() -> None:
    scores, labels, groups = np.array([0.1, 0.2, 0.3]), np.array([0, 1, 1]), np.array(["a", "b", "c"])
    found = auroc_estimate(scores, labels, groups, 200)
    weights = document_weights(3, 200)
    lacking = (weights[:, 0] == 0) | (weights[:, 0] == 3)
    assert lacking.sum() > 20
    assert np.array_equal(np.isnan(found.replicates), lacking)
    assert np.all(found.replicates[~lacking] == 1)
    assert np.isnan(found.interval().lo)


def test_one_label_or_one_group_says_nothing() -> None:
    scores, groups = np.array([0.1, 0.2, 0.3, 0.4]), np.array([1, 1, 2, 2])
    for label in (0, 1):
        found = auroc_estimate(scores, np.full(4, label), groups, 10)
        assert np.isnan([found.value, *found.replicates]).all()
    alone = auroc_estimate(scores, np.array([0, 1, 0, 1]), np.zeros(4, int), 10)
    assert alone.value == 0.75
    assert np.isnan(alone.replicates).all()


def test_folding_takes_the_larger_side_of_each() -> None:
    found = folded(Estimate(0.3, np.array([0.2, 0.6, np.nan])))
    assert found.value == 0.7
    assert found.replicates.tolist()[:2] == [0.8, 0.6]
    assert np.isnan(found.replicates[2])


def test_the_interval_covers_the_truth_by_group_and_not_by_case() -> None:
    """Four fifths of a score's variance is its group's; the AUROC is that of two normals 1 / 1.118 sd apart."""
    rng, groups, each, trials, truth = np.random.default_rng(1), 60, 6, 200, float(ndtr(1 / np.sqrt(2.5)))
    of, labels = np.repeat(np.arange(groups), each), np.tile([0, 1], groups * each // 2)
    covered = {"group": 0, "case": 0}
    for _ in range(trials):
        scores = labels + rng.standard_normal((2, groups))[labels, of] + rng.standard_normal(groups * each) / 2
        for name, ids in (("group", of), ("case", np.arange(groups * each))):
            found = auroc_estimate(scores, labels, ids, 300).interval()
            covered[name] += found.lo <= truth <= found.hi
    # Measured over 500 trials: 92 % by group, 78 % by case. Of 200 trials the deviations are 3.8 and 5.9.
    assert covered["group"] >= 200 * 0.92 - 4 * 3.8
    assert covered["case"] <= 200 * 0.78 + 2 * 5.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 1, 2])}, r"labels must be 0 or 1. Got \[0, 1, 2\] instead."),
        ({"labels": np.array([-1.0, 1.0, 1.0])}, r"labels must be 0 or 1. Got \[-1.0, 1.0\] instead."),
        ({"labels": np.array([0, 1])}, "each score needs its label. Got 3 scores and 2 labels."),
        ({"scores": np.array([0.0, np.nan, 1.0])}, "every case must have a score. Got NaN for 1 of 3 cases."),
    ],
)
def test_what_is_refused(change: dict[str, Any], message: str) -> None:
    given_cases = {"scores": np.array([0.1, 0.2, 0.3]), "labels": np.array([0, 1, 1])} | change
    with pytest.raises(UsageError, match=message):
        auroc(given_cases["scores"].copy(), given_cases["labels"])


def test_no_cases_are_refused() -> None:
    with pytest.raises(UsageError, match="needs documents and replicates; got 0"):
        auroc_estimate(np.zeros(0), np.zeros(0, int), np.zeros(0, int), 10)
