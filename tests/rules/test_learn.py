from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import UsageError
from assay.rules import Condition, LearnOptions, Rule, RuleLearner, RuleList, View
from assay.rules.learn import refit, rounded
from assay.rules.view import BAGS, SLOTS
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
        Rule((Condition("earlier", ("whale",)), Condition("token", (" the", " a"))), -3.0),
        Rule((Condition("token", (" he", " she", " it", " they")),), -2.0),
    ],
    ids=lambda rule: rule.phrase(),
)
def test_one_planted_rule_is_found_and_nothing_else(view: View, learner: RuleLearner, truth: Rule) -> None:
    """Whatever it is called: it must hold at exactly the same tokens, with the same sign."""
    found = learner.fit(planted(view, [truth]), 8)
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
        assert len(rule.when) <= 3
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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 6), st.sampled_from([0.5, 8.0]))
def test_values_are_those_of_a_naive_ridge(seed: int, k: int, support: float) -> None:
    """Oracle: numpy's least squares on indicators, a column of ones, and sqrt(support) rows for the ridge."""
    rng = np.random.default_rng(seed)
    y, masks = rng.standard_normal(50) * 3 + 1, rng.random((50, k)) < 0.4
    fit = refit(y, [np.flatnonzero(masks[:, i]) for i in range(k)], support)
    design = np.zeros((50 + k, k + 1))
    design[:50, :k], design[:50, k] = masks, 1
    design[50:, :k] = np.sqrt(support) * np.eye(k)
    solution = np.linalg.lstsq(design, np.concatenate([y, np.zeros(k)]))[0]
    np.testing.assert_allclose(fit.values, solution[:k], atol=1e-9)
    assert fit.base == pytest.approx(solution[k], abs=1e-9)
    np.testing.assert_allclose(fit.residual, y - design[:50] @ solution, atol=1e-9)


def test_two_equal_rules_share_their_value() -> None:
    y = np.repeat([0.0, 1.0], 20)
    rows = np.arange(20, 40)
    fit = refit(y, [rows, rows], 0.1)
    assert fit.values[0] == pytest.approx(fit.values[1])
    assert fit.values.sum() == pytest.approx(1.0, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 4)), max_size=12))
def test_values_have_eight_bits(values: list[float]) -> None:
    found = rounded(np.array(values))
    largest = max(map(abs, values), default=0.0)
    assert np.all(np.abs(np.array(found) - values) <= largest / 254 + 1e-5 * largest)
    steps = np.array(found) / (largest / 127 or 1.0)
    assert np.abs(steps - steps.round()).max(initial=0.0) < 1e-3


@pytest.mark.parametrize("conditions", [0, 5])
def test_options_keep_to_the_grammar(conditions: int) -> None:
    with pytest.raises(UsageError, match=f"a rule may grow to 1 to 4 conditions, got {conditions}"):
        LearnOptions(conditions=conditions)


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
