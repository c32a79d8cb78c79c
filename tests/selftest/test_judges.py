"""Judges of known quality come out as they are: one that knows, one that says the same of all, one that is silent."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from assay.cli.app import run as run_command
from assay.cli.selftest_judge import judge_parts
from assay.errors import UnknownName, UsageError
from assay.explain.speaking import make_simulator
from assay.judge import Judge, Unscored
from assay.rules import RuleList, View
from assay.selftest.bench import Bench
from assay.selftest.judges import Listener, draw_sample, judge_results, simulator_result, weighted_r
from assay.selftest.request import SelftestRequest
from assay.testing import MockJudge
from assay.testing.gallery import Exhibit
from assay.testing.gallery_language import VOCABULARY
from assay.testing.judges import rated
from selftest.conftest import quiet

WEEKDAYS, MONTHS = 0, 1  # exhibits that the token alone decides


@pytest.fixture(scope="module")
def exhibits(bench: Bench) -> list[Exhibit]:
    return [bench.gallery.exhibits[i] for i in (WEEKDAYS, MONTHS)]


@pytest.fixture(scope="module")
def knows(bench: Bench) -> Callable[[str, str], int]:
    """What somebody says who knows the language: of a sentence and a token, whether the token alone fits it."""
    meant: dict[str, RuleList] = {}
    for exhibit in bench.gallery.exhibits:
        meant |= {said.sentence: said.rules for said in (exhibit.told, *exhibit.decoys.values()) if said.rules}
    texts = list(VOCABULARY)

    def says(sentence: str, token: str) -> int:
        rules = next((rules for known, rules in meant.items() if known in sentence), None)
        if rules is None or token not in texts:
            return 0
        said = float(rules.predict(View(np.array([[texts.index(token)]], dtype=np.int32), texts))[0])
        return int(np.clip(round(4 + 4 * np.sign(said)), 0, 9)) if said else 4

    return says


def writes(question: str) -> str:
    """The truth about the two units, told apart by what stands in their texts."""
    return (
        "It fires on the days of the week."
        if "<<Monday>>" in question.replace(" ", "")
        else "It fires on the names of months."
    )


def tried(bench: Bench, judge: Judge, exhibits: list[Exhibit]) -> dict:
    return judge_results(bench, judge, make_simulator(None, judge), exhibits, quiet)


def test_one_that_knows_tells_the_truth_from_every_decoy(
    bench: Bench, exhibits: list[Exhibit], knows: Callable[[str, str], int]
) -> None:
    found = tried(bench, MockJudge(writes, knows), exhibits)
    simulator, explainer = found["simulator"], found["explainer"]
    assert simulator["r"] > 0.95
    assert simulator["r_perfect"] > 0.99
    assert simulator["pairs"] == simulator["beaten"] == sum(row["pairs"] for row in simulator["by_decoy"].values()) > 8
    assert simulator["truth_above_decoys"] == 1
    assert simulator["units_unscored"] == 0
    assert [one["said"] for one in explainer["sentences"]] == [e.told.sentence for e in exhibits]
    assert explainer["above_truth"] == 0
    assert explainer["r"] == simulator["r"]
    assert explainer["above_null"] > 0.9


def test_one_that_says_the_same_of_all_is_at_chance_and_called_useless(bench: Bench, exhibits: list[Exhibit]) -> None:
    found = tried(bench, MockJudge("It fires on any word.", lambda sentence, token: 5), exhibits)
    assert found["simulator"]["r"] == found["simulator"]["r_null"] == 0
    assert found["simulator"]["beaten"] == 0
    assert found["explainer"]["r"] == found["explainer"]["above_null"] == 0
    found["simulator"] |= {"truth_above_decoys_lo": 0.41, "truth_above_decoys_hi": 0.6}
    said = " ".join(str(part) for part in judge_parts(found))
    assert "is not shown to be above chance" in said
    assert "this does not say how good its sentences are" in said
    found["simulator"] |= {"truth_above_decoys_lo": 0.51}
    assert "not shown" not in " ".join(str(part) for part in judge_parts(found))


def test_one_that_is_silent_is_unscored_with_its_reason(bench: Bench, exhibits: list[Exhibit]) -> None:
    class Silent:
        name = "silent"

        def write(self, prompts: list, sampling: object) -> list:
            return [[Unscored("the line is dead")] for _ in prompts]

    found = tried(bench, Silent(), exhibits)
    simulator, explainer = found["simulator"], found["explainer"]
    assert simulator["name"] == "written"
    assert simulator["r"] is simulator["truth_above_decoys"] is explainer["r"] is None
    assert simulator["units_unscored"] == 2
    assert set(simulator["unscored"]) == {"the line is dead"}
    assert explainer["sentences"] == []
    assert all("the line is dead" in reason for reason in explainer["unscored"])
    said = " ".join(str(part) for part in judge_parts(found))
    assert "no unit could be scored" in said
    assert "unscored 2 times" in said
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_judge_of_text_alone_is_asked_for_numbers_in_writing(
    bench: Bench, exhibits: list[Exhibit], knows: Callable[[str, str], int]
) -> None:
    class Writer:
        name = "writer"

        def write(self, prompts: list, sampling: object) -> list:
            questions = [prompt[-1].text for prompt in prompts]
            return [[rated(q, knows)] if "The sentence:" in q else [writes(q)] for q in questions]

    test, listener = bench.parts["test"], Listener(make_simulator(None, Writer()), bench.parts["test"])
    heard: dict[Exhibit, dict[str, float]] = {}
    for exhibit in exhibits:
        real = bench.activations["test"][:, exhibit.unit.number]
        sample = draw_sample(test, real, bench.firing_level(exhibit), 0)
        said = {"truth": exhibit.told, **exhibit.decoys}
        heard[exhibit] = {kind: listener.r(one.sentence, sample, real) for kind, one in said.items()}
    found = simulator_result(heard, 0)
    assert found["r"] > 0.95
    assert found["beaten"] == found["pairs"]


def test_a_sample_stands_for_the_whole_split(bench: Bench, exhibits: list[Exhibit]) -> None:
    test = bench.parts["test"]
    real = bench.activations["test"][:, exhibits[0].unit.number]
    level = bench.firing_level(exhibits[0])
    sample = draw_sample(test, real, level, 3)
    assert len(sample.places) == len(sample.weights) <= 48
    pieces = sum(-(-int(n) // 16) for n in test.table.lengths)
    assert sample.weights.sum() == pytest.approx(pieces)
    fires = np.array([bool((test.scored[at] & (real[at] > level)).any()) for at in sample.places])
    assert 0 < fires.sum() <= 24
    assert (~fires).sum() == 24
    assert (sample.weights[fires].max()) < sample.weights[~fires].min()
    for place in sample.places:
        assert len(set(test.table.flat_windows[place])) == 1
        assert test.table.flat_positions[place[0]] % 16 == 0


def test_a_weighted_r_is_that_of_tokens_that_come_as_often() -> None:
    rng = np.random.default_rng(0)
    p, a = rng.standard_normal((2, 40)).astype(np.float32)
    times = rng.integers(1, 6, 40)
    naive = np.corrcoef(np.repeat(p, times), np.repeat(a, times))[0, 1]
    assert weighted_r(p, a, times.astype(float)) == pytest.approx(naive, abs=1e-6)
    assert weighted_r(np.ones(40, np.float32), a, times.astype(float)) == 0


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (SelftestRequest(simulator="written"), UsageError, "go with --judge"),
        (SelftestRequest(max_judge_calls=3), UsageError, "go with --judge"),
        (SelftestRequest(judge="x", simulator="writen"), UnknownName, "did you mean 'written'"),
    ],
)
def test_what_goes_with_a_judge_needs_one(request_: SelftestRequest, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        request_.check()


def test_a_judge_that_is_not_there_is_refused_before_anything_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    assert run_command(["selftest", "--judge", "no-such-model", "--out", str(tmp_path)]) == 2
    assert "no-such-model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
