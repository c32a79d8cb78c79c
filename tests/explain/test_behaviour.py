"""The behaviour run against a naive one, and its draw of excerpts against what it must average to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId, UnitId
from assay.explain import behaviour, divergence_kernels
from assay.explain.behaviour import SIZE, Behaviour, inclusion
from assay.explain.divergences import jensen_shannon, quick_jensen_shannon
from assay.explain.material import Part
from assay.explain.measure import noisy
from assay.stats import jensen_shannon as reference
from assay.testing import Planted, planted_corpus
from assay.text import Document, TokenTable, tokenise
from explain.bench import SITE, quiet

UNIT = UnitId(SITE, 0)


def part_of(subject: Any, documents: list[Document]) -> Part:
    table = tokenise(documents, subject.tokenizer, 64)
    scored = (table.flat_positions > 0) & ~np.isin(table.flat_ids, sorted(subject.special_ids))
    return Part("test", tuple(documents), table, scored, subject.token_texts())


@pytest.fixture(scope="module")
def part(model: Planted) -> Part:
    """30 documents of 20 to 200 tokens; each ninth holds words that the tokenizer doesn't know: special tokens."""
    texts: list[str] = []
    for i, words in enumerate([20, 45, 70, 110, 200] * 6):
        text = planted_corpus(seed=100 + i, documents=1, words=words)[0].text
        texts.append(text.replace(" the", " zebra") if i % 9 == 0 else text)
    return part_of(model.subject, [Document(f"d{i}", text, f"d{i}") for i, text in enumerate(texts)])


def activations_of(subject: Any, part: Part, unit: UnitId) -> np.ndarray:
    out = np.zeros(part.table.n_tokens, np.float32)
    for row, (start, length) in enumerate(zip(part.table.offsets[:-1], part.table.lengths, strict=True)):
        ids = torch.as_tensor(part.table.ids[row : row + 1, :length].astype(np.int64))
        with torch.inference_mode():
            values = subject.activations(ids, torch.ones_like(ids), [unit.site])[unit.site]
        out[start : start + length] = values[0, :, unit.index].numpy()
    return out


@pytest.fixture(scope="module")
def real(model: Planted, part: Part) -> np.ndarray:
    return activations_of(model.subject, part, UNIT)


def arms_of(real: np.ndarray, part: Part) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "mean": np.full_like(real, real[part.scored].mean()),
        "prediction": (0.8 * real + 0.1).astype(np.float32),
        "noise": rng.normal(size=real.size).astype(np.float32),
    }


def naive(subject: Any, part: Part, row: int, unit: UnitId, flat: np.ndarray) -> float:
    """One excerpt alone, unpadded: two full passes, every position, float64 from the logits on."""
    length = min(int(part.table.lengths[row]), SIZE.length)
    ids = torch.as_tensor(part.table.ids[row : row + 1, :length].astype(np.int64))
    values = part.table.padded(flat)[row, :length]
    counts = part.table.padded(part.scored, False)[row, :length]

    def edit(acts: torch.Tensor) -> torch.Tensor:
        acts = acts.clone()
        for position in range(length):
            if counts[position]:
                acts[0, position, unit.index] = float(values[position])
        return acts

    with torch.inference_mode():
        before = subject.logits(ids).double()
        with subject.edit(unit.site, edit):
            after = subject.logits(ids).double()
    p, q = (torch.log_softmax(logits, -1)[0].numpy() for logits in (before, after))
    return float(reference(p, q).sum())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float32, 1e-2)])
def test_every_arm_is_what_full_passes_give(
    model: Planted, part: Part, real: np.ndarray, dtype: torch.dtype, tolerance: float
) -> None:
    """In fp64 no shortcut is taken; in fp32 the change of the logits may be multiplied out in bf16."""
    subject = model.subject.with_dtype(dtype)
    arms = arms_of(real, part)
    found = Behaviour(subject, part, {1}, 0, quiet).run(UNIT, real, arms)
    assert len(set(found.documents)) == len(found.documents) == len(found.windows) == SIZE.excerpts
    for name, flat in arms.items():
        expected = np.array([naive(subject, part, row, UNIT, flat) for row in found.windows])
        assert expected.max() > 1e-3
        assert found.j[name] == pytest.approx(expected, rel=tolerance, abs=1e-9), name


def test_how_many_excerpts_are_run_at_once_changes_nothing(
    model: Planted, part: Part, real: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, arms = model.subject.with_dtype(torch.float64), arms_of(real, part)
    runs = Behaviour(subject, part, {1}, 0, quiet)
    at_once = runs.run(UNIT, real, arms)
    monkeypatch.setattr(behaviour, "BATCH", 5)
    in_parts = runs.run(UNIT, real, arms)
    assert np.array_equal(in_parts.windows, at_once.windows)
    for name, j in at_once.j.items():
        assert in_parts.j[name] == pytest.approx(j, rel=1e-6, abs=1e-12), name


def test_an_edit_above_a_cached_residual_equals_one_in_a_full_pass(model: Planted, part: Part) -> None:
    subject, length = model.subject, 32
    rows = np.flatnonzero(part.table.lengths >= length)[:6]
    ids = torch.as_tensor(part.table.ids[rows, :length].astype(np.int64))
    mask = torch.ones_like(ids)
    edit = behaviour._setting(
        subject.units, UnitId(SITE, 0), torch.full(ids.shape, 2.0), torch.ones_like(mask, dtype=torch.bool)
    )
    with torch.inference_mode():
        with subject.capture([SiteId(1, "resid_pre")]) as seen:
            subject.hidden(ids, mask)
        below = seen[SiteId(1, "resid_pre")].clone()
        with subject.edit(SITE, edit):
            whole, partial = subject.hidden(ids, mask), subject.forward_from(1, below, mask)
        untouched = subject.hidden(ids, mask)
    assert torch.equal(whole, partial)
    assert (whole - untouched).abs().max() > 1


def test_position_0_and_special_tokens_are_left_alone(model: Planted, part: Part, real: np.ndarray) -> None:
    """Wild values where no token counts change nothing; the same values elsewhere do."""
    assert np.isin(part.table.flat_ids, sorted(model.subject.special_ids)).sum() > 5
    runs = Behaviour(model.subject, part, {1}, 0, quiet)
    wild = np.where(part.scored, real, 50).astype(np.float32)
    found = runs.run(UNIT, real, {"truth": real, "wild": wild, "everywhere": np.full_like(real, 50)})
    assert np.array_equal(found.j["truth"], found.j["wild"])
    assert found.j["everywhere"].min() > 1e6 * found.j["truth"].max()


def test_the_true_activation_changes_nothing_beyond_the_noise(model: Planted, part: Part, real: np.ndarray) -> None:
    found = Behaviour(model.subject, part, {1}, 0, quiet).run(UNIT, real, arms_of(real, part) | {"truth": real})
    effect = found.weights @ found.j["mean"]
    assert 1 - found.weights @ found.j["truth"] / effect == pytest.approx(1, abs=1e-6)
    assert found.weights @ found.floor < 1e-6 * effect
    assert (found.floor >= 0).all()


def test_the_floor_is_what_another_padding_changes(
    model: Planted, part: Part, real: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some processors sum alike whatever the padding, so the difference is made here."""
    own = model.subject.hidden

    def hidden(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        out = own(ids, mask)
        padded = (mask[:, 0] == 0)[:, None, None]
        return out + padded * torch.linspace(-0.01, 0.01, out.shape[-1])

    monkeypatch.setattr(model.subject, "hidden", hidden)
    found = Behaviour(model.subject, part, {1}, 0, quiet).run(UNIT, real, {"truth": real})
    assert found.floor.min() > 1e-9
    assert found.floor.min() > 1e3 * np.abs(found.j["truth"]).max()


def test_a_unit_that_writes_nothing_has_no_effect(model: Planted, part: Part) -> None:
    [silent] = model.units("silent")
    real = activations_of(model.subject, part, silent)
    found = Behaviour(model.subject, part, {1}, 0, quiet).run(silent, real, {"mean": np.full_like(real, 9)})
    assert found.weights @ found.j["mean"] <= 10 * (found.weights @ found.floor) + 1e-12


# the divergence itself


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    ("size", "tolerance"), [(1e-4, 2e-5), (1e-2, 2e-5), (0.2, 2e-5), (0.35, 2e-5), (1, 2e-5), (10, 2e-5), (30, 2e-2)]
)
def test_divergence_from_a_change_of_logits_is_that_of_the_distributions(
    size: float, tolerance: float, quick: bool
) -> None:
    """A change of more than 80 nats counts as 80: the last size has some."""
    rng = np.random.default_rng(1)
    logits, change = 3 * rng.normal(size=(7, 500)), size * rng.normal(size=(7, 500))
    log_p, log_q = (torch.log_softmax(torch.tensor(x), -1).numpy() for x in (logits, logits + change))
    p = torch.tensor(np.exp(log_p), dtype=torch.float32)
    divergence = quick_jensen_shannon if quick else jensen_shannon
    found = divergence(p, torch.tensor(change, dtype=torch.float32)).numpy()
    assert found == pytest.approx(reference(log_p, log_q), rel=tolerance)


@pytest.mark.parametrize("divergence", [jensen_shannon, quick_jensen_shannon])
def test_no_change_is_no_divergence_and_a_common_shift_is_none(divergence: Any) -> None:
    p = torch.softmax(torch.linspace(-3, 3, 40)[None], -1)
    assert divergence(p, torch.zeros(1, 40)).item() == 0
    assert divergence(p, torch.full((1, 40), 0.7)).item() < 1e-12


@pytest.mark.parametrize("size", [0.01, 0.3, 3])
def test_the_compiled_divergence_reads_bf16_and_leaves_large_changes_to_torch(size: float) -> None:
    """Sizes are of the largest change: below 1 no row is left to torch, above it some are; all rows agree."""
    rng = np.random.default_rng(6)
    p = torch.softmax(torch.tensor(rng.normal(size=(9, 300)), dtype=torch.float32), -1)
    change = torch.tensor(rng.uniform(-1, 1, (9, 300)) * np.geomspace(size / 10, size, 9)[:, None]).to(torch.bfloat16)
    out = np.zeros(9)
    divergence_kernels.divergences(p.numpy(), change.view(torch.uint16).numpy(), np.uint32(16), out)
    assert np.isnan(out).any() == (size > 1)
    assert not np.isnan(out).all()
    expected = jensen_shannon(p, change.float()).numpy()
    assert quick_jensen_shannon(p, change).numpy() == pytest.approx(expected, rel=1e-5)
    small = np.flatnonzero(~np.isnan(out))
    assert out[small] == pytest.approx(expected[small], rel=1e-5)


# the draw


@pytest.mark.parametrize("count", [1, 5, 22, 39])
def test_inclusion_probabilities_sum_to_the_count_and_keep_their_order(count: int) -> None:
    share = np.random.default_rng(2).pareto(0.6, 40) + 1e-3
    chance = inclusion(share, count)
    assert chance.sum() == pytest.approx(count)
    assert (chance > 0).all()
    assert chance.max() <= 1
    assert (np.diff(chance[np.argsort(share)]) >= -1e-12).all()
    below = chance < 1
    assert chance[below] / share[below] == pytest.approx(np.full(below.sum(), (chance / share)[below][0]))


class StillSubject:
    """A subject of two dimensions in which nothing ever happens: the draw needs no model."""

    dtype, device = torch.float64, torch.device("meta")  # where nothing is multiplied in bf16

    def unembedding(self) -> torch.Tensor:
        return torch.zeros(3, 2)

    @contextmanager
    def capture(self, sites: list[SiteId]) -> Any:
        self.seen: dict[SiteId, torch.Tensor] = {}
        self.sites = sites
        yield self.seen

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if hasattr(self, "seen"):
            self.seen.update({site: torch.zeros(*ids.shape, 2) for site in self.sites})
        return torch.zeros(*ids.shape, 2)

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*hidden.shape[:-1], 3)


def uneven_part(documents: int) -> Part:
    """Documents of 1 to 12 windows, with few tokens and a lonely loud one each."""
    rng = np.random.default_rng(8)
    counts = rng.integers(1, 13, documents)
    where = np.repeat(np.arange(documents), counts)
    starts = np.concatenate([8 * np.arange(count) for count in counts])
    ids = rng.integers(2, 90, (len(where), 8)).astype(np.int32)
    table = TokenTable(ids, np.full(len(where), 8), where.astype(np.int64), starts)
    scored = table.flat_positions > 0
    return Part("test", (), table, scored, [""] * 100)


@pytest.mark.parametrize("documents", [12, 50, 150])
def test_weighted_excerpts_average_to_the_whole_text(documents: int) -> None:
    """Over seeds, the weighted sum of a known quantity over the draw has the text's total as its mean.

    With more documents than the pool holds, the pool stands for a share of them, the same for every quantity: scores
    are ratios. The quantity grows with the length of the document, so that a pool that favours long ones shows.
    """
    part = uneven_part(documents)
    rng = np.random.default_rng(3)
    loud = np.where(rng.random(part.table.n_tokens) < 0.02, 8, rng.normal(size=part.table.n_tokens))
    length = np.bincount(part.table.documents)[part.table.documents]
    quantity = length * (1 + part.table.padded(loud**2).sum(1))
    pool = min(documents, SIZE.pool) / documents
    subject, totals, sizes = StillSubject(), [], set()
    for seed in range(200):
        runs = Behaviour(subject, part, {0}, seed, quiet)  # type: ignore[arg-type]
        chosen, weights = runs.draw(loud.astype(np.float32))
        totals.append(weights @ quantity[runs._pool.rows[chosen]])
        sizes.add(len(chosen))
    error = np.std(totals, ddof=1) / np.sqrt(len(totals))
    assert np.mean(totals) == pytest.approx(pool * quantity.sum(), abs=3.5 * error)
    assert error < 0.06 * pool * quantity.sum()
    assert sizes <= {min(documents, SIZE.excerpts)}


def test_the_loudest_excerpts_are_always_drawn(model: Planted, part: Part) -> None:
    """A unit that fires in one document only is measured there."""
    runs = Behaviour(model.subject, part, {1}, 0, quiet)
    row = runs._pool.rows[7]
    alone = np.zeros(part.table.n_tokens, np.float32)
    alone[part.table.offsets[row] + 3] = 5
    found = runs.run(UNIT, alone, {"mean": np.zeros_like(alone)})
    assert row in found.windows
    at = int(np.flatnonzero(found.windows == row)[0])
    weight = np.bincount(part.table.documents)[part.table.documents[row]]
    assert found.weights[at] == pytest.approx(weight)


# the arm at equal r


@pytest.mark.parametrize("r", [0.0, 0.3, 0.9, 1.0])
def test_noise_at_equal_r_correlates_at_r_and_is_calibrated(r: float) -> None:
    rng = np.random.default_rng(4)
    n = 200_000
    real = rng.exponential(size=n).astype(np.float32)
    scored = rng.random(n) < 0.9
    real[~scored] += 100
    arm = noisy(real, scored, r, seed=1)[scored].astype(float)
    truth = real[scored].astype(float)
    assert arm.std() == pytest.approx(r * truth.std(), rel=0.02, abs=1e-6)
    assert arm.mean() == pytest.approx(truth.mean(), abs=0.01)
    if r:
        assert np.corrcoef(arm, truth)[0, 1] == pytest.approx(r, abs=4 / np.sqrt(n))
        assert np.polyfit(arm, truth, 1)[0] == pytest.approx(1, abs=0.03)


def test_noise_at_no_r_or_a_negative_one_is_the_mean() -> None:
    real = np.arange(100, dtype=np.float32)
    for r in (0.0, -0.4):
        assert noisy(real, np.ones(100, bool), r, 0) == pytest.approx(np.full(100, real.mean()))
