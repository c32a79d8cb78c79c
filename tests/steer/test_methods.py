"""How treatments are made, against what is read one text at a time, and on activations that are planted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError
from assay.fit.lora import adapters
from assay.fit.probes import make_probe
from assay.model import Subject
from assay.steer.kit import Kit
from assay.steer.methods import METHODS, actadd, arithmetic, iti, lora, make, neuron
from assay.steer.preflight import agreement
from assay.steer.script import Read, Script
from assay.steer.treatment import DOSES, Before, Pushes, Told, Tuned
from assay.text.behaviours import REPLIES, REQUESTS, Behaviour
from model.tiny_models import count_hooks, tiny
from steer import naive
from steer.warm import choosy, warm

OTHERS = ("The river is long.", "A door was left open.", "Seven boats came in.")
POST = [SiteId(layer, "resid_post") for layer in (0, 1)]


def some_windows(count: int = 6, vocabulary: int = 4000) -> list[list[int]]:
    rng = np.random.default_rng(2)
    return [rng.integers(1, vocabulary, 12 + i).tolist() for i in range(count)]


def kit_of(subject: Subject, behaviour: Behaviour | None = None, **more: Any) -> Kit:
    return Kit(Script(subject, behaviour or warm()), some_windows(), OTHERS, **more)


def ids_of(subject: Subject, text: str) -> list[int]:
    return subject.tokenizer(text, add_special_tokens=False)["input_ids"]


def naive_pairs(subject: Subject, behaviour: Behaviour, site: SiteId, position: str) -> np.ndarray:
    """(2n, width) a text at a time; the first token is left out of the mean."""
    rows: list[np.ndarray] = []
    for side in (0, 1):
        for pair in behaviour.pairs:
            at = naive.residuals(subject, ids_of(subject, pair[side]), site)
            rows.append(at[-1] if position == "last" else at[1:].mean(0))
    return np.stack(rows)


def naive_length(subject: Subject, layer: int) -> float:
    site = SiteId(layer, "resid_post")
    norms = [np.linalg.norm(naive.residuals(subject, ids, site), axis=1)[4:] for ids in some_windows()]
    return float(np.median(np.concatenate(norms)))


def only(pushes: Any) -> np.ndarray:
    assert isinstance(pushes, Pushes)
    (one,) = pushes.pushes
    return one.vector.astype(np.float64)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


# What methods are made of


@pytest.mark.parametrize("position", ["mean", "last"])
@pytest.mark.parametrize("site", [*POST, SiteId(1, "head")], ids=str)
def test_pairs_are_read_as_one_text_at_a_time(ladder: Subject, site: SiteId, position: str) -> None:
    kit = kit_of(ladder, position=position)
    assert kit.pairs(site) == pytest.approx(naive_pairs(ladder, warm(), site, position), abs=1e-4)
    kit.read(POST)
    assert kit.pairs(POST[0]) == pytest.approx(naive_pairs(ladder, warm(), POST[0], position), abs=1e-4)


def test_means_are_over_a_text_from_where_it_begins(ladder: Subject) -> None:
    rng = np.random.default_rng(0)
    texts = [Read(tuple(rng.integers(1, 4000, n).tolist()), first) for n, first in ((9, 0), (5, 3), (1, 0), (7, 6))]
    found = kit_of(ladder).means(texts, POST)
    for site in POST:
        every = [naive.residuals(ladder, text.ids, site) for text in texts]
        expected = [every[0][1:].mean(0), every[1][3:].mean(0), every[2][0], every[3][6]]
        assert found[site] == pytest.approx(np.stack(expected), abs=1e-4)
    last = kit_of(ladder).means(texts, POST[:1], "last")[POST[0]]
    assert last == pytest.approx(np.stack([naive.residuals(ladder, t.ids, POST[0])[-1] for t in texts]), abs=1e-4)


def test_the_length_is_the_median_over_neutral_text_but_for_the_first_tokens(ladder: Subject) -> None:
    kit = kit_of(ladder)
    kit.measure([1])
    assert kit.length(1) == pytest.approx(naive_length(ladder, 1), rel=1e-5)
    assert kit.length(0) == pytest.approx(naive_length(ladder, 0), rel=1e-5)
    assert kit.length(0) != pytest.approx(kit.length(1), rel=0.01)


def test_a_dose_of_one_adds_the_median_length(ladder: Subject) -> None:
    kit, rng = kit_of(ladder, where="prompt"), np.random.default_rng(1)
    drawn = rng.standard_normal(ladder.d_model)
    pushes = kit.push(1, 7 * drawn)
    assert only(pushes) == pytest.approx(kit.length(1) * unit(drawn), rel=1e-4, abs=1e-6)
    assert (pushes.where, pushes.doses, pushes.pushes[0].site) == ("prompt", DOSES, POST[1])
    assert not only(kit.push(1, np.zeros(ladder.d_model))).any()
    front = rng.standard_normal((3, ladder.d_model))
    front[1] = 0
    lengths = np.linalg.norm(only(kit.push(0, front)), axis=1)
    assert lengths[1] == 0
    assert np.sqrt((lengths[0] ** 2 + lengths[2] ** 2) / 2) == pytest.approx(kit.length(0), rel=1e-5)
    assert lengths[0] / lengths[2] == pytest.approx(np.linalg.norm(front[0]) / np.linalg.norm(front[2]), rel=1e-5)


def test_meaningless_texts_stand_in_for_instructions_and_for_examples(ladder: Subject) -> None:
    kit = kit_of(ladder)
    assert kit.meaningless() == tuple(Before(text) for text in OTHERS)
    assert kit.meaningless(2) == tuple(Before("", (OTHERS[i], OTHERS[(i + 1) % 3])) for i in range(3))
    with pytest.raises(UnknownName, match="unknown position 'first'"):
        kit_of(ladder, position="first")


# Methods


@pytest.mark.parametrize("position", ["mean", "last"])
def test_mean_diff_is_the_difference_of_the_means(ladder: Subject, position: str) -> None:
    kit = kit_of(ladder, position=position)
    for site in POST:
        x = naive_pairs(ladder, warm(), site, position)
        expected = naive_length(ladder, site.layer) * unit(x[:8].mean(0) - x[8:].mean(0))
        assert only(make("mean_diff", kit, site.layer)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.module == "probes"])
def test_directions_of_probes_point_to_the_texts_with_the_behaviour(ladder: Subject, name: str) -> None:
    kit = kit_of(ladder, seed=3)
    x = naive_pairs(ladder, warm(), POST[1], "mean").astype(np.float32)
    probe = make_probe(name, 3).fit(x, np.array([1] * 8 + [0] * 8), np.array([*range(8), *range(8)]))
    found = unit(only(make(name, kit, 1)))
    assert found @ unit(probe.coef_[0]) > 0.99
    assert (x[:8].mean(0) - x[8:].mean(0)) @ found > 0


def test_two_prompts_differ_token_by_token(ladder: Subject) -> None:
    long, short = "We flew into outer space", "I walked"
    [space], [line] = ids_of(ladder, " "), ids_of(ladder, "\n")
    rows = [[line, *ids_of(ladder, long)], [line, *ids_of(ladder, short)]]  # at the first token of all nothing is read
    assert len(rows[0]) > len(rows[1]) + 1
    for prompts, sign in (((long, short), 1), ((short, long), -1)):
        padded = rows[1] + [space] * (len(rows[0]) - len(rows[1]))
        expected = naive.residuals(ladder, rows[0], POST[1]) - naive.residuals(ladder, padded, POST[1])
        found = actadd.difference(ladder, prompts, 1)
        assert found.shape == (len(rows[0]), ladder.d_model)
        assert found == pytest.approx(sign * expected, abs=1e-4)
    with pytest.raises(UsageError) as error:
        actadd.difference(ladder, (long, short), 1, pad=False)
    assert str(error.value) == (
        f"the prompts {long!r} and {short!r} have {len(rows[0]) - 1} and {len(rows[1]) - 1} tokens; "
        "give two of one length, or let the shorter be padded"
    )
    assert actadd.difference(ladder, ("I love", "I made"), 0, pad=False).shape == (3, ladder.d_model)
    for same in ((short, short), (short, short + " ")):
        with pytest.raises(UsageError, match="are the same tokens; give two that differ"):
            actadd.difference(ladder, same, 1)
    behaviour = warm(actadd=(long, short))
    pushes = make("actadd", kit_of(ladder, behaviour), 1)
    difference = actadd.difference(ladder, (long, short), 1)
    assert isinstance(pushes, Pushes)
    assert pushes.doses == actadd.DOSES
    ratio = only(pushes) / np.where(difference == 0, 1, difference)
    assert ratio[difference != 0] == pytest.approx(np.full((difference != 0).sum(), ratio.max()), rel=1e-4)
    with pytest.raises(UsageError, match="give two of one length"):
        make("actadd", kit_of(ladder, behaviour, pad=False), 1)


def test_what_two_words_share_is_set_to_zero() -> None:
    plus = np.array([2.0, -3.0, 1.0, -1.0, 0.0, 5.0, 0.0])
    minus = np.array([1.0, -9.0, -4.0, 2.0, 3.0, 0.0, 0.0])
    assert arithmetic.without_shared(plus, minus).tolist() == [0, 0, 5, -3, -3, 5, 0]


def test_a_word_is_what_sentences_have_more_of_from_it_on(ladder: Subject) -> None:
    kit = kit_of(ladder)

    def mean(word: str) -> np.ndarray:
        found: list[np.ndarray] = []
        for carrier in arithmetic.CARRIERS:
            rows = [ids_of(ladder, carrier.replace("{}", one)) for one in (word, *arithmetic.OTHERS)]
            first = next(place for place, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1)
            assert first > 0
            found.append(naive.residuals(ladder, rows[0], POST[0])[first:].mean(0))
        return np.mean(found, 0)

    others = np.mean([mean(word) for word in arithmetic.OTHERS], 0)
    plus, minus = mean("warm") - others, mean("cold") - others
    assert arithmetic.word_vector(kit, "warm", 0) == pytest.approx(plus, abs=1e-3)
    expected = naive_length(ladder, 0) * unit(np.where(plus * minus > 0, 0, plus - minus))
    assert only(make("arithmetic", kit, 0)) == pytest.approx(expected, abs=0.02)


def planted(kit: Kit, site: SiteId, gaps: np.ndarray, seed: int = 0, noise: float = 1.0) -> np.ndarray:
    """Pairs at a site, of which the first is by ``gaps`` (n, width) above the second, behind noise that both share."""
    shared = noise * np.random.default_rng(seed).standard_normal(gaps.shape)
    kit._pairs[site] = np.concatenate([shared + gaps, shared]).astype(np.float32)
    return kit._pairs[site].astype(np.float64)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_neuron_with_the_planted_gap_is_found_and_turned_its_way(ladder: Subject, sign: float) -> None:
    kit, site = kit_of(ladder), SiteId(1, "mlp_act")
    width, at = ladder.width(site), 37
    gaps = np.random.default_rng(4).standard_normal((40, width))
    gaps[:, 5] *= 100  # a large difference that is as often the other way round
    gaps[:, 5] += 20
    gaps[:, at] = sign * (0.3 + 0.01 * gaps[:, at])
    planted(kit, site, gaps)
    unit_id, turned = neuron.best_neuron(kit, 1)
    assert (unit_id.site, unit_id.index, turned) == (site, at, sign)
    writes = ladder.model.model.layers[1].mlp.down_proj.weight[:, at].double().numpy()
    expected = sign * kit.length(1) * unit(writes)
    assert only(make("neuron", kit, 1)) == pytest.approx(expected, abs=1e-4)


def test_a_neuron_behind_a_norm_is_refused() -> None:
    subject = tiny("olmo2")
    kit = Kit(Script(subject, warm()), some_windows(2, 50), OTHERS)
    with pytest.raises(UsageError, match=r"in tiny olmo2 a norm stands between .* leave out the method neuron"):
        make("neuron", kit, 0)


def planted_heads(kit: Kit, layer: int, number: int, pairs: int = 40) -> np.ndarray:
    """(2n, d_head) slices of the head that tells all pairs apart, along one direction; in the others there is noise."""
    subject = kit.subject
    rng = np.random.default_rng(9)
    size = subject.width(SiteId(0, "head")) // subject.n_heads
    for at in range(subject.n_layers):
        gaps = rng.standard_normal((pairs, subject.width(SiteId(at, "head"))))
        if at == layer:
            own = slice(number * size, (number + 1) * size)
            gaps[:, own] = 0.2 * gaps[:, own] + 2 * unit(np.arange(1.0, size + 1))
        x = planted(kit, SiteId(at, "head"), gaps, seed=at)
    x = kit._pairs[SiteId(layer, "head")].astype(np.float64)
    return x[:, number * size : (number + 1) * size]


def test_the_planted_head_comes_first_with_its_direction_and_spread(ladder: Subject) -> None:
    kit = kit_of(ladder, where="generated")
    layer, number = 1, ladder.n_heads - 2
    x = planted_heads(kit, layer, number)
    heads = iti.ranked_heads(kit)
    assert len(heads) == ladder.n_layers * ladder.n_heads
    assert (heads[0].layer, heads[0].number) == (layer, number)
    gaps = x[:40] - x[40:]
    mean = unit(gaps.mean(0))
    assert mean @ unit(np.arange(1.0, x.shape[1] + 1)) > 0.99
    assert heads[0].vector == pytest.approx((x @ mean).std() * mean, rel=1e-5)
    assert heads[0].accuracy == pytest.approx(1.0, abs=2e-3)
    assert sorted((h.accuracy for h in heads), reverse=True) == [h.accuracy for h in heads]
    pushes = make("iti", kit, 0)
    assert isinstance(pushes, Pushes)
    assert [push.site for push in pushes.pushes] == [SiteId(layer, "head")]
    size = x.shape[1]
    wanted = np.zeros(ladder.width(SiteId(layer, "head")))
    wanted[number * size : (number + 1) * size] = heads[0].vector
    assert pushes.pushes[0].vector == pytest.approx(wanted, rel=1e-5)
    assert (pushes.where, pushes.doses) == ("generated", iti.ALPHAS)


def test_a_head_is_right_about_pairs_that_it_did_not_learn_from(ladder: Subject) -> None:
    kit = kit_of(ladder)
    planted_heads(kit, 0, 1)
    size = ladder.width(SiteId(0, "head")) // ladder.n_heads
    for head in iti.ranked_heads(kit):
        x = kit.pairs(SiteId(head.layer, "head")).astype(np.float64)[:, head.number * size : (head.number + 1) * size]
        gaps = x[:40] - x[40:]
        right = 0
        for pair in range(40):
            learnt = [gaps[i] for i in range(40) if i % 2 != pair % 2]
            right += int(gaps[pair] @ np.mean(learnt, 0) > 0)
        assert head.accuracy == pytest.approx(right / 40, abs=1.1e-3)
        assert 0.1 < right / 40 <= 1


def test_as_many_heads_as_were_published_are_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert round(iti.SHARE * 32 * 32) == 48
    subject = tiny("llama")
    kit = Kit(Script(subject, warm()), some_windows(2, 50), OTHERS)
    best = [
        iti.Head(layer, number, 1.0, 1.0, np.full(8, layer + 1.0)) for layer, number in ((2, 3), (0, 1), (2, 0), (1, 2))
    ]
    monkeypatch.setattr(iti, "ranked_heads", lambda kit: best)
    monkeypatch.setattr(iti, "SHARE", 3 / 12)
    pushes = make("iti", kit, 0)
    assert isinstance(pushes, Pushes)
    assert [push.site.layer for push in pushes.pushes] == [0, 2]
    low, high = (push.vector.reshape(4, 8).any(1).tolist() for push in pushes.pushes)
    assert low == [False, True, False, False]
    assert high == [True, False, False, True]
    assert pushes.start == 0


def text_loss(subject: Subject, texts: Sequence[str]) -> float:
    """Mean over all tokens but the first of each text, nats."""
    losses: list[float] = []
    for text in texts:
        ids = ids_of(subject, text)
        likely = subject.logits(torch.tensor([ids]))[0].log_softmax(-1)
        losses += [-float(likely[i, ids[i + 1]]) for i in range(len(ids) - 1)]
    return float(np.mean(losses))


def test_a_finetune_is_what_its_adapters_did_and_learns_the_texts(
    ladder: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = torch.tensor([ids_of(ladder, text)[:4] for text in ("The house was full of", "She walked to the river")])
    before, state = ladder.logits(ids), {name: p.clone() for name, p in ladder.model.state_dict().items()}
    seen: list[torch.Tensor] = []

    @contextmanager
    def watched(*asked: Any) -> Iterator[Any]:
        with adapters(*asked) as found:
            yield found
            seen.append(ladder.logits(ids).detach())

    monkeypatch.setattr(lora, "adapters", watched)
    tuned = make("lora", kit_of(ladder, steps=0.5), 0)
    assert isinstance(tuned, Tuned)
    assert (tuned.start, tuned.signed, tuned.before) == (0, True, None)
    assert torch.equal(ladder.logits(ids), before)
    with tuned.applied(ladder, 1.0):
        assert ladder.logits(ids) == pytest.approx(seen[0], abs=1e-4)
        learnt = text_loss(ladder, [pair[0] for pair in warm().pairs])
    assert (seen[0] - before).abs().max() > 0.05
    assert learnt < text_loss(ladder, [pair[0] for pair in warm().pairs]) - 0.5
    with tuned.applied(ladder, -1.0):
        assert text_loss(ladder, [pair[0] for pair in warm().pairs]) > learnt + 0.5
    with tuned.applied(ladder, 0.0):
        assert ladder.logits(ids) == pytest.approx(before, abs=1e-6)
    assert torch.equal(ladder.logits(ids), before)
    assert all(torch.equal(state[name], p) for name, p in ladder.model.state_dict().items())
    assert {len(down) for _, down in tuned.updates.values()} == {lora.RANK}
    layers = ladder.model.model.layers
    assert len(tuned.updates) == sum(isinstance(m, torch.nn.Linear) for m in layers.modules())
    assert count_hooks(ladder) == 0
    rival = tuned.rival
    assert rival is not None
    assert (rival.rival, tuned.placebo(0).rival) == (None, None)
    dry = [pair[1] for pair in warm().pairs]
    with rival.applied(ladder, 1.0):
        assert ladder.logits(ids) == pytest.approx(seen[1], abs=1e-4)
        taught = text_loss(ladder, dry)
    with tuned.applied(ladder, 1.0):
        assert taught < text_loss(ladder, dry) - 0.3
    again = make("lora", kit_of(ladder, steps=0.5), 0)
    other = make("lora", kit_of(ladder, steps=0.5, seed=1), 0)
    assert isinstance(again, Tuned)
    assert isinstance(other, Tuned)
    assert all(torch.equal(u, again.updates[path][0]) for path, (u, _) in tuned.updates.items())
    assert not any(torch.equal(u, other.updates[path][0]) for path, (u, _) in tuned.updates.items())


def test_only_what_stands_behind_the_beginning_is_learnt(ladder: Subject) -> None:
    rng = np.random.default_rng(3)
    rows, begins = [rng.integers(1, 4000, n).tolist() for n in (9, 6, 4)], [4, 0, 1]
    ids, mask = torch.zeros(3, 9, dtype=torch.long), torch.zeros(3, 9, dtype=torch.long)
    losses: list[float] = []
    for row, one in enumerate(rows):
        ids[row, : len(one)], mask[row, : len(one)] = torch.tensor(one), 1
        likely = naive.logits(ladder, one).log_softmax(-1)
        losses += [-float(likely[i - 1, one[i]]) for i in range(max(begins[row], 1), len(one))]
    assert float(lora._loss(ladder, ids, mask, begins)) == pytest.approx(np.mean(losses), abs=1e-4)


def test_what_is_said_or_shown_is_put_before(ladder: Subject) -> None:
    kit = kit_of(ladder)
    assert make("prompt", kit, 0) == Told(Before(warm().instruction), kit.meaningless())
    shown = tuple(pair[0] for pair in warm().pairs[:4])
    assert make("few_shot", kit, 0) == Told(Before("", shown), kit.meaningless(4))
    few = warm(pairs=warm().pairs[:2])
    assert make("few_shot", kit_of(ladder, few), 0) == Told(Before("", shown[:2]), kit.meaningless(2))
    requests = kit_of(ladder, warm(of=REQUESTS))
    for name, message in (("few_shot", "none can be shown"), ("lora", "none can be learnt")):
        with pytest.raises(UsageError, match=f"the concept warm has requests and no replies, so {message}"):
            make(name, requests, 0)
    replies = kit_of(ladder, warm(of=REPLIES))
    assert make("few_shot", replies, 0) == Told(Before("", shown), kit.meaningless(4))


def test_a_random_direction_is_its_seeds_and_its_layers(ladder: Subject) -> None:
    one, same, above = (only(make("random", kit_of(ladder, seed=2), layer)) for layer in (0, 0, 1))
    other = only(make("random", kit_of(ladder, seed=3), 0))
    assert np.array_equal(one, same)
    assert abs(unit(one) @ unit(above)) < 0.5
    assert abs(unit(one) @ unit(other)) < 0.5


def test_an_unknown_method_is_one_line(ladder: Subject) -> None:
    with pytest.raises(UnknownName, match="unknown method 'mean_dif'; did you mean 'mean_diff'"):
        make("mean_dif", kit_of(ladder), 0)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_a_treatment_that_does_something(ladder: Subject, name: str) -> None:
    treatment = make(name, kit_of(ladder, steps=0.1), 1)
    ids = torch.tensor([ids_of(ladder, "The house was full")])
    before = ladder.logits(ids)
    with treatment.applied(ladder, (treatment.doses or (1.0,))[-1]):
        changed = not torch.equal(ladder.logits(ids), before)
    assert changed == (treatment.before is None)
    assert list(treatment.doses) == sorted(set(treatment.doses))
    assert name == "lora" or treatment.placebo(0).size == treatment.size
    assert torch.equal(ladder.logits(ids), before)


# Whether pairs agree


def test_agreement_is_the_mean_cosine_of_two_pairs(ladder: Subject) -> None:
    kit = kit_of(ladder)
    rng = np.random.default_rng(5)
    gaps = rng.standard_normal((7, ladder.d_model)) * rng.uniform(0.1, 9, (7, 1)) + 0.6
    planted(kit, POST[1], gaps)
    x = kit.pairs(POST[1]).astype(np.float64)
    gaps = x[:7] - x[7:]
    cosines = [unit(gaps[i]) @ unit(gaps[j]) for i in range(7) for j in range(7) if i < j]
    found = agreement(kit, 1)
    assert found is not None
    assert found.value == pytest.approx(np.mean(cosines), abs=1e-9)
    assert found.lo < found.value < found.hi
    signs = np.random.default_rng(8).choice([-1, 1], (400, 7))
    couples = [(i, j) for i in range(7) for j in range(7) if i < j]
    flipped = [np.mean([s[i] * s[j] * (unit(gaps[i]) @ unit(gaps[j])) for i, j in couples]) for s in signs]
    assert found.null == pytest.approx(np.quantile(flipped, 0.95), abs=0.05)
    planted(kit, POST[0], np.repeat(gaps[:1], 5, 0), noise=0.0)
    same = agreement(kit, 0)
    assert same is not None
    assert same.value == pytest.approx(1.0, abs=1e-6)
    noise = np.random.default_rng(9).standard_normal((24, ladder.d_model))
    planted(kit, POST[0], noise, noise=0.0)
    none = agreement(kit, 0)
    assert none is not None
    assert abs(none.value) < 0.03
    planted(kit, POST[0], gaps[:1])
    assert agreement(kit, 0) is None


def test_choices_change_nothing_of_what_is_learnt(ladder: Subject) -> None:
    one, other = (only(make("mean_diff", kit_of(ladder, b), 1)) for b in (warm(), choosy()))
    assert np.array_equal(one, other)
