"""The readers that attacks are made of, each against a naive or a library's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from assay.probe.attacks import threshold
from assay.probe.attacks.arena import FOLDS, Arena, grouped_folds, prepare, standardised
from assay.probe.attacks.linear import LOGISTIC, PENALTIES, SQUARED_HINGE, Loss, fit_readers, linear_scores
from assay.probe.attacks.neighbours import NEAREST, neighbour_scores
from assay.probe.attacks.network import network_scores
from assay.probe.attacks.threshold import threshold_scores
from assay.stats.auroc import auroc


def arena(n: int = 120, d: int = 6, shuffles: int = 3, shift: float = 1.0) -> Arena:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, d)) * np.arange(1, d + 1)
    x[:, 0] += shift * y
    return prepare(x, y, np.arange(n) // 2, 0, shuffles, 2000)


@pytest.mark.parametrize(("n", "d"), [(300, 20), (60, 200)])
@pytest.mark.parametrize("penalty", [10.0, 0.1])
def test_logistic_readers_are_scikit_learn_s(n: int, d: int, penalty: float) -> None:
    rng = np.random.default_rng(1)
    x = standardised(rng.standard_normal((n, d)) + 4.0)
    y = (x[:, 0] * np.sqrt(x.shape[1]) + rng.standard_normal(n) > 0.3).astype(int)
    sets = np.stack([y, rng.permutation(y)], 1) * 2.0 - 1.0
    found = fit_readers(x, sets, np.full(2, penalty), LOGISTIC)
    for column, readers in zip(sets.T, found.says(x).T, strict=True):
        fitted = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000).fit(x, column)

        def objective(says: np.ndarray, weights: np.ndarray, column: np.ndarray = column) -> float:
            return float(LOGISTIC.value(says * column).sum() + penalty / 2 * weights @ weights)

        best = objective(fitted.decision_function(x), fitted.coef_[0])
        mine = objective(readers, found.weights[:, list(sets.T.tolist()).index(column.tolist())])
        assert best - 1e-6 <= mine <= best + 2e-5 * n
        assert np.corrcoef(readers, fitted.decision_function(x))[0, 1] > 0.9999


@pytest.mark.parametrize("loss", [LOGISTIC, SQUARED_HINGE])
def test_nothing_beside_the_weights_found_is_better(loss: Loss) -> None:
    rng = np.random.default_rng(2)
    x = standardised(rng.standard_normal((80, 10)))
    signs = np.where(x[:, 0] + 0.1 * rng.standard_normal(80) > 0, 1.0, -1.0)[:, None]
    found = fit_readers(x, signs, np.array([0.3]), loss)

    def objective(weights: np.ndarray, offset: float) -> float:
        return float(loss.value((x @ weights + offset) * signs[:, 0]).mean() + 0.3 / 160 * weights @ weights)

    here = objective(found.weights[:, 0], found.offsets[0])
    for _ in range(200):
        step = rng.standard_normal(11) * 10.0 ** rng.uniform(-3, 0)
        assert objective(found.weights[:, 0] + step[:10], found.offsets[0] + step[10]) > here - 1e-5


def test_slopes_are_those_of_the_losses() -> None:
    margins = np.linspace(-3, 3, 100)
    for loss in (LOGISTIC, SQUARED_HINGE):
        numeric = (loss.value(margins + 1e-5) - loss.value(margins - 1e-5)) / 2e-5
        np.testing.assert_allclose(loss.slope(margins), numeric, atol=1e-4)
        assert (np.diff(loss.slope(margins)) / np.diff(margins)).max() <= loss.curvature + 1e-9


def test_linear_scores_are_those_of_a_naive_nested_loop() -> None:
    one = arena()
    found = linear_scores(one, LOGISTIC)

    def fitted_on(rows: np.ndarray, labels: np.ndarray, penalty: float) -> LogisticRegression:
        return LogisticRegression(C=1 / penalty, tol=1e-9, max_iter=2000).fit(one.x[rows], labels[rows])

    for labels, scores in zip(one.labels, found, strict=True):
        for fold in range(FOLDS):
            lost = dict.fromkeys(PENALTIES, 0.0)
            for penalty in PENALTIES:
                for other in set(range(FOLDS)) - {fold}:
                    held = one.folds == other
                    model = fitted_on(~np.isin(one.folds, (fold, other)), labels, penalty)
                    lost[penalty] += LOGISTIC.value(model.decision_function(one.x[held]) * (2 * labels[held] - 1)).sum()
            best = min(PENALTIES, key=lambda penalty: lost[penalty])
            held, model = one.folds == fold, fitted_on(one.folds != fold, labels, best)
            np.testing.assert_allclose(scores[held], model.decision_function(one.x[held]), atol=0.05)


def test_neighbours_are_scikit_learn_s() -> None:
    one = arena()
    for labels, scores in zip(one.labels, neighbour_scores(one), strict=True):
        for fitted, held in one.splits():
            model = KNeighborsClassifier(NEAREST).fit(one.x[fitted], labels[fitted])
            np.testing.assert_allclose(scores[held] + 0.5, model.predict_proba(one.x[held])[:, 1], atol=1e-12)


def test_thresholds_are_the_best_of_a_naive_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "PROJECTIONS", 7)
    one = arena(100, 3, 1)
    lines = (one.x @ np.random.default_rng([5, 1]).standard_normal((7, 3)).T).T
    for labels, scores in zip(one.labels, threshold_scores(one, 5), strict=True):
        for fitted, held in one.splits():
            ones = labels[fitted] == 1
            gains = {}
            for number, line in enumerate(lines):
                ranked = np.sort(line[fitted])
                for cut in (ranked[1:] + ranked[:-1]) / 2:
                    above = line[fitted] > cut
                    gains[number, cut] = above[ones].mean() - above[~ones].mean()
            (number, cut), gain = max(gains.items(), key=lambda item: abs(item[1]))
            assert np.array_equal(scores[held], np.where((lines[number][held] > cut) == (gain > 0), 1.0, -1.0))


def test_a_threshold_never_cuts_between_equal_numbers() -> None:
    x = np.repeat([[0.0], [1.0], [2.0]], 20, axis=0)
    y = np.repeat([0, 1, 0], 20)
    y[::7] = 1 - y[::7]
    scores = threshold_scores(prepare(x, y, np.arange(60), 0, 1, 100), 0)
    held = prepare(x, y, np.arange(60), 0, 1, 100).folds
    for fold in range(FOLDS):
        for value in range(3):
            assert len(set(scores[0][(held == fold) & (x[:, 0] == value)])) <= 1


def test_networks_read_what_no_line_reads() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    one = prepare(x, y, np.arange(400), 0, 2, 2000)
    network, linear = network_scores(one, 0), linear_scores(one, LOGISTIC)
    assert auroc(network[0], y[one.rows]) > 0.95
    assert auroc(linear[0], y[one.rows]) < 0.6
    assert all(abs(auroc(said, labels) - 0.5) < 0.13 for said, labels in zip(network[1:], one.labels[1:], strict=True))


def test_sets_of_labels_do_not_touch_each_other() -> None:
    more = arena(shuffles=3)
    alone = more._replace(labels=more.labels[:1])
    for attack in (
        lambda one: linear_scores(one, SQUARED_HINGE),
        neighbour_scores,
        lambda one: threshold_scores(one, 0),
    ):
        np.testing.assert_allclose(attack(more)[0], attack(alone)[0], atol=0.02)


def test_rows_are_turned_without_changing_inner_products() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((30, 90)) * rng.uniform(0.1, 10, 90) + 5
    turned = standardised(x)
    naive = (x - x.mean(0)) / x.std(0) / np.sqrt(90)
    assert turned.shape == (30, 29)
    np.testing.assert_allclose(turned @ turned.T, naive @ naive.T, atol=1e-12)
    assert np.square(turned).sum(1).mean() == pytest.approx(1.0)


def test_a_column_of_rounding_is_not_blown_up() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((50, 3))
    dust = np.concatenate([x, 7.0 + 1e-15 * rng.standard_normal((50, 1))], 1)
    np.testing.assert_allclose(standardised(dust), standardised(x), atol=1e-12)


@pytest.mark.parametrize("paired", [True, False])
def test_folds_keep_groups_whole_and_are_alike(paired: bool) -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(200) // 2
    labels = np.arange(200) % 2 if paired else (groups % 4 == 0).astype(int)
    folds = grouped_folds(labels, groups, rng)
    assert all(len(set(folds[groups == one])) == 1 for one in range(100))
    assert np.bincount(folds).tolist() == [40] * FOLDS
    assert np.ptp(np.bincount(folds, weights=labels)) <= 2


def test_no_row_is_scored_by_a_reader_that_saw_its_group() -> None:
    """What a group's rows say, and which labels they have, changes nothing in the scores of the group itself."""
    one = arena(80, 4)
    group = one.groups == one.groups[10]
    flipped = one._replace(labels=np.where(group, 1 - one.labels, one.labels))
    for attack in (
        lambda one: linear_scores(one, LOGISTIC),
        lambda one: threshold_scores(one, 0),
        neighbour_scores,
        lambda one: network_scores(one, 0),
    ):
        before, after = attack(one), attack(flipped)
        np.testing.assert_allclose(before[:, group], after[:, group], atol=1e-6)
        assert not np.allclose(before[:, ~group], after[:, ~group], atol=1e-9)
