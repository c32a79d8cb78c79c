from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from assay.rules.sets import best_sets

SUPPORT = 2.0


def gain(sums: np.ndarray, counts: np.ndarray, members: tuple[int, ...], price: float) -> float:
    picked = list(members)
    return sums[picked].sum() ** 2 / (counts[picked] + SUPPORT).sum() - price * len(picked)


def brute_force(sums: np.ndarray, counts: np.ndarray, sign: int, room: int, price: float) -> float:
    """The highest gain of any set of that sign, over all sets."""
    gains = [
        gain(sums, counts, members, price)
        for size in range(1, room + 1)
        for members in combinations(range(1, len(sums)), size)
        if sums[list(members)].sum() * sign > 0
    ]
    return max(gains)


def draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    counts = rng.integers(1, 30, size).astype(float)
    return rng.standard_normal(size) * np.sqrt(counts) * rng.choice([1, 4], size), counts


def test_nearly_always_the_best_of_all_sets_and_never_far_from_it() -> None:
    """Against brute force over all sets of up to 4 of 9 strings, both signs, 200 draws."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        sums, counts = draw(rng, 10)
        price = float(rng.choice([0.0, 1.0]))
        found = best_sets(sums, counts, room=4, support=SUPPORT, price=price, shortlist=256)
        assert len(found) <= 2
        for members in found:
            assert 1 <= len(members) <= 4
            assert 0 not in members
            assert len(set(members.tolist())) == len(members)
            sign = int(np.sign(sums[members].sum()))
            assert np.all(np.sign(sums[members]) == sign)
            shares.append(gain(sums, counts, tuple(members), price) / brute_force(sums, counts, sign, 4, price))
    assert np.mean(np.array(shares) > 1 - 1e-9) > 0.97
    assert min(shares) > 0.97
    assert max(shares) < 1 + 1e-9


def test_one_set_a_sign() -> None:
    sums = np.array([100.0, 5.0, -6.0, 4.0, -0.1])
    positive, negative = best_sets(sums, np.ones(5), room=12, support=SUPPORT, price=0.0, shortlist=256)
    assert positive.tolist() == [1, 3]
    assert negative.tolist() == [2]


def test_best_string_first_and_no_more_than_there_is_room_for() -> None:
    sums = np.array([0.0, 4.0, 6.0, 5.0, 7.0])
    [found] = best_sets(sums, np.full(5, 10.0), room=3, support=0.0, price=0.0, shortlist=256)
    assert found.tolist() == [4, 2, 3]
    [found] = best_sets(sums, np.full(5, 10.0), room=3, support=0.0, price=0.0, shortlist=2)
    assert found.tolist() == [4, 2]


def test_a_string_that_does_not_pay_its_price_is_left_out() -> None:
    """With weights 1 and price p a string of sum s pays alone when s**2 > p."""
    sums = np.array([0.0, 3.0, 3.0, 1.0])
    weigh = {"room": 12, "support": 0.0, "shortlist": 256}
    assert best_sets(sums, np.ones(4), price=9.1, **weigh) == []
    [found] = best_sets(sums, np.ones(4), price=8.9, **weigh)
    assert sorted(found.tolist()) == [1, 2]


@pytest.mark.parametrize("sums", [[0.0, 0.0], [5.0, 0.0], [5.0]])
def test_nothing_to_list(sums: list[float]) -> None:
    assert best_sets(np.array(sums), np.ones(len(sums)), room=3, support=1.0, price=0.0, shortlist=9) == []
