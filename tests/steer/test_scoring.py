"""Log odds, divergence and likelihoods in batches, against whole passes over one text at a time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model import Subject
from assay.steer import scoring
from assay.steer.harm import Neutral, Window
from assay.steer.reading import Texts
from assay.steer.scoring import Scored, scored_words
from assay.steer.script import ASK, Script
from assay.steer.treatment import Before, Push, Pushes, Told, Treatment
from assay.text.behaviours import CHAT, REPLIES, REQUESTS, Behaviour
from model.tiny_models import count_hooks, tiny_model, tiny_tokenizer
from steer import naive
from steer.naive import Added
from steer.warm import choosy, push, vector, warm

ROWS = (0, 3, 7, 12, 30)
CLOSE = 3e-4  # nats, in fp32 with and without padding
TOLD = Told(Before("Write with a warm heart.", ("My dear aunt.",)), (Before("The river is long."),))
FRONT = "Write with a warm heart.\nMy dear aunt.\n"


def treatments(subject: Subject) -> dict[str, tuple[Pushes, float]]:
    """At a first and a later layer, so that texts are read whole and from where they were kept."""
    width = subject.d_model
    head = Push(SiteId(1, "head"), vector(width, 3, 2.0))
    front = Push(SiteId(0, "resid_post"), np.stack([vector(width, i, 1.0) for i in range(3)]))
    return {
        "low": (push(0, width, 1, 1.0), 0.8),
        "high": (push(1, width, 2, 2.0), -1.5),
        "heads": (Pushes((head, *push(1, width, 2, 2.0).pushes)), 1.0),
        "front": (Pushes((front,)), 2.0),
    }


def added(pushes: Pushes, dose: float) -> list[Added]:
    return [Added(one.site, np.float32(dose) * one.vector) for one in pushes.pushes]


def ids_of(subject: Subject, text: str) -> list[int]:
    return subject.tokenizer(text, add_special_tokens=False)["input_ids"]


def word_ids(subject: Subject, words: Sequence[str]) -> list[int]:
    rows = [ids_of(subject, f" {word}") for word in words]
    return [row[0] for row in rows if len(row) == 1]


def test_log_odds_of_words_are_those_of_each_prompt_alone(ladder: Subject) -> None:
    behaviour = warm()
    other = scored_words(ladder, warm(more=("man", "she", "people"), less=("day", "food", "story")))
    scored = Scored(Script(ladder, behaviour), ROWS, [other])
    sides = [word_ids(ladder, behaviour.more), word_ids(ladder, behaviour.less)]
    assert [len(side) for side in sides] == [6, 6]
    aside = [word_ids(ladder, ("man", "she", "people")), word_ids(ladder, ("day", "food", "story"))]
    prompts = [ids_of(ladder, behaviour.prompts[row]) for row in ROWS]
    assert len({len(ids) for ids in prompts}) > 1
    base = [naive.log_odds(ladder, ids, *sides) for ids in prompts]
    assert scored.base == pytest.approx(base, abs=CLOSE)
    assert np.ptp(base) > 0.3
    assert len(scored) == len(ROWS)
    for name, (pushes, dose) in treatments(ladder).items():
        treated = [naive.log_odds(ladder, ids, *sides, added(pushes, dose)) for ids in prompts]
        rises = scored.rises(pushes, dose)
        assert rises.shape == (2, len(ROWS))
        assert rises[0] == pytest.approx(np.subtract(treated, base), abs=2 * CLOSE), name
        assert np.abs(rises[0]).max() > 30 * CLOSE
        assert np.array_equal(scored.rise(pushes, dose), rises[0])
        moved = [
            naive.log_odds(ladder, ids, *aside, added(pushes, dose)) - naive.log_odds(ladder, ids, *aside)
            for ids in prompts
        ]
        assert rises[1] == pytest.approx(moved, abs=2 * CLOSE), name
    told = [naive.log_odds(ladder, ids_of(ladder, FRONT + behaviour.prompts[row]), *sides) for row in ROWS]
    assert scored.rise(TOLD, 1.0) == pytest.approx(np.subtract(told, base), abs=2 * CLOSE)
    assert np.abs(scored.rise(TOLD, 1.0)).max() > 0.1
    assert count_hooks(ladder) == 0


def test_log_odds_of_choices_are_those_of_all_their_tokens_one_text_at_a_time(ladder: Subject) -> None:
    behaviour = choosy()
    rows = (0, 1, 5, 10)
    scored = Scored(Script(ladder, behaviour), rows)
    lengths = [[len(ids_of(ladder, way)) for way in behaviour.choices[row]] for row in rows]
    assert all(one != other for one, other in lengths)
    assert min(map(min, lengths)) == 1
    assert max(map(max, lengths)) > 3

    def alone(front: str, more: Sequence[Added]) -> list[float]:
        found: list[float] = []
        for row in rows:
            prompt = ids_of(ladder, front + behaviour.prompts[row])
            one, other = (
                naive.log_probability(ladder, prompt, ids_of(ladder, way), more) for way in behaviour.choices[row]
            )
            found.append(one - other)
        return found

    base = alone("", [])
    assert scored.base == pytest.approx(base, abs=10 * CLOSE)
    for name, (pushes, dose) in treatments(ladder).items():
        rise = np.subtract(alone("", added(pushes, dose)), base)
        assert scored.rise(pushes, dose) == pytest.approx(rise, abs=10 * CLOSE), name
        assert np.abs(rise).max() > 0.05
    assert scored.rise(TOLD, 1.0) == pytest.approx(np.subtract(alone(FRONT, []), base), abs=10 * CLOSE)
    assert scored.rises(TOLD, 1.0).shape == (1, 4)


@pytest.mark.parametrize("where", ["prompt", "generated"])
def test_choices_are_what_comes_after_the_prompt(ladder: Subject, where: str) -> None:
    behaviour, rows = choosy(), (0, 1)
    scored = Scored(Script(ladder, behaviour), rows)
    pushes = push(0, ladder.d_model, 1, 1.0, where=where)
    expected: list[float] = []
    for row in rows:
        prompt = ids_of(ladder, behaviour.prompts[row])
        sums: list[float] = []
        for way in behaviour.choices[row]:
            said = ids_of(ladder, way)
            for more in ([], [Added(SiteId(0, "resid_post"), pushes.pushes[0].vector, where)]):
                every = naive.logits(ladder, [*prompt, *said], more, len(prompt)).log_softmax(-1)
                sums.append(sum(float(every[len(prompt) + i - 1, token]) for i, token in enumerate(said)))
        expected.append(sums[1] - sums[0] - sums[3] + sums[2])
    assert scored.rise(pushes, 1.0) == pytest.approx(expected, abs=10 * CLOSE)


@pytest.mark.parametrize("kind", ["low", "high", "heads", "front", "told", "choices"])
def test_treatments_side_by_side_do_what_each_does_alone(
    ladder: Subject, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """In several passes, over several batches; texts and choices one at a time."""
    behaviour = choosy(8) if kind == "choices" else warm()
    other = scored_words(ladder, warm(more=("man", "she", "people"), less=("day", "food", "story")))
    scored = Scored(Script(ladder, behaviour), ROWS[:3], [other])
    monkeypatch.setattr(scoring, "BATCH_TOKENS", 50)
    treatment, dose = (TOLD, 1.0) if kind == "told" else treatments(ladder)[kind if kind != "choices" else "low"]
    several = [treatment, *(treatment.placebo(seed) for seed in range(7))]
    alone = np.stack([scored.rises(one, dose) for one in several])
    passes: list[int] = []
    with ladder.edit(SiteId(1, "mlp_act"), lambda tensor: passes.append(len(tensor)) or tensor):
        together = scored.rises_each(several, dose)
    assert together.shape == (8, 1 if kind == "choices" else 2, 3)
    assert together == pytest.approx(alone, abs=CLOSE)
    assert np.abs(np.diff(alone[:, 0], axis=0)).max() > 30 * CLOSE
    if kind not in ("told", "choices"):
        assert len(passes) < len(several)
        assert sum(passes) == 3 * len(several)


@pytest.mark.parametrize("where", ["all", "prompt", "generated"])
def test_what_all_texts_begin_with_alike_is_read_once_and_changes_nothing(ladder: Subject, where: str) -> None:
    """As the message of a system stands before all; vectors act on it as on the rest, a front on it alone."""
    begins, rows = "In our small old town by the river, early in the year, ", (0, 1, 5, 8)
    behaviour = choosy()
    behaviour = replace(behaviour, prompts=tuple(begins + prompt.lower() for prompt in behaviour.prompts))
    scored = Scored(Script(ladder, behaviour), rows)
    shared = len(ids_of(ladder, begins.strip()))
    prompts = [ids_of(ladder, behaviour.prompts[row]) for row in rows]
    assert scored._texts(None).front == tuple(prompts[0][: shared + 1])  # and "the"
    for name, (pushes, dose) in treatments(ladder).items():
        pushes = replace(pushes, where=where)
        more = [one._replace(where=where) for one in added(pushes, dose)]
        expected: list[float] = []
        for row, prompt in zip(rows, prompts, strict=True):
            sums: list[float] = []
            for way in behaviour.choices[row]:
                said = ids_of(ladder, way)
                for treated in ([], more):
                    every = naive.logits(ladder, [*prompt, *said], treated, len(prompt)).log_softmax(-1)
                    sums.append(sum(float(every[len(prompt) + i - 1, token]) for i, token in enumerate(said)))
            expected.append(sums[1] - sums[0] - sums[3] + sums[2])
        assert scored.rise(pushes, dose) == pytest.approx(expected, abs=10 * CLOSE), name
        assert np.abs(expected).max() > 0.05
    read: list[int] = []
    with ladder.edit(SiteId(1, "resid_post"), lambda tensor: read.append(int(ladder.here().real.sum())) or tensor):
        scored.rise(push(1, ladder.d_model, 1, 1.0), 0.5)
    whole = sum(
        len(prompt) + len(ids_of(ladder, way))
        for row, prompt in zip(rows, prompts, strict=True)
        for way in behaviour.choices[row]
    )
    assert sum(read) < whole / 2


def test_a_vector_at_generated_tokens_has_an_effect_or_is_refused(ladder: Subject) -> None:
    scored = Scored(Script(ladder, warm()), ROWS)
    pushes = push(0, ladder.d_model, 1, 1.0, where="generated")
    with suppress(UsageError):
        assert np.abs(scored.rise(pushes, 3.0)).max() > 0


def test_reading_from_a_kept_layer_is_reading_whole(ladder: Subject) -> None:
    """Prepared or not, and whatever was asked before."""
    behaviour = warm()
    pushes, dose = treatments(ladder)["high"]
    fresh = Scored(Script(ladder, behaviour), ROWS)
    prepared = Scored(Script(ladder, behaviour), ROWS)
    prepared.prepare([1])
    prepared.rise(*treatments(ladder)["low"])
    assert np.array_equal(prepared.rise(pushes, dose), fresh.rise(pushes, dose))
    texts = Texts(ladder, [ids_of(ladder, text) for text in behaviour.prompts[:9]])
    whole = [hidden for _, hidden in texts.hidden()]
    none = Pushes((Push(SiteId(1, "resid_post"), np.zeros(ladder.d_model, np.float32)),))
    again = [hidden for _, hidden in texts.hidden(none, 1.0)]
    assert all(torch.equal(*two) for two in zip(whole, again, strict=True))
    assert np.array_equal(fresh.rise(none, 1.0), np.zeros(len(ROWS)))


def test_words_that_are_several_tokens_are_left_out_and_too_few_are_refused(ladder: Subject) -> None:
    more, less = scored_words(ladder, warm(more=("love", "sunflowers", "light", "home", "love"), less=warm().less))
    assert more.tolist() == sorted(word_ids(ladder, ("love", "light", "home")))
    assert less.tolist() == sorted(word_ids(ladder, warm().less))
    begins = scored_words(ladder, warm(style=CHAT, more=tuple("bcdef"), less=tuple("xyz")))
    assert begins[0].tolist() == sorted(ids_of(ladder, letter)[0] for letter in "bcdef")
    for behaviour, message in (
        (warm(more=("love", "sunflowers", "dandelions")), "1 of the 3 words in 'more' of the concept warm are one tok"),
        (warm(less=("love", "light", "home")), "'more' and 'less' of the concept warm share a word; take it out of on"),
    ):
        with pytest.raises(UsageError) as error:
            scored_words(ladder, behaviour)
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)


def test_how_likely_tokens_are_is_read_one_text_at_a_time(ladder: Subject) -> None:
    """Places that are not in order, none in one text, many in another; texts go into several batches."""
    rng = np.random.default_rng(3)
    ids = [tuple(rng.integers(1, 4000, n).tolist()) for n in (30, 3, 700 // 4, 9, 400, 500)]
    places = [[29, 1, 7], [2], [5, 6], [], list(range(1, 400)), list(range(1, 500, 3))]
    texts = Texts(ladder, ids)
    assert len(texts.batches) > 1
    pushes, dose = treatments(ladder)["high"]
    for treatment, strength, more in ((None, 0.0, []), (pushes, dose, added(pushes, dose))):
        said = texts.said(places, treatment, strength, every=True)
        rows: list[int] = []
        came: list[float] = []
        whole: list[torch.Tensor] = []
        for row, wanted in enumerate(places):
            every = naive.logits(ladder, ids[row], more).float().log_softmax(-1)
            for place in wanted:
                rows.append(row)
                came.append(float(every[place - 1, ids[row][place]]))
                whole.append(every[place - 1])
        assert said.rows.tolist() == rows
        assert said.came.numpy() == pytest.approx(came, abs=CLOSE)
        assert said.every is not None
        assert float((said.every - torch.stack(whole)).abs().max()) < 3 * CLOSE
        plain = texts.said(places, treatment, strength)
        assert plain.every is None
        assert torch.equal(plain.came, said.came)


def test_no_place_at_all_is_no_number(ladder: Subject) -> None:
    said = Texts(ladder, [(5, 6), (7,)]).said([[], []])
    assert said.came.tolist() == []


def some_windows(count: int = 5) -> list[Window]:
    rng = np.random.default_rng(6)
    lengths = rng.integers(12, 25, count)
    return [
        Window(f"corpus {i % 2}", f"d{i // 2}", tuple(rng.integers(1, 4000, n).tolist())) for i, n in enumerate(lengths)
    ]


def naive_harm(
    subject: Subject, windows: Sequence[Window], before: list[int], more: Sequence[Added]
) -> tuple[list[float], list[float]]:
    """KL and loss at every second token from the eighth on, a window and a token at a time."""
    kl: list[float] = []
    loss: list[float] = []
    for window in windows:
        plain = naive.logits(subject, window.ids).double().log_softmax(-1)
        treated = naive.logits(subject, [*before, *window.ids], more).double().log_softmax(-1)[len(before) :]
        for place in range(7, len(window.ids) - 1, 2):
            p, q = plain[place], treated[place]
            kl.append(float((p.exp() * (p - q)).sum()))
            loss.append(float(p[window.ids[place + 1]] - q[window.ids[place + 1]]))
    return kl, loss


def test_harm_is_that_of_a_plain_loop_over_windows_and_tokens(ladder: Subject) -> None:
    windows = some_windows()
    neutral = Neutral(Script(ladder, warm()), windows)
    cases: list[tuple[Treatment, float, list[int], list[Added]]] = [
        (pushes, dose, [], added(pushes, dose)) for pushes, dose in treatments(ladder).values()
    ]
    cases.append((TOLD, 1.0, ids_of(ladder, FRONT), []))
    for treatment, dose, before, more in cases:
        harm = neutral.harm(treatment, dose)
        kl, loss = naive_harm(ladder, windows, before, more)
        assert harm.kl == pytest.approx(kl, abs=CLOSE)
        assert harm.loss == pytest.approx(loss, abs=CLOSE)
        assert np.mean(kl) > 10 * CLOSE
    none = neutral.harm(Told(Before(), ()), 1.0)
    assert not none.kl.any()
    assert not none.loss.any()


def test_documents_and_corpora_stand_beside_each_scored_token(ladder: Subject) -> None:
    windows = some_windows(7)
    neutral = Neutral(Script(ladder, warm()), windows)
    told = [(w.corpus, f"{w.corpus} {w.document}") for w in windows for _ in range(7, len(w.ids) - 1, 2)]
    assert neutral.corpora.tolist() == [corpus for corpus, _ in told]
    assert neutral.documents.tolist() == [document for _, document in told]
    assert len(neutral.harm(*treatments(ladder)["low"]).kl) == len(told)
    assert len({len(w.ids) for w in windows}) > 3  # so that their order in batches is another


def marked(chat: bool = False) -> Subject:
    """A model whose tokenizer begins every text with a token, and has a chat template."""
    tokenizer = copy.deepcopy(tiny_tokenizer())
    begin = TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    tokenizer.backend_tokenizer.post_processor = begin
    if chat:
        tokenizer.chat_template = (
            "{{ '<s>' }}{% for m in messages %}{{ m.role[0] + '.' + m.content + '</s>' }}{% endfor %}{{ 'a.' }}"
        )
    return Subject.from_hf(tiny_model("llama"), tokenizer, name="marked")


def tiny_behaviour(**more: Any) -> Behaviour:
    letters: dict[str, Any] = {
        "pairs": (("he is on", "in the tea"), ("on the one", "an")),
        "prompts": ("the tea", "on a train in"),
        "actadd": ("he", "a b"),
        "instruction": "be on",
        "more": tuple("kqz"),
        "less": tuple("fgw"),
    }
    return warm(**(letters | more))


def test_a_token_that_begins_texts_stands_before_everything_once() -> None:
    subject = marked()
    script = Script(subject, tiny_behaviour())
    rows = [ids_of(subject, text) for text in ("the tea", "be on\nthe tea", "be on\n")]
    assert script.prompts(["the tea"]) == [(0, *rows[0])]
    assert script.prompts(["the tea"], Before("be on")) == [(0, *rows[1])]
    [read] = script.read(["the tea"])
    assert read == ((0, *rows[0]), 1)
    assert script.neutral((5, 6), None) == ((0, 5, 6), 1)
    assert script.neutral((5, 6), Before("be on")) == ((0, *rows[2], 5, 6), 1 + len(rows[2]))
    assert script.going_on(" on") == ids_of(subject, " on")
    neutral = Neutral(script, some_windows_of(50))
    pushes = push(1, 32, 3, 6.0)
    kl: list[float] = []
    both = ([], added(pushes, 1.0))
    for window in neutral.windows:
        plain, treated = (naive.logits(subject, [0, *window.ids], more).double().log_softmax(-1) for more in both)
        kl += [float((p.exp() * (p - q)).sum()) for p, q in zip(plain[8:-1:2], treated[8:-1:2], strict=True)]
    assert neutral.harm(pushes, 1.0).kl == pytest.approx(kl, abs=CLOSE)


def some_windows_of(vocabulary: int) -> list[Window]:
    rng = np.random.default_rng(6)
    return [Window("c", f"{i}", tuple(rng.integers(2, vocabulary, 14 + i).tolist())) for i in range(3)]


def test_requests_and_replies_stand_in_the_chat_template() -> None:
    subject = marked(chat=True)

    def ids(text: str) -> list[int]:
        return ids_of(subject, text)

    def user(text: str) -> list[int]:
        return [0, *ids("u."), *ids(text), 1]

    told = Before("be on", ("he is", "an"))
    script = Script(subject, tiny_behaviour(style=CHAT))
    assert script.prompts(["the tea"]) == [(*user("the tea"), *ids("a."))]
    turns = [ids("u."), ids(ASK), [1], ids("a.")]
    shown = [token for example in ("he is", "an") for part in (*turns, ids(example), [1]) for token in part]
    expected = [0, *ids("s."), *ids("be on"), 1, *shown, *ids("u."), *ids("the tea"), 1, *ids("a.")]
    assert script.prompts(["the tea"], told) == [tuple(expected)]
    [read] = Script(subject, tiny_behaviour(style=CHAT, of=REQUESTS)).read(["the tea"])
    assert read.ids == tuple([*user("the tea"), *ids("a.")])
    assert read.begins == len(read.ids) - 1  # where the reply would begin
    [reply] = Script(subject, tiny_behaviour(style=CHAT, of=REPLIES)).read(["he is on"])
    assert list(reply.ids[reply.begins :]) == ids("he is on")
    assert list(reply.ids[: reply.begins]) == [*user(ASK), *ids("a.")]
    assert script.neutral((5, 6), told).ids == (0, *ids("be on\nhe is\nan\n"), 5, 6)


def test_without_a_template_turns_stand_one_after_the_other(ladder: Subject) -> None:
    script = Script(ladder, warm(style=CHAT))
    [plain] = script.prompts(["Tell me."])
    assert ladder.tokenizer.decode(plain) == "Tell me.\n\n"
    [told] = script.prompts(["Tell me."], Before("Be warm.", ("Yes.",)))
    assert ladder.tokenizer.decode(told) == f"Be warm.\n\n{ASK}\n\nYes.\n\nTell me.\n\n"
