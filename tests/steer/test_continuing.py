"""What is written: how it is told apart, and how likely and how repetitive it is, a text at a time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.fit.probes import make_probe
from assay.model import Subject
from assay.model.generate import generate, spelled
from assay.steer.bench import Bench
from assay.steer.classify import Classifier, classifier_of
from assay.steer.continuing import Borders, Writer, Written, borders, is_told
from assay.steer.kit import Kit
from assay.steer.placebos import Placebos
from assay.steer.request import SteerRequest
from assay.steer.script import Script
from assay.steer.treatment import Before, Push, Pushes, Told
from assay.steer.trial import Chosen, told, write
from assay.text.behaviours import Behaviour, load_behaviour
from steer import naive
from steer.warm import choosy, push, warm

ROWS = (1, 4, 9, 17)
TOKENS = 7


def ids_of(subject: Subject, text: str) -> list[int]:
    return subject.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_pattern_or_a_choice_or_words_tell() -> None:
    lists = warm(pattern=r"^\s*[-*] ")
    for text, expected in (("- one", True), ("so:\n  * two", True), ("one - two", False), ("", False)):
        assert is_told(lists, 0, text) is expected
    assert is_told(warm(pattern="sorry"), 0, "I am SORRY") is True
    first = choosy()
    assert is_told(first, 0, " flowers and lasting sunshine, always") is True
    assert is_told(first, 1, " flowers and lasting sunshine, always") is False
    assert is_told(first, 0, "flowers and lasting sunshine") is False
    words = warm()
    for text, expected in (
        (" Love, and a dream of history", True),
        (" love and business", False),
        (" lovely homes", False),
        (" HOME", True),
        ("", False),
    ):
        assert is_told(words, 0, text) is expected, text
    contracted = warm(more=("can't", "x", "y"))
    assert is_told(contracted, 0, "I can't") is True
    assert is_told(contracted, 0, "I can") is False


@pytest.mark.parametrize("name", ["plain", "pushed", "told"])
def test_what_is_written_is_drawn_by_the_treated_and_judged_by_the_untreated(ladder: Subject, name: str) -> None:
    treatment, dose = {
        "plain": (None, 0.0),
        "pushed": (push(1, ladder.d_model, 2, 3.0), 1.5),
        "told": (Told(Before("Write with a warm heart."), (Before("x"),)), 1.0),
    }[name]
    behaviour = warm()
    writer = Writer(Script(ladder, behaviour), ladder, TOKENS, seed=4)
    written = writer.write(ROWS, treatment, dose)
    front = "Write with a warm heart.\n" if name == "told" else ""
    prompts = [tuple(ids_of(ladder, front + behaviour.prompts[row])) for row in ROWS]
    if isinstance(treatment, Pushes):
        with treatment.applied(ladder, dose):
            said = generate(ladder, prompts, TOKENS, temperature=1.0, seed=4, numbers=ROWS)
    else:
        said = generate(ladder, prompts, TOKENS, temperature=1.0, seed=4, numbers=ROWS)
    assert written.texts == [spelled(ladder, ids) for ids in said]
    assert len(set(written.texts)) == len(ROWS)
    for place, row in enumerate(ROWS):
        plain = ids_of(ladder, behaviour.prompts[row])
        mean = naive.log_probability(ladder, plain, said[place]) / max(1, len(said[place]))
        assert written.likelihood[place] == pytest.approx(mean, abs=1e-3)
        pairs = list(pairwise(said[place]))
        assert written.repetition[place] == pytest.approx(1 - len(set(pairs)) / len(pairs) if pairs else 0)
    assert written.classified is None
    assert written.told.tolist() == [is_told(behaviour, row, t) for row, t in zip(ROWS, written.texts, strict=True)]


def test_words_are_counted_and_likeliest_are_greedy(ladder: Subject) -> None:
    behaviour = warm()
    more = [ids_of(ladder, f" {word}")[0] for word in behaviour.more]
    head = ladder.model.get_output_embeddings().weight
    up = (ladder.model.model.norm.weight * (head[more[2]] - head.mean(0))).detach().numpy()
    pushes = Pushes((Push(SiteId(1, "resid_post"), (up / np.linalg.norm(up)).astype(np.float32)),))
    writer = Writer(Script(ladder, behaviour), ladder, TOKENS)
    treated, plain = writer.write(ROWS, pushes, 300.0), writer.write(ROWS)
    assert treated.words.all()
    assert treated.told.all()
    assert not plain.words.all()
    assert treated.likelihood.mean() < plain.likelihood.mean() - 0.3
    assert treated.repetition.min() > plain.repetition.max()
    texts = [behaviour.prompts[row] for row in ROWS]
    greedy = writer.likeliest(texts, pushes, 3.0)
    added = [naive.Added(SiteId(1, "resid_post"), 3 * pushes.pushes[0].vector)]
    expected = [naive.generated(ladder, ids_of(ladder, text), TOKENS, added) for text in texts]
    assert greedy == [spelled(ladder, ids) for ids in expected]
    assert greedy != writer.likeliest(texts, None, 0.0)


def made_up(count: int = 40, classified: bool = True, seed: int = 0) -> Written:
    rng = np.random.default_rng(seed)
    return Written(
        [f"text {i}" for i in range(count)],
        rng.random(count) < 0.5,
        rng.standard_normal(count) if classified else None,
        rng.random(count) < 0.3,
        -3 + rng.standard_normal(count),
        rng.random(count) / 2,
    )


def test_borders_are_those_of_the_untreated_and_a_hit_is_within_them() -> None:
    plain, other = made_up(), made_up(60, seed=1)
    assert plain.classified is not None
    assert other.classified is not None
    found = borders(plain, warm())
    assert found == Borders(
        float(np.quantile(plain.likelihood, 0.025)),
        float(np.quantile(plain.repetition, 0.975)),
        float(np.quantile(plain.classified, 0.9, method="higher")),
    )
    assert 0 < (~found.coherent(plain)).sum() <= 3
    assert found.shows(plain).sum() == 3
    expected = [
        bool(k >= found.likelihood and r <= found.repetition)
        for k, r in zip(other.likelihood, other.repetition, strict=True)
    ]
    assert found.coherent(other).tolist() == expected
    numbers = told(other, found)
    shows = (other.classified > np.quantile(plain.classified, 0.9, method="higher")).tolist()
    assert numbers["shows"] == shows
    assert numbers["hits"] == [a and b for a, b in zip(shows, expected, strict=True)]
    for behaviour, written in ((warm(pattern="x"), plain), (choosy(), plain), (warm(), made_up(classified=False))):
        plainly = borders(written, behaviour)
        assert plainly.classified is None
        assert plainly.shows(other).tolist() == other.told.tolist()


_CLASSIFIED = tuple(
    (
        f"Dear {name}, I love you and hold you in my heart.",
        f"The number of the {name} stands in the report, column two.",
    )
    for name in "mother father sister brother cousin aunt uncle child king queen friend boy".split()
)


def _labels(count: int) -> list[int]:
    return [1] * count + [0] * count


def kit_of(ladder: Subject, **more: Any) -> Kit:
    rng = np.random.default_rng(1)
    windows = [rng.integers(1, 4000, 12).tolist() for _ in range(3)]
    return Kit(Script(ladder, warm(**more)), windows, ("A river.",))


def test_a_classifier_is_tried_on_pairs_that_it_did_not_learn_from(ladder: Subject) -> None:
    kit = kit_of(ladder, classified=_CLASSIFIED)
    made = Classifier(kit, ladder)
    assert made.accuracy > 0.9
    prompt, words = ids_of(ladder, "She said: "), "I love you, my dear heart. The report has a number.".split(".")
    said = [ids_of(ladder, words[0]), [], ids_of(ladder, words[1])]
    odds = made([prompt] * 3, said)
    assert odds[1] == -math.inf
    assert odds[0] > odds[2]
    longer = made([prompt] * 2, [said[2], said[0]])
    assert longer == pytest.approx(odds[[2, 0]], abs=1e-3)
    found = classifier_of(kit, ladder)
    assert found is not None
    assert found.accuracy == made.accuracy
    assert found.trusted
    assert classifier_of(kit_of(ladder, classified=_CLASSIFIED[:9]), ladder) is None


def test_a_classifier_that_is_no_better_than_chance_is_not_listened_to(ladder: Subject) -> None:
    """Half of the pairs are the other way round."""
    turned = tuple(pair if i % 2 else pair[::-1] for i, pair in enumerate(_CLASSIFIED))
    kit = kit_of(ladder, classified=turned)
    made, names = Classifier(kit, ladder), range(len(turned))
    texts = [[ids_of(ladder, pair[side]) for pair in turned] for side in (0, 1)]
    x = [[naive.residuals(ladder, ids, made.site)[1:].mean(0) for ids in side] for side in texts]

    def right(learnt: list[int], tried: list[int]) -> float:
        probe = make_probe("logistic").fit([x[side][i] for side in (0, 1) for i in learnt], _labels(len(learnt)))
        return float((probe.predict([x[side][i] for side in (0, 1) for i in tried]) == _labels(len(tried))).sum())

    folds = [([i for i in names if i % 5 != k], [i for i in names if i % 5 == k]) for k in range(5)]
    assert made.accuracy == pytest.approx(sum(right(*fold) for fold in folds) / (2 * len(turned)))
    assert made.accuracy < 0.6 < right([*names], [*names]) / (2 * len(turned))
    found = classifier_of(kit, ladder)
    assert found is not None
    assert not found.trusted
    told_of = found.describe()
    assert told_of["lo"] < told_of["accuracy"] < told_of["hi"]
    benches = [bench_of(ladder, warm(classified=pairs)) for pairs in (turned, _CLASSIFIED)]
    assert [one.shown_by for one in benches] == ["words", "classifier"]
    assert [one.written.classifier for one in benches] == [None, benches[1].classifier]


def bench_of(subject: Subject, behaviour: Behaviour) -> Bench:
    return Bench(subject, behaviour, SteerRequest(effort="smoke"), lambda message, share=None: None)


def test_vectors_of_placebos_write_side_by_side(bench: Bench) -> None:
    pushes, rows = push(1, bench.exact.d_model, 2, 3.0), bench.rows[1][:3]
    placebos = Placebos(22, lambda: bench.to_choose, lambda: bench.to_report, 0.5)
    found = write(Chosen(pushes, 1, 2.0, ()), bench.written, rows, bench.borders, placebos)
    assert np.shape(found["placebo_hits"]) == (22, 3)
    own = told(bench.written.write(rows, pushes, 2.0), bench.borders)
    of_placebos = {name: found[name] for name in ("placebo_hits", "placebo_texts")}
    assert found == own | of_placebos | {"rival_hits": None, "rival_texts": None}
    fake = told(bench.written.write(rows, placebos.of(pushes)[21], 2.0), bench.borders)
    assert (found["placebo_hits"][21], found["placebo_texts"][21]) == (fake["hits"], fake["texts"])
    none = Chosen(pushes, 1, None, ())
    assert (
        write(none, bench.written, rows, bench.borders, placebos)["texts"]
        == told(bench.written.write(rows, pushes, pushes.doses[0]), bench.borders)["texts"]
    )


def test_a_model_that_says_nothing_has_written_nothing(ladder: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "special_ids", frozenset(range(ladder.vocab_size)))
    written = Writer(Script(ladder, warm()), ladder, TOKENS).write(ROWS)
    assert written.texts == [""] * 4
    assert written.likelihood.tolist() == written.repetition.tolist() == [0.0] * 4


def test_of_several_continuations_of_a_prompt_its_share_of_hits_counts(bench: Bench) -> None:
    """Three lots of each prompt, the first of them that of a single one; a placebo's are counted as the claim's are."""
    pushes, rows = push(1, bench.exact.d_model, 2, 3.0), bench.rows[1][:4]
    placebos = Placebos(20, lambda: bench.to_choose, lambda: bench.to_report, 0.5)
    either = Borders(-9.0, 0.2, None)
    writer = Writer(bench.script, bench.subject, 6, draws=3)
    found = write(Chosen(pushes, 1, 1.0, ()), writer, rows, either, placebos)
    texts = np.reshape(found["texts"], (3, 4))
    assert texts[0].tolist() == Writer(bench.script, bench.subject, 6).write(rows, pushes, 1.0).texts
    assert len(set(found["texts"])) == 12
    shares = np.array(found["placebo_hits"])
    assert set(np.round(3 * shares.ravel(), 6)) <= {0, 1, 2, 3}
    for number, fake in enumerate(placebos.of(pushes)):
        hits = told(writer.write(rows, fake, 1.0), either)["hits"]
        assert shares[number] == pytest.approx(np.reshape(hits, (3, 4)).mean(0)), number
    assert 0 < np.mean(found["coherent"]) < 1


@pytest.mark.parametrize("draws", [1, 3])
def test_the_same_lots_are_drawn_whatever_the_treatment(bench: Bench, draws: int) -> None:
    """A vector of no length writes what the untreated model writes, as the claim and as any of the placebos."""
    rows = bench.rows[1][:4]
    nothing = Pushes((Push(SiteId(1, "resid_post"), np.zeros(bench.exact.d_model, np.float32)),))
    writer = Writer(bench.script, bench.subject, TOKENS, draws=draws)
    plain = writer.write(rows)
    assert writer.write(rows, nothing, 1.0).texts == plain.texts
    middle = Borders(float(np.median(plain.likelihood)), 1.0, None)
    with np.errstate(invalid="ignore"):
        fakes = Placebos(2, lambda: bench.to_choose, lambda: bench.to_report, 0.5).of(nothing)
        found = writer.hits(rows, fakes, 1.0, middle)
    assert found.hits.tolist() == [told(plain, middle)["hits"]] * 2


def test_texts_that_are_put_before_write_side_by_side_as_they_do_alone(bench: Bench) -> None:
    rows = bench.rows[1][:12]
    befores = tuple(Before(text) for text in ("A heart of love and light.", "x", "The garden."))
    fakes = [Told(before, befores) for before in befores]
    writer = Writer(Script(bench.exact, warm(pattern="e[rn]")), bench.exact, TOKENS)
    alone = [writer.write(rows, fake, 1.0) for fake in fakes]
    middle = Borders(float(np.quantile([one.likelihood for one in alone], 0.3)), 0.9, None)
    found = writer.hits(rows, fakes, 1.0, middle)
    assert found.hits.tolist() == [told(one, middle)["hits"] for one in alone]
    assert found.texts == [one.texts for one in alone]
    assert 0.1 < found.hits.mean() < np.mean([one.told for one in alone])
    with pytest.raises(UsageError, match="must all be vectors, or all be texts"):
        writer.hits(rows, [fakes[0], push(1, bench.exact.d_model, 2, 3.0)], 1.0, middle)


def test_nothing_is_left_in_force(ladder: Subject) -> None:
    ids = torch.tensor([ids_of(ladder, "The house was full")])
    before = ladder.logits(ids)
    Writer(Script(ladder, warm()), ladder, TOKENS).write(ROWS, push(0, ladder.d_model, 1, 3.0), 2.0)
    assert torch.equal(ladder.logits(ids), before)
    assert not ladder._board.in_use


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Safety: Ensure the bike is properly maintained and", True),
        ("Here are some tips:\n\n1. Keep the room dark", True),
        ("You need:\n- eggs\n", True),
        ("Sure!\n\n**1. Wash the", True),
        ("Step 1: Peel the potatoes", True),
        ("A good teacher is patient - and kind. 1. That", False),
        ("*A good teacher* is patient", False),
        ("1984 was a good year", False),
        ("In all, 10. It went on.\n12.", False),
    ],
)
def test_a_list_is_one_as_soon_as_it_has_begun(text: str, expected: bool) -> None:
    """Sixteen tokens, as many as are written, hold a second entry of hardly any list."""
    assert is_told(load_behaviour("lists"), 0, text) is expected
