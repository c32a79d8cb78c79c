"""Vectors in force, against raw hooks that add them at exactly the tokens meant, one prompt at a time, uncached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError
from assay.model import Subject
from assay.model.generate import generate
from assay.steer.holding import held
from assay.steer.many import Many
from assay.steer.treatment import WHERE, Before, Push, Pushes, Told, Treatment, Tuned
from model.tiny_models import VOCAB, count_hooks, tiny, token_batch
from steer import naive
from steer.naive import Added
from steer.warm import push, vector

LENGTHS = (9, 1, 4, 6, 2)
TOKENS = 5
NAMES = ("llama", "gpt2", "gemma3_text")
DOSE = 3.0


@pytest.fixture(params=NAMES)
def subject(request: pytest.FixtureRequest) -> Subject:
    return tiny(request.param, torch.float64)


def some_prompts(lengths: Sequence[int] = LENGTHS) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(8)
    return [tuple(rng.integers(2, VOCAB, n).tolist()) for n in lengths]


def drawn_matrix(rows: int, columns: int, seed: int = 2) -> torch.Tensor:
    return torch.randn((rows, columns), generator=torch.Generator().manual_seed(seed))


def factors(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return matrix, torch.eye(matrix.shape[1])


def added(pushes: Pushes, dose: float) -> list[Added]:
    """What a raw hook is to add; the product is rounded as float32 is."""
    return [Added(one.site, one.vector * np.float32(dose), pushes.where) for one in pushes.pushes]


def front(width: int, length: int = 3, seed: int = 4) -> np.ndarray:
    return np.stack([vector(width, seed + i, 2.0 + i) for i in range(length)])


def treatments(subject: Subject) -> dict[str, Pushes]:
    width = subject.d_model
    heads = subject.width(SiteId(1, "head"))
    two = (
        Push(SiteId(0, "resid_post"), vector(width, 1, 4.0)),
        Push(SiteId(2, "resid_post"), vector(width, 2, 4.0)),
    )
    mixed = (Push(SiteId(1, "head"), vector(heads, 3, 6.0)), Push(SiteId(1, "resid_post"), vector(width, 4, 4.0)))
    found = {f"one, {where}": push(1, width, 7, 5.0, where=where) for where in WHERE}
    found |= {f"two sites, {where}": Pushes(two, where) for where in ("all", "generated")}
    found |= {f"a head site, {where}": Pushes(mixed, where) for where in ("all", "prompt")}
    found["front"] = Pushes((Push(SiteId(0, "resid_post"), front(width)),), "all")
    found["front and all"] = Pushes((Push(SiteId(0, "resid_post"), front(width)), two[1]), "all")
    return found


def test_steered_text_is_that_of_raw_hooks_at_exactly_these_tokens(subject: Subject) -> None:
    """Batches of two, padded on the left, with keys and values kept; the prompts are shorter and longer than fronts."""
    prompts = some_prompts()
    plain = [naive.generated(subject, prompt, TOKENS) for prompt in prompts]
    for name, pushes in treatments(subject).items():
        expected = [naive.generated(subject, prompt, TOKENS, added(pushes, DOSE)) for prompt in prompts]
        with pushes.applied(subject, DOSE):
            assert generate(subject, prompts, TOKENS, at_once=2) == expected, name
        assert expected != plain, name
    assert count_hooks(subject) == 0


def test_steered_logits_are_those_of_raw_hooks_whatever_the_padding(subject: Subject) -> None:
    ids, mask = token_batch("left", (7, 3, 1))
    for name, pushes in treatments(subject).items():
        for side in ("left", "right"):
            ids, mask = token_batch(side, (7, 3, 1))
            with pushes.applied(subject, 0.7):
                found = subject.logits(ids, mask)
            for row in range(3):
                real = mask[row].bool()
                alone = naive.logits(subject, ids[row, real].tolist(), added(pushes, 0.7))
                assert found[row, real] == pytest.approx(alone, abs=1e-9), (name, side, row)


def test_a_front_stays_in_the_prompt(subject: Subject) -> None:
    """Of a prompt of one token only the first vector is added, and none where the model goes on."""
    pushes = Pushes((Push(SiteId(1, "resid_post"), front(subject.d_model, 4)),), "generated")
    one = Pushes((Push(SiteId(1, "resid_post"), front(subject.d_model, 4)[:1]),))
    [prompt] = some_prompts((1,))
    with pushes.applied(subject, 5.0):
        said = generate(subject, [prompt], TOKENS)
    with one.applied(subject, 5.0):
        assert said == generate(subject, [prompt], TOKENS)
    assert said == [naive.generated(subject, prompt, TOKENS, added(pushes, 5.0))]


def test_a_dose_below_zero_and_none(subject: Subject) -> None:
    prompts = some_prompts((4, 2))
    pushes = push(1, subject.d_model, 7, 5.0)
    expected = [naive.generated(subject, prompt, TOKENS, added(pushes, -2.0)) for prompt in prompts]
    with pushes.applied(subject, -2.0):
        assert generate(subject, prompts, TOKENS) == expected
    with pushes.scaled(-2.0).applied(subject, 1.0):
        assert generate(subject, prompts, TOKENS) == expected
    with pushes.applied(subject, 0.0):
        assert generate(subject, prompts, TOKENS) == [naive.generated(subject, p, TOKENS) for p in prompts]


@pytest.mark.parametrize("where", [*WHERE, "front"])
def test_many_side_by_side_are_each_alone(subject: Subject, where: str) -> None:
    prompts = some_prompts((5, 1, 3))
    width = subject.d_model
    some: list[Pushes] = []
    for seed in range(4):
        drawn = front(width, 2, 10 * seed) if where == "front" else vector(width, seed, 4.0)
        other = Push(SiteId(2, "resid_post"), vector(width, 20 + seed, 3.0))
        where_to = "all" if where == "front" else where
        some.append(Pushes((Push(SiteId(0, "resid_post"), drawn), other), where_to))
    alone: list[list[int]] = []
    for one in some:
        with one.applied(subject, 1.5):
            alone += generate(subject, prompts, TOKENS)
    many = Many(tuple(some), len(prompts))
    with many.applied(subject, 1.5):
        assert generate(subject, prompts * 4, TOKENS, at_once=5) == alone
    assert alone[:3] == [naive.generated(subject, p, TOKENS, added(some[0], 1.5)) for p in prompts]
    assert len({tuple(map(tuple, alone[i : i + 3])) for i in range(0, 12, 3)}) > 2
    assert (many.start, many.size) == (0, tuple(one.size for one in some))
    assert many.placebo(3).treatments[1].size == some[1].size
    assert count_hooks(subject) == 0


def test_nothing_is_left_after_the_block_nor_after_an_exception() -> None:
    subject = tiny("llama")
    ids, mask = token_batch("left")
    before, state = subject.logits(ids, mask), {n: p.clone() for n, p in subject.model.state_dict().items()}
    pushes, path = treatments(subject)["a head site, all"], "model.layers.1.mlp.down_proj"
    tuned = Tuned({path: factors(drawn_matrix(*subject.model.get_submodule(path).weight.shape))}, 0)
    for one in (pushes, treatments(subject)["front and all"], Many((pushes, pushes), 2), tuned):
        with one.applied(subject, 1.0):
            assert not torch.equal(subject.logits(ids, mask), before)
        assert torch.equal(subject.logits(ids, mask), before)
        with pytest.raises(KeyboardInterrupt), one.applied(subject, 1.0):
            raise KeyboardInterrupt
        assert torch.equal(subject.logits(ids, mask), before)
        assert count_hooks(subject) == 0
        assert not subject._board.in_use
    assert all(torch.equal(state[name], p) for name, p in subject.model.state_dict().items())


def refusal(make: Any) -> str:
    with pytest.raises(UsageError) as error:
        make()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_can_not_be_added_is_refused_on_one_line_and_leaves_nothing() -> None:
    subject = tiny("llama")
    site = SiteId(1, "resid_post")
    good = Push(SiteId(0, "resid_post"), vector(subject.d_model))

    def enter(treatment: Treatment, dose: float = 1.0) -> None:
        with treatment.applied(subject, dose):
            pass

    wide = "what is added at L1.resid_post has 7 entries, and tiny llama has 32 there; take a direction of this model"
    for wrong in (vector(7), np.zeros((2, 7), np.float32)):
        assert refusal(lambda wrong=wrong: enter(Pushes((good, Push(site, wrong))))) == wide
        assert refusal(lambda wrong=wrong: enter(Many((Pushes((Push(site, wrong),)),) * 2, 1))) == wide
    for dose, said in ((1e39, "1e+39"), (float("inf"), "inf"), (float("nan"), "nan")):
        message = f"a dose of {said} makes what is added at L0.resid_post infinite or NaN; take a lower one"
        assert refusal(lambda dose=dose: enter(Pushes((good,)), dose)) == message
    half = tiny("llama", torch.bfloat16).with_dtype(torch.float16)
    assert "a dose of 1e+06 makes what is added" in refusal(lambda: Pushes((good,)).applied(half, 1e6).__enter__())
    nothing = np.full(subject.d_model, np.nan, np.float32)
    for bad in (nothing, np.zeros((1, 2, 3), np.float32), np.array([1, np.inf], np.float32)):
        assert refusal(lambda bad=bad: Push(site, bad)) == (
            "what is added at L1.resid_post must be finite numbers; see what made it"
        )
    assert "unknown position 'promt'; did you mean 'prompt'?" in refusal(lambda: Pushes((good,), "promt"))
    with pytest.raises(UnknownName):
        Pushes((good,), "front")
    assert refusal(lambda: Pushes(())) == "nothing is added: a treatment by vectors needs at least one"
    assert "unknown site 'L9.resid_post'" in refusal(
        lambda: enter(Pushes((good, Push(SiteId(9, "resid_post"), vector(32)))))
    )
    assert count_hooks(subject) == 0
    assert not subject._board.in_use


def test_a_placebo_is_as_long_at_the_same_place_and_drawn_by_its_seed() -> None:
    subject = tiny("llama")
    for name, pushes in treatments(subject).items():
        one, same, other = (pushes.placebo(seed) for seed in (3, 3, 4))
        assert one.where == pushes.where
        assert one.size == pushes.size != pushes.scaled(2.0).size, name
        for real, fake, again, another in zip(pushes.pushes, one.pushes, same.pushes, other.pushes, strict=True):
            assert fake.site == real.site
            assert fake.vector.shape == real.vector.shape
            lengths = np.linalg.norm(real.vector, axis=-1)
            assert np.linalg.norm(fake.vector, axis=-1) == pytest.approx(lengths, rel=1e-5)
            assert np.array_equal(fake.vector, again.vector)
            assert not np.array_equal(fake.vector, another.vector)
            flat = np.atleast_2d(fake.vector)
            assert abs(np.sum(flat[0] * np.atleast_2d(real.vector)[0])) < 0.7 * lengths.flat[0] ** 2
            unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
            assert unit == pytest.approx(np.repeat(unit[:1], len(unit), 0), abs=1e-6)  # one direction along a front


def test_placebos_are_drawn_evenly() -> None:
    width = 16
    drawn = np.stack([push(0, width).placebo(seed).pushes[0].vector for seed in range(2000)])
    assert np.abs(drawn.mean(0)).max() < 5 / np.sqrt(2000 * width)
    assert np.abs(drawn.T @ drawn / 2000 - np.eye(width) / width).max() < 6 / (width * np.sqrt(2000))


def test_vectors_of_one_length_have_the_same_placebos_whatever_their_directions() -> None:
    """To four digits: their lengths in float32 differ by what they were scaled by."""
    for length in (0.02, 3.0, 1234.0, 54321.0):
        sizes = {push(2, 64, seed, length).size for seed in range(30)}
        assert len(sizes) == 1
        assert push(2, 64, 0, 1.002 * length).size not in sizes


def test_a_placebo_of_text_is_one_that_means_nothing_here() -> None:
    others = tuple(Before(f"text {i}") for i in range(3))
    told = Told(Before("Be warm."), others)
    assert [told.placebo(seed).before for seed in (0, 1, 2, 3)] == [*others, others[0]]
    assert told.placebo(1).size == told.size
    assert (told.doses, told.signed, told.start) == ((), False, 0)
    subject = tiny("llama")
    ids, mask = token_batch("left")
    before = subject.logits(ids, mask)
    with told.applied(subject, 1.0):
        assert torch.equal(subject.logits(ids, mask), before)


def test_a_placebo_of_a_finetune_is_as_large_matrix_by_matrix() -> None:
    low = drawn_matrix(5, 1) @ drawn_matrix(1, 4)
    updates = {"a": drawn_matrix(5, 3) * 2, "b": drawn_matrix(4, 4) / 7, "none": torch.zeros(2, 2), "low": low}
    tuned = Tuned(
        {path: factors(update) for path, update in updates.items() if path != "low"}
        | {"low": (low[:, :1] / low[0, 0], low[:1])},
        0,
    )
    one, same, other = (tuned.placebo(seed) for seed in (1, 1, 2))
    assert list(one.updates) == list(updates)
    for path, update in updates.items():
        fake, again, another = (torch.matmul(*made.updates[path]) for made in (one, same, other))
        assert fake.shape == update.shape
        assert torch.linalg.matrix_rank(fake, rtol=1e-4) == torch.linalg.matrix_rank(update, rtol=1e-4)
        assert float(fake.norm()) == pytest.approx(float(update.norm()), rel=1e-5)
        assert torch.equal(fake, again)
        assert path == "none" or not torch.allclose(fake, another, rtol=0.1)
    assert one.updates["a"][0].flatten()[:4] != pytest.approx(one.updates["b"][0].flatten()[:4], rel=0.1)


def test_a_changed_matrix_is_that_with_its_update_times_the_dose() -> None:
    """Also where matrices are stored the other way round, as GPT-2 does."""
    for name, path, turned in (
        ("llama", "model.layers.1.mlp.down_proj", False),
        ("gpt2", "transformer.h.1.mlp.c_proj", True),
        ("opt", "model.decoder.layers.1.fc2", False),
    ):
        subject = tiny(name, torch.float64)
        ids, mask = token_batch("left")
        weight = subject.model.get_submodule(path).weight
        update = drawn_matrix(*weight.shape)
        tuned = Tuned({path: factors(update.T if turned else update)}, 0)
        plain = subject.logits(ids, mask)
        with tuned.applied(subject, 0.3):
            found = subject.logits(ids, mask)
        kept = weight.data.clone()
        try:
            weight.data += 0.3 * update.double()
            expected = subject.logits(ids, mask)
        finally:
            weight.data.copy_(kept)
        real = mask.bool()
        assert found[real] == pytest.approx(expected[real], abs=1e-9)
        assert (expected - plain)[real].abs().max() > 1e-2


def test_a_treatment_is_what_the_protocol_says() -> None:
    pushes = push(2, 8)
    tuned = Tuned({"a": factors(torch.ones(2, 2))}, 0)
    for one in (pushes, Many((pushes,), 1), Told(Before("x"), (Before("y"),)), tuned):
        assert isinstance(one, Treatment)
        assert len({one.size, one.placebo(0).size}) == 1
    assert pushes.start == 2
    assert Pushes((*pushes.pushes, *push(1, 8).pushes)).start == 1
    assert pushes.before is None
    assert tuned.before is None


def test_a_vector_that_can_not_be_written_into_is_added() -> None:
    subject = tiny("llama")
    still = vector(subject.d_model)
    still.setflags(write=False)
    with Pushes((Push(SiteId(0, "resid_post"), still),)).applied(subject, 1.0):
        pass


def test_many_of_unlike_places_are_refused() -> None:
    one, other = push(0, 32), push(1, 32, where="generated")
    with pytest.raises(UsageError):
        Many((one, other), 1)


def test_a_placebo_of_some_heads_is_at_these_heads() -> None:
    some = np.zeros(32, np.float32)
    some[8:16] = 1
    fake = Pushes((Push(SiteId(1, "head"), some, 4),)).placebo(0).pushes[0].vector
    assert not fake[some == 0].any()


def test_what_is_held_is_its_mean_at_every_token_but_the_first() -> None:
    subject = tiny("llama")
    rng = np.random.default_rng(5)
    site, mean = SiteId(0, "resid_post"), rng.standard_normal(32)
    hold = held(rng.standard_normal(32), 0, {site: mean}, range(2), "one layer")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        before = subject.activations(ids, None, [site])[site][0].double().numpy()
        with hold.applied(subject, 1.0):
            after = subject.activations(ids, None, [site])[site][0].double().numpy()
    assert after[0] == pytest.approx(before[0], abs=1e-6)
    assert after[1:] @ hold.unit == pytest.approx([mean @ hold.unit] * 3, abs=1e-4)
    across = np.eye(32) - np.outer(hold.unit, hold.unit)
    assert (after - before) @ across == pytest.approx(np.zeros((4, 32)), abs=1e-4)
    fake = hold.placebo(1)
    assert np.linalg.norm(fake.unit) == pytest.approx(1)
    assert abs(fake.unit @ hold.unit) < 0.7
