from __future__ import annotations

import numpy as np
import pytest

from assay.probe import RlaceFitter
from assay.probe.attacks.linear import LOGISTIC, fit_readers
from assay.probe.erasers.fantope import Fantope
from assay.probe.erasers.rlace import Game
from assay.stats.auroc import auroc

STEPS = [(1, 1, 0.05), (1, 1, 3.0), (1, 3, 0.5), (2, 1, 0.3), (3, 2, 0.5), (7, 4, 2.0)]


def whole(fantope: Fantope) -> np.ndarray:
    """The matrix that it stands for."""
    inside = fantope.basis @ fantope.basis.T
    return fantope.common * (np.eye(len(inside)) - inside) + (fantope.basis * fantope.values) @ fantope.basis.T


def nearest(matrix: np.ndarray, k: float) -> np.ndarray:
    """The naive way: take the whole matrix apart, and look for the shift by bisection."""
    values, vectors = np.linalg.eigh(matrix)
    low, high = values.min() - 1.0, values.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(values - middle, 0, 1).sum() > k else (low, middle)
    return (vectors * np.clip(values - low, 0, 1)) @ vectors.T


@pytest.mark.parametrize(("rank", "m", "rate"), STEPS)
def test_steps_are_those_of_a_whole_decomposition(rank: int, m: int, rate: float) -> None:
    rng = np.random.default_rng(rank)
    d = 8
    fantope = Game.begin(d, m, rank, rng).hull
    full = whole(fantope)
    for _ in range(40):
        left, right = rng.standard_normal((2, d, m)) / d
        update = left @ right.T
        full = nearest(full + rate / 2 * (update + update.T), rank)
        fantope = fantope.step(left, right, rate)
        np.testing.assert_allclose(whole(fantope), full, atol=1e-9)
        assert np.trace(whole(fantope)) == pytest.approx(rank)
        np.testing.assert_allclose(fantope.basis.T @ fantope.basis, np.eye(len(fantope.values)), atol=1e-12)


def test_a_common_eigenvalue_that_is_not_0_is_carried_along() -> None:
    d, rng = 10, np.random.default_rng(0)
    fantope = Fantope(np.empty((d, 0)), np.empty(0), 1 / d)
    full = np.eye(d) / d
    common = []
    for _ in range(30):
        left, right = rng.standard_normal((2, d, 1))
        full = nearest(full + 0.01 * (left @ right.T + right @ left.T), 1)
        fantope = fantope.step(left, right, 0.02)
        np.testing.assert_allclose(whole(fantope), full, atol=1e-9)
        common.append(fantope.common)
    assert common[0] > 0
    vectors = rng.standard_normal((d, 3))
    np.testing.assert_allclose(fantope.beside(vectors), vectors - whole(fantope) @ vectors, atol=1e-12)


def test_the_first_eigenvectors_are_filled_up_where_too_few_stand_out() -> None:
    basis = np.eye(5)[:, [3]]
    top = Fantope(basis, np.array([1.0]), 0.0).top(3)
    np.testing.assert_allclose(top.T @ top, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.abs(top[3]), [1, 0, 0], atol=1e-12)
    two = Fantope(np.eye(5)[:, [3, 0]], np.array([0.2, 0.8]), 0.0).top(1)
    np.testing.assert_allclose(two[:, 0], np.eye(5)[0])


def test_few_eigenvectors_are_held_in_many_dimensions() -> None:
    """Which is what makes a step cheap."""
    rng = np.random.default_rng(0)
    d, n = 200, 1000
    y = rng.integers(2, size=(n, 1)).astype(float)
    x = rng.standard_normal((n, d))
    x[:, :1] += 2 * y
    game = Game.begin(d, 1, 1, rng)
    held = []
    for _ in range(400):
        rows = rng.integers(n, size=128)
        game = game.turn(x[rows], y[rows], 0.005)
        held.append(len(game.hull.values))
    assert max(held) <= 8


def rows(seed: int, n: int, d: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    x = rng.standard_normal((n, d)) + 3.0
    x[:, 0] += 1.5 * y
    x[:, 1] -= 1.0 * y
    return x, y


def reads(eraser_seed: int, rank: int = 1) -> tuple[float, float]:
    """The AUC of a logistic reader on new rows, before and after."""
    (x, y), (x_new, y_new) = rows(0, 3000), rows(1, 3000)
    eraser = RlaceFitter(20, rank=rank, steps=2000, seed=eraser_seed).update(x, y).eraser
    assert eraser.rank == rank
    signs = 2.0 * y[:, None] - 1.0
    before, after = (
        fit_readers(change(x), signs, np.array([1.0]), LOGISTIC).says(change(x_new))[:, 0]
        for change in (lambda x: x, eraser)
    )
    return auroc(before, y_new), auroc(after, y_new)


@pytest.mark.parametrize("seed", range(2))
def test_what_it_learns_to_erase_is_gone_from_new_rows(seed: int) -> None:
    before, after = reads(seed)
    assert before > 0.87
    assert abs(after - 0.5) < 0.1


def test_it_is_of_the_rank_asked_for_and_keeps_the_mean() -> None:
    x, y = rows(2, 500)
    eraser = RlaceFitter(20, rank=2, steps=300).update(x, y).eraser
    np.testing.assert_allclose(eraser.proj_right @ eraser.proj_left, np.eye(2), atol=1e-10)
    np.testing.assert_allclose(eraser(x).mean(0), x.mean(0), atol=1e-10)


def test_the_seed_decides() -> None:
    x, y = rows(3, 400)
    first, again, other = (RlaceFitter(20, steps=200, seed=s).update(x, y).eraser for s in (1, 1, 2))
    assert np.array_equal(first.proj_left, again.proj_left)
    assert not np.allclose(np.abs(first.proj_left), np.abs(other.proj_left), atol=1e-3)


def test_one_hot_classes_are_played_against_together() -> None:
    rng = np.random.default_rng(4)
    which = rng.integers(3, size=3000)
    x = rng.standard_normal((3000, 10))
    x[:, :2] += 2 * np.array([[1.0, 0.0], [-0.5, 0.87], [-0.5, -0.87]])[which]
    eraser = RlaceFitter(10, 3, rank=2, steps=1500).update(x, np.eye(3)[which]).eraser
    both = np.linalg.svd(eraser.proj_right[:, :2], compute_uv=False)
    assert both.min() > 0.97  # cosine of the largest angle between what is taken out and the plane of the means
