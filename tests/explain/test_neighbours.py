"""Neighbours of very many units at once, against what is said of one unit at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.errors import UnknownName, UsageError
from assay.explain.experiment import ExplainRequest, explain
from assay.explain.material import WHOLE_SHARES, gather_material
from assay.explain.related import layers, meeting, neighbours
from assay.explain.related import weights as by_weights
from assay.explain.related.layers import survey_layers
from assay.explain.related.moments import Carry
from assay.explain.related.neighbours import SIDES, find_neighbours, make_wiring, neighbours_of
from assay.explain.related.relations import best
from assay.explain.related.survey import Around, survey
from assay.explain.related.text import Text, gather_texts, sample_text
from assay.explain.related.weights import Weights
from assay.model import Subject
from assay.model.wiring import reading
from assay.store import open_run
from assay.testing import Planted
from explain.bench import planted_text, quiet
from explain.chain import AXIS, A, B, C, Chain, D, chained
from model.tiny_models import CONFIGS, LAYERS, tiny, token_batch

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def chain(model: Planted) -> Chain:
    return chained(model)


@pytest.fixture(scope="module")
def text(chain: Chain) -> Text:
    return gather_texts(chain.subject, planted_text(), 4_000, 0)[0]


def tiny_text(windows: int = 40, seed: int = 5) -> Text:
    """Random tokens of the tiny vocabulary; each window is a document."""
    ids, mask = token_batch("none", (12,) * windows, seed)
    scored = torch.ones_like(ids, dtype=torch.bool)
    scored[:, 0] = False
    return Text(ids, mask, scored, np.arange(windows))


def one_by_one(subject: Subject, text: Text, unit: UnitId) -> dict[str, Weights | None]:
    """By side, what the methods for a single unit say."""
    around = Around.of(subject, unit)
    found = survey(subject, text, unit, around, quiet)
    return {side: getattr(by_weights, side)(subject, unit, around, found, 0) for side in SIDES}


def of_side(rows: Rows, side: str) -> Rows:
    return [row for row in rows if row["side"] == side]


def check_against(rows: Rows, said: Weights | None, k: int) -> None:
    """Rows of one unit and side: the same others in the same order, with the same numbers."""
    strength = {} if said is None else {site: own.strength for site, own in said.sites.items()}
    expected = best(strength, k)
    assert [row["other"] for row in rows] == [str(unit) for unit in expected]
    assert [row["place"] for row in rows] == list(range(1, len(rows) + 1))
    for row, unit in zip(rows, expected, strict=True):
        assert said is not None
        assert (row["layer"], row["index"]) == (unit.site.layer, unit.index)
        assert row["strength"] == pytest.approx(float(said.sites[unit.site].strength[unit.number]), rel=2e-3)
        assert row["net"] == pytest.approx(float(said.sites[unit.site].net[unit.number]), rel=5e-3, abs=1e-4)


# against one unit at a time


@pytest.mark.parametrize("name", CONFIGS)
def test_neighbours_are_those_of_each_unit_alone(name: str) -> None:
    """Serial and parallel residual, norms behind the MLP, one input and two, halves of one matrix."""
    subject, text = tiny(name), tiny_text()
    wiring = make_wiring(subject, text, k=5)
    width = subject.width(SiteId(0, "mlp_act"))
    every = [UnitId(SiteId(layer, "mlp_act"), i) for layer in range(LAYERS) for i in range(width)]
    together = wiring.table(every).to_pylist()
    for unit in (UnitId(SiteId(0, "mlp_act"), 4), UnitId(SiteId(1, "mlp_act"), 7), UnitId(SiteId(2, "mlp_act"), 30)):
        alone = wiring.of(unit)
        among = [row for row in together if row["unit"] == str(unit)]
        said = one_by_one(subject, text, unit)
        for rows in (alone, among):
            assert {row["unit"] for row in rows} == {str(unit)}
            for side in SIDES:
                check_against(of_side(rows, side), said[side], 5)
    assert not of_side([row for row in together if row["unit"].startswith("L0.")], "upstream")
    assert not of_side([row for row in together if row["unit"].startswith("L2.")], "downstream")
    assert all(SiteId.parse(row["unit"].split(":")[0]).layer != row["layer"] for row in together)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gpt_neox"])
def test_nulls_are_what_random_vectors_reach_at_best(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many draws on both sides, random vectors shared by all units are those of each unit of its own."""
    monkeypatch.setattr(layers, "DRAWS", 1500)
    monkeypatch.setattr(by_weights, "DRAWS", 1500)
    subject, text, unit = tiny(name), tiny_text(), UnitId(SiteId(1, "mlp_act"), 7)
    rows, said = make_wiring(subject, text).of(unit), one_by_one(subject, text, unit)
    for side in SIDES:
        own = said[side]
        assert own is not None
        [null] = {row["null"] for row in of_side(rows, side)}
        assert null == pytest.approx(own.null_best, rel=0.05)


def test_a_carry_of_many_ways_is_many_carries() -> None:
    drawn = torch.Generator().manual_seed(0)
    values, factors = torch.randn(90, 7, generator=drawn) + 3, torch.rand(90, 4, generator=drawn)
    together, apart = Carry(), [Carry() for _ in range(4)]
    for part in (slice(0, 40), slice(40, 90)):
        together.add(values[part], factors[part])
        for way, one in enumerate(apart):
            one.add(values[part], factors[part, way])
    for many, ones in zip(together.carried(), zip(*(one.carried() for one in apart), strict=True), strict=True):
        assert torch.allclose(many, torch.stack(ones, 1), rtol=1e-5)
    away = (values - values.mean(0)).double()
    expected = (away[:, :, None] * factors[:, None]).square().mean(0).sqrt()
    assert torch.allclose(together.carried().spread.double(), expected, rtol=1e-5)


def test_small_blocks_and_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, text, units = tiny("olmo2"), tiny_text(), [UnitId(SiteId(1, "mlp_act"), i) for i in range(48)]
    whole = neighbours_of(subject, text, units)
    monkeypatch.setattr(meeting, "AT_ONCE", 7 * 2 * 48)
    monkeypatch.setattr(layers, "AT_ONCE", 1)
    for row, same in zip(neighbours_of(subject, text, units), whole, strict=True):
        assert (row["unit"], row["side"], row["place"]) == (same["unit"], same["side"], same["place"])
        assert row["strength"] == pytest.approx(same["strength"], rel=1e-4)


@pytest.mark.parametrize("name", ["phi3", "opt", "gpt2", "gemma3_text"])
def test_pre_activations_are_taken_where_the_model_computes_them(name: str) -> None:
    """They are the products of what a layer reads, but for a constant."""
    subject, text = tiny(name), tiny_text(6)
    how = reading(subject, 1)
    with torch.inference_mode(), subject.capture({how.site, *(share.site for share in how.shares.values())}) as seen:
        subject.hidden(text.ids, text.mask)
    for name_, share in how.shares.items():
        got, made = share.take(seen[share.site]), how.scaled(seen[how.site]) @ how.matrices[name_].T
        away = (got - made).flatten(0, 1)
        assert (away - away.mean(0)).abs().max() < 1e-4 * got.abs().max()


# the planted chain


def test_the_chain_is_found_and_is_above_its_nulls(chain: Chain, text: Text) -> None:
    rows = neighbours_of(chain.subject, text, [B, A, D, C])
    assert list(dict.fromkeys(row["unit"] for row in rows)) == [str(unit) for unit in (B, A, D, C)]
    own = {unit: [row for row in rows if row["unit"] == str(unit)] for unit in (A, B, C, D)}
    assert {row["other"] for row in of_side(own[A], "downstream")[:3]} == {str(B), str(C), str(D)}
    for unit, sign in ((B, 1), (C, -1), (D, 1)):
        first = of_side(own[unit], "upstream")[0]
        assert first["other"] == str(A)
        assert first["strength"] > 2 * first["null"]
        assert sign * first["net"] > 0
    for unit in (A, B, C, D):
        for side, said in one_by_one(chain.subject, text, unit).items():
            check_against(of_side(own[unit], side)[:4], said, 4)


def test_what_never_varies_has_no_neighbours_and_is_none(chain: Chain, text: Text) -> None:
    silent = UnitId(SiteId(1, "mlp_act"), 10)
    assert neighbours_of(chain.subject, text, [silent]) == []
    every = [UnitId(SiteId(layer, "mlp_act"), i) for layer in range(3) for i in range(48)]
    assert str(silent) not in {row["other"] for row in neighbours_of(chain.subject, text, every, k=48)}


def test_a_neuron_that_writes_nothing_has_nothing_downstream(chain: Chain, text: Text) -> None:
    """B's column of the last matrix is 0."""
    assert not of_side(neighbours_of(chain.subject, text, [B]), "downstream")


# other kinds of unit


def test_a_direction_has_the_neighbours_of_the_neuron_that_writes_it(chain: Chain, text: Text) -> None:
    vector = np.zeros(chain.subject.d_model, np.float32)
    vector[-3] = 2.0
    unit = UnitId(SiteId(0, "resid_post"), "@neighbour")
    chain.subject.units.add(unit, Direction(unit.site, vector, scale=0.5))
    rows = neighbours_of(chain.subject, text, [unit])
    assert of_side(rows, "upstream")[0]["other"] == str(A)
    assert {row["other"] for row in of_side(rows, "downstream")[:3]} == {str(B), str(C), str(D)}
    said = one_by_one(chain.subject, text, unit)
    for side in SIDES:
        check_against(of_side(rows, side), said[side], 8)


def test_heads_and_modules_have_no_rows_and_coordinates_have(chain: Chain, text: Text) -> None:
    wiring = make_wiring(chain.subject, text)
    assert wiring.of(UnitId(SiteId(1, "head"), 0)) == []
    assert wiring.of(UnitId(SiteId.parse("L1.module.self_attn.q_proj"), 3)) == []
    coordinate = wiring.of(UnitId(SiteId(0, "resid_post"), AXIS))
    assert {row["side"] for row in coordinate} == set(SIDES)
    assert of_side(coordinate, "upstream")[0]["other"] == str(A)
    with pytest.raises(UnknownName):
        wiring.of(UnitId(SiteId(7, "mlp_act"), 0))
    with pytest.raises(UsageError):
        wiring.of(UnitId(SiteId(1, "mlp_act"), 4_000))


# runs


def test_a_run_holds_the_neighbours_of_its_targets(chain: Chain, tmp_path: Path) -> None:
    targets = [D, A, UnitId(SiteId(0, "head"), 1)]
    units, tokens = ",".join(map(str, targets)), 24_000
    asked = ExplainRequest(
        units=units, tokens=tokens, rules=1, behaviour=False, explainers=("rules",), out=str(tmp_path)
    )
    outcome = explain(asked, subject=chain.subject, corpus=planted_text())
    rows = open_run(str(outcome.run_path)).rows("neighbours")
    assert list(dict.fromkeys(row["unit"] for row in rows)) == [str(D), str(A)]
    told = outcome.result["summary"]["neighbours"]
    assert told["tokens"] >= 6_000
    assert told["k"] == 8
    assert told["seconds"] >= 0
    fit = gather_material(chain.subject, planted_text(), tokens, 0).fit
    assert rows == neighbours_of(chain.subject, sample_text(fit, 6_000, 0), targets)


def test_a_run_of_a_whole_layer_holds_the_neighbours_of_all_its_neurons(chain: Chain, tmp_path: Path) -> None:
    asked = ExplainRequest(units="L1.mlp_act:all", tokens=12_000, rules=1, behaviour=False, out=str(tmp_path))
    outcome = explain(asked, subject=chain.subject, corpus=planted_text())
    rows = open_run(str(outcome.run_path)).rows("neighbours")
    fit = gather_material(chain.subject, planted_text(), 12_000, 0, WHOLE_SHARES).fit
    every = [UnitId(SiteId(1, "mlp_act"), i) for i in range(48)]
    assert rows == neighbours_of(chain.subject, sample_text(fit, 6_000, 0), every)
    [first] = [row for row in rows if (row["unit"], row["side"], row["place"]) == (str(B), "upstream", 1)]
    assert first["other"] == str(A)
    assert first["strength"] > 2 * first["null"]
    assert outcome.result["summary"]["neighbours"]["k"] == 8


def test_a_sample_of_text_is_of_whole_windows_drawn_at_random(model: Planted) -> None:
    fit = gather_material(model.subject, planted_text(), 24_000, 0).fit
    whole, some = Text.of(fit), sample_text(fit, 3_000, 0)
    assert 3_000 <= some.n_scored < 3_064
    everything = {tuple(row) for row in whole.ids.tolist()}
    assert {tuple(row) for row in some.ids.tolist()} <= everything
    assert set(some.documents) == set(range(some.n_documents))
    assert some.n_documents > whole.n_documents / 10
    assert sample_text(fit, 10**9, 0).n_scored == whole.n_scored


def test_a_subject_that_cannot_be_surveyed_costs_the_table_and_not_the_run(
    model: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = gather_material(model.subject, planted_text(), 24_000, 0).fit
    with monkeypatch.context() as patched:
        patched.setattr(neighbours, "is_spread", lambda _: True)
        found = find_neighbours(model.subject, fit, [A], 0, quiet)
    assert found.table.num_rows == 0
    assert found.table.schema.names[0] == "unit"
    assert "spread over devices" in str(found.summary)
    broken = tiny("llama").with_dtype(torch.float64).with_dtype(torch.float32)
    with torch.no_grad():
        broken.write_matrix(SiteId(0, "mlp_act"))[0, 0] = torch.inf
    with pytest.raises(UsageError, match=r"NaN or infinite values at L1\.mlp_act"):
        survey_layers(broken, tiny_text(), 0, quiet)
