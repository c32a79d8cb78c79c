"""The explainer "self", with judges that say what they are told and with the planted model itself."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.core.ids import UnitId
from assay.errors import UsageError
from assay.explain.experiment import ExplainOutcome, ExplainRequest, explain
from assay.explain.lineup import speakers
from assay.explain.manner import FROM_WORDS
from assay.explain.names import OUTPUTS
from assay.explain.prompting import gather_evidence, written_words
from assay.explain.simulated import PIECE, TEST_PIECES, Simulations, sample_pieces
from assay.explain.verdicts import recompute
from assay.explain.voice import Voice
from assay.judge import SIMULATE, AllAtOnce, Judge, Unscored, load_prompt
from assay.rules import Condition, Rule, RuleList
from assay.store import open_run
from assay.testing import MockJudge, Planted
from assay.testing.judges import HOSTILE
from assay.testing.planted_language import VOCABULARY
from assay.testing.planted_language import tokenizer as planted_tokenizer
from assay.text import TokenTable
from explain.bench import SEED, Bench, planted_text
from explain.test_experiment import ENTRY, SUMMARY

UNITS = "L1.mlp_act:0-3"
WEEKDAYS = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
REQUEST = ExplainRequest(units=UNITS, tokens=24_000, rules=2)


def listing(question: str) -> str:
    """A reply that names what the evidence has at its top."""
    return " " + " ".join(re.search(r"fires on: (.*)", question)[1].split(", "))


def named(sentence: str, token: str) -> int:
    return 9 * (token.strip() in sentence.strip(".").split() and token.strip().isalnum())


def run(model: Planted, judge: Judge | None, out: Path, **changes: Any) -> ExplainOutcome:
    request = ExplainRequest(**{**REQUEST.__dict__, "out": str(out), **changes})
    return explain(request, subject=model.subject, corpus=planted_text(), judge=judge)


@pytest.fixture(scope="module")
def outcome(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    return run(model, MockJudge(listing, named), tmp_path_factory.mktemp("runs"))


def entries(outcome: ExplainOutcome, explainer: str) -> list[dict[str, Any]]:
    return [entry for entry in outcome.result["units"] if entry["explainer"] == explainer]


# a judge that sees what is there


def test_a_true_sentence_is_found_true(outcome: ExplainOutcome) -> None:
    weekdays, months, colours, nouns_after_colours = entries(outcome, "self")
    assert weekdays["explanation"].startswith("It fires on words such as ")
    assert len(set(weekdays["explanation"].strip(".").split()) & WEEKDAYS) == 7
    for entry in (weekdays, months, colours):
        assert entry["r"] > 0.65
        assert entry["rank"] == 1
    assert weekdays["behaviour"] > 0.6
    assert weekdays["r_lo"] < weekdays["r"] < weekdays["r_hi"]
    # words alone don't say what must stand before them
    assert nouns_after_colours["r"] < 0.7
    assert nouns_after_colours["same_tokens"]["rules"]["above"][2] < -0.1


def test_entries_have_the_keys_of_the_contract(outcome: ExplainOutcome) -> None:
    explainers = [entry["explainer"] for entry in outcome.result["units"]]
    assert explainers == ["rules", "self", "lookup"] * 4
    assert set(outcome.result["summary"]) == SUMMARY
    for entry in outcome.result["units"]:
        assert set(entry) == ENTRY
        assert set(entry["nulls"]) == {"constant", "shuffled", "other_unit"}
        assert set(entry["references"]) == {"lookup", "bigram", "lookup_full", "bigram_full"}
    for entry in entries(outcome, "self"):
        assert entry["r_context"] is None
        assert entry["unscored"]["r_context"] == "it would take simulations of the fit split"
        ids = planted_tokenizer()(entry["explanation"])["input_ids"]
        assert entry["bits"] == pytest.approx(len(ids) * np.log2(len(VOCABULARY)), abs=0.05)
    assert {entry["same_tokens"] != {} for entry in entries(outcome, "rules")} == {False}
    told = outcome.result["summary"]["self"]
    assert told["prompts"] == ["explain@1", "simulate@1"]
    assert told["documents"]["test"] > 80
    assert told["tokens"]["test"] == entries(outcome, "self")[0]["tokens_scored"]
    assert (told["replies"], told["unscored_replies"], told["unscored_stretches"]) == (12, {}, {})
    assert json.loads(json.dumps(outcome.result, allow_nan=False)) == outcome.result


def test_scores_are_made_on_the_stored_sample(outcome: ExplainOutcome) -> None:
    stored = open_run(outcome.run_path)
    test, claims = stored.tensors("test"), stored.rows("claims")
    where = (test["sampled"] == 1) & (test["scored"] == 1)
    pieces = np.unique(np.stack([test["windows"], test["positions"] // PIECE])[:, test["sampled"] == 1], axis=1)
    assert pieces.shape[1] == TEST_PIECES
    rows = {(row["unit"], row["explainer"]): row["claim"] for row in claims if row["role"] == "claim"}
    for i, entry in enumerate(entries(outcome, "self")):
        real = test["activations"][i][where]
        own = test["predictions"][rows[entry["unit"], "self"]]
        assert np.isnan(own).any()
        assert entry["tokens_scored"] == where.sum() == np.isfinite(own[where]).sum()
        assert entry["r"] == pytest.approx(np.corrcoef(own[where], real)[0, 1], abs=1e-6)
        for name in ("rules", "lookup"):
            other = np.corrcoef(test["predictions"][rows[entry["unit"], name]][where], real)[0, 1]
            beside = entry["same_tokens"][name]
            assert beside["r"] == pytest.approx(other, abs=1e-6)
            assert beside["above"][0] == pytest.approx(entry["r"] - other, abs=1e-6)
            assert beside["above"][1] <= beside["above"][0] <= beside["above"][2]
    lookups = [entry["references"]["lookup"] for entry in entries(outcome, "self")]
    assert all(value is not None for value in lookups)
    evidence = [row for row in stored.rows("evidence") if row["measure"] == "r_above_rules"]
    assert [row["value"] for row in evidence] == [
        e["same_tokens"]["rules"]["above"][0] for e in entries(outcome, "self")
    ]
    documents = len(np.unique(test["documents"][where]))
    assert {row["n"] for row in evidence} == {documents}


def test_the_run_says_who_wrote_what_with_which_prompt(outcome: ExplainOutcome) -> None:
    stored = open_run(outcome.run_path)
    row = next(row for row in stored.rows("claims") if row["explainer"] == "self")
    said = json.loads(row["rules"])
    assert said["kind"] == "prose"
    assert said["prompts"] == ["explain@1", "simulate@1"]
    assert said["judge"] == "mock"
    assert [c["drawn"] for c in said["candidates"]] == ["greedy", "sample 1", "sample 2"]
    assert json.loads(row["lines"])[0].endswith("on choose (greedy, taken): " + row["text"])
    assert stored.spec["resolved"]["self"]["prompts"] == said["prompts"]
    page = stored.file("page.html").read_text()
    assert row["text"] in page
    assert "written by mock with explain@1, simulate@1" in page


def test_verdicts_come_out_the_same_from_the_stored_arrays(outcome: ExplainOutcome) -> None:
    rows = recompute(open_run(outcome.run_path))
    assert {row.explainer for row in rows} == {"rules", "self", "lookup", *OUTPUTS}
    assert [row for row in rows if row.stored != row.recomputed] == []


# evidence


def test_evidence_is_what_was_planted(bench: Bench) -> None:
    unit = bench.unit("effect")
    truth = bench.planted.truths[unit]
    part = bench.material.fit
    evidence = gather_evidence(bench.subject, unit, part, np.ascontiguousarray(bench.fit[:, unit.index]))
    words = {token.strip() for token in truth.positive}
    assert set(evidence.strongest) == words
    assert set(evidence.promoted[: len(truth.promotes)]) == {token.strip() for token in truth.promotes}
    assert not set(evidence.promoted) & set(evidence.suppressed)
    ids, texts = part.table.ids, part.texts
    pairs = {(texts[a].strip(), texts[b].strip()) for row in ids for a, b in pairwise(row[row >= 0].tolist())}
    assert all(any((word, after) in pairs for word in words) for after in evidence.following)
    assert evidence.fields()["strongest"] == ", ".join(evidence.strongest)


def test_a_unit_that_writes_nothing_has_no_output_evidence(bench: Bench) -> None:
    assert written_words(bench.subject, bench.unit("silent")) == ((), ())
    assert written_words(bench.subject, UnitId.parse("L1.resid_post:3")) == ((), ())


# samples


def table_of(windows_of_documents: Sequence[int], tokens: int = 2 * PIECE) -> TokenTable:
    documents = np.repeat(np.arange(len(windows_of_documents)), windows_of_documents)
    n = len(documents)
    return TokenTable(np.zeros((n, tokens), np.int32), np.full(n, tokens), documents, np.arange(n))


def test_every_piece_has_the_same_chance() -> None:
    table = table_of([1, 1, 1, 2, 3, 1, 8, 1, 1, 1], tokens=PIECE + 3)  # two pieces a window, the second short
    drawn = np.zeros(table.n_tokens)
    for seed in range(2000):
        starts = sample_pieces(table, 10, seed)
        assert len(set(starts.tolist())) == 10
        drawn[starts] += 1
    begins = np.flatnonzero(table.flat_positions % PIECE == 0)
    assert len(begins) == 40
    assert np.delete(drawn, begins).sum() == 0
    assert drawn[begins] / 2000 == pytest.approx(np.full(40, 0.25), abs=5 * np.sqrt(0.25 * 0.75 / 2000))


def test_documents_of_one_length_give_a_piece_each() -> None:
    table = table_of([3] * 40)
    for seed in range(20):
        starts = sample_pieces(table, 30, seed)
        assert len(np.unique(table.flat_documents[starts])) == 30
    assert np.array_equal(sample_pieces(table, 500, 0), np.arange(0, 120 * 2 * PIECE, PIECE))


def test_what_was_simulated_is_not_simulated_again(bench: Bench) -> None:
    """Stretches that two requests share are asked for once, and everything is the same as in one request."""
    asked: list[tuple[str, ...]] = []

    class Counting(MockJudge):
        def number_logits(self, opening: Any, windows: Any, said: Any = None) -> Any:
            asked.extend(map(tuple, windows))
            return super().number_logits(opening, windows, said)

    material = bench.material
    judges = [Counting("", named), MockJudge("", named)]
    parts, whole = (
        Simulations.over(AllAtOnce(judge, load_prompt(*SIMULATE)), material.choose, material.test, SEED)
        for judge in judges
    )
    table = material.test.table
    first = parts.sampled["test"]
    second = first | (np.isin(table.flat_windows, np.arange(0, len(table), 3)) & (table.flat_positions < 27))
    sentence = "It fires on words such as Monday house walking ."
    once = parts.simulate("test", sentence, first).copy()
    assert np.array_equal(np.isfinite(once), first)
    seen = len(asked)
    twice = parts.simulate("test", sentence, second)
    assert np.isfinite(twice[second]).all()
    assert np.array_equal(twice[first], once[first])
    assert np.array_equal(twice, whole.simulate("test", sentence, second), equal_nan=True)
    assert len(asked) - seen <= 2 * ((second & ~first).sum() // 8 + 2 * len(table))
    seen = len(asked)
    parts.simulate("test", sentence, second)
    assert len(asked) == seen
    assert set(np.unique(twice[np.isfinite(twice)])) <= {-9.0, 0.0, 9.0}


def test_companions_speak_only_where_the_nulls_need_them() -> None:
    alone = [3, 4, 5, 0, 1, 2]  # each target's stranger is a companion
    units = [UnitId.parse(f"L1.mlp_act:{i}") for i in range(6)]

    def chosen(targets: int, asserted: bool, *given: int) -> list[int]:
        return speakers(units, targets, alone, asserted, {units[i] for i in given})

    assert chosen(3, False) == [0, 1, 2]
    assert chosen(1, False) == [0, 1, 2]
    assert chosen(3, True) == [0, 1, 2, 3, 4, 5]
    assert chosen(3, False, 0, 1, 2) == [0, 1, 2]
    assert chosen(3, False, 1) == [1, 3, 4, 5]  # targets without a sentence are not given one, companions are


# judges that misbehave


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_reply_that_is_no_sentence_is_unscored_never_0(bench: Bench, fault: str) -> None:
    unit = bench.unit("effect")
    judge = MockJudge(HOSTILE[fault], named)
    oneself = Voice(
        "self", FROM_WORDS, bench.subject, judge, AllAtOnce(judge, load_prompt(*SIMULATE)), bench.material, SEED
    )
    activations = (np.ascontiguousarray(split[:, unit.index]) for split in (bench.fit, bench.chosen))
    prose = oneself.explain(unit, *activations)
    assert prose.text == prose.sentence() == ""
    assert prose.unscored
    assert prose.unscored.startswith("none of 3 replies could be used: the reply ")
    assert [(c.r, bool(c.unscored)) for c in prose.candidates] == [(None, True)] * 3
    assert all(line.startswith("unscored (") for line in prose.lines())
    assert prose.bits == 0.0


def check_unscored(outcome: ExplainOutcome, reason: str) -> None:
    for entry in entries(outcome, "self"):
        for name in ("r", "r_lo", "r_hi", "r_pos", "r_neg", "f1", "auprc", "rank", "behaviour"):
            assert entry[name] is None, name
        for name in ("r", "auprc", "rank", "behaviour"):
            assert reason in entry["unscored"][name]
        assert entry["tokens_scored"] == 0
        assert entry["verdict"] == "undecided"
        assert reason in entry["reason"]
    stored = open_run(outcome.run_path)
    own = {row["claim"] for row in stored.rows("claims") if row["explainer"] == "self"}
    for row in stored.rows("evidence"):
        if row["claim"] in own and row["check"] != "claim":
            assert row["value"] is None
            assert reason in row["unscored"]
    assert np.isnan(stored.tensors("test")["predictions"][sorted(own)]).all()
    assert [row for row in recompute(stored) if row.stored != row.recomputed] == []
    assert entries(outcome, "rules")[0]["r"] > 0.9


def test_a_run_goes_on_without_what_could_not_be_parsed(model: Planted, tmp_path: Path) -> None:
    found = run(model, MockJudge(HOSTILE["control"]), tmp_path, units="L1.mlp_act:0-1")
    check_unscored(found, "the reply has control characters")
    told = found.result["summary"]["self"]
    assert told["unscored_claims"] == 2
    assert list(told["unscored_replies"].values()) == [6]


def test_wrong_numbers_leave_the_claim_unscored(model: Planted, tmp_path: Path) -> None:
    def numbers(window: Sequence[str]) -> np.ndarray:
        return np.full((len(window), 10), np.nan, np.float32)

    found = run(model, MockJudge(listing, numbers=numbers), tmp_path, units="L1.mlp_act:0", behaviour=False)
    check_unscored(found, "NaN or infinite logits")


def test_windows_without_an_answer_are_counted_and_too_many_leave_it_undecided(model: Planted, tmp_path: Path) -> None:
    class Moody(MockJudge):
        def number_logits(self, opening: Any, windows: Any, said: Any = None) -> Any:
            found = super().number_logits(opening, windows, said)
            return [Unscored("in no mood") if " river" in w else f for w, f in zip(windows, found, strict=True)]

    found = run(model, Moody(listing, named), tmp_path, units="L1.mlp_act:0-2", behaviour=False)
    assert found.result["summary"]["self"]["unscored_stretches"]["in no mood"] > 10
    test = open_run(found.run_path).tensors("test")
    for entry in entries(found, "self"):
        assert 100 < entry["tokens_scored"] < 0.9 * test["sampled"].sum()
        assert entry["r"] > 0.3
        assert "too much unscored" in entry["reason"]


# alone, and by the subject itself


def test_self_alone_has_a_control_of_its_own_kind(model: Planted, tmp_path: Path) -> None:
    found = run(model, MockJudge(listing, named), tmp_path, units="L1.mlp_act:0", explainers=("self",), behaviour=False)
    stored = open_run(found.run_path)
    claims = stored.rows("claims")
    assert [(row["explainer"], row["role"]) for row in claims] == [("self", "claim"), ("self", "control")]
    assert claims[0]["text"] != claims[1]["text"]
    control = next(row for row in stored.rows("evidence") if row["claim"] == 1 and row["measure"] == "r")
    assert abs(control["value"]) < 0.3 < found.result["units"][0]["r"]
    assert all(row.stored == row.recomputed for row in recompute(stored))


def test_written_rules_need_rivals_that_can_be_executed() -> None:
    rules = RuleList((Rule((Condition("form", named="comma"),), 1.0),))
    with pytest.raises(UsageError, match="--written needs rules or lookup"):
        ExplainRequest(explainers=("self",), written={"L1.mlp_act:0": rules}).check()


def test_the_subject_is_its_own_judge(model: Planted, tmp_path: Path) -> None:
    """A model that can't speak: what it says can't be parsed, and the run says so."""
    found = run(model, None, tmp_path, units="L1.mlp_act:0", tokens=12_000, behaviour=False)
    told = found.result["summary"]["self"]
    assert told["judge"] == model.subject.name
    (entry,) = entries(found, "self")
    assert (entry["r"] is None) == (told["unscored_claims"] == 1)
    assert found.result["summary"]["verdicts"]["self"] == {entry["verdict"]: 1}
