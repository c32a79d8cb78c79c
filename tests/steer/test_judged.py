"""A judge of what is written: planted ones who know, say yes to all, find no sense, or don't answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.errors import UsageError
from assay.findings import writing
from assay.findings.carried import ConceptOutcome
from assay.judge import RemoteJudge
from assay.judge.exchange import read_recording
from assay.judge.steered import Rating
from assay.model import Subject
from assay.referee import judge_check
from assay.stats.bootstrap import document_weights
from assay.steer import request as requests
from assay.steer.bench import Bench
from assay.steer.experiment import steer
from assay.steer.rater import Rater, in_disorder, known_pairs
from assay.steer.rates import ratings
from assay.steer.request import SteerRequest
from assay.store import open_run
from assay.testing import MockJudge, serve
from assay.text.behaviours import Behaviour, load_behaviour
from steer.test_trial import setting
from steer.warm import choosy, warm

Says = Callable[[str], str]
TRIED = ("mean_diff", "random")
_WARM = ("love", "light", "home", "friend", "family", "dream", "dear", "heart")
_CLASSIFIED = tuple(
    (f"Dear {name}, you are in my heart.", f"The {name} is in column two of the report.")
    for name in "mother father sister brother cousin aunt uncle child king queen friend boy".split()
)


def behaviour() -> Behaviour:
    return warm(classified=_CLASSIFIED)


@pytest.fixture(scope="module", autouse=True)
def _little() -> Iterator[None]:
    small = requests.EFFORTS["smoke"]._replace(windows=2, tokens=6, replicates=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "EFFORTS", {**requests.EFFORTS, "smoke": small})
        for name in ("figure_json", "figure_svg"):
            patch.setattr(writing, name, lambda result: "{}")
        yield


def asked(out: Path, **more: Any) -> SteerRequest:
    plain = {"model": "ladder-2-0", "effort": "smoke", "methods": TRIED, "layers": (1,), "doses": (0.4,)}
    return SteerRequest(**{**plain, "out": str(out), **more})


def shown(question: str) -> str:
    return question.split("What the model wrote:\n", 1)[1].split("\n\nGive two ratings", 1)[0]


def warmth(text: str) -> int:
    return min(2, sum(text.lower().count(word) for word in _WARM))


@pytest.fixture(scope="module")
def usual(ladder: Subject) -> list[str]:
    """What the untreated model writes at the prompts that are chosen on."""
    bench = Bench(ladder, behaviour(), SteerRequest(effort="smoke"), lambda message, share=None: None)
    return bench.usual.texts


@pytest.fixture(scope="module")
def knowing(usual: list[str]) -> Says:
    """Counts warm words, and knows the usual texts that were put into disorder."""
    jumbled = {" ".join(sorted(text.split())) for text in usual}

    def reply(question: str) -> str:
        text = shown(question)
        disorder = text not in usual and " ".join(sorted(text.split())) in jumbled
        return f"behaviour: {warmth(text)}\nsense: {0 if disorder else 2}"

    return reply


@pytest.fixture(scope="module")
def done(ladder: Subject, knowing: Says, tmp_path_factory: pytest.TempPathFactory) -> ConceptOutcome:
    request = asked(tmp_path_factory.mktemp("runs"))
    return steer(request, subject=ladder, behaviour=behaviour(), judge=MockJudge(knowing))


def part(outcome: ConceptOutcome, name: str) -> Any:
    return json.loads(open_run(outcome.run_path).file(f"parts/{name}.json").read_text(encoding="utf-8"))


def test_what_a_judge_gives_stands_beside_what_it_gives_to_placebos(done: ConceptOutcome) -> None:
    result = done.result
    for row in result["results"]:
        wrote, plain = part(done, f"{row['method']}-writes"), part(done, "untreated")
        given = [Rating(warmth(text), 2).score for text in wrote["texts"]]
        fakes = [np.mean([Rating(warmth(text), 2).score for text in one]) for one in wrote["placebo_texts"]]
        assert len(fakes) == 20
        [found] = [
            one
            for one in result["findings"]
            if one["measure"] == "rating, 0 to 2" and one["claim"].startswith(row["method"])
        ]
        assert found["value"] == row["rating"] == pytest.approx(np.mean(given))
        assert found["nulls"]["random"] == row["rating_null"] == pytest.approx(max(fakes))
        untreated = np.mean([Rating(warmth(text), 2).score for text in plain["texts"]])
        assert found["nulls"]["untreated"] == pytest.approx(untreated)
        assert row["rated_behaviour"] == pytest.approx(np.mean([warmth(text) for text in wrote["texts"]]))
        assert (row["rated_sense"], row["unrated"]) == (2, 0)
    mean_diff, random = result["results"]
    assert mean_diff["rating"] > random["rating"]
    told = result["summary"]["judge"]
    assert (told["name"], told["prompt"], told["account"], told["unscored"]) == ("mock", "steered@1", None, {})
    assert told["watched"]["behaviour"]["value"] == told["watched"]["sense"]["value"] == 1.0
    assert told["watched"]["behaviour"]["pairs"] == 20
    assert told["watched"]["reason"] == ""
    [note] = [note for note in result["notes"] if "The judge" in note]
    assert "more behaviour in the right one of 20 known pairs in 1.00 [0.84 1.00]" in note
    [table] = [table for table in result["tables"] if table["title"] == "What a judge gives, 0 to 2"]
    assert [row[0] for row in table["rows"]] == [*TRIED, "untreated"]


def test_a_judge_is_asked_what_it_knows_first_and_never_what_was_done(
    ladder: Subject, knowing: Says, done: ConceptOutcome, tmp_path: Path
) -> None:
    """A mock that keeps what it is asked; with an instruction, of which nothing is to be seen."""
    judge = MockJudge(knowing)
    steer(asked(tmp_path, methods=("prompt",)), subject=ladder, behaviour=behaviour(), judge=judge)
    pairs = [text for pair in (*_CLASSIFIED, *warm().pairs) for text in pair]
    assert [shown(question) for question in judge.asked[: len(pairs)]] == pairs
    assert all("before it:\n(nothing)\n" in question for question in judge.asked[: len(pairs)])
    assert not any(behaviour().instruction in question for question in judge.asked)
    untreated = part(done, "untreated")["texts"]
    first = next(i for i, question in enumerate(judge.asked) if shown(question) == untreated[0])
    assert [shown(question) for question in judge.asked[first : first + len(untreated)]] == untreated


@pytest.mark.parametrize(
    ("says", "reason", "questions"),
    [
        (
            lambda text: "behaviour: 2\nsense: 2",
            "it finds more behaviour in the right one of 20 known pairs in 0.50",
            40,
        ),
        (lambda text: f"behaviour: {2 - warmth(text)}\nsense: 2", "20 known pairs in 0.00 [0.00 0.16] of them", 40),
        (
            lambda text: f"behaviour: {warmth(text)}\nsense: 2",
            "more sense in the right one of 26 known pairs in 0.50",
            None,
        ),
        (lambda text: "no idea", "20 of 20 pairs that show how well it tells behaviour stay unscored", 40),
    ],
)
def test_one_who_does_not_know_is_not_listened_to(
    usual: list[str], says: Says, reason: str, questions: int | None
) -> None:
    judge = MockJudge(lambda question: says(shown(question)))
    texts = [("The house", text) for text in usual * 2]
    found = watched(judge, behaviour(), texts)
    assert reason in found["reason"]
    assert len(judge.asked) == (questions or 40 + 2 * found["sense"]["pairs"])


def watched(judge: MockJudge, of: Behaviour, texts: list[tuple[str, str]]) -> dict[str, Any]:
    return Rater(judge, of, lambda name, make: make()).watched(texts, [], 0)


def test_a_concept_that_shows_too_little_is_not_judged(usual: list[str]) -> None:
    judge = MockJudge("behaviour: 2\nsense: 2")
    found = watched(judge, warm(), [("", text) for text in usual])
    assert found == {"reason": "8 pairs of texts show how well it tells behaviour; 10 must"}
    assert judge.asked == []
    knows = MockJudge(lambda question: f"behaviour: {warmth(shown(question))}\nsense: 2")
    found = watched(knows, behaviour(), [("", text) for text in usual[:5]])
    assert "pairs of texts show how well it tells sense; 10 must" in found["reason"]
    assert len(knows.asked) == 40


def test_who_is_not_listened_to_says_nothing_of_a_method(ladder: Subject, tmp_path: Path) -> None:
    judge = MockJudge("behaviour: 2\nsense: 2")
    outcome = steer(asked(tmp_path), subject=ladder, behaviour=behaviour(), judge=judge)
    reason = "it finds more behaviour in the right one of 20 known pairs in 0.50 [0.30 0.70] of them"
    [one] = [one for one in outcome.result["findings"] if one["measure"] == "rating, 0 to 2"]
    assert (one["verdict"], one["value"]) == (None, None)
    assert one["unscored"].startswith(f"the judge: {reason}")
    assert any(f"It is not listened to: {reason}" in note for note in outcome.result["notes"])
    assert all("rating" not in row and row["verdict"] for row in outcome.result["results"])
    assert len(judge.asked) == 40


def test_known_pairs_are_ways_to_go_on_or_texts_as_they_were_written() -> None:
    one = choosy(12)
    assert known_pairs(one, [0, 3]) == [
        ((one.prompts[0], " flowers and lasting sunshine"), (one.prompts[0], " paper")),
        ((one.prompts[3], " sweet songs"), (one.prompts[3], " old unpaid invoices")),
    ]
    lists = load_behaviour("lists")
    (before, more), (same, less) = known_pairs(lists, [])[0]
    assert before == same == "Please answer."
    assert (more, less) == lists.classified[0]
    for name in ("refusal", "truth"):
        got = load_behaviour(name)
        assert len(known_pairs(got, range(24))) == 24
    asking = warm(of="requests", style="chat", classified=_CLASSIFIED)
    assert known_pairs(asking, range(20)) == []


def test_words_are_put_into_another_order() -> None:
    texts = [("a", "one two three four five"), ("b", "so so so so"), ("c", "too few words"), ("d", "x x x y")]
    found = in_disorder(texts, 3)
    assert [pair[0] for pair in found] == [texts[0], texts[3]]
    for (before, text), (same, other) in found:
        assert before == same
        assert other != text
        assert sorted(other.split()) == sorted(text.split())
    assert in_disorder(texts, 3) == found
    assert in_disorder(texts, 4) != found


def rated(scores: np.ndarray) -> list[list[int] | None]:
    """Of 0 to 2 for the behaviour; all make sense."""
    return [None if np.isnan(value) else [int(value), 2] for value in scores.ravel()]


def test_ratings_are_means_of_prompts_over_what_is_rated() -> None:
    rng = np.random.default_rng(2)
    own, plain = rng.integers(1, 3, (3, 24)).astype(float), rng.integers(0, 2, (3, 24)).astype(float)
    drawn = rng.integers(0, 2, (20, 3, 24)).astype(float)
    own[0, 4] = drawn[3, 1, 5] = np.nan
    drawn[7, :, 6] = np.nan  # a placebo has nothing at one prompt
    heard = {"own": rated(own), "placebos": [rated(one) for one in drawn], "rival": None}
    found = ratings(heard, rated(plain), 24, setting())
    assert not isinstance(found, str)
    score = np.array([0, 4 / 3, 2, np.nan])

    def by_prompt(values: np.ndarray) -> np.ndarray:
        return np.nanmean(score[np.where(np.isnan(values), 3, values).astype(int)], axis=0)

    mine, weights = by_prompt(own), document_weights(24, 400, 0) / 24
    assert found.score.value == pytest.approx(mine.mean())
    assert found.score.replicates == pytest.approx(weights @ mine)
    means = [by_prompt(one) for i, one in enumerate(drawn) if i != 7]
    part = by_prompt(np.delete(drawn[7], 6, axis=1))
    assert found.nulls["random"].value == pytest.approx(max([one.mean() for one in means] + [part.mean()]))
    some = np.delete(weights, 6, axis=1)
    resampled = np.column_stack([weights @ np.transpose(means), some @ part / some.sum(1)])
    assert found.nulls["random"].replicates == pytest.approx(resampled.max(1))
    assert found.nulls["untreated"].value == pytest.approx(by_prompt(plain).mean())
    verdict = judge_check({0: found.check}, {}).claims[0]
    assert verdict.verdict == "supported"
    assert verdict.d == pytest.approx(found.score.value - found.nulls["random"].value)  # on a scale to 2
    rival = ratings(heard | {"rival": rated(own)}, rated(plain), 24, setting())
    assert not isinstance(rival, str)
    assert rival.nulls["trained on either side"].value == pytest.approx(mine.mean())


def test_too_much_that_is_unscored_is_no_rating() -> None:
    full, none = np.ones((20, 24)), np.full(24, np.nan)
    some = np.ones(24)
    some[:2] = np.nan
    for own, placebos, plain, reason in (
        (some, full, np.ones(24), "2 of 24 continuations (own) have no rating"),
        (np.ones(24), full, some, "2 of 24 continuations (untreated) have no rating"),
        (np.ones(24), np.vstack([full[1:], none]), np.ones(24), "24 of 480 continuations (placebos) have no rating"),
    ):
        heard = {"own": rated(own), "placebos": [rated(one) for one in placebos], "rival": None}
        assert ratings(heard, rated(plain), 24, setting()) == reason


def test_a_finding_without_enough_ratings_is_unscored(
    ladder: Subject, knowing: Says, done: ConceptOutcome, tmp_path: Path
) -> None:
    """The judge knows the pairs, and then falls silent at what the treated model writes."""
    known = 40 + 2 * done.result["summary"]["judge"]["watched"]["sense"]["pairs"]
    count = 0

    def tires(question: str) -> str:
        nonlocal count
        count += 1
        return knowing(question) if count <= known + 20 else ""

    outcome = steer(asked(tmp_path), subject=ladder, behaviour=behaviour(), judge=MockJudge(tires))
    ratings_ = [one for one in outcome.result["findings"] if one["measure"] == "rating, 0 to 2"]
    assert len(ratings_) == 2
    for one in ratings_:
        assert one["value"] is None
        assert one["unscored"].endswith("continuations (own) have no rating")
    assert outcome.result["results"][0]["rating"] is None
    assert outcome.result["results"][0]["unrated"] == 20
    assert sum(outcome.result["summary"]["judge"]["unscored"].values()) > 400


def test_an_endpoint_is_recorded_and_can_be_replayed(
    ladder: Subject, knowing: Says, done: ConceptOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was broken off asks for nothing twice, and its recording is whole."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))

    def broken(message: str, share: float | None = None) -> None:
        if message == "random: writing":
            raise KeyboardInterrupt

    with serve(lambda body: knowing(body["messages"][-1]["content"])) as stub:
        request = asked(tmp_path / "runs", judge=f"{stub.url}#m")
        with pytest.raises(KeyboardInterrupt):
            steer(request, broken, subject=ladder, behaviour=behaviour())
        before = len(stub.asked)
        whole = steer(request, subject=ladder, behaviour=behaviour())
        questions = len(stub.asked)
    account = whole.result["summary"]["judge"]["account"]
    assert whole.result["summary"]["taken_up"]
    assert (account["calls"], account["kept"]) == (questions - before, before)
    assert whole.result["results"] == done.result["results"]
    _, replies = read_recording(whole.run_path / "judge.jsonl")
    assert len(replies) == questions
    replayed = asked(tmp_path / "again", judge=f"replay:{whole.run_path / 'judge.jsonl'}")
    again = steer(replayed, subject=ladder, behaviour=behaviour())
    assert again.result["results"] == done.result["results"]
    assert again.result["summary"]["judge"]["account"]["calls"] == 0


def test_a_run_with_a_judge_that_runs_here_goes_on_where_it_was(
    ladder: Subject, knowing: Says, done: ConceptOutcome, tmp_path: Path
) -> None:
    def broken(message: str, share: float | None = None) -> None:
        if message == "random: writing":
            raise KeyboardInterrupt

    first, then = MockJudge(knowing), MockJudge(knowing)
    with pytest.raises(KeyboardInterrupt):
        steer(asked(tmp_path), broken, subject=ladder, behaviour=behaviour(), judge=first)
    again = steer(asked(tmp_path), subject=ladder, behaviour=behaviour(), judge=then)
    assert again.result["results"] == done.result["results"]
    assert len(then.asked) <= 20  # of `random`, whose placebos are those of the mean difference
    assert len(first.asked) > 400


def test_the_most_questions_are_those_of_a_judge(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--max-judge-calls is of a judge; name one by --judge"):
        steer(asked(tmp_path, max_judge_calls=3))
    with pytest.raises(UsageError, match="--experiment silence takes no --judge; leave it out"):
        steer(asked(tmp_path, experiment="silence", doses=None, judge="x.toml"))


def test_who_rates_behind_an_endpoint_keeps_nothing_but_its_replies() -> None:
    kept: dict[str, Any] = {}

    def keep(name: str, make: Callable[[], Any]) -> Any:
        return kept.setdefault(name, make())

    for judge in (MockJudge("x"), RemoteJudge("r", None, {})):
        Rater(judge, warm(), keep).part(judge.name, lambda: 1)
    assert kept == {"mock": 1}
