"""Mean projection, Tukey projection and INLP: what is projected off at right angles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from assay.errors import FitError, UnknownName, UsageError
from assay.probe import ERASERS, Eraser, InlpFitter, MeanFitter, RlaceFitter, TukeyFitter, make_fitter
from assay.probe.erasers import Fitter
from assay.probe.erasers.rows import KeptRows
from assay.probe.erasers.tukey import tukey_median

D = 6
KEEPING = (TukeyFitter, InlpFitter, RlaceFitter)


def rows(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels that move two columns, the first three times as far, of rows around 5."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    x = rng.standard_normal((n, D)) + 5.0
    x[:, 0] += 3.0 * y
    x[:, 1] += 1.0 * y
    return x, y


def angle(eraser: Eraser, direction: np.ndarray) -> float:
    """The share of the direction that is taken out, as a cosine."""
    return float(np.linalg.norm(eraser.proj_right @ direction / np.linalg.norm(direction)))


def test_mean_projection_is_off_the_difference_of_the_means() -> None:
    x, y = rows()
    eraser = MeanFitter(D).update(x, y).eraser
    gap = x[y == 1].mean(0) - x[y == 0].mean(0)
    assert eraser.rank == 1
    assert eraser.method == "mean"
    np.testing.assert_allclose(eraser.proj_left @ eraser.proj_right, np.outer(gap, gap) / (gap @ gap), atol=1e-12)
    np.testing.assert_allclose(eraser.bias, x.mean(0), atol=1e-12)
    after = eraser(x)
    np.testing.assert_allclose(after[y == 1].mean(0), after[y == 0].mean(0), atol=1e-12)


def test_mean_projection_of_several_classes_is_off_all_their_means() -> None:
    x, _ = rows()
    z = np.eye(4)[np.arange(len(x)) % 4]
    eraser = MeanFitter(D, 4).update(x, z).eraser
    assert eraser.rank == 3
    means = np.stack([eraser(x)[z[:, one] == 1].mean(0) for one in range(4)])
    assert np.ptp(means, axis=0).max() < 1e-12
    halves = MeanFitter(D, 4).update(x[:100], z[:100]).merge(MeanFitter(D, 4).update(x[100:], z[100:])).eraser
    np.testing.assert_allclose(halves(x), eraser(x), atol=1e-10)


def depth(x: np.ndarray, point: np.ndarray) -> float:
    """Halfspace depth in the plane, by 360 directions."""
    turns = np.linspace(0, np.pi, 360, endpoint=False)
    directions = np.stack([np.cos(turns), np.sin(turns)])
    along, at = x @ directions, point @ directions
    return float(np.minimum((along <= at).mean(0), (along >= at).mean(0)).min())


@pytest.mark.parametrize("seed", range(3))
def test_the_tukey_median_is_about_as_deep_as_a_point_can_be(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((300, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    x[:60] += [10.0, -4.0]
    found = tukey_median(x, seed)
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 1.5, 21), np.linspace(-1, 0.5, 16)), -1).reshape(-1, 2)
    deepest = max(depth(x, point) for point in grid)
    assert depth(x, found) > deepest - 0.02
    assert depth(x, x.mean(0)) < deepest - 0.15  # outliers drag the mean out to where few rows are


def test_the_tukey_median_resists_outliers_in_many_dimensions() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((800, 100))
    x[:80, 0] += 20.0
    found = tukey_median(x)
    assert x[:, 0].mean() > 1.8
    assert abs(found[0]) < 0.4
    assert np.linalg.norm(found[1:]) < 1.0  # a row's length is about 10, the mean's of 800 rows .35


def test_the_tukey_median_moves_with_the_rows() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 4))
    x[:20] += 6.0
    plain = tukey_median(x, 3)
    np.testing.assert_allclose(tukey_median(3 * x + 100, 3), 3 * plain + 100, atol=1e-6)
    assert tukey_median(np.array([[-1.0], [-1.0], [-1.0], [9.0]]), 0) == pytest.approx([-1.0])


def test_tukey_projection_is_off_the_medians() -> None:
    x, y = rows(2000)
    eraser = TukeyFitter(D).update(x, y).eraser
    assert eraser.rank == 1
    assert angle(eraser, np.array([3.0, 1, 0, 0, 0, 0])) > 0.995
    x[(np.arange(2000) % 20 == 0) & (y == 1), 5] += 60.0  # turns the means by half a right angle, not the medians
    assert angle(MeanFitter(D).update(x, y).eraser, np.array([3.0, 1, 0, 0, 0, 0])) < 0.8
    assert angle(TukeyFitter(D).update(x, y).eraser, np.array([3.0, 1, 0, 0, 0, 0])) > 0.98


def test_inlp_takes_the_best_direction_first_and_as_many_as_asked() -> None:
    x, y = rows(4000)
    one = InlpFitter(D).update(x, y).eraser
    assert one.rank == 1
    assert angle(one, np.array([3.0, 1, 0, 0, 0, 0])) > 0.99
    three = InlpFitter(D, rank=3).update(x, y).eraser
    assert three.rank == 3
    np.testing.assert_allclose(three.proj_right @ three.proj_left, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(three.proj_left[:, 0], one.proj_left[:, 0], atol=1e-9)
    np.testing.assert_allclose(three(x).mean(0), x.mean(0), atol=1e-10)


def test_inlp_is_the_naive_loop() -> None:
    """Whole projection matrices, multiplied onto the rows one after the other."""
    x, y = rows(500)
    centred = (x - x.mean(0)) / np.sqrt(np.square(x - x.mean(0)).mean())
    kept = np.eye(D)
    for _ in range(3):
        fitted = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=200).fit(centred @ kept, y)
        direction = kept @ fitted.coef_[0]
        kept = kept - np.outer(direction, direction) / (direction @ direction)
    eraser = InlpFitter(D, rank=3).update(x, y).eraser
    np.testing.assert_allclose(np.eye(D) - eraser.proj_left @ eraser.proj_right, kept, atol=1e-7)


def test_inlp_of_three_classes_takes_two_directions_a_classifier() -> None:
    x, y = rows(1500)
    classes = np.eye(3)[y + (x[:, 2] > 5)]
    taken = InlpFitter(D, 3, rank=2).update(x, classes).eraser
    assert taken.rank == 2
    assert angle(taken, np.eye(D)[2]) > 0.9


def test_inlp_in_more_dimensions_than_rows() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 80)), np.arange(30) % 2
    eraser = InlpFitter(80, rank=2).update(x, y).eraser
    assert eraser.rank == 2
    spanned = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:29]
    np.testing.assert_allclose(np.linalg.norm(spanned @ eraser.proj_left, axis=0), 1.0, atol=1e-9)


def test_rows_that_are_kept_do_not_depend_on_batches() -> None:
    x, y = rows(500)
    once, cut = KeptRows(D, 1, 120, 7), KeptRows(D, 1, 120, 7)
    once.add(x, y)
    for start in range(0, 500, 37):
        cut.add(x[start : start + 37], y[start : start + 37])
    assert np.array_equal(once.x, cut.x)
    assert np.array_equal(once.z, cut.z)
    assert once.seen == 500
    assert len(once.x) == 120
    places = [int(np.flatnonzero((x == row).all(1))[0]) for row in once.x]
    assert places == sorted(places)
    assert abs(np.mean(places) - 249.5) < 4 * 500 / np.sqrt(12 * 120)  # each row is as likely as another


@pytest.mark.parametrize("name", [name for name in ERASERS if name != "cde"])
def test_every_name_makes_a_fitter_for_numpy_and_torch(name: str) -> None:
    x, y = rows(200)
    fitter = make_fitter(name, D, 1, seed=1)
    assert isinstance(fitter, Fitter)
    eraser = fitter.update(x, y).eraser
    assert eraser.method == name
    assert eraser.rank == 1
    tensor = make_fitter(name, D, 1, seed=1).update(torch.from_numpy(x).float(), torch.from_numpy(y)).eraser
    np.testing.assert_allclose(tensor(x), eraser(x), atol=1e-3)
    after = eraser(x)
    left, before = (np.linalg.norm(at[y == 1].mean(0) - at[y == 0].mean(0)) for at in (after, x))
    assert left < 0.35 * before


def test_rank_is_for_those_that_can_have_any() -> None:
    x, y = rows(200)
    for name, rank in {"mean": 1, "leace": 1, "inlp": 3}.items():
        assert make_fitter(name, D, 1, rank=3).update(x, y).eraser.rank == rank


def test_the_registry_knows_its_names() -> None:
    with pytest.raises(UnknownName, match="unknown eraser 'leec'; did you mean 'leace'"):
        make_fitter("leec", 3)
    with pytest.raises(UsageError, match="cde is fitted with a model"):
        make_fitter("cde", 3)


@pytest.mark.parametrize("fitter", KEEPING)
def test_what_has_no_two_classes_is_refused(fitter: type[TukeyFitter | InlpFitter | RlaceFitter]) -> None:
    x, y = rows(40)
    with pytest.raises(FitError, match=r"rows of two classes. Got class 1 alone"):
        _ = fitter(D).update(x, np.ones(40)).eraser
    with pytest.raises(FitError, match=r"rows of two classes. Got no rows"):
        _ = fitter(D).eraser
    with pytest.raises(FitError, match="all 40 rows are the same"):
        _ = fitter(D).update(np.ones((40, D)), y).eraser
    with pytest.raises(FitError, match=r"labels must be 0 or 1, or one-hot. Got 2"):
        fitter(D).update(x, y + 1)
    with pytest.raises(FitError, match="one-hot: one 1 in every row"):
        fitter(D, 2).update(x, np.ones((40, 2)))
    with pytest.raises(FitError, match=r"x must be \(..., 6\). Got shape \(40, 5\)"):
        fitter(D).update(x[:, :5], y)
    with pytest.raises(FitError, match="NaN"):
        fitter(D).update(x * np.nan, y)


@pytest.mark.parametrize("rank", [0, 6])
def test_ranks_that_cannot_be_are_refused(rank: int) -> None:
    for fitter in (InlpFitter, RlaceFitter):
        with pytest.raises(FitError, match=f"rank must be from 1 to 5, the width less 1. Got {rank}"):
            fitter(D, rank=rank)
