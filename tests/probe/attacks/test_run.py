from __future__ import annotations

import time

import numpy as np
import pytest

from assay.errors import FitError, UnknownName
from assay.probe import ATTACKS, Attacked, Eraser, MeanFitter, in_sample, run_attacks
from assay.probe.attacks.arena import prepare


def pairs(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise, labels that both occur in each group of two."""
    return np.random.default_rng(seed).standard_normal((n, d)), np.arange(n) % 2, np.arange(n) // 2


def test_what_is_there_is_found_by_all() -> None:
    x, y, groups = pairs(300, 10)
    x[:, 3] += 3.0 * y
    found = run_attacks(x, y, groups, shuffles=20)
    assert tuple(found) == ATTACKS
    for name, one in found.items():
        assert isinstance(one, Attacked)
        assert one.leaks, name
        assert one.lo <= one.auc <= one.hi
        assert one.auc > 0.75
        assert one.accuracy > 0.75
        assert 0.5 < one.null < 0.65
    assert found["logistic"].auc > 0.95  # the best reader of a distance of 3 has .983
    assert found["logistic"].hi - found["logistic"].lo < 0.06


def test_where_nothing_is_nothing_is_found() -> None:
    """Of 12 sets of noise few leak, and AUCs are about one half on average."""
    aucs, leaks = [], 0
    for seed in range(12):
        x, _, groups = pairs(100, 8, seed)
        y = np.random.default_rng(seed).permutation(np.arange(100) % 2)
        found = run_attacks(x, y, groups if seed % 2 else np.arange(100), names=("logistic", "knn"), seed=seed)
        aucs += [one.auc for one in found.values()]
        leaks += sum(one.leaks for one in found.values())
    # Each AUC has a standard deviation of about .06; two attacks on the same rows agree in part.
    assert abs(np.mean(aucs) - 0.5) < 0.04
    assert leaks <= 4  # of 24, at 5 %: more than 4 would come by chance once in 100


def test_groups_of_one_label_are_shuffled_as_wholes() -> None:
    """What is common to a group's rows reads as its label if groups are torn, and does not if they are whole."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 20)
    x = 5 * rng.standard_normal((20, 6))[groups] + rng.standard_normal((400, 6))
    y = (groups % 2).astype(int)
    torn = run_attacks(x, y, np.arange(400), names=("knn",))["knn"]
    whole = run_attacks(x, y, groups, names=("knn",))["knn"]
    assert torn.auc > 0.95
    assert torn.leaks
    assert not whole.leaks
    assert whole.null > 0.6  # twenty groups say little, and the null knows


def test_in_sample_a_probe_reads_what_is_not_there() -> None:
    """300 rows of 576 columns whose variances fall off: most of an in-sample AUC is overfitting."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((576, 576)))[0] / np.arange(1, 577) ** 0.7
    noise, y = rng.standard_normal((300, 576)) @ axes.T, np.arange(300) % 2
    found = in_sample(noise, y)
    assert found.floor > 0.75
    assert found.auc < found.null + 0.03
    assert abs(found.auc - found.floor) < 0.08
    held_out = run_attacks(noise, y, np.arange(300) // 2, names=("logistic",))["logistic"]
    assert abs(held_out.auc - 0.5) < 4 * 0.034  # the standard error of an AUC of 2 x 150 rows
    assert not held_out.leaks


def test_after_projection_on_the_same_rows_held_out_reading_is_worse_than_chance() -> None:
    """Each training half's means then differ the opposite way from those of the rows held out."""
    x, y, groups = pairs(300, 576)
    after = MeanFitter(576).update(x, y).eraser(x)
    found = run_attacks(after, y, groups, names=("logistic", "svm"))
    for one in found.values():
        assert one.hi < 0.5
        assert one.accuracy < 0.4
        assert not one.leaks
    new, y_new, _ = pairs(300, 576, 1)
    fair = run_attacks(MeanFitter(576).update(x, y).eraser(new), y_new, groups, names=("logistic",))["logistic"]
    assert abs(fair.auc - 0.5) < 4 * 0.034


def test_rounding_after_erasure_is_no_leak() -> None:
    """In float32 a column that was all concept is constant up to rounding, which is coarser for larger numbers."""
    x, y, groups = pairs(400, 3)
    x[:, 0] += 30.0 * y
    rows = x.astype(np.float32)
    column = np.eye(3)[:, [0]]
    after = Eraser(column, column.T, rows.mean(0, dtype=np.float64), "column")(rows)
    assert 0 < after[:, 0].std() < 1e-5
    found = run_attacks(after, y, groups, shuffles=10)
    assert not any(one.leaks for one in found.values())


def test_the_seed_decides_and_names_do_not_touch_each_other() -> None:
    x, y, groups = pairs(100, 5)
    every = run_attacks(x, y, groups, seed=3, shuffles=4)
    assert run_attacks(x, y, groups, seed=3, shuffles=4) == every
    assert run_attacks(x, y, groups, names=("mlp", "threshold"), seed=3, shuffles=4) == {
        name: every[name] for name in ("mlp", "threshold")
    }
    assert run_attacks(x, y, groups, seed=4, shuffles=4) != every


def test_at_most_so_many_rows_are_used_in_whole_groups() -> None:
    x, y, _ = pairs(400, 3)
    groups = np.arange(400) // 4
    arena = prepare(x, y, groups, 0, 1, 62)
    assert len(arena.rows) == 60
    assert np.unique(groups[arena.rows], return_counts=True)[1].tolist() == [4] * 15
    assert np.array_equal(arena.labels[0], y[arena.rows])
    assert prepare(x, y, groups, 1, 1, 62).rows.tolist() != arena.rows.tolist()
    with pytest.raises(FitError, match="are all of one class; allow more than 20"):
        prepare(x, (groups > 97).astype(int), groups, 0, 1, 20)


def test_groups_may_be_words_and_rows_float32() -> None:
    x, y, groups = pairs(100, 5)
    words = np.array([f"city {one}" for one in groups])
    numbers = run_attacks(x, y, groups, names=("knn",), shuffles=3)["knn"]
    others = run_attacks(x.astype(np.float32), y.astype(bool), words, names=("knn",), shuffles=3)["knn"]
    assert others.auc == pytest.approx(numbers.auc, abs=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.ones(20, int)}, "rows of both labels. Got 1 alone"),
        ({"y": np.arange(20)}, "labels must be 0 or 1. Got 2"),
        ({"y": np.arange(19) % 2}, "each row needs its label. Got 20 rows and 19 labels"),
        ({"groups": np.arange(19)}, "each row needs its group. Got 20 rows and 19 groups"),
        ({"groups": np.arange(20) // 5}, "5 groups or more, one a fold. Got 4"),
        ({"x": np.ones((20, 3))}, "all 20 rows are the same"),
        ({"x": np.full((20, 3), np.nan)}, "NaN or infinite"),
        ({"x": 1.0 + 1e-15 * (np.arange(60).reshape(20, 3) % 7)}, "all 20 rows are the same up to rounding"),
        ({"shuffles": 0}, "one shuffle or more. Got 0"),
    ],
)
def test_what_cannot_be_attacked_is_refused(change: dict[str, object], message: str) -> None:
    x, y, groups = pairs(20, 3)
    given: dict[str, object] = {"x": x, "y": y, "groups": groups, **change}
    with pytest.raises(FitError, match=message):
        run_attacks(**given)  # pyright: ignore[reportArgumentType]


def test_unknown_attacks_are_refused() -> None:
    with pytest.raises(UnknownName, match="unknown attack 'logistik'; did you mean 'logistic'"):
        run_attacks(*pairs(20, 3), names=("logistik",))


def test_all_attacks_on_400_rows_of_576_columns_take_seconds() -> None:
    x, y, groups = pairs(400, 576)
    started = time.process_time()
    run_attacks(x, y, groups, shuffles=20)
    assert time.process_time() - started < 40
