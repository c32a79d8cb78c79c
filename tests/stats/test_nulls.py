"""Labels and directions that mean nothing, and what they keep."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from assay.stats.nulls import oriented, random_directions, shuffled_labels


def mixed() -> tuple[np.ndarray, np.ndarray]:
    """Ten groups of two positives and three negatives, their rows apart from each other."""
    groups = np.tile([f"g{i}" for i in range(10)], 5)
    return np.repeat([1, 0, 1, 0, 0], 10), groups


def whole() -> tuple[np.ndarray, np.ndarray]:
    """Twelve groups of one label, of one to four rows; five are positive."""
    sizes = [1 + i % 4 for i in range(12)]
    return np.repeat([int(i < 5) for i in range(12)], sizes), np.repeat([f"w{i}" for i in range(12)], sizes)


def test_where_a_group_has_both_labels_they_change_places_within_it() -> None:
    labels, groups = mixed()
    seen = set()
    for seed in range(20):
        drawn = shuffled_labels(labels, groups, np.random.default_rng(seed))
        for group in set(groups):
            assert drawn[groups == group].sum() == 2
        seen.add(tuple(drawn))
    assert len(seen) == 20
    assert labels.tolist() == mixed()[0].tolist()  # what was handed in is left alone
    rates = np.mean([shuffled_labels(labels, groups, np.random.default_rng(seed)) for seed in range(600)], axis=0)
    assert rates == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / 600) + 0.01)


def test_groups_of_one_label_change_places_as_wholes() -> None:
    labels, groups = whole()
    rates = []
    for seed in range(300):
        drawn = shuffled_labels(labels, groups, np.random.default_rng(seed))
        own = {group: set(drawn[groups == group].tolist()) for group in set(groups)}
        assert all(len(kinds) == 1 for kinds in own.values())
        assert sum(kinds == {1} for kinds in own.values()) == 5
        rates.append([own[f"w{i}"] == {1} for i in range(12)])
    assert np.mean(rates, axis=0) == pytest.approx(5 / 12, abs=0.12)


def test_both_kinds_of_groups_in_one_set_keep_to_themselves() -> None:
    (first, some), (second, others) = mixed(), whole()
    labels, groups = np.concatenate([first, second]), np.concatenate([some, others])
    drawn = shuffled_labels(labels, groups, np.random.default_rng(5))
    counts = Counter(groups[drawn == 1].tolist())
    assert all(counts[group] == 2 for group in set(some))
    assert sum(group in counts for group in set(others)) == 5
    assert drawn.tolist() != labels.tolist()


def test_random_directions_are_unit_vectors_drawn_evenly() -> None:
    drawn = random_directions(6, 4000, 3)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(1)
    assert drawn.T @ drawn / 4000 == pytest.approx(np.eye(6) / 6, abs=0.02)
    assert np.array_equal(drawn, random_directions(6, 4000, 3))
    assert not np.array_equal(random_directions(6, 2, (3, 0)), random_directions(6, 2, (3, 1)))


def test_directions_are_turned_to_the_positives() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(50, 6)), rng.integers(0, 2, 50)
    drawn = random_directions(6, 40, 1)
    turned = oriented(drawn, x, labels)
    scores = x @ turned.T
    assert (scores[labels == 1].mean(0) >= scores[labels == 0].mean(0)).all()
    assert np.abs(turned) == pytest.approx(np.abs(drawn))
    assert 0 < (turned != drawn).all(1).sum() < 40
