"""Related units on a model with a planted chain, each fast path against a naive one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.explain.related import weights as by_weights
from assay.explain.related.ablation import Ablations, Change
from assay.explain.related.agreement import agreement
from assay.explain.related.attribution import attribute
from assay.explain.related.experiment import RelatedRequest, related
from assay.explain.related.nulls import nulls
from assay.explain.related.relations import best, choose, effects, measure
from assay.explain.related.sides import Sides
from assay.explain.related.survey import Around, Survey, survey
from assay.explain.related.text import Text, gather_texts
from assay.explain.related.weights import Site, Weights
from assay.model import Subject
from assay.model.sitemap import submodule
from assay.model.wiring import reading
from assay.store import RunWriter, open_run
from assay.testing import Planted
from explain.bench import planted_text, quiet
from explain.chain import WRITTEN, A, B, C, Chain, D, chained
from model.tiny_models import CONFIGS, PARALLEL, tiny, token_batch

TOKENS = 4_000


@pytest.fixture(scope="module")
def chain(model: Planted) -> Chain:
    return chained(model)


@pytest.fixture(scope="module")
def texts(chain: Chain) -> tuple[Text, Text]:
    fit, choose, _ = gather_texts(chain.subject, planted_text(), TOKENS, 0)
    return fit, choose


def some(text: Text, windows: int = 5) -> Text:
    """The first windows of a text."""
    return Text(text.ids[:windows], text.mask[:windows], text.scored[:windows], text.documents[:windows])


def sides(chain: Chain, texts: tuple[Text, Text], unit: UnitId, k: int = 3) -> Sides:
    return Sides(chain.subject, unit, *texts, k, 0, quiet)


@pytest.fixture(scope="module")
def of_a(chain: Chain, texts: tuple[Text, Text]) -> dict[str, Any]:
    return sides(chain, texts, A).downstream()


def rows(side: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["unit"]: row for row in side["relations"]}


def listed(side: dict[str, Any], name: str) -> list[str]:
    return [row["unit"] for row in side["relations"] if name in row["chosen_by"]]


# the planted chain


def test_what_a_neuron_drives_comes_first_by_weights_and_by_effect(of_a: dict[str, Any]) -> None:
    found = rows(of_a)
    assert set(listed(of_a, "effect")) == {str(B), str(C), str(D)}
    assert str(B) in listed(of_a, "weight+")
    assert listed(of_a, "weight-")[0] == str(C)
    assert found[str(B)]["cosines"] == pytest.approx({"gate": 0, "up": 1}, abs=1e-5)
    assert found[str(C)]["cosines"] == pytest.approx({"gate": 0, "up": -1}, abs=1e-5)
    assert found[str(D)]["cosines"] == pytest.approx({"gate": 1, "up": 0}, abs=1e-5)
    for unit, sign in ((B, 1), (C, -1), (D, 1)):
        row = found[str(unit)]
        assert sign * row["signed_lo"] > 0
        assert sign * row["signed_hi"] > 0
        assert row["effect_lo"] > 5 * max(row["nulls"].values())
        assert row["strength"] > 5 * of_a["by_weights"]["others_best"]
    for unit in (B, C):  # linear, at the same token: the weights say it all
        row = found[str(unit)]
        assert row["net"] == pytest.approx(row["signed"], rel=0.1)
        assert abs(row["signed"]) == pytest.approx(row["effect"], rel=0.05)
        assert row["strength"] == pytest.approx(row["effect"], rel=0.1)


@pytest.mark.parametrize(("unit", "name"), [(B, "weight+"), (C, "weight-"), (D, "weight+")])
def test_what_drives_a_neuron_comes_first_by_weights_and_by_effect(
    chain: Chain, texts: tuple[Text, Text], unit: UnitId, name: str
) -> None:
    side = sides(chain, texts, unit).upstream()
    row = rows(side)[str(A)]
    assert listed(side, name)[0] == listed(side, "effect")[0] == str(A)
    assert row["effect_lo"] > 2 * row["nulls"]["other_neurons"]
    assert row["first_order"] == pytest.approx(row["effect"], rel=0.25)
    assert row["signed"] * (-1 if name == "weight-" else 1) > 0.3
    assert len([r for r in side["random"] if "mlp_act" in r["unit"]]) == 3
    assert not {r["unit"] for r in side["random"]} & set(rows(side))


def test_weights_predict_effects_where_the_direct_path_is_all(of_a: dict[str, Any]) -> None:
    nearest, *_, every = of_a["agreement"]
    assert (nearest["layers"], nearest["neurons"]) == ("1", 46)  # two never fire
    assert (every["layers"], every["neurons"]) == ("all", 94)
    assert nearest["strength_lo"] > nearest["strength_null"] + 0.1
    assert nearest["net_lo"] > nearest["net_null"] + 0.2
    assert abs(nearest["net_null"]) < 0.3
    assert nearest["slope"] == pytest.approx(1, abs=0.05)
    assert nearest["slope_lo"] <= nearest["slope"] <= nearest["slope_hi"]


def test_the_unit_that_writes_elsewhere_is_at_its_nulls(chain: Chain, texts: tuple[Text, Text]) -> None:
    """A planted neuron writes to axes that the output alone reads; no neuron behind it is beyond the nulls."""
    side = sides(chain, texts, UnitId(SiteId(1, "mlp_act"), 0)).downstream()
    neurons = [row for row in side["relations"] if "head" not in row["chosen_by"]]
    assert neurons
    assert not any(row["beyond"] for row in neurons)
    assert listed(side, "weight+") == listed(side, "weight-") == []


# passes, against whole ones with one edit


def naive_change(
    subject: Subject, text: Text, found: Survey, source: UnitId, watched: UnitId
) -> tuple[np.ndarray, np.ndarray]:
    """By window: Σ Δ² and Σ Δ x deviation, window by window without padding, in whole passes."""
    square, product = np.zeros(len(text.ids)), np.zeros(len(text.ids))
    size = subject.width(source.site) // subject.n_heads
    for row in range(len(text.ids)):
        length = int(text.mask[row].sum())
        ids, scored = text.ids[row : row + 1, :length], text.scored[row, :length]

        def edit(tensor: torch.Tensor, scored: torch.Tensor = scored) -> torch.Tensor:
            tensor = tensor.clone()
            for position in torch.nonzero(scored).flatten():
                if source.site.kind == "head":
                    part = slice(source.index * size, (source.index + 1) * size)
                    tensor[0, position, part] = found.means[source.site][part]
                else:
                    tensor[0, position, source.index] = found.unit_means[source.site][source.index]
            return tensor

        with torch.inference_mode(), subject.capture([source.site, watched.site]) as seen:
            subject.hidden(ids)
            before = dict(seen)
            with subject.edit(source.site, edit):
                subject.hidden(ids)
        values = [subject.units.values(watched.site, t[watched.site], [watched.index])[0, :, 0] for t in (before, seen)]
        own = subject.units.values(source.site, before[source.site], [source.index])[0, :, 0]
        change = (values[0] - values[1]).double().numpy()
        deviation = (own - found.unit_means[source.site][source.index]).double().numpy()
        where = scored.numpy()
        square[row], product[row] = (change[where] ** 2).sum(), (change * deviation)[where].sum()
    return square, product


@pytest.mark.parametrize("source", [A, UnitId(SiteId(0, "head"), 0)], ids=str)
@pytest.mark.parametrize("watched", [B, D, UnitId(SiteId(2, "head"), 3)], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 2e-4), (torch.float32, 2e-2)])
def test_both_ways_of_ablating_are_what_whole_passes_give(
    chain: Chain, texts: tuple[Text, Text], source: UnitId, watched: UnitId, dtype: torch.dtype, tolerance: float
) -> None:
    """In fp64 no shortcut is taken, though norms of heads are fp32; in fp32 changes may be multiplied in bf16."""
    subject, text = chain.subject.with_dtype(dtype), some(texts[1])
    found = survey(subject, some(texts[0]), source, Around.of(subject, source), quiet)
    square, product = naive_change(subject, text, found, source, watched)
    assert square.max() > 1e-10
    runs = Ablations(subject, text, found, quiet)
    down = runs.downstream(source, [watched.site], {})[0][watched.site].take(watched.number)
    up = runs.upstream(watched, [source])[source].change
    for change in (down, up):
        for got, whole in ((change.square, square), (change.product, product)):
            expected = text.by_document(whole)
            assert got[:, 0] == pytest.approx(expected, rel=tolerance, abs=tolerance * np.abs(expected).max())
    assert down.deviation == pytest.approx(up.deviation, rel=1e-5)


def test_nulls_keep_length_and_time_course_and_change_the_direction(chain: Chain) -> None:
    added = (
        torch.randn(4, 6, 1, generator=torch.Generator().manual_seed(0)) * torch.eye(chain.subject.d_model)[B.number]
    )
    along = chain.subject.write_vector(A)
    for unit, own in ((A, added.norm(dim=-1, keepdim=True) * along / along.norm()), (UnitId(A.site, 7), None)):
        made = nulls(chain.subject, unit, seed=0)
        assert {name.partition("-")[0] for name in made} == {"random", "other_unit"}
        for name, turn in made.items():
            given = own if own is not None else added[..., :1] * chain.subject.write_vector(unit)
            turned = turn(given)
            assert torch.allclose(turned.norm(dim=-1), given.norm(dim=-1), rtol=1e-4), name
            cosine = torch.cosine_similarity(turned, given, dim=-1).abs()
            assert cosine.max() < 0.6, name
    heads = nulls(chain.subject, UnitId(SiteId(1, "head"), 0), seed=0)
    assert {name.partition("-")[0] for name in heads} == {"random"}


def test_a_null_is_an_edit_of_what_is_added_to_the_residual(chain: Chain, texts: tuple[Text, Text]) -> None:
    """A null that changes nothing does what the ablation does; one that takes all away does nothing."""
    subject, text = chain.subject, some(texts[1])
    found = survey(subject, some(texts[0]), A, Around.of(subject, A), quiet)
    same = {"random-0": lambda added: added, "random-1": torch.zeros_like}
    changes, [one, none] = Ablations(subject, text, found, quiet).downstream(A, [B.site], same)
    assert one.square[B.site] == pytest.approx(changes[B.site].square.sum(0), rel=2e-2, abs=1e-7)
    assert none.square[B.site].max() == 0


def test_derivatives_estimate_what_ablations_give(chain: Chain, texts: tuple[Text, Text]) -> None:
    """The mean over many random signs is the sum over tokens of the squared change, to first order."""
    subject, text = chain.subject.with_dtype(torch.float64), some(texts[0], 4)
    around = Around.of(subject, D)
    found = survey(subject, text, D, around, quiet)
    estimated = attribute(subject, text, D, around.before, found, 0, quiet, probes=300)
    exact = exact_first_order(subject, text, D, around.before, found)
    for site, (square, product) in exact.items():
        loud = np.sqrt(square.sum(0)) > 1e-3 * np.sqrt(square.sum(0)).max()
        assert loud.sum() >= 3
        got = estimated[site]
        ratio = got.square.sum(0)[loud] / square.sum(0)[loud]
        assert np.abs(np.median(ratio) - 1) < 0.1
        assert np.corrcoef(got.square.sum(0)[loud], square.sum(0)[loud])[0, 1] > 0.98
        assert np.corrcoef(got.product.sum(0)[loud], product.sum(0)[loud])[0, 1] > 0.95
    real = Ablations(subject, text, found, quiet).upstream(D, [A])[A].change
    assert 0.5 < estimated[A.site].take(A.number).square.sum() / real.square.sum() < 2


def exact_first_order(
    subject: Subject, text: Text, unit: UnitId, sites: tuple[SiteId, ...], found: Survey
) -> dict[SiteId, tuple[np.ndarray, np.ndarray]]:
    """One derivative for each token: by site, (documents, units) Σ Δ² and Σ Δ x deviation."""
    sums = {site: [np.zeros((len(text.ids), subject.units.count(site))) for _ in range(2)] for site in sites}
    for row in range(len(text.ids)):
        length = int(text.mask[row].sum())
        ids, scored = text.ids[row : row + 1, :length], text.scored[row, :length]
        leaves: dict[SiteId, torch.Tensor] = {}

        def edit_at(site: SiteId, leaves: dict[SiteId, torch.Tensor] = leaves) -> Any:
            def edit(tensor: torch.Tensor) -> torch.Tensor:
                leaves[site] = torch.zeros_like(tensor, requires_grad=True)
                return tensor + leaves[site]

            return edit

        from contextlib import ExitStack

        with ExitStack() as stack:
            for site in sites:
                stack.enter_context(subject.edit(site, edit_at(site)))
            seen = subject.activations(ids, None, [*sites, unit.site])
        value = seen[unit.site][0, :, unit.index]
        away = {site: (seen[site].detach() - found.means[site]) * scored[:, None] for site in sites}
        own = {site: subject.units.values(site, seen[site].detach()) - found.unit_means[site] for site in sites}
        for position in torch.nonzero(scored).flatten():
            slopes = torch.autograd.grad(value[position], list(leaves.values()), retain_graph=True)
            for site, slope in zip(leaves, slopes, strict=True):
                moved = (slope * away[site]).sum(1)[0]
                moved = moved.reshape(subject.units.count(site), -1).sum(1)
                sums[site][0][row] += (moved**2).numpy()
                sums[site][1][row] += (moved * own[site][0, position]).numpy()
    return {site: (text.by_document(a), text.by_document(b)) for site, (a, b) in sums.items()}


# weights, against what the model computes


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "olmo2", "gpt_neox"])
def test_strength_and_net_are_what_regressions_on_the_real_inputs_give(name: str) -> None:
    subject, unit = tiny(name), UnitId(SiteId(0, "mlp_act"), 4)
    text = tiny_text(40)
    around = Around.of(subject, unit)
    found = survey(subject, text, unit, around, quiet)
    got = by_weights.downstream(subject, unit, around, found, 0)
    assert got is not None
    layer = 2
    site, how = SiteId(layer, "mlp_act"), reading(subject, layer)
    real = captured(subject, text, layer, [unit.site, site, how.site, SiteId(0, "mlp_out")])
    inputs = np.stack([real[f"input {name}"] for name in how.matrices])
    deviation = real[unit.site][:, unit.number] - real[unit.site][:, unit.number].mean()
    scale = how.inverse_scale(torch.as_tensor(real[how.site])).numpy()
    row = subject._row
    path = None if row.mlp_out in ("mlp", row.down) else submodule(subject._layers[0], row.mlp_out, row.architecture)
    vector = subject.write_vector(unit).numpy().astype(float)
    if path is not None:  # a norm behind the MLP
        gain = path.weight.numpy() + (1 if row.unit_gain else 0)
        raw = real[unit.site] @ subject.write_matrix(unit.site).T.numpy()
        scale, vector = scale / np.sqrt((raw**2).mean(1) + 1e-6), vector * gain
    activations = real[site]
    for neuron in (0, 7, 30):
        rows = np.stack([matrix[neuron].numpy() for matrix in how.matrices.values()])
        moved = rows @ vector
        expected = np.abs(moved) * np.sqrt((deviation**2 * scale**2).mean()) / inputs[:, :, neuron].std(1)
        assert np.abs(got.sites[site].inputs[:, neuron]) == pytest.approx(expected, rel=2e-3)
        design = np.column_stack([*inputs[:, :, neuron], np.ones(len(deviation))])
        slopes = np.linalg.lstsq(design, activations[:, neuron], rcond=None)[0][:-1]
        slope = (deviation**2 * scale).mean() / deviation.std()
        net = float(slopes @ moved) * slope / activations[:, neuron].std()
        assert got.sites[site].net[neuron] == pytest.approx(net, rel=5e-3, abs=1e-5)


def tiny_text(windows: int, seed: int = 5) -> Text:
    """Random tokens of the tiny vocabulary; each window is a document."""
    ids, mask = token_batch("none", (12,) * windows, seed)
    scored = torch.ones_like(ids, dtype=torch.bool)
    scored[:, 0] = False
    return Text(ids, mask, scored, np.arange(windows))


def captured(subject: Subject, text: Text, layer: int, sites: list[SiteId]) -> dict[Any, np.ndarray]:
    """By site, and by input of the layer's MLP, (tokens that count, width) of one whole pass."""
    row, got, handles = subject._row, {}, []
    for name, path in row.mlp_in.items():
        module = submodule(subject._layers[layer], path, row.architecture)
        handles.append(module.register_forward_hook(lambda _, __, output, name=name: got.update({name: output})))
    with torch.inference_mode(), subject.capture(sites) as seen:
        subject.hidden(text.ids, text.mask)
    for handle in handles:
        handle.remove()
    found: dict[Any, np.ndarray] = {site: seen[site][text.scored].double().numpy() for site in sites}
    return found | {f"input {name}": value[text.scored].double().numpy() for name, value in got.items()}


def test_a_random_write_is_as_strong_as_its_nulls(chain: Chain, texts: tuple[Text, Text]) -> None:
    """The strengths of one neuron with a Gaussian vector are distributed as those of the null's vectors."""
    subject = Subject.from_hf(chain.subject.model, chain.subject.tokenizer, "random write")
    unit, column = UnitId(A.site, 9), subject.model.model.layers[0].mlp.down_proj.weight
    kept = column[:, 9].clone()
    try:
        column[:, 9] = torch.randn(len(kept), generator=torch.Generator().manual_seed(8)) * 0.05
        around = Around.of(subject, unit)
        found = by_weights.downstream(subject, unit, around, survey(subject, texts[0], unit, around, quiet), 0)
    finally:
        column[:, 9] = kept
    assert found is not None
    own = np.concatenate([site.strength for site in found.sites.values()])
    drawn = np.concatenate([site.null_strength for site in found.sites.values()], axis=1)
    alive = drawn.max(0) > 0
    assert np.median(own[alive]) == pytest.approx(np.median(drawn[:, alive]), rel=0.35)
    assert own.max() < 1.5 * found.null_best


def test_random_readers_and_other_readers_bound_what_drives_a_neuron(chain: Chain, texts: tuple[Text, Text]) -> None:
    around = Around.of(chain.subject, B)
    found = by_weights.upstream(chain.subject, B, around, survey(chain.subject, texts[0], B, around, quiet), 0)
    assert found is not None
    [site] = found.sites.values()
    assert site.strength.argmax() == A.number
    assert found.null_best < 0.5 * site.strength.max()
    assert len(found.others) == by_weights.DRAWS
    assert np.median(found.others) < 0.5 * site.strength.max()


# directions, coordinates, heads


def test_a_direction_along_the_axis_is_the_neuron_that_writes_it(chain: Chain, texts: tuple[Text, Text]) -> None:
    """Upstream of the axis is A, and downstream of it are B and C, as they are of A."""
    vector = np.zeros(chain.subject.d_model, np.float32)
    vector[-3] = 2.0
    unit = UnitId(SiteId(0, "resid_post"), "@axis")
    chain.subject.units.add(unit, Direction(unit.site, vector, scale=0.5))
    found = sides(chain, texts, unit)
    up, down = found.upstream(), found.downstream()
    assert listed(up, "weight+")[0] == listed(up, "effect")[0] == str(A)
    assert rows(up)[str(A)]["net"] == pytest.approx(rows(up)[str(A)]["signed"], rel=0.05)
    assert rows(up)[str(A)]["weights"].keys() == {"value"}
    assert set(listed(down, "effect")) == {str(B), str(C), str(D)}
    assert rows(down)[str(C)]["net"] == pytest.approx(rows(down)[str(C)]["signed"], rel=0.1)
    assert WRITTEN > 0


def test_a_head_has_no_weights_and_is_measured(chain: Chain, texts: tuple[Text, Text]) -> None:
    """Head 0 of layer 0 carries the kind of the previous word to the neurons that ask for it."""
    found = sides(chain, texts, UnitId(SiteId(0, "head"), 0))
    down = found.downstream()
    assert down["by_weights"] is None
    assert down["agreement"] == []
    context = {str(unit) for unit in chain.planted.units("context")}
    assert set(listed(down, "effect")) & context
    assert rows(down)[next(iter(set(listed(down, "effect")) & context))]["strength"] is None
    assert "no neuron and no head comes before L0.head:0" in found.upstream()["note"]


# what is chosen, and what is said of it


def fake_weights(net: list[float]) -> Weights:
    values = np.array(net, np.float32)
    site = Site(values[None], values[None], values, np.zeros((2, len(net))), np.zeros((2, len(net))))  # type: ignore[arg-type]
    return Weights(("in",), {SiteId(1, "mlp_act"): site}, np.zeros(0, np.float32))


def test_each_kind_has_its_k_and_zeros_are_left_out() -> None:
    neurons, heads = SiteId(1, "mlp_act"), SiteId(1, "head")
    found = {heads: np.array([0.3, 0.9, 0.0]), neurons: np.array([0.1, 0.0, 0.5, 0.2, 0.05])}
    chosen = choose(fake_weights([0.2, 0.0, -0.9, 0.4, -0.1]), found, 2)
    assert {str(unit): reasons for unit, reasons in chosen.items()} == {
        "L1.head:1": ["head"],
        "L1.mlp_act:2": ["weight-", "effect"],
        "L1.head:0": ["head"],
        "L1.mlp_act:3": ["weight+", "effect"],
        "L1.mlp_act:0": ["weight+"],
        "L1.mlp_act:4": ["weight-"],
    }
    assert str(next(iter(chosen))) == "L1.head:1"  # by effect
    assert list(map(str, best(found, 9))) == [
        *("L1.head:1", "L1.mlp_act:2", "L1.head:0", "L1.mlp_act:3", "L1.mlp_act:0", "L1.mlp_act:4")
    ]


def test_effects_are_root_mean_squares_in_standard_deviations() -> None:
    rng = np.random.default_rng(0)
    change, deviation = rng.normal(size=(30, 50)), rng.normal(size=(30, 50))
    change = 0.3 * deviation + 0.1 * change
    sums = Change(*((values.sum(1)[:, None]) for values in (change**2, change * deviation, deviation**2)))
    tokens = np.full(30, 50.0)
    found = measure(sums, tokens, source_sd=2.0, reader_sd=4.0, seed=0)
    assert found.effect.value == pytest.approx(np.sqrt((change**2).mean()) / 4)
    assert found.signed.value == pytest.approx(np.polyfit(deviation.ravel(), change.ravel(), 1)[0] / 2, rel=0.02)
    assert found.effect.lo < found.effect.value < found.effect.hi
    assert (found.effect.hi - found.effect.lo) < 0.2 * found.effect.value
    assert found.reason == ""
    [site] = effects({A.site: sums}, 1500, {A.site: np.array([4.0])}).values()
    assert site[0] == pytest.approx(found.effect.value)


def test_what_few_documents_hold_is_not_decided() -> None:
    square = np.full((40, 1), 0.01)
    square[:3] = 1.0
    sums = Change(square, square, square)
    assert "10 of 40 documents hold half" in measure(sums, np.full(40, 9.0), 1.0, 1.0, 0).reason
    few = Change(*(np.ones((8, 1)),) * 3)
    assert "8 documents; 20 are needed" in measure(few, np.full(8, 9.0), 1.0, 1.0, 0).reason
    dead = measure(sums, np.full(40, 9.0), 1.0, 0.0, 0)
    assert dead.reason == "it never varies"
    assert np.isnan(dead.effect.lo)


def test_rank_correlations_are_spearmans(chain: Chain) -> None:
    rng = np.random.default_rng(4)
    n, documents = 60, 25
    net = rng.normal(size=n).astype(np.float32)
    signed = 0.8 * net + 0.4 * rng.normal(size=n)
    effect = np.abs(signed) + 0.1 * rng.random(n)
    each = rng.uniform(0.5, 1.5, documents)[:, None]
    sums = Change(each * effect**2, each * signed, each * np.ones((1, n)))
    site = Site(net[None], net[None], net, np.abs(rng.normal(size=(9, n))), rng.normal(size=(9, n)))  # type: ignore[arg-type]
    ones = {A.site: np.ones(n)}
    found = agreement(
        Weights(("in",), {A.site: site}, np.zeros(0, np.float32)), {A.site: sums}, each[:, 0], ones, ones, True, 0
    )
    assert [row["layers"] for row in found] == ["1", "all"]
    row = found[0]
    assert row["strength"] == pytest.approx(spearmanr(np.abs(net), effect).statistic)
    assert row["net"] == pytest.approx(spearmanr(net, signed).statistic)
    assert row["slope"] == pytest.approx(float(net @ signed / (net @ net)), rel=1e-5)
    assert abs(row["net_null"]) < 0.15
    assert row["net_lo"] <= row["net"] <= row["net_hi"]


# architectures


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_has_related_units(name: str) -> None:
    subject, unit = tiny(name), UnitId(SiteId(1, "mlp_act"), 3)
    found = Sides(subject, unit, tiny_text(24), tiny_text(24, seed=6), 2, 0, quiet)
    up, down = found.upstream(), found.downstream()
    parallel = name in PARALLEL
    assert up["candidates"]["heads"] == subject.n_heads * (1 if parallel else 2)
    assert down["candidates"] == {"neurons": subject.width(unit.site), "heads": subject.n_heads}
    for side in (up, down):
        assert len(listed(side, "effect")) == len(listed(side, "weight+")) == len(listed(side, "weight-")) == 2
        assert all(row["effect"] > 0 for row in side["relations"])
        best_row = max((row for row in side["relations"] if row["strength"]), key=lambda row: row["effect"])
        assert best_row["effect"] > 0.01
        [nearest, *_] = side["agreement"]
        assert nearest["net"] > 0.25 > abs(nearest["net_null"])
    assert json.loads(json.dumps([up, down], allow_nan=False)) == [up, down]


# the whole, as a run


def write_explained(root: Path, chain: Chain) -> Path:
    """A run that explained A and B, as far as sentences need one."""
    subject = {"name": "chain", "fingerprint": chain.subject.fingerprint, "n_layers": 3}
    writer = RunWriter(root, "explain", asked={}, resolved={}, subject=subject, corpus={"name": "none"})
    evidence = {"nulls": json.dumps({"shuffled": 0.01, "other_unit": 0.04}), "references": "{}", "n": 30, "reason": ""}
    evidence |= dict.fromkeys(("d", "d_lo", "d_hi", "p_support", "p_refute", "unscored", "verdict")) | {"version": 1}
    claims, tests = [], []
    for i, (unit, name) in enumerate([(A, "rules"), (A, "lookup"), (B, "rules")]):
        text = f"what {name} say of {unit}"
        claims.append(
            {"claim": i, "unit": str(unit), "explainer": name, "version": 1, "role": "claim", "text": text}
            | {"rules": "{}", "lines": "[]", "bits": 9.0, "calibration": "{}", "rival": "", "threshold": None}
        )
        tests.append(evidence | {"claim": i, "check": "prediction", "measure": "r", "value": 0.5, "lo": 0.4, "hi": 0.6})
        whole = {"check": "claim", "measure": "verdict", "value": None, "lo": None, "hi": None, "verdict": "predicts"}
        tests.append(evidence | {"claim": i} | whole)
    zeros = dict.fromkeys(("mean", "sd", "skew", "kurtosis", "min", "max", "q01", "q50", "q99", "firing_rate"), 0.0)
    with writer as run:
        place = {"layer": 0, "kind": "mlp_act", "index": 5, "count": 9, "role": "target"}
        run.table("units", [{"unit": str(A)} | place | zeros])
        run.table("claims", claims)
        run.table("evidence", tests)
        run.result({})
    return run.path


@pytest.fixture(scope="module")
def stored(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_explained(root, chain)
    asked = RelatedRequest(str(B), k=2, tokens=4_000, out=str(root))
    return related(asked, subject=chain.subject, corpus=planted_text()).run_path


def test_a_run_holds_what_was_found_with_the_sentences_of_another(stored: Path) -> None:
    run = open_run(stored)
    result = run.result()
    assert set(result) == {"run", "subject", "unit", "k", "downstream", "upstream", "explanation", "summary"}
    assert result["unit"] == str(B)
    assert result["explanation"]["explainer"] == "rules"
    assert set(result["explanation"]) == {"explainer", "explanation", "r", "r_lo", "r_hi", "verdict", "null", "run"}
    row = rows(result["upstream"])[str(A)]
    said = row["explanation"]
    assert said["explanation"] == f"what rules say of {A}"
    assert (said["r"], said["r_lo"], said["r_hi"], said["null"], said["verdict"]) == (0.5, 0.4, 0.6, 0.04, "predicts")
    assert said["run"] == open_run("last", stored.parent).id
    other = next(row for row in result["upstream"]["relations"] if row["unit"] != str(A))
    assert other["explanation"] is None
    table = run.rows("related")
    assert {(r["side"], r["other"]) for r in table} == {
        (side, r["unit"]) for side in ("upstream", "downstream") for r in result[side]["relations"]
    }
    [same] = [r for r in table if r["other"] == str(A)]
    assert (same["unit"], same["side"], same["effect"]) == (str(B), "upstream", row["effect"])
    assert same["best_null"] == max(row["nulls"].values())
    assert run.spec["corpus"]["tokens"]["test"] == 0
    assert open_run("last", stored.parent).spec["verb"] == "explain"


def test_the_same_request_gives_the_same_result(chain: Chain, stored: Path, tmp_path: Path) -> None:
    again = related(
        RelatedRequest(str(B), k=2, tokens=4_000, out=str(tmp_path)), subject=chain.subject, corpus=planted_text()
    ).result
    first = open_run(stored).result()
    for side in ("upstream", "downstream"):
        for row in first[side]["relations"]:
            row["explanation"] = None
        assert again[side] == first[side]


def test_what_is_reported_is_of_other_documents_than_what_is_chosen_on(chain: Chain) -> None:
    corpus = planted_text()
    fit, choose, sha256 = gather_texts(chain.subject, corpus, TOKENS, 0)
    whole = [text.ids[text.mask.all(1)] for text in (fit, choose)]
    windows = [{tuple(row) for row in ids.tolist()} for ids in whole]
    assert min(map(len, windows)) > 5
    assert not windows[0] & windows[1]
    assert fit.n_documents >= 20
    assert choose.n_documents >= 20
    assert sha256
    assert not fit.scored[:, 0].any()
    assert TOKENS / 2 <= int(fit.mask.sum()) <= TOKENS / 2 + 64


# bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit": "L1.mlp_act:48"}, "out of range; L1.mlp_act has units 0 to 47"),
        ({"unit": "L9.mlp_act:1"}, "unknown site 'L9.mlp_act'"),
        ({"unit": "L1.mlp:1"}, "unknown site 'mlp'"),
        ({"unit": "nothing"}, "'nothing' is not a unit"),
        ({"unit": "L1.mlp_act:0-3"}, "names 4 units; give one, for example L1.mlp_act:0"),
        ({"unit": "L1.mlp_act:10"}, "has the same value on all"),
        ({"k": 0}, "--k must be 1 to 64, got 0"),
        ({"k": 65}, "--k must be 1 to 64, got 65"),
        ({"tokens": 100}, "--tokens must be 4,000 or more, got 100"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"run": "nowhere"}, "there is no run in"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    chain: Chain, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    asked = RelatedRequest(**({"unit": str(A), "tokens": 4_000, "out": str(tmp_path)} | changes))
    with pytest.raises(UsageError) as caught:
        related(asked, subject=chain.subject, corpus=planted_text())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_of_another_model_has_no_sentences_for_this_one(model: Planted, stored: Path) -> None:
    root = stored.parent
    explained = open_run("last", root)
    asked = RelatedRequest(str(B), tokens=4_000, out=str(root), run=explained.id)
    with pytest.raises(UsageError, match="which has other weights"):
        related(asked, subject=model.subject, corpus=planted_text())
    mine = RelatedRequest(str(B), tokens=4_000, out=str(root), run=stored.name)
    with pytest.raises(UsageError, match="explained nothing: it was made by 'assay related'"):
        related(mine, subject=model.subject, corpus=planted_text())


def test_the_last_layer_has_nothing_behind_it(chain: Chain, texts: tuple[Text, Text]) -> None:
    found = sides(chain, texts, UnitId(SiteId(2, "mlp_act"), 1)).downstream()
    assert found["relations"] == []
    assert found["candidates"] == {"neurons": 0, "heads": 0}
    assert found["note"] == (
        "no neuron and no head comes after L2.mlp_act:1: what is written in the last layer goes to the logits alone"
    )
