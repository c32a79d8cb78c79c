"""Many units replaced at once: against a naive version, on a planted model whose text the model wrote itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.explain.joint import losses as joint_losses
from assay.explain.joint import text as joint_text
from assay.explain.joint.arms import Arms, correlations, make_arms, noise_apart
from assay.explain.joint.losses import JointRuns, Losses, effects
from assay.explain.joint.of_claims import joint_units, left_out
from assay.explain.joint.scores import joint_entries
from assay.explain.joint.stored import arm_names, pack, site_arrays
from assay.explain.joint.text import draw_text
from assay.explain.material import Part
from assay.record import stream
from assay.stats import calibrate
from assay.testing import Planted
from assay.text import TokenTable
from explain.bench import SEED, SITE, quiet, true_rules

WIDTH, DOCUMENTS, LENGTH = 48, 60, 40


@pytest.fixture(scope="module")
def part(model: Planted) -> Part:
    """Text that the planted model wrote: 60 documents, the last tokens of some cut off, a tenth in two windows."""
    subject, rng = model.subject, torch.Generator().manual_seed(4)
    start = torch.randint(5, subject.vocab_size, (DOCUMENTS, 1), generator=rng)
    ids = start
    special = sorted(subject.special_ids)
    with torch.inference_mode():
        for _ in range(LENGTH - 1):
            logits = subject.logits(ids)[:, -1]
            logits[:, special] = -torch.inf
            ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1, generator=rng)], -1)
    lengths = np.full(DOCUMENTS, LENGTH)
    lengths[::4] = np.arange(12, 12 + 15)
    table = ids.numpy().astype(np.int32)
    table[3, 9] = special[0]
    table[np.arange(LENGTH) >= lengths[:, None]] = -1
    documents = np.arange(DOCUMENTS)
    documents[1::10] = documents[::10]
    starts = np.where(np.arange(DOCUMENTS) % 10 == 1, LENGTH, 0)
    made = TokenTable(table, lengths, documents, starts)
    scored = (made.flat_positions > 0) & ~np.isin(made.flat_ids, special)
    return Part("test", (), made, scored, subject.token_texts())


@pytest.fixture(scope="module")
def real(model: Planted, part: Part) -> np.ndarray:
    """(units, tokens) of the planted layer."""
    out = np.zeros((WIDTH, part.table.n_tokens), np.float32)
    for block in stream(model.subject, part.table, [SITE]):
        out[:, block.flat] = block.activations[SITE].T
    return out


@pytest.fixture(scope="module")
def predicted(model: Planted, part: Part, real: np.ndarray) -> np.ndarray:
    """(units, tokens) what the true rules say."""
    rows = []
    for i in range(WIDTH):
        said = true_rules(model.truths[UnitId(SITE, i)]).predict(part.full_view)
        line = calibrate(said[part.scored], real[i][part.scored])
        rows.append(line(said) if line.slope else np.full_like(said, np.nan))
    return np.stack(rows).astype(np.float32)


def arms_of(
    part: Part, real: np.ndarray, by_explainer: Mapping[str, np.ndarray], units: list[int] | None = None
) -> Arms:
    flat, own = draw_text(part, part.scored, SEED).flat, units or list(range(WIDTH))
    means = real[:, part.scored].mean(axis=1)
    said = {name: values[own][:, flat] for name, values in by_explainer.items()}
    others = {name: np.roll(values, 1, axis=0) for name, values in said.items()}
    return make_arms(SITE, own, means[own], real[own][:, flat], said, others, SEED)


def replaced(subject: Any, part: Part, arms: Arms, *shares: float) -> Losses:
    runs = JointRuns(subject, part, draw_text(part, part.scored, SEED), SEED)
    return runs.run(arms, quiet, shares) if shares else runs.run(arms, quiet)


def scored(losses: Losses, arms: Arms) -> dict[tuple[str, float], dict[str, Any]]:
    stored = pack({SITE: site_arrays(losses, arms)}, {SITE: arm_names(losses)})
    return {(entry["explainer"], entry["share"]): entry for entry in joint_entries(stored, SEED)}


@pytest.fixture(scope="module")
def arms(part: Part, real: np.ndarray, predicted: np.ndarray) -> Arms:
    return arms_of(part, real, {"rules": predicted, "truth": real})


@pytest.fixture(scope="module")
def losses(model: Planted, part: Part, arms: Arms) -> Losses:
    return replaced(model.subject, part, arms)


@pytest.fixture(scope="module")
def entries(losses: Losses, arms: Arms) -> dict[tuple[str, float], dict[str, Any]]:
    return scored(losses, arms)


# against a naive version


def naive(subject: Any, part: Part, row: int, arms: Arms, name: tuple[str, str], units: np.ndarray) -> np.ndarray:
    """(2,) rise of the loss and divergence in one window alone: full passes, one unit and position after the other."""
    table, length = part.table, int(part.table.lengths[row])
    ids = torch.as_tensor(table.ids[row : row + 1, :length].astype(np.int64))
    counts = table.padded(part.scored, False)[row]
    first = int(part.scored[: table.offsets[row]].sum())  # all windows are in the text, so columns count scored tokens
    columns = first + np.cumsum(counts) - 1

    def edit(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        for position in range(length):
            for unit in units if counts[position] else ():
                place = int(np.flatnonzero(arms.units == unit)[0])
                said = {"mean": arms.means[place], "zero": 0.0}.get(name[1])
                value = arms.values[name][place, columns[position]] if said is None else said
                tensor[0, position, int(unit)] = float(value)
        return tensor

    with torch.inference_mode():
        before = torch.log_softmax(subject.logits(ids)[0].double(), -1)
        with subject.edit(arms.site, edit):
            after = torch.log_softmax(subject.logits(ids)[0].double(), -1)
    found = np.zeros(2)
    for position in range(length - 1):
        if counts[position] and counts[position + 1]:
            target = int(ids[0, position + 1])
            found[0] += float(before[position, target] - after[position, target])
            found[1] += float((before[position].exp() * (before[position] - after[position])).sum())
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 2e-2)])
def test_every_arm_is_what_full_passes_give(
    model: Planted, part: Part, arms: Arms, losses: Losses, dtype: torch.dtype, tolerance: float
) -> None:
    """In fp64 no shortcut is taken; in fp32 changes may be multiplied out in bf16."""
    subject = model.subject.with_dtype(dtype)
    found = losses if dtype == torch.float32 else replaced(subject, part, arms, 0.1, 1.0)
    assert found.documents.tolist() == sorted(set(part.table.documents))
    for share in (0.1, 1.0):
        at = found.shares.tolist().index(share)
        units = found.order[: found.counts[at]]
        assert len(units) == round(share * WIDTH)
        for name in [("", "mean"), ("rules", "prediction"), ("rules", "shuffled"), ("rules", "noise_equal_r")]:
            for document in (0, 7, 20):
                rows = np.flatnonzero(part.table.documents == document)
                expected = sum(naive(subject, part, row, arms, name, units) for row in rows)
                place = found.documents.tolist().index(document)
                assert expected[1] > 1e-3
                assert found.effects[name][:, at, place] == pytest.approx(expected, rel=tolerance, abs=tolerance / 10)


def test_counted_positions_and_the_unedited_loss(model: Planted, part: Part, losses: Losses) -> None:
    table, counts = part.table, part.table.padded(part.scored, False)
    follows = np.zeros_like(counts)
    follows[:, :-1] = counts[:, :-1] & counts[:, 1:]
    assert not follows[3, 8:10].any()  # beside the special token
    for place, document in enumerate(losses.documents):
        rows = np.flatnonzero(table.documents == document)
        assert losses.tokens[place] == follows[rows].sum()
        expected = 0.0
        for row in rows:
            ids = torch.as_tensor(table.ids[row : row + 1, : table.lengths[row]].astype(np.int64))
            log_p = torch.log_softmax(model.subject.logits(ids)[0], -1)
            where = np.flatnonzero(follows[row])
            expected -= float(log_p[where, ids[0, where + 1]].sum())
        assert losses.unedited[place] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [1e-3, 0.1, 3.0, 30.0])
def test_effects_are_those_of_the_distributions(size: float) -> None:
    rng = np.random.default_rng(2)
    logits, change = 3 * rng.normal(size=(11, 300)), size * rng.normal(size=(11, 300))
    p, q = (torch.log_softmax(torch.tensor(values), -1) for values in (logits, logits + change))
    targets = torch.arange(11)
    found = effects(p.exp().float(), torch.tensor(change, dtype=torch.float32), targets)
    loss = (p - q)[torch.arange(11), targets]
    kl = (p.exp() * (p - q)).sum(-1)
    assert found.kl.numpy() == pytest.approx(kl.numpy(), rel=1e-3)
    assert found.loss.numpy() == pytest.approx(loss.numpy(), rel=1e-4, abs=1e-5 * size)


def test_no_change_and_a_common_shift_have_no_effect() -> None:
    p = torch.softmax(torch.linspace(-3, 3, 40)[None], -1)
    for change in (torch.zeros(1, 40), torch.full((1, 40), 0.7)):
        found = effects(p, change, torch.tensor([3]))
        assert abs(found.loss.item()) < 1e-6
        assert found.kl.item() < 1e-9


# what it says of planted truth


def test_true_rules_recover_and_nulls_do_not(entries: dict[tuple[str, float], dict[str, Any]]) -> None:
    for share in (0.25, 0.5, 1.0):
        truth, rules = entries["truth", share], entries["rules", share]
        assert truth["loss_recovered"] == pytest.approx(1, abs=1e-3)
        assert truth["kl"]["recovered"] == pytest.approx(1, abs=1e-5)
        assert rules["lo"] < rules["loss_recovered"] < rules["hi"]
        assert rules["hi"] > 0.85
        assert 0.8 < rules["kl"]["recovered"] < 1
        assert rules["kl"]["lo"] > rules["kl"]["recovered"] - 0.1
        for own in (rules, rules["kl"]):
            assert own["nulls"]["mean"] == 0
            assert own["nulls"]["shuffled"] < 0
            assert own["nulls"]["other_unit"] < 0.2
            assert own["above_nulls"][1] > 0.5
    assert entries["rules", 1.0]["held_at_mean"] == 2  # the dead unit, and the rare word, which the model never wrote
    assert entries["truth", 1.0]["held_at_mean"] == 0


def test_the_best_null_is_what_a_score_is_held_against(entries: dict[tuple[str, float], dict[str, Any]]) -> None:
    for entry in entries.values():
        own = entry["kl"]
        if own["recovered"] is None:
            continue
        assert own["above_nulls"][0] == pytest.approx(own["recovered"] - max(own["nulls"].values()))
        assert own["over_noise"][0] == pytest.approx(own["recovered"] - own["noise_equal_r"])


def test_scores_are_ratios_of_sums(losses: Losses, entries: dict[tuple[str, float], dict[str, Any]]) -> None:
    for at, share in enumerate(losses.shares.tolist()):
        entry = entries["rules", share]
        for i, own, name in ((0, entry, "loss_recovered"), (1, entry["kl"], "recovered")):
            rise = {arm: losses.effects[arm][i, at].sum() for arm in losses.effects}
            assert own["mean_ablation"] == pytest.approx(rise["", "mean"] / losses.tokens.sum())
            assert own["zero_ablation"] == pytest.approx(rise["", "zero"] / losses.tokens.sum())
            if own[name] is not None:
                assert own[name] == pytest.approx(1 - rise["rules", "prediction"] / rise["", "mean"])
                above = rise["truth", "prediction"] - rise["rules", "prediction"]
                assert own["above"]["truth"][0] == pytest.approx(above / rise["", "mean"])
                assert own["above"]["truth"][1] <= own["above"]["truth"][0] <= own["above"]["truth"][2]
                from_zero = 1 - rise["rules", "prediction"] / rise["", "zero"]
                assert own["recovered_from_zero"] == pytest.approx(from_zero)
    loss = losses.unedited.sum() / losses.tokens.sum()
    assert all(entry["unedited_loss"] == pytest.approx(loss) for entry in entries.values())


def test_where_the_model_wrote_the_text_the_loss_rises_by_the_divergence(losses: Losses) -> None:
    for name in (("", "mean"), ("rules", "shuffled")):
        rise, divergence = losses.effects[name][:, -1]
        gap = rise - divergence
        assert abs(gap.sum()) < 3.5 * np.sqrt(len(gap)) * gap.std(ddof=1)
        assert gap.std() > 5 * np.abs(losses.floor).max()


def test_more_units_cost_more(losses: Losses, entries: dict[tuple[str, float], dict[str, Any]]) -> None:
    divergence = losses.effects["", "mean"][1].sum(axis=1)
    assert (np.diff(divergence) > 0).all()
    ablation = [entries["rules", share]["kl"]["mean_ablation"] for share in losses.shares.tolist()]
    assert ablation == sorted(ablation)
    assert sorted(losses.order.tolist()) == list(range(WIDTH))


def test_a_unit_that_was_left_out_shows(
    model: Planted,
    part: Part,
    real: np.ndarray,
    predicted: np.ndarray,
    entries: dict[tuple[str, float], dict[str, Any]],
) -> None:
    """Without one unit's explanation the mean r of what is explained stays; what is recovered falls if it matters."""
    whole = entries["rules", 1.0]
    flat = draw_text(part, part.scored, SEED).flat

    def mean_r(said: np.ndarray) -> float:
        known = np.isfinite(said).all(axis=1)
        return float(correlations(said[known][:, flat], real[known][:, flat]).mean())

    fallen: dict[str, float] = {}
    for name, unit in {"months": model.units("effect")[1], "writes nothing": model.units("silent")[0]}.items():
        without = predicted.copy()
        without[unit.index] = np.nan
        assert abs(mean_r(without) - mean_r(predicted)) < 0.01
        arms = arms_of(part, real, {"rules": without})
        short = scored(replaced(model.subject, part, arms, 1.0), arms)["rules", 1.0]
        assert short["held_at_mean"] == whole["held_at_mean"] + 1
        assert short["kl"]["mean_ablation"] == pytest.approx(whole["kl"]["mean_ablation"], rel=1e-4)
        fallen[name] = whole["kl"]["recovered"] - short["kl"]["recovered"]
        assert (short["kl"]["hi"] < whole["kl"]["lo"]) == (name == "months")
    assert fallen["months"] > 0.04  # one of 46
    assert abs(fallen["writes nothing"]) < 1e-4


# what has no score


def test_units_without_effect_are_unscored(model: Planted, part: Part, real: np.ndarray) -> None:
    idle = [unit.index for kind in ("silent", "dead") for unit in model.units(kind)]
    arms = arms_of(part, real, {"truth": real}, idle)
    entry = scored(replaced(model.subject, part, arms, 1.0), arms)["truth", 1.0]
    for own, name in ((entry, "loss_recovered"), (entry["kl"], "recovered")):
        assert own[name] is own["lo"] is own["recovered_from_zero"] is own["above_nulls"] is None
        assert own["unscored"] == "the effect of the ablation is under 10 times the numerical noise"
        assert set(own["nulls"].values()) == {None}
        assert own["mean_ablation"] == pytest.approx(0, abs=1e-6)


def stored_of(rise: np.ndarray, prediction: np.ndarray) -> dict[str, Any]:
    """The entry of a made-up site, rises by document."""
    losses = Losses(
        documents=np.arange(len(rise)),
        tokens=np.full(len(rise), 50.0),
        unedited=np.full(len(rise), 150.0),
        floor=np.full((2, len(rise)), 1e-6),
        shares=np.ones(1),
        counts=np.array([3]),
        order=np.arange(3),
        effects={
            ("", "mean"): np.stack([rise, np.abs(rise)])[:, None],
            ("", "zero"): np.stack([2 * rise, np.abs(rise)])[:, None],
            ("rules", "prediction"): np.stack([prediction, np.abs(rise)])[:, None],
        },
    )
    values = {("rules", "prediction"): np.zeros((3, 1), np.float32)}
    arms = Arms(SITE, np.arange(3), np.zeros(3, np.float32), values, {"rules": np.zeros(3, bool)})
    return scored(losses, arms)["rules", 1.0]


def test_an_ablation_that_costs_nothing_gives_no_wild_ratio() -> None:
    noise = np.random.default_rng(5).normal(size=40)
    steady = stored_of(1 + 0.1 * noise, np.full(40, 0.25))
    assert steady["loss_recovered"] == pytest.approx(1 - 10 / (40 + 0.1 * noise.sum()))
    assert steady["recovered_from_zero"] > steady["loss_recovered"]
    by_chance = stored_of(0.05 + noise - noise.mean(), np.full(40, 0.25))
    assert by_chance["loss_recovered"] is None
    assert by_chance["unscored"].endswith("the interval of its cost touches 0")
    assert by_chance["mean_ablation_lo"] < 0 < by_chance["mean_ablation_hi"]
    better = stored_of(-1 + 0.1 * noise, np.full(40, 0.25))
    assert better["unscored"].endswith("the model does better with it")
    few = stored_of(1 + 0.1 * noise[:12], np.full(12, 0.25))
    assert few["loss_recovered"] is not None
    assert few["lo"] is few["hi"] is None
    assert few["reason"] == "12 documents; 20 are needed"


def test_who_says_nothing_is_unscored(model: Planted, part: Part, real: np.ndarray) -> None:
    arms = arms_of(part, real, {"silent": np.full_like(real, np.nan)})
    entry = scored(replaced(model.subject, part, arms, 1.0), arms)["silent", 1.0]
    assert entry["held_at_mean"] == WIDTH
    assert entry["loss_recovered"] is entry["kl"]["recovered"] is None
    assert entry["unscored"] == entry["kl"]["unscored"] == "the explainer says nothing of any of these units"


# the text and the arms


def test_text_is_of_as_many_documents_as_can_be(monkeypatch: pytest.MonkeyPatch, part: Part) -> None:
    table = part.table
    monkeypatch.setattr(joint_text, "TOKENS", 500)
    text = draw_text(part, part.scored, SEED)
    assert len(set(table.documents[text.rows])) == len(text.rows)  # no second window before each has given one
    assert 500 <= text.replaced.sum() < 500 + LENGTH
    assert (np.diff(text.lengths) <= 0).all()
    assert set(table.flat_windows[text.replaced]) == set(text.rows)
    assert draw_text(part, part.scored, SEED + 1).rows.tolist() != text.rows.tolist()
    monkeypatch.setattr(joint_text, "TOKENS", 10**6)
    everything = draw_text(part, part.scored, SEED)
    assert sorted(everything.rows) == list(range(DOCUMENTS))
    assert np.array_equal(everything.replaced, part.scored)


def test_only_wanted_tokens_are_replaced_and_windows_end_behind_them(
    model: Planted, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = (part.table.flat_positions >= 4) & (part.table.flat_positions < 8)
    text = draw_text(part, wanted, SEED)
    assert np.array_equal(text.replaced, wanted & part.scored)
    assert set(text.lengths) <= {8, 9}
    assert not (text.counted & ~text.replaced).any()
    assert text.counted.sum() > 0.9 * text.replaced.sum()
    real = np.full((4, len(text.flat)), 30, np.float32)
    arms = make_arms(SITE, range(4), np.zeros(4), real, {"x": real}, {"x": real}, SEED)
    where: list[np.ndarray] = []
    setting = joint_losses._setting
    monkeypatch.setattr(joint_losses, "_setting", lambda values, at: where.append(at.numpy()) or setting(values, at))
    JointRuns(model.subject, part, text, SEED).run(arms, quiet, (1.0,))
    assert sum(at[..., 0].sum() for at in where) == 6 * len(text.flat)  # six arms
    assert all(set(np.flatnonzero(at.any(axis=(0, 2)))) <= {4, 5, 6, 7} for at in where)
    assert all(not at[..., 4:].any() for at in where)


def test_noise_is_at_each_units_own_r_and_apart(real: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    truth = rng.exponential(size=(5, 40_000)).astype(np.float32)
    wanted = np.array([0.0, 0.3, 0.6, 0.9, 1.0])
    noisy = noise_apart(truth, wanted, [1, 2])
    assert correlations(noisy, truth) == pytest.approx(wanted, abs=0.02)
    assert noisy.std(1) == pytest.approx(wanted * truth.std(1), rel=0.03, abs=1e-6)
    same = np.repeat(truth[:1], 2, axis=0)
    errors = noise_apart(same, np.array([0.6, 0.6]), [1, 2]) - 0.36 * same
    assert abs(np.corrcoef(errors)[0, 1]) < 0.02


def test_shuffled_keeps_together_what_fits_together(arms: Arms) -> None:
    own, mixed = arms.values["truth", "prediction"], arms.values["truth", "shuffled"]
    assert not np.array_equal(own, mixed)
    assert np.array_equal(np.sort(own, axis=1), np.sort(mixed, axis=1))
    assert {tuple(column) for column in own.T} == {tuple(column) for column in mixed.T}


# bad input


@pytest.mark.parametrize(
    ("units", "said"),
    [
        (["L1.head:0", "L1.head:1", "L1.head:2", "L1.head:3"], "heads and directions only"),
        (["L1.mlp_act:0", "L1.mlp_act:1", "L2.mlp_act:0"], "got at most 2 at one"),
        (["L1.resid_post:@a", "L1.resid_post:@b", "L1.resid_post:@c", "L1.resid_post:@d"], "directions only"),
    ],
)
def test_too_few_units_are_refused(units: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        joint_units([UnitId.parse(unit) for unit in units])


def test_sites_with_few_units_are_left_out() -> None:
    units = [UnitId(SiteId(1, "mlp_act"), i) for i in range(4)] + [UnitId(SiteId(2, "mlp_act"), 0)]
    units += [UnitId(SiteId(1, "head"), i) for i in range(2)]
    assert list(joint_units(units)) == [SITE]
    assert left_out(units) == ["L2.mlp_act:0", "L1.head:0", "L1.head:1"]
