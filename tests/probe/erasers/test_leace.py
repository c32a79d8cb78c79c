from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from assay.errors import FitError, UnknownName
from assay.probe import Eraser, LeaceFitter, MeanFitter

N, D = 900, 12


def oracle(x: np.ndarray, z: np.ndarray, method: str = "leace") -> Any:
    """The concept-erasure package's eraser, without what it adds to the closed form."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("concept_erasure", exc_type=ImportError)
        fitter = package.LeaceFitter(
            x.shape[1],
            z.reshape(len(z), -1).shape[1],
            method,
            shrinkage=False,
            constrain_cov_trace=False,
            svd_tol=1e-9,
            dtype=torch.float64,
        )
        return fitter.update(torch.from_numpy(x), torch.from_numpy(z)).eraser


def rows(seed: int, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Correlated rows far from 0, and one-hot classes that move the mean."""
    rng = np.random.default_rng(seed)
    z = np.eye(classes)[rng.integers(classes, size=N)]
    x = rng.standard_normal((N, D)) @ rng.standard_normal((D, D)) + z @ rng.standard_normal((classes, D)) + 30.0
    return x, z


def whole(eraser: Eraser) -> np.ndarray:
    return np.eye(len(eraser.bias)) - eraser.proj_left @ eraser.proj_right


def covariance(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)).T @ (z - z.mean(0)) / len(x)


@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_the_eraser_of_the_package(classes: int) -> None:
    x, z = rows(classes, classes)
    mine, theirs = LeaceFitter(D, classes).update(x, z).eraser, oracle(x, z)
    assert mine.rank == classes - 1
    np.testing.assert_allclose(whole(mine), theirs.P.numpy(), atol=1e-9)
    np.testing.assert_allclose(mine(x), theirs(torch.from_numpy(x)).numpy(), atol=1e-8)


def test_orth_is_the_package_s_too() -> None:
    x, z = rows(7)
    mine = LeaceFitter(D, method="orth").update(x, z[:, 1]).eraser
    np.testing.assert_allclose(whole(mine), oracle(x, z[:, 1], "orth").P.numpy(), atol=1e-10)
    np.testing.assert_allclose(whole(mine), whole(MeanFitter(D).update(x, z[:, 1]).eraser), atol=1e-10)


def test_afterwards_concept_and_rows_are_uncorrelated_and_means_are_equal() -> None:
    x, z = rows(0, 3)
    after = LeaceFitter(D, 3).update(x, z).eraser(x)
    assert np.abs(covariance(after, z)).max() < 1e-10
    for one in range(3):
        np.testing.assert_allclose(after[z[:, one] == 1].mean(0), x.mean(0), atol=1e-10)


@pytest.mark.parametrize("norm", ["euclidean", "mahalanobis", "random"])
def test_it_changes_rows_as_little_as_the_oracle_and_less_than_others(norm: str) -> None:
    x, z = rows(1)
    rng = np.random.default_rng(5)
    weight = {"euclidean": np.eye(D), "mahalanobis": np.linalg.inv(covariance(x, x))}.get(norm)
    if weight is None:
        weight = (half := rng.standard_normal((D, D))) @ half.T

    def change(after: np.ndarray) -> float:
        return float(np.einsum("nd,de,ne->n", after - x, weight, after - x).mean())

    mine = change(LeaceFitter(D, 2).update(x, z).eraser(x))
    assert mine == pytest.approx(change(oracle(x, z)(torch.from_numpy(x)).numpy()), rel=1e-9)
    gap = covariance(x, z)[:, 1:]
    for _ in range(50):  # any other projection along the same direction erases as well, and changes more
        reading = rng.standard_normal((1, D))
        other = Eraser(gap, reading / (reading @ gap), x.mean(0), "other")
        assert np.abs(covariance(other(x), z)).max() < 1e-8
        assert change(other(x)) > mine
    assert change(MeanFitter(D, 2).update(x, z).eraser(x)) > mine


def test_for_two_classes_it_is_the_closed_form() -> None:
    x, z = rows(2)
    gap = x[z[:, 1] == 1].mean(0) - x[z[:, 1] == 0].mean(0)
    solved = np.linalg.solve(covariance(x, x), gap)
    np.testing.assert_allclose(
        whole(LeaceFitter(D).update(x, z[:, 1]).eraser), np.eye(D) - np.outer(gap, solved) / (gap @ solved), atol=1e-10
    )


def test_batches_merges_and_kinds_make_no_difference() -> None:
    x, z = rows(3)
    labels = z[:, 1]
    once = LeaceFitter(D).update(x, labels)
    cut = LeaceFitter(D)
    for start in range(0, N, 130):
        cut.update(x[start : start + 130], labels[start : start + 130])
    merged = LeaceFitter(D).update(x[:200], labels[:200]).merge(LeaceFitter(D).update(x[200:], labels[200:]))
    tensors = LeaceFitter(D).update(torch.from_numpy(x).view(30, 30, D), torch.from_numpy(labels).bool().view(30, 30))
    for other in (cut, merged, tensors):
        np.testing.assert_allclose(whole(other.eraser), whole(once.eraser), atol=1e-10)
        np.testing.assert_allclose(other.eraser.bias, once.eraser.bias, atol=1e-12)


def test_an_update_after_the_eraser_was_asked_for_counts() -> None:
    x, z = rows(3)
    fitter = LeaceFitter(D).update(x[:300], z[:300, 1])
    first = fitter.eraser
    second = fitter.update(x[300:], z[300:, 1]).eraser
    assert not np.allclose(whole(first), whole(second), atol=1e-4)
    np.testing.assert_allclose(whole(second), whole(LeaceFitter(D).update(x, z[:, 1]).eraser), atol=1e-10)


def test_means_far_from_0_cost_no_digits() -> None:
    x, z = rows(4)
    near = whole(LeaceFitter(D).update(x, z[:, 1]).eraser)
    far = LeaceFitter(D)
    for part in range(9):
        far.update(x[part * 100 : part * 100 + 100] + 1e6, z[part * 100 : part * 100 + 100, 1])
    np.testing.assert_allclose(whole(far.eraser), near, atol=1e-7)


def test_the_concept_s_units_do_not_matter() -> None:
    x, z = rows(5, 4)
    usual = LeaceFitter(D, 4).update(x, z).eraser
    scaled = LeaceFitter(D, 4).update(x, z * np.array([1e-6, 1.0, 1e5, 3.0]) + 2.0).eraser
    assert scaled.rank == usual.rank == 3
    np.testing.assert_allclose(whole(scaled), whole(usual), atol=1e-7)
    assert LeaceFitter(D, 4, relative=False, tolerance=0.01).update(x, z * 1e-6).eraser.rank == 0


def test_fewer_rows_than_dimensions_are_erased_by_the_pseudo_inverse_and_it_says_so() -> None:
    rng = np.random.default_rng(6)
    x, z = rng.standard_normal((20, 50)), (np.arange(20) % 2).astype(float)
    fitter = LeaceFitter(50).update(x, z)
    assert fitter.rank_deficient
    assert "20 rows in 50 dimensions" in fitter.notes[0]
    assert np.abs(covariance(fitter.eraser(x), z[:, None])).max() < 1e-10
    np.testing.assert_allclose(whole(fitter.eraser), oracle(x, z).P.numpy(), atol=1e-9)


def test_of_more_rows_than_dimensions_there_is_nothing_to_note() -> None:
    x, z = rows(0)
    fitter = LeaceFitter(D, 2).update(x, z)
    assert not fitter.rank_deficient
    assert fitter.notes == ()


def test_columns_that_follow_from_others_or_never_vary_are_no_trouble() -> None:
    x, z = rows(8)
    wide = np.concatenate([x, x[:, :1] - 2 * x[:, 1:2], np.full((N, 1), 7.0)], 1)
    fitter = LeaceFitter(D + 2).update(wide, z[:, 1])
    assert fitter.rank_deficient
    assert "follow from others" in fitter.notes[0]
    after = fitter.eraser(wide)
    assert np.abs(covariance(after, z)).max() < 1e-10
    np.testing.assert_allclose(after[:, :D], LeaceFitter(D).update(x, z[:, 1]).eraser(x), atol=1e-8)
    np.testing.assert_allclose(after[:, -1], 7.0, atol=1e-12)


def test_what_is_erased_already_has_rank_0_and_is_left_as_it_is() -> None:
    x, z = rows(9)
    after = LeaceFitter(D).update(x, z[:, 1]).eraser(x)
    fitter = LeaceFitter(D).update(after, z[:, 1])
    assert fitter.eraser.rank == 0
    assert "nothing was erased" in fitter.notes[-1]


@pytest.mark.parametrize(
    ("x", "z", "message"),
    [
        (np.ones((4, 2)), np.arange(4) % 2, "all 4 rows are the same"),
        (np.eye(4)[:, :2], np.full(4, 0.1), "the concept is the same in all 4 rows"),
        (np.full((4, 2), np.nan), np.arange(4), "x has entries that are NaN"),
        (np.eye(4)[:, :2], np.array([0, 1, np.inf, 0]), "z has entries that are NaN"),
        (np.ones((4, 3)), np.arange(4), r"x must be \(..., 2\). Got shape \(4, 3\)"),
        (np.ones((4, 2)), np.arange(5), r"z must have shape \(4,\) or \(4, 1\) beside this x. Got \(5,\)"),
        (np.ones((1, 2)), np.ones(1), "two rows or more. Got 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x: np.ndarray, z: np.ndarray, message: str) -> None:
    for fitter in (LeaceFitter(2), MeanFitter(2)):
        with pytest.raises(FitError, match=message):
            _ = fitter.update(x, z).eraser


def test_fitters_that_differ_are_not_merged() -> None:
    with pytest.raises(FitError, match="'orth' can't be merged into one of 'leace'"):
        LeaceFitter(3).merge(LeaceFitter(3, method="orth"))
    with pytest.raises(FitError, match="widths"):
        LeaceFitter(3).merge(LeaceFitter(4))
    with pytest.raises(UnknownName, match="unknown LEACE method 'orht'; did you mean 'orth'"):
        LeaceFitter(3, method="orht")
    with pytest.raises(FitError, match="tolerance must be 0 or more"):
        LeaceFitter(3, tolerance=-1.0)
