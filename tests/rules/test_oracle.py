"""The learner in kernels against the learner in numpy, which goes through all tokens for every candidate."""

from __future__ import annotations

import numpy as np
import pytest

from assay.rules import LearnOptions, RuleLearner, RuleList, View
from rules.naive_learn import NaiveLearner
from rules.naive_search import LearnOptions as NaiveOptions

TEXTS = [" the", " The", " a", "wha", "le", " whale", ",", " (", ")", "\n", " 7", " red", " dog", "s", "'", " ran"]
UNITS = 5


def text_of(rng: np.random.Generator) -> View:
    """Windows of different lengths, common and rare tokens, and some tokens that don't count."""
    windows, length = int(rng.integers(20, 60)), int(rng.integers(10, 30))
    share = rng.random(len(TEXTS)) ** 3
    ids = rng.choice(len(TEXTS), (windows, length), p=share / share.sum()).astype(np.int32)
    ids[rng.integers(0, length, windows)[:, None] < np.arange(length)] = -1
    return View(ids, TEXTS, rng.random(int((ids >= 0).sum())) < 0.8)


def units_of(rng: np.random.Generator, view: View, units: int = UNITS) -> np.ndarray:
    """Units with a value for each token and each token before, and noise."""
    size = len(TEXTS) + 1
    token, previous = rng.standard_normal((2, units, size))
    noise = rng.standard_normal((units, view.size)) * rng.choice([0.1, 1.0])
    values = token[:, view.keys("token").ids] + previous[:, view.keys("previous token").ids] + noise
    return values.astype(np.float32)


def options_of(rng: np.random.Generator) -> dict[str, float]:
    return {
        "beam": int(rng.integers(1, 4)),
        "conditions": int(rng.integers(1, 4)),
        "sweeps": int(rng.integers(0, 3)),
        "windows": int(rng.integers(1, 6)),
        "price": float(rng.choice([0.3, 1.0])),
        "shortlist": int(rng.choice([3, 256])),
    }


def assert_same(found: RuleList, naive: RuleList, view: View, scale: float) -> None:
    """Candidates may tie, and be called differently: but not hold elsewhere or have another value."""
    assert len(found.rules) == len(naive.rules)
    np.testing.assert_allclose(found.predict(view), naive.predict(view), atol=2e-5 * scale)
    assert sorted(r.value for r in found.rules) == pytest.approx(sorted(r.value for r in naive.rules), rel=1e-4)


@pytest.mark.parametrize("seed", range(24))
def test_the_same_rules_as_the_naive_learner(seed: int) -> None:
    rng = np.random.default_rng(seed)
    view, options = text_of(rng), options_of(rng)
    [unit] = units_of(rng, view, 1)
    found = RuleLearner(view, 50, LearnOptions(**options)).fit(unit, 6)
    naive = NaiveLearner(view, 50, NaiveOptions(**options)).fit(unit, 6)
    assert_same(found, naive, view, float(np.ptp(unit)))


def test_as_many_rules_as_a_list_may_have() -> None:
    """One bit for each of 64 rules: the last one counts like the first."""
    rng = np.random.default_rng(5)
    view = text_of(rng)
    unit = rng.standard_normal(view.size).astype(np.float32)
    options = {"price": 0.0, "conditions": 1, "windows": 1, "sweeps": 0}
    found = RuleLearner(view, 50, LearnOptions(**options)).fit(unit, 64)
    assert len(found.rules) > 60  # a value may be rounded to nothing
    naive = NaiveLearner(view, 50, NaiveOptions(**options)).fit(unit, 64)
    errors = [float(((rules.predict(view) - unit) ** 2).mean()) for rules in (found, naive)]
    assert errors[0] == pytest.approx(errors[1], rel=0.02)  # of 64 choices on noise some tie and go another way
    assert errors[0] < 0.9 * unit.var()


@pytest.mark.parametrize("threads", ["1", "2", "7"])
def test_many_units_are_each_unit_alone(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    """In however many threads, in either order of memory and precision, and once more with other limits."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
    rng = np.random.default_rng(9)
    view = text_of(rng)
    units, learner = units_of(rng, view), RuleLearner(view, 50)
    alone = [RuleLearner(view, 50).fit(unit, 5) for unit in units]
    assert learner.fit_many(units, 5) == alone
    assert [len(found.rules) for found in learner.fit_many(units, 2)] == [2] * UNITS
    assert learner.fit_many(np.asfortranarray(units), 5) == alone
    assert learner.fit_many(units.astype(np.float64), 5) == alone
    assert learner.fit_many(units[:0], 5) == []


def test_progress_counts_up_to_all_units() -> None:
    view = text_of(np.random.default_rng(0))
    told: list[int] = []
    RuleLearner(view, 50).fit_many(units_of(np.random.default_rng(1), view), 1, told.append)
    assert sorted(told) == [1, 2, 3, 4, 5]


def test_constant_units_among_others() -> None:
    view = text_of(np.random.default_rng(2))
    units = units_of(np.random.default_rng(3), view, 2)
    units[0] = 0.25
    constant, other = RuleLearner(view, 50).fit_many(units, 3)
    assert constant == RuleList((), 0.25, 50)
    assert other == RuleLearner(view, 50).fit(units[1], 3)
    assert other.rules


@pytest.mark.parametrize("tokens", [1, 2])
def test_a_text_of_hardly_anything(tokens: int) -> None:
    """No rule pays on one or two tokens, whatever they do."""
    view = View(np.array([[0, 1, -1]], np.int32), TEXTS, np.arange(2) < tokens)
    unit = np.arange(tokens, dtype=np.float32)
    assert RuleLearner(view, 50).fit(unit, 3) == RuleList((), float(unit.mean()), 50)


def test_windows_of_which_no_token_counts() -> None:
    """They are context to nobody: the rules are those without them."""
    rng = np.random.default_rng(4)
    view = text_of(rng)
    [unit] = units_of(rng, view, 1)
    empty = np.full((3, view.ids.shape[1]), 2, np.int32)
    more = View(np.concatenate([empty, view.ids, empty]), TEXTS, np.pad(rows_of(view), 3 * view.ids.shape[1]))
    assert more.size == view.size
    assert RuleLearner(more, 50).fit(unit, 4) == RuleLearner(view, 50).fit(unit, 4)


def rows_of(view: View) -> np.ndarray:
    """Which of a view's real tokens count."""
    counts = np.zeros(view.ids.shape, bool)
    counts[view.places] = True
    return counts[view.ids >= 0]
