from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import UsageError
from assay.rules import Condition, LearnOptions, Rule, RuleLearner, RuleList, View
from assay.rules.chosen import Chosen, new_chosen, refit
from assay.rules.learn import rounded
from assay.rules.view import BAGS, SLOTS
from rules.naive_learn import NaiveLearner
from rules.naive_search import LearnOptions as NaiveOptions
from rules.texts import random_view

WORDS = (
    " the a of in on at by to and but he she it they dog cat horse whale ship sea house tree red blue green big small"
    ' run ran walk said saw ate slept Monday Tuesday London Paris seven nine 7 42 , . ! ? ( ) " -'
).split()
TEXTS = [text if text in ',.!?()"-' else f" {text}" for text in WORDS]
NOISE = 0.3
# The two forms of one string: with these texts each token has its own form, so that either names the same tokens.
EXACT_OR_FORM = ("token", "form", "word")


@pytest.fixture(scope="module")
def view() -> View:
    return random_view(np.random.default_rng(11), 120, 32, TEXTS)


@pytest.fixture(scope="module")
def learner(view: View) -> RuleLearner:
    return RuleLearner(view, len(TEXTS))


def planted(view: View, rules: list[Rule], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(view.size) * NOISE
    return (RuleList(tuple(rules), 0.5).predict(view) + noise).astype(np.float32)


def strings(condition: Condition) -> set[str]:
    return {text.strip().lower() for text in condition.any_of}


def test_a_planted_set_of_tokens_is_found_exactly(view: View, learner: RuleLearner) -> None:
    truth = Rule((Condition("token", (" whale", " red", " nine")),), 2.0)
    found = learner.fit(planted(view, [truth]), 8)
    [rule] = found.rules
    [condition] = rule.when
    assert condition.slot in EXACT_OR_FORM
    assert strings(condition) == {"whale", "red", "nine"}
    assert not condition.negated
    n = int(truth.holds(view).sum())
    assert rule.value == pytest.approx(2.0 * n / (n + 8), abs=5 * NOISE / np.sqrt(n) + 2 / 127)
    assert found.base == pytest.approx(0.5, abs=0.06)


def test_a_planted_set_after_a_planted_set(view: View, learner: RuleLearner) -> None:
    truth = Rule(
        (Condition("token", (" dog", " tree", " ran")), Condition("previous word", ("the", "a", "of", "in", "on"))),
        3.0,
    )
    [rule] = learner.fit(planted(view, [truth]), 8).rules
    assert {condition.slot in EXACT_OR_FORM for condition in rule.when} == {True, False}
    by_place = {condition.slot in EXACT_OR_FORM: condition for condition in rule.when}
    assert strings(by_place[True]) == {"dog", "tree", "ran"}
    assert by_place[False].slot in ("previous word", "previous token")
    assert strings(by_place[False]) == {"the", "a", "of", "in", "on"}
    np.testing.assert_array_equal(rule.holds(view), truth.holds(view))


@pytest.mark.parametrize(
    "truth",
    [
        Rule((Condition("previous word", named="preposition"),), 1.5),
        Rule((Condition("flag", named="inside brackets"),), 1.0),
        Rule((Condition("flag", named="inside double quotes"),), -1.0),
        Rule((Condition("token", named="preposition"), Condition("flag", named="inside brackets")), 2.0),
        Rule(
            (Condition("second last", named="preposition"), Condition("flag", named="inside brackets", negated=True)),
            2.0,
        ),
        Rule((Condition("nearby", ("whale",)),), 1.0),
        Rule((Condition("earlier", ("whale",)), Condition("token", named="made of letters")), -3.0),
        Rule((Condition("token", (" he", " she", " it", " they")),), -2.0),
    ],
    ids=lambda rule: rule.phrase(),
)
def test_one_planted_rule_is_found_and_nothing_else(view: View, learner: RuleLearner, truth: Rule) -> None:
    """Whatever it is called: it must hold at exactly the same tokens, with the same sign.

    Strings of a bag are first conditions: a rule in which they explain less than its other list needs a wider beam.
    """
    beam = 3 if truth.when[0].slot in BAGS and len(truth.when) > 1 else 1
    one = learner if beam == 1 else RuleLearner(view, len(TEXTS), LearnOptions(beam=beam))
    found = one.fit(planted(view, [truth]), 8)
    assert len(found.rules) == 1
    np.testing.assert_array_equal(found.rules[0].holds(view), truth.holds(view))
    n = int(truth.holds(view).sum())
    share = n / view.size
    weight = n * (1 - share)
    assert found.rules[0].value == pytest.approx(truth.value * weight / (weight + 8), abs=0.06 * abs(truth.value))


def test_two_planted_rules_are_found_together(view: View, learner: RuleLearner) -> None:
    first = Rule((Condition("token", (" whale", " red", " nine")),), 2.0)
    second = Rule((Condition("previous word", named="preposition"),), -1.0)
    found = learner.fit(planted(view, [first, second]), 8)
    assert len(found.rules) == 2
    signs = {np.sign(rule.value): rule for rule in found.rules}
    np.testing.assert_array_equal(signs[1.0].holds(view), first.holds(view))
    np.testing.assert_array_equal(signs[-1.0].holds(view), second.holds(view))
    rest = planted(view, [first, second]) - found.predict(view)
    assert rest.std() == pytest.approx(NOISE, rel=0.05)


def test_pure_noise_yields_no_rule(view: View, learner: RuleLearner) -> None:
    """MDL: a rule costs at least 20 bits, so it must stand 5 standard deviations out; over 20 seeds none does."""
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal(view.size).astype(np.float32)
        assert learner.fit(noise, 8).rules == ()


def test_heavy_tails_yield_hardly_any(view: View, learner: RuleLearner) -> None:
    """Student's t with 4 degrees: single tokens stand out of a Gaussian code. 3 of 100 other seeds gave a rule."""
    counts = [
        len(learner.fit(np.random.default_rng(seed).standard_t(4, view.size).astype(np.float32), 8).rules)
        for seed in range(100, 120)
    ]
    assert sum(counts) <= 3


def test_without_a_price_noise_is_overfitted(view: View) -> None:
    """The price is what stops it: without, every rule allowed is used."""
    free = RuleLearner(view, len(TEXTS), LearnOptions(price=0.0, conditions=1, sweeps=0))
    noise = np.random.default_rng(0).standard_normal(view.size).astype(np.float32)
    assert len(free.fit(noise, 5).rules) == 5


def test_a_constant_unit_has_no_rule(learner: RuleLearner, view: View) -> None:
    found = learner.fit(np.full(view.size, 0.1, dtype=np.float32), 8)
    assert found.rules == ()
    assert found.base == pytest.approx(0.1)


def busy(view: View) -> np.ndarray:
    """A unit with a value of its own for each token and each token before: more than any list of rules can say."""
    rng = np.random.default_rng(4)
    size = len(TEXTS) + 1
    token, previous = rng.standard_normal(size) * 2, rng.standard_normal(size)
    return (token[view.keys("token").ids] + previous[view.keys("previous token").ids]).astype(np.float32)


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_never_more_rules_than_asked_for(view: View, learner: RuleLearner, limit: int) -> None:
    assert len(learner.fit(busy(view), limit).rules) == limit


def test_more_rules_fit_better(view: View, learner: RuleLearner) -> None:
    y = busy(view)
    errors = [float(((learner.fit(y, limit).predict(view) - y) ** 2).mean()) for limit in (0, 1, 2, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == pytest.approx(y.var(), rel=1e-5)


def test_the_same_again_and_for_a_fresh_learner(view: View, learner: RuleLearner) -> None:
    y = busy(view)
    first = learner.fit(y, 4)
    learner.fit(planted(view, [Rule((Condition("token", (" whale",)),), 2.0)]), 4)
    assert learner.fit(y, 4) == first
    assert RuleLearner(view, len(TEXTS)).fit(y, 4) == first


def test_the_scale_of_a_unit_does_not_change_its_rules(view: View, learner: RuleLearner) -> None:
    y = busy(view)
    rules, tiny = learner.fit(y, 3).rules, learner.fit(y * np.float32(2.0**-20), 3).rules
    assert [rule.when for rule in rules] == [rule.when for rule in tiny]
    np.testing.assert_allclose([r.value * 2.0**-20 for r in rules], [r.value for r in tiny], rtol=1e-4)


def test_conditions_keep_to_their_limits(view: View, learner: RuleLearner) -> None:
    for rule in learner.fit(busy(view), 6).rules:
        assert len(rule.when) <= 2
        assert sum(len(condition.any_of) for condition in rule.when) <= 12


def test_rules_hold_by_name_on_a_text_with_other_ids(view: View, learner: RuleLearner) -> None:
    """The other text has the same words at other ids, and words that the first has not."""
    truth = Rule(
        (Condition("token", (" whale", " red", " nine")), Condition("previous word", named="preposition")), 2.0
    )
    found = learner.fit(planted(view, [truth]), 4)
    others = [" new", " words", *reversed(TEXTS), " under"]
    other = random_view(np.random.default_rng(5), 60, 20, others)
    expected = np.where(truth.holds(other), found.rules[0].value, 0) + found.base
    np.testing.assert_allclose(found.predict(other), expected, rtol=1e-5)
    assert truth.holds(other).sum() > 5


def test_rows_left_out_are_not_learnt_from(view: View) -> None:
    rows = np.random.default_rng(6).random(view.size) < 0.7
    part = View(view.ids, view.texts, rows)
    truth = Rule((Condition("token", (" whale", " red", " nine")),), 2.0)
    y = planted(view, [truth])
    [rule] = RuleLearner(part, len(TEXTS)).fit(y[rows], 8).rules
    np.testing.assert_array_equal(rule.holds(view), truth.holds(view))


def chosen_of(learner: RuleLearner, y: np.ndarray, masks: np.ndarray) -> Chosen:
    """Working space as it stands when rules that hold at the masks (tokens, k) are taken in, of a unit of mean 0."""
    count = masks.shape[1]
    chosen = new_chosen(learner.index, count, learner.settings)
    chosen.y[:] = y
    for i in range(count):
        own = np.flatnonzero(masks[:, i])
        chosen.rows[i, : len(own)], chosen.n_rows[i] = own, len(own)
    chosen.gram[:] = masks.T.astype(float) @ masks
    chosen.sums[:] = y @ masks
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 6), st.sampled_from([0.5, 8.0]))
def test_values_are_those_of_a_naive_ridge(seed: int, k: int, support: float) -> None:
    """Oracle: numpy's least squares on indicators, a column of ones, and sqrt(support) rows for the ridge."""
    rng = np.random.default_rng(seed)
    y, masks = rng.standard_normal(50) * 3, rng.random((50, k)) < 0.4
    y -= y.mean()
    chosen = chosen_of(RuleLearner(random_view(rng, 5, 10, TEXTS), len(TEXTS)), y, masks)
    base = refit(chosen, k, support)
    design = np.zeros((50 + k, k + 1))
    design[:50, :k], design[:50, k] = masks, 1
    design[50:, :k] = np.sqrt(support) * np.eye(k)
    solution = np.linalg.lstsq(design, np.concatenate([y, np.zeros(k)]))[0]
    np.testing.assert_allclose(chosen.values, solution[:k], atol=1e-9)
    assert base == pytest.approx(solution[k], abs=1e-9)


def test_two_equal_rules_share_their_value() -> None:
    y = np.repeat([-0.5, 0.5], 20)
    masks = np.repeat(y[:, None] > 0, 2, axis=1)
    learner = RuleLearner(random_view(np.random.default_rng(0), 4, 10, TEXTS), len(TEXTS))
    chosen = chosen_of(learner, y, masks)
    refit(chosen, 2, 0.1)
    assert chosen.values[0] == pytest.approx(chosen.values[1])
    assert chosen.values.sum() == pytest.approx(1.0, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 4)), max_size=12))
def test_values_have_eight_bits(values: list[float]) -> None:
    found = rounded(np.array(values))
    largest = max(map(abs, values), default=0.0)
    assert np.all(np.abs(np.array(found) - values) <= largest / 254 + 1e-5 * largest)
    steps = np.array(found) / (largest / 127 or 1.0)
    assert np.abs(steps - steps.round()).max(initial=0.0) < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditions": 0}, "a rule may grow to 1 to 4 conditions, got 0"),
        ({"conditions": 5}, "a rule may grow to 1 to 4 conditions, got 5"),
        ({"beam": 0}, "beam must be at least 1, got 0"),
        ({"shortlist": 0}, "shortlist must be at least 1, got 0"),
        ({"support": 0.0}, "support must be above 0, got 0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LearnOptions(**options)


def test_more_rules_than_a_list_may_have(view: View, learner: RuleLearner) -> None:
    with pytest.raises(UsageError, match="a list has at most 64 rules, got 65"):
        learner.fit(busy(view), 65)


def test_a_string_of_a_bag_is_listed_only_if_enough_windows_have_it() -> None:
    rare = " quartz"
    texts = [*TEXTS, rare]
    ids = random_view(np.random.default_rng(4), 80, 32, TEXTS).ids.copy()
    ids[:8, 2] = len(TEXTS)  # eight windows, and what follows in each of them is high
    view = View(ids, texts)
    y = np.zeros(ids.shape, dtype=np.float32)
    y[:8, 3:] = 2.0
    noise = np.random.default_rng(5).standard_normal(view.size).astype(np.float32) * 0.1

    def listed(values: np.ndarray, windows: int, slots: tuple[str, ...]) -> set[str]:
        found = RuleLearner(view, len(texts), LearnOptions(windows=windows)).fit(values, 4)
        conditions = [condition for rule in found.rules for condition in rule.when if condition.slot in slots]
        return {text.strip() for condition in conditions for text in condition.any_of}

    assert "quartz" in listed(y.ravel() + noise, 8, BAGS)
    assert "quartz" not in listed(y.ravel() + noise, 9, BAGS)
    itself = 2.0 * (ids == len(TEXTS)).astype(np.float32).ravel() + noise
    assert "quartz" in listed(itself, 9, SLOTS)  # the token itself may be as rare as it likes, if it pays


def same(a: RuleList, b: RuleList) -> bool:
    """Equal but for the order of strings in a list, and for rounding of the values."""

    def plain(rules: RuleList) -> list[tuple[frozenset[object], float]]:
        return [
            (frozenset((c.slot, frozenset(c.any_of), c.named, c.negated) for c in rule.when), rule.value)
            for rule in rules.rules
        ]

    ours, theirs = plain(a), plain(b)
    values = [value for _, value in ours], [value for _, value in theirs]
    return [when for when, _ in ours] == [when for when, _ in theirs] and np.allclose(*values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "options", [LearnOptions(), LearnOptions(beam=3, conditions=3), LearnOptions(conditions=1, sweeps=2)]
)
def test_the_rules_of_the_naive_learner(view: View, options: LearnOptions) -> None:
    """Oracle: the learner in numpy that goes through all tokens for every candidate."""
    rng = np.random.default_rng(8)
    naive = NaiveLearner(view, len(TEXTS), NaiveOptions(**options.__dict__))
    fast = RuleLearner(view, len(TEXTS), options)
    size = len(TEXTS) + 1
    agree = 0
    for _ in range(8):
        y = (
            rng.standard_normal(size)[view.keys("token").ids]
            + rng.standard_normal(size)[view.keys("previous token").ids]
        )
        y = (y + rng.standard_normal(view.flags.shape[1]) @ view.flags.T + rng.standard_normal(view.size)).astype(
            np.float32
        )
        ours, theirs = fast.fit(y, 6), naive.fit(y, 6)
        agree += same(ours, theirs)
        errors = [float(((rules.predict(view) - y) ** 2).mean()) for rules in (ours, theirs)]
        assert errors[0] == pytest.approx(errors[1], rel=0.01)
    assert agree >= 6  # here tokens, forms and words name the same tokens, and rounding chooses between them


@pytest.mark.parametrize("threads", ["1", "2"])
def test_many_units_at_once_are_as_one_by_one(view: View, monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
    units = np.stack(
        [busy(view), planted(view, [Rule((Condition("token", (" red",)),), 1.0)]), np.zeros(view.size, np.float32)]
    )
    learner, told = RuleLearner(view, len(TEXTS)), list[int]()
    found = learner.fit_many(units, 4, told.append)
    assert found == [RuleLearner(view, len(TEXTS)).fit(unit, 4) for unit in units]
    assert found == learner.fit_many(units, 4)
    assert sorted(told) == [1, 2, 3]
