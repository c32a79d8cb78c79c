"""Outputs of modules as sites: any module of a layer, seen, edited and named like the sites that every model has."""

from __future__ import annotations

import pytest
import torch

from assay.core.ids import SiteId, UnitId, parse_units
from assay.errors import UnknownName, UsageError
from assay.model import Subject
from assay.model.sitemap import tap
from model.tiny_models import CONFIGS, tiny, tiny_model, tiny_tokenizer, token_batch

Q = {  # where each architecture makes its queries, together with keys and values in some
    "gpt2": "attn.c_attn",
    "gpt_neox": "attention.query_key_value",
    "gpt_neox_serial": "attention.query_key_value",
    "gptj": "attn.q_proj",
    "phi3": "self_attn.qkv_proj",
}
IN = {  # and what the MLP does first: in OPT on tokens in one row
    "gpt2": "mlp.c_fc",
    "gpt_neox": "mlp.dense_h_to_4h",
    "gpt_neox_serial": "mlp.dense_h_to_4h",
    "gptj": "mlp.fc_in",
    "phi3": "mlp.gate_up_proj",
    "phi": "mlp.fc1",
    "opt": "fc1",
    "opt_projected": "fc1",
}


def modules(name: str) -> list[SiteId]:
    return [SiteId(1, f"module.{Q.get(name, 'self_attn.q_proj')}"), SiteId(1, f"module.{IN.get(name, 'mlp.up_proj')}")]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_module_s_output_is_what_a_plain_hook_sees(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("right")
    for site in modules(name):
        seen: list[torch.Tensor] = []
        assert site.module is not None
        module = subject._layers[1].get_submodule(site.module)
        handle = module.register_forward_hook(lambda m, args, output, seen=seen: seen.append(output))
        with subject.capture([site]) as got:
            subject.hidden(ids, mask)
        handle.remove()
        assert got[site].shape == (*ids.shape, subject.width(site))
        assert torch.equal(got[site].reshape(seen[0].shape), seen[0])
        assert subject.units.count(site) == subject.width(site)


@pytest.mark.parametrize("name", CONFIGS)
def test_an_edit_there_is_an_edit_of_the_module(name: str) -> None:
    subject = tiny(name)
    ids, mask = token_batch("right")
    whole = subject.hidden(ids, mask)
    for site in modules(name):
        unit = UnitId(site, 3)

        def put(tensor: torch.Tensor, unit: UnitId = unit) -> torch.Tensor:
            return subject.units.put(unit, tensor, torch.full(tensor.shape[:-1], 2.5))

        with subject.edit(site, put), subject.capture([site]) as got:
            edited = subject.hidden(ids, mask)
        assert (got[site][..., 3] == 2.5).all()
        assert not torch.allclose(edited, whole)
        assert torch.equal(subject.hidden(ids, mask), whole)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_pass_that_ends_early_has_seen_all_that_was_asked_for(name: str) -> None:
    """The order of modules in a layer is not known: the pass goes on to the end of the layer."""
    subject = tiny(name)
    ids, mask = token_batch("right")
    sites = [*modules(name), SiteId(1, "resid_pre"), SiteId(1, "mlp_act")]
    with subject.capture(sites) as whole:
        subject.hidden(ids, mask)
    got = subject.activations(ids, mask, sites)
    assert set(got) == set(sites)
    for site in sites:
        assert torch.equal(got[site], whole[site])


def test_names_go_both_ways() -> None:
    unit = UnitId.parse("L2.module.self_attn.q_proj:7")
    assert unit == UnitId(SiteId(2, "module.self_attn.q_proj"), 7)
    assert str(unit) == "L2.module.self_attn.q_proj:7"
    assert unit.site.module == "self_attn.q_proj"
    assert SiteId(2, "mlp_act").module is None
    subject = tiny("llama")
    drawn = parse_units("L2.module.mlp.gate_proj:random5", subject.n_layers, subject.units.count, 0)
    assert len(drawn) == 5
    assert max(unit.number for unit in drawn) < 48


def test_a_module_that_is_not_there_is_named_with_those_that_are() -> None:
    subject = tiny("llama")
    with pytest.raises(UnknownName, match=r"unknown module 'self_attn.q_prj'.*did you mean 'self_attn.q_proj'"):
        subject.units.check(UnitId.parse("L0.module.self_attn.q_prj:1"))
    with pytest.raises(UnknownName, match="layers of tiny llama run from 0 to 2"):
        subject.width(SiteId(7, "module.mlp"))
    with pytest.raises(UsageError, match="has units 0 to 47"):
        subject.units.check(UnitId.parse("L0.module.mlp.up_proj:48"))
    with pytest.raises(UnknownName, match="unknown site 'modul'"):
        UnitId.parse("L0.modul:3")


def test_a_module_of_anybody_s_own_is_a_source_of_units() -> None:
    """Whatever is put into a layer: here a probe that reads the MLP's output and changes nothing."""
    model = tiny_model("llama")
    probe = torch.nn.Linear(32, 2)
    model.model.layers[1].mlp.probe = probe

    def read(_: object, args: object, output: torch.Tensor) -> None:
        probe(output)

    model.model.layers[1].mlp.register_forward_hook(read)
    subject = Subject.from_hf(model, tiny_tokenizer(), name="probed")
    site = SiteId(1, "module.mlp.probe")
    ids, mask = token_batch("right")
    with subject.capture([site, SiteId(1, "mlp_out")]) as got:
        subject.hidden(ids, mask)
    assert subject.width(site) == 2
    assert torch.allclose(got[site], probe(got[SiteId(1, "mlp_out")]))


def test_what_gives_no_numbers_a_token_is_refused() -> None:
    model = tiny_model("llama")
    model.model.layers[0].idle = torch.nn.Linear(4, 4)
    subject = Subject.from_hf(model, tiny_tokenizer(), name="idle")
    with pytest.raises(UsageError, match=r"L0.module.idle gives no row of numbers a token"):
        subject.width(SiteId(0, "module.idle"))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_module_that_is_a_known_site_goes_by_its_own_name(name: str) -> None:
    subject = tiny(name)
    layer = subject._layers[1]
    paths = {id(module): path for path, module in layer.named_modules()}
    for kind in ("attn_out", "mlp_out"):
        site = SiteId(1, f"module.{paths[id(tap(subject._row, layer, kind).module)]}")
        with pytest.raises(UsageError, match=f"is L1.{kind}; take that name"):
            subject.width(site)
