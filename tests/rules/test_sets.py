from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from assay.rules.sets import best_sets
from rules import naive_sets

SUPPORT = 2.0


def listed(
    sums: np.ndarray, counts: np.ndarray, *, room: int, support: float, price: float, shortlist: int
) -> list[np.ndarray]:
    """The sets found, that with a positive value first; string 0 may not be listed."""
    listable = np.ones(len(sums), np.uint8)
    listable[0] = 0
    found, n_found = np.zeros((2, room), np.int32), np.zeros(2, np.int64)
    table = np.stack([sums, counts], axis=1).astype(np.float32)
    best_sets(np.arange(len(sums)), table, listable, room, support, price, shortlist, found, n_found)
    return [members[:size] for members, size in zip(found, n_found, strict=True) if size]


def test_the_sets_of_the_naive_search() -> None:
    """The same members; their order may differ where two are worth the same but for rounding."""
    rng = np.random.default_rng(7)
    for _ in range(100):
        sums, counts = draw(rng, 400)
        options = {"room": int(rng.integers(1, 13)), "support": 8.0, "price": float(rng.choice([0.0, 3.0, 30.0]))}
        shortlist = int(rng.choice([5, 50, 256]))
        found = listed(sums, counts, **options, shortlist=shortlist)
        expected = naive_sets.best_sets(sums, counts, **options, shortlist=shortlist)
        assert [set(members.tolist()) for members in found] == [set(members.tolist()) for members in expected]


def test_sets_among_equally_good_strings_gain_as_much() -> None:
    """Whole numbers tie all the time: which of equals is taken may differ, what it gains may not."""
    rng = np.random.default_rng(8)
    for _ in range(50):
        sums, counts = draw(rng, 100)
        sums, counts = np.round(sums), np.round(counts / 10) + 1
        options = {"room": int(rng.integers(1, 13)), "support": SUPPORT, "price": float(rng.choice([0.0, 1.0]))}
        found = listed(sums, counts, **options, shortlist=20)
        expected = naive_sets.best_sets(sums, counts, **options, shortlist=20)
        assert len(found) == len(expected)
        for own, other in zip(found, expected, strict=True):
            assert gain(sums, counts, tuple(own), options["price"]) == pytest.approx(
                gain(sums, counts, tuple(other), options["price"])
            )


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
    sums = rng.standard_normal(size) * np.sqrt(counts) * rng.choice([1, 4], size)
    return sums.astype(np.float32).astype(float), counts  # the kernel's precision


def test_nearly_always_the_best_of_all_sets_and_never_far_from_it() -> None:
    """Against brute force over all sets of up to 4 of 9 strings, both signs, 200 draws."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        sums, counts = draw(rng, 10)
        price = float(rng.choice([0.0, 1.0]))
        found = listed(sums, counts, room=4, support=SUPPORT, price=price, shortlist=256)
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
    positive, negative = listed(sums, np.ones(5), room=12, support=SUPPORT, price=0.0, shortlist=256)
    assert positive.tolist() == [1, 3]
    assert negative.tolist() == [2]


def test_best_string_first_and_no_more_than_there_is_room_for() -> None:
    sums = np.array([0.0, 4.0, 6.0, 5.0, 7.0])
    [found] = listed(sums, np.full(5, 10.0), room=3, support=0.0, price=0.0, shortlist=256)
    assert found.tolist() == [4, 2, 3]
    [found] = listed(sums, np.full(5, 10.0), room=3, support=0.0, price=0.0, shortlist=2)
    assert found.tolist() == [4, 2]


def test_a_string_that_does_not_pay_its_price_is_left_out() -> None:
    """With weights 1 and price p a string of sum s pays alone when s**2 > p."""
    sums = np.array([0.0, 3.0, 3.0, 1.0])
    weigh = {"room": 12, "support": 0.0, "shortlist": 256}
    assert listed(sums, np.ones(4), price=9.1, **weigh) == []
    [found] = listed(sums, np.ones(4), price=8.9, **weigh)
    assert sorted(found.tolist()) == [1, 2]


@pytest.mark.parametrize("sums", [[0.0, 0.0], [5.0, 0.0], [5.0]])
def test_nothing_to_list(sums: list[float]) -> None:
    assert listed(np.array(sums), np.ones(len(sums)), room=3, support=1.0, price=0.0, shortlist=9) == []


def test_strings_that_may_not_be_listed_are_not() -> None:
    table, listable = np.float32([[9, 10], [4, 10], [6, 10], [5, 10]]), np.array([0, 1, 0, 1], np.uint8)
    found, n_found = np.zeros((2, 3), np.int32), np.zeros(2, np.int64)
    best_sets(np.arange(4), table, listable, 3, 0.0, 0.0, 9, found, n_found)
    assert n_found.tolist() == [2, 0]
    assert found[0, :2].tolist() == [3, 1]
