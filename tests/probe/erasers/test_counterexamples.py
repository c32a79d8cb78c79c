"""What erasers leave behind without a word: a rare concept, and a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from assay.probe import LeaceFitter, MeanFitter, TukeyFitter, run_attacks
from assay.probe.attacks.linear import LOGISTIC, fit_readers
from assay.stats.auroc import auroc

RARE_AUC = 0.945


def rare(seed: int, n: int = 400_000, d: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A concept of one row in a thousand, on which the best linear reader has an AUC of .945."""
    rng = np.random.default_rng(seed)
    z = (np.arange(n) % 1000 == 0).astype(np.float64)
    x = rng.standard_normal((n, d))
    x[:, 0] += np.sqrt(2) * ndtri(RARE_AUC) * z
    return x, z


def reads(x: np.ndarray, z: np.ndarray, x_new: np.ndarray, z_new: np.ndarray) -> float:
    """The AUC on new rows of least squares: the best reader of rows with one covariance in both classes."""
    weights = np.linalg.lstsq(x - x.mean(0), z - z.mean(), rcond=1e-9)[0]
    return auroc(x_new @ weights, z_new.astype(np.int64))


def test_a_rare_concept_stays_under_an_absolute_tolerance_and_goes_under_a_relative_one() -> None:
    x, z = rare(0)
    x_new, z_new = rare(1)
    # The standard error of an AUC with 400 positives is at most sqrt(.945 * .055 / 400) = .011, at one half .017.
    assert reads(x, z, x_new, z_new) == pytest.approx(RARE_AUC, abs=0.03)
    absolute = LeaceFitter(8, relative=False, tolerance=0.01).update(x, z).eraser
    assert absolute.rank == 0
    assert reads(absolute(x), z, absolute(x_new), z_new) == pytest.approx(RARE_AUC, abs=0.03)
    fitter = LeaceFitter(8).update(x, z)
    assert fitter.eraser.rank == 1
    # What is left is the error of the fit's 400 positives: .05 in each direction, beside a distance of 2.26 before.
    assert reads(fitter.eraser(x), z, fitter.eraser(x_new), z_new) == pytest.approx(0.5, abs=0.05)
    assert LeaceFitter(8, relative=False, tolerance=1e-6).update(x, z).eraser.rank == 1


def test_a_rare_class_among_common_ones_goes_too() -> None:
    x, z = rare(2)
    common = np.random.default_rng(3).random(len(z)) < 0.5
    x[:, 1] += 2.0 * common
    classes = np.stack([common * (1 - z), (1 - common) * (1 - z), z], 1)
    assert LeaceFitter(8, 3).update(x, classes).eraser.rank == 2
    assert LeaceFitter(8, 3, relative=False, tolerance=0.01).update(x, classes).eraser.rank == 1


def outliers(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Label 1 is at -1 in nine rows of ten and at 9 in the tenth, label 0 mirrored; four columns say nothing."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    far = np.arange(n) // 2 % 10 == 0
    x = rng.standard_normal((n, 5))
    x[:, 0] = np.where(far, 9.0, -1.0) * np.where(y == 1, 1.0, -1.0)
    return x, y


def threshold(x: np.ndarray, y: np.ndarray) -> float:
    """The share of rows on the right side of 0."""
    return float(((x[:, 0] < 0) == (y == 1)).mean())


def logistic_loss(x: np.ndarray, y: np.ndarray) -> float:
    """Of the best logistic reader on its own rows, in nats a row."""
    signs = 2.0 * y[:, None] - 1.0
    says = fit_readers(x, signs, np.array([1e-3]), LOGISTIC).says(x)
    return float(LOGISTIC.value(says * signs).mean())


def test_means_are_equal_and_a_threshold_reads_nine_rows_of_ten() -> None:
    x, y = outliers()
    assert x[y == 1, 0].mean() == pytest.approx(x[y == 0, 0].mean(), abs=1e-12)
    assert threshold(x, y) == 0.9
    assert logistic_loss(x, y) == pytest.approx(np.log(2), abs=0.005)


@pytest.mark.parametrize("fitter", [LeaceFitter(5), MeanFitter(5)])
def test_erasers_that_go_by_means_leave_the_threshold(fitter: LeaceFitter | MeanFitter) -> None:
    x, y = outliers()
    after = fitter.update(x, y).eraser(x)
    assert threshold(after, y) == pytest.approx(0.9, abs=0.002)
    assert logistic_loss(after, y) == pytest.approx(np.log(2), abs=1e-4)
    found = run_attacks(after, y, np.arange(len(y)) // 2, names=("logistic", "threshold"), shuffles=20, most=800)
    assert not found["logistic"].leaks
    assert found["logistic"].auc < 0.55
    assert found["threshold"].leaks
    assert found["threshold"].accuracy > 0.85


def test_tukey_projection_takes_it_away() -> None:
    x, y = outliers()
    eraser = TukeyFitter(5).update(x, y).eraser
    assert eraser.rank == 1
    assert abs(eraser.proj_left[0, 0]) > 0.99
    found = run_attacks(eraser(x), y, np.arange(len(y)) // 2, most=800)
    assert not any(one.leaks for one in found.values())
    assert found["threshold"].accuracy == pytest.approx(0.5, abs=0.06)  # 800 rows: a standard error of .018
