"""Planted output goes in; the claims and verdicts that must come out, come out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from assay.core.ids import UnitId
from assay.explain.lineup import assign_strangers
from assay.explain.names import OUTPUT_RULES, OUTPUT_TOKENS
from assay.explain.output_rows import OutputReport
from assay.explain.output_rules import LEARNING, OutputLearner, Vocabulary, spoken
from assay.explain.output_verdicts import judge_outputs
from assay.explain.outputs import ARMS, Size, study_outputs
from assay.explain.steering import Arm, Steering
from assay.explain.writes import NOTHING, Table, Writes, claim_rules, claim_tokens, dose_of
from assay.referee import effect_check, judge_check
from assay.rules import Condition, Rule, RuleLearner, RuleList
from assay.testing import Planted
from explain.bench import Bench, quiet

KINDS = ("effect", "context", "noisy", "rare", "polysemantic", "silent", "dead")
SIZE = Size(fit=32, choose=20, test=32)


def reported(bench: Bench, targets: Sequence[UnitId], companions: Sequence[UnitId], size: Size = SIZE) -> OutputReport:
    units = [*targets, *companions]
    fit = np.ascontiguousarray(bench.fit[:, [unit.index for unit in units]].T)
    strangers = assign_strangers(units)
    found = study_outputs(bench.subject, bench.material, units, fit, strangers, len(targets), 8, 0, quiet, size)
    return OutputReport(found, 100, 0)


@pytest.fixture(scope="module")
def targets(bench: Bench) -> list[UnitId]:
    return [bench.unit("effect"), bench.unit("effect", 1), *(bench.unit(kind) for kind in KINDS[1:])]


@pytest.fixture(scope="module")
def report(bench: Bench, targets: list[UnitId]) -> OutputReport:
    return reported(bench, targets, [bench.unit("lexical", i) for i in range(4)])


@pytest.fixture(scope="module")
def entries(report: OutputReport) -> dict[tuple[str, str], dict[str, Any]]:
    return {(entry["unit"], entry["explainer"]): entry for entry in report.entries()}


def test_the_right_tokens_are_named_and_supported(
    model: Planted, bench: Bench, entries: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """What a neuron promotes is all that it does: every other token stays where it is beside the others."""
    for unit in (bench.unit("effect"), bench.unit("effect", 1), bench.unit("noisy"), bench.unit("polysemantic")):
        entry = entries[str(unit), OUTPUT_TOKENS]
        assert {token for token, _ in entry["promoted"]} == set(model.truths[unit].promotes)
        assert entry["suppressed"] == []
        assert entry["verdict"] == "supported", entry["reason"]
        assert entry["reason"] == "effect beats its nulls"
        assert entry["r"] > 0.97
        assert max(entry["nulls"].values()) < 0.75
        assert entry["references"]["table"] > 0.97
        assert entry["half_dose"] == pytest.approx(0.5, abs=0.03)
        assert entry["turned_down_r"] > 0.95
        assert entry["rise_lo"] < entry["rise"] < entry["rise_hi"]
        assert entry["rise"] > 2 * entry["rise_nulls"]["matched_norm"]
        changes = [change for _, change in entry["promoted"]]
        assert entry["rise"] == pytest.approx(
            np.mean(changes), rel=0.1
        )  # the fit split's claim holds on the test split


def test_the_dose_is_how_far_the_neuron_goes_and_scales_the_rise(
    bench: Bench, entries: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """A firing of 1 adds 2 nats to names and 3 to colours."""
    for which, nats in ((0, 2.0), (1, 3.0)):
        unit = bench.unit("effect", which)
        entry = entries[str(unit), OUTPUT_TOKENS]
        assert entry["dose"] == pytest.approx(dose_of(bench.fit[:, unit.index]))
        assert 1.0 < entry["dose"] < 1.35
        assert entry["rise"] == pytest.approx(nats * entry["dose"], rel=0.1)


def test_a_neuron_that_writes_nothing_and_one_that_does_nothing_are_undecided(
    bench: Bench, entries: dict[tuple[str, str], dict[str, Any]]
) -> None:
    for kind in ("silent", "dead"):
        for form in (OUTPUT_TOKENS, OUTPUT_RULES):
            entry = entries[str(bench.unit(kind)), form]
            assert entry["verdict"] == "undecided"
            assert "effect under 10 times the numerical noise" in entry["reason"]
            assert entry["effect"] < 1e-5
            assert entry["r"] is None
            assert "effect under" in entry["unscored"]["r"]
    assert entries[str(bench.unit("dead")), OUTPUT_TOKENS]["dose"] == 0


def test_no_stranger_passes(report: OutputReport) -> None:
    summary = report.judged.effect.summary
    assert (summary.passed, summary.void) == (0, False)
    assert summary.n >= 10
    for i, claim in enumerate(report.outputs.claims, start=report.first):
        if claim.role == "control":
            assert report.judged.check(i).verdict in ("refuted", "undecided")


def test_rules_name_a_class_where_there_is_one(
    model: Planted, bench: Bench, entries: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """Colours are a class that rules know, and so are words in -ing."""
    month, two = bench.unit("effect", 1), bench.unit("polysemantic")
    for unit, word in ((month, "colour"), (two, "-ing")):
        entry = entries[str(unit), OUTPUT_RULES]
        assert entry["verdict"] == "supported", entry
        assert any(word in line for line in entry["rules"]), entry["rules"]
        assert entry["promoted"] == entry["suppressed"] == []
    assert "a token that is a colour" in entries[str(month), OUTPUT_RULES]["explanation"]


def test_sentences_say_what_is_claimed(bench: Bench, entries: dict[tuple[str, str], dict[str, Any]]) -> None:
    entry = entries[str(bench.unit("effect")), OUTPUT_TOKENS]
    names = [token for token, _ in entry["promoted"]]
    assert entry["explanation"] == (
        "Turned up, it makes " + ", ".join(f"“{name}”" for name in names[:6]) + f" and {len(names) - 6} more likelier."
    )
    assert entries[str(bench.unit("dead")), OUTPUT_TOKENS]["explanation"] == NOTHING


def test_two_neurons_that_write_the_same_refute_each_other(bench: Bench) -> None:
    """What is said of one holds for the other, so it says nothing of its own."""
    one, two = bench.unit("twin"), bench.unit("twin", 1)
    found = reported(bench, [one], [bench.unit("lexical"), two, bench.unit("lexical", 1)])
    entry = next(entry for entry in found.entries() if entry["explainer"] == OUTPUT_TOKENS)
    assert entry["promoted"][0][0] == "\n"
    assert found.outputs.claims[0].rival_unit == two
    assert entry["r"] == pytest.approx(entry["nulls"]["other_unit"], abs=1e-3)
    assert (entry["verdict"], entry["reason"]) == (
        "refuted",
        "effect: does not beat its best null (other_unit) by 0.02",
    )


def test_wrong_claims_are_refuted(bench: Bench, report: OutputReport, targets: list[UnitId]) -> None:
    """Too broad and too narrow score less than the truth; the opposite, other words and a sign turned round fail."""
    unit, truth = targets[0], set(bench.planted.truths[targets[0]].promotes)
    learner = OutputLearner(
        Vocabulary(spoken(bench.material.fit, bench.subject.special_ids), bench.subject.token_texts()), 129
    )
    steering = Steering(bench.subject, bench.material.test, {1}, learner.view.tokens, 32, seed=0)
    rng = np.random.default_rng(0)
    moved = list(steering.run([Arm(unit, 1.0)], rng.standard_normal((20, bench.subject.d_model))))
    z, random = (
        standard(np.concatenate(parts)) for parts in ([m.change[:, 0] for m in moved], [m.random for m in moved])
    )

    def score(values: dict[tuple[str, ...], float]) -> Any:
        rules = tuple(Rule((Condition("token", texts),), value) for texts, value in values.items())
        c = standard(learner.predict(RuleList(rules)))
        r = {"up": z @ c, "matched_norm": (random @ c).T}
        return effect_check(r, z @ z.T, steering.places.documents, np.ones(32), np.zeros(32))

    names = tuple(sorted(truth))
    others = tuple(text for text in bench.subject.token_texts() if text not in truth and text.startswith(" "))
    checks = {
        "truth": score({names: 1.0}),
        "narrow": score({names[:3]: 1.0}),
        "broad": score({names: 1.0, others[:12]: 1.0, others[12:24]: 1.0}),
        "opposite": score({names: -1.0}),
        "other": score({others[:12]: 1.0}),
    }
    verdicts = judge_check({name: found.check for name, found in checks.items()}, {}).claims
    assert verdicts["truth"].verdict == "supported"
    assert [verdicts[name].verdict for name in ("opposite", "other")] == ["refuted", "refuted"]
    assert checks["truth"].score.value > 0.97
    assert max(checks[name].score.value for name in ("narrow", "broad")) < 0.75
    assert checks["opposite"].score.value == pytest.approx(-checks["truth"].score.value)


def test_random_claims_are_seldom_supported(bench: Bench) -> None:
    """Random lists of tokens, asserted of neurons that write to many tokens at once: at most 5 % are supported."""
    learner = OutputLearner(
        Vocabulary(spoken(bench.material.fit, bench.subject.special_ids), bench.subject.token_texts()), 129
    )
    texts = [learner.view.texts[int(i)] for i in learner.view.tokens]
    steering = Steering(bench.subject, bench.material.test, {1}, learner.view.tokens, 24, seed=0)
    rng, passed, n = np.random.default_rng(11), 0, 0
    for which in range(8):
        unit = bench.unit("lexical", which)
        moved = list(steering.run([Arm(unit, 1.0)], rng.standard_normal((20, bench.subject.d_model))))
        z = standard(np.concatenate([m.change[:, 0] for m in moved]))
        random = standard(np.concatenate([m.random for m in moved]))
        for _ in range(40):
            words = [str(word) for word in rng.permutation(texts)[:16]]
            rules = [
                Rule((Condition("token", tuple(words[:8])),), 1.0),
                Rule((Condition("token", tuple(words[8:])),), -1.0),
            ]
            c = standard(learner.predict(RuleList(tuple(rules))))
            check = effect_check(
                {"up": z @ c, "matched_norm": (random @ c).T},
                z @ z.T,
                steering.places.documents,
                np.ones(24),
                np.zeros(24),
                replicates=200,
            )
            passed += judge_check({0: check.check}, {}).claims[0].verdict == "supported"
            n += 1
    assert n == 320
    assert passed <= 0.05 * n


def standard(values: np.ndarray) -> np.ndarray:
    centred = values.astype(np.float64) - values.mean(-1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=-1, keepdims=True)


# what is stored


def test_stored_arrays_give_the_same_verdicts_without_the_model(report: OutputReport) -> None:
    arrays = {name: np.array(values) for name, values in report.outputs.arrays.items()}
    again = judge_outputs(report.claim_rows(), arrays, 0)
    assert again.overall == report.judged.overall
    arrays["r"][0] *= -1
    other = judge_outputs(report.claim_rows(), arrays, 0)
    assert [i for i in again.overall if again.overall[i] != other.overall[i]] == [100]
    assert other.overall[100].verdict == "refuted"


def test_rows_and_arrays_fit_each_other(report: OutputReport, targets: list[UnitId]) -> None:
    rows, evidence, arrays = report.claim_rows(), report.evidence_rows(), report.outputs.arrays
    assert [row["claim"] for row in rows] == list(range(100, 100 + 4 * len(targets)))
    assert [row["role"] for row in rows] == ["claim", "control"] * (2 * len(targets))
    assert [row["explainer"] for row in rows[:4]] == [OUTPUT_TOKENS] * 2 + [OUTPUT_RULES] * 2
    assert [row["unit"] for row in rows[::4]] == [str(unit) for unit in targets]
    places = len(arrays["documents"])
    assert places == SIZE.test == len(set(arrays["documents"].tolist()))
    assert arrays["r"].shape == arrays["rise"].shape == (len(rows), len(ARMS), places)
    assert arrays["random_r"].shape == (len(rows), SIZE.directions, places)
    assert arrays["rival_r"].shape == (len(rows), places)
    assert arrays["likeness"].shape == (len(targets), places, places)
    decided = [row for row in evidence if row["measure"] == "effect_r"]
    assert [row["claim"] for row in decided] == [row["claim"] for row in rows]
    verdicts = {row["claim"]: row["verdict"] for row in evidence if row["check"] == "claim"}
    assert set(verdicts) == {row["claim"] for row in rows if row["role"] == "claim"}
    for row in evidence:
        assert (row["value"] is None) == (row["unscored"] is not None) or row["check"] == "claim"
    first = decided[0]
    assert first["value"] == pytest.approx(arrays["r"][0, 0].mean() / np.sqrt(pairs(arrays["likeness"][0])))
    assert json.loads(first["nulls"])["matched_norm"] == pytest.approx(
        arrays["random_r"][0].mean(1).max() / np.sqrt(pairs(arrays["likeness"][0]))
    )
    assert first["d"] == pytest.approx(first["value"] - max(json.loads(first["nulls"]).values()))


def pairs(likeness: np.ndarray) -> float:
    return float(likeness[~np.eye(len(likeness), dtype=bool)].mean())


# the parts


def test_a_dose_is_the_distance_of_one_token_in_a_thousand() -> None:
    values = np.zeros(10_000, np.float32)
    assert dose_of(values) == 0
    values[:5] = 7
    assert dose_of(values) == 7  # on too few tokens for the quantile: as far as it ever went
    values[:100] = -np.arange(100)
    assert dose_of(values) == pytest.approx(90, abs=1)
    assert dose_of(values + 50) == pytest.approx(dose_of(values))


@pytest.fixture(scope="module")
def learner() -> OutputLearner:
    words = "red blue green cat dog bird tree walking reading singing 1 2 3 . , ! un re the a of".split()
    words += [f"zq{chr(97 + i // 20)}{chr(97 + i % 20)}x" for i in range(200 - len(words))]
    return OutputLearner(Vocabulary(np.arange(1, len(words) + 1), ["", *(" " + word for word in words)]), 1000)


def test_the_surest_of_the_largest_are_named(learner: OutputLearner) -> None:
    mean, error = np.zeros(200), np.full(200, 0.01)
    mean[[0, 1, 2, 5]], mean[[3, 4]] = (1.0, 1.2, 1.1, 1.1), (-1.5, -0.1)
    error[1], error[5] = 0.5, 0.6  # the largest, and a matter of chance; and one that may be nothing at all
    found = claim_tokens(learner, Table(mean + 5, error))
    assert found.promoted == ((" green", 1.1), (" red", 1.0), (" blue", 1.2))
    assert found.suppressed == ((" cat", -1.5),)
    assert found.sentence() == "Turned up, it makes “ green”, “ red” and “ blue” likelier and “ cat” less likely."
    predicted = learner.predict(found.rules)
    assert predicted[0] == predicted[1] == predicted[2] > predicted[5] > predicted[3]


def test_rules_see_the_token_alone(learner: OutputLearner) -> None:
    view = learner.view
    assert not view.flags.any()
    assert not view.class_flags.any()
    for slot in ("word", "previous token", "previous word", "second last", "third last"):
        assert set(view.keys(slot).names) == {""}
    table = np.where([t in (" red", " blue", " green") for t in view.texts[1:]], 3.0, 0.0)
    found = claim_rules(learner, Table(table, np.zeros(200)), learner.learn(table, 4))
    assert [rule.phrase() for rule in found.rules.rules] == ["the token is a colour"]
    assert found.sentence() == "Turned up, it makes likelier a token that is a colour."
    assert learner.predict(found.rules) == pytest.approx(table, abs=0.05)


def test_predictions_are_those_of_the_rule_list(learner: OutputLearner) -> None:
    rules = RuleList(
        (
            Rule((Condition("token", (" red", " dog")),), 0.5),
            Rule((Condition("form", named="number in digits"),), -0.25),
            Rule((Condition("stem", ("reading",)), Condition("token", named="capitalised", negated=True)), 2.0),
        ),
        0.125,
    )
    assert learner.predict(rules) == pytest.approx(rules.predict(learner.view))


def test_sentences_of_rules_stay_short(learner: OutputLearner) -> None:
    many = tuple(
        Rule((Condition("token", tuple(f" very long word number {i}{j}" for j in range(12))),), (-1.0) ** i)
        for i in range(8)
    )
    text = Writes(OUTPUT_RULES, RuleList(many)).sentence()
    assert len(text) <= 280
    assert "more rules refine this" in text
    assert Writes(OUTPUT_RULES, RuleList(())).sentence() == NOTHING


def test_only_tokens_that_the_text_has_and_that_can_be_shown_are_spoken_of(bench: Bench) -> None:
    part = bench.material.fit
    tokens = spoken(part, bench.subject.special_ids)
    assert set(tokens.tolist()) == set(part.table.flat_ids.tolist()) - bench.subject.special_ids
    assert all(part.texts[int(i)] for i in tokens)


def test_lists_pay_where_one_row_is_one_mean(learner: OutputLearner) -> None:
    """With the shrinkage that texts need, eight draws of nothing beside each string, one row would be worth nothing."""
    assert LEARNING.support < 1 < RuleLearner(learner.view, 1000).options.support
