"""What neurons read and write, against what the model computes."""

from __future__ import annotations

import pytest
import torch

from assay.core.ids import SiteId
from assay.model.sitemap import submodule
from assay.model.wiring import post_norm, reaches, reading, written
from model.tiny_models import CONFIGS, LAYERS, PARALLEL, POST_NORMED, tiny, token_batch

TWO = ("llama", "mistral", "qwen2", "qwen3", "olmo2", "gemma2", "gemma3_text", "phi3")


def pre_activations(subject, layer: int, ids, mask) -> dict[str, torch.Tensor]:
    """What the matrices that read the residual give, each name its own share, by hooks on the modules."""
    row, got, handles = subject._row, {}, []
    for path in set(row.mlp_in.values()):
        module = submodule(subject._layers[layer], path, row.architecture)

        def keep(_, args, output, path=path) -> None:
            got[path] = output.reshape(*ids.shape, -1)

        handles.append(module.register_forward_hook(keep))
    with torch.inference_mode():
        subject.hidden(ids, mask)
    for handle in handles:
        handle.remove()
    if len(got) < len(row.mlp_in):
        [both] = got.values()
        return dict(zip(("gate", "up"), both.chunk(2, -1), strict=True))
    return {name: got[path] for name, path in row.mlp_in.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_pre_activation_is_a_product_with_the_scaled_residual_and_a_constant(name: str) -> None:
    subject, layer = tiny(name), 1
    ids, mask = token_batch("none")
    found = reading(subject, layer)
    assert set(found.matrices) == ({"gate", "up"} if name in TWO else {"in"})
    with torch.inference_mode(), subject.capture([found.site]) as seen:
        subject.hidden(ids, mask)
    scaled = found.scaled(seen[found.site])
    divided = seen[found.site] * found.inverse_scale(seen[found.site])[..., None]
    for matrix, real in pre_activations(subject, layer, ids, mask).items():
        rows = found.matrices[matrix]
        product = scaled @ rows.T
        constant = real - product
        assert (constant - constant[0, 0]).abs().max() < 2e-5 * real.abs().max()
        assert (product - product[0, 0]).abs().max() > 0.1 * real.abs().max()
        # the vectors are centred themselves, so that the mean need not be taken off what they are multiplied with
        assert torch.allclose(divided @ rows.T, product, atol=2e-5 * float(product.abs().max()))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_neurons_write_adds_up_to_what_the_mlp_writes(name: str) -> None:
    subject, layer = tiny(name), 1
    act, out = SiteId(layer, "mlp_act"), SiteId(layer, "mlp_out")
    ids, mask = token_batch("none")
    with torch.inference_mode(), subject.capture([act, out]) as seen:
        subject.hidden(ids, mask)
    norm = post_norm(subject, layer)
    assert (norm is not None) == (name in POST_NORMED)
    total = seen[act] @ written(subject, layer)
    if norm is not None:
        total = total * norm.inverse_scale(seen[act] @ subject.write_matrix(act).T)[..., None]
    constant = seen[out] - total
    assert (constant - constant[0, 0]).abs().max() < 2e-5 * seen[out].abs().max()


def test_the_gain_of_a_norm_is_folded_in_and_the_model_left_alone() -> None:
    subject = tiny("gemma2")
    before = subject.fingerprint
    weight = subject.model.get_submodule("model.layers.2.mlp.up_proj").weight
    gain = 1 + subject.model.get_submodule("model.layers.2.pre_feedforward_layernorm").weight
    assert torch.equal(reading(subject, 2).matrices["up"], weight * gain)
    subject._fingerprint = None
    assert subject.fingerprint == before


@pytest.mark.parametrize("name", ["llama", "gpt_neox"])
def test_one_site_reaches_another_when_an_edit_there_changes_it(name: str) -> None:
    """Every pair of sites, against the model itself."""
    subject = tiny(name)
    ids, mask = token_batch("none", (5, 5))
    sites = subject.sites()
    with torch.inference_mode(), subject.capture(sites) as seen:
        subject.hidden(ids, mask)
        plain = {site: tensor.clone() for site, tensor in seen.items()}
        for first in sites:
            with subject.edit(first, lambda tensor: tensor + torch.linspace(-1, 1, tensor.shape[-1])):
                subject.hidden(ids, mask)
            for then in sites:
                if then != first:
                    changed = not torch.equal(seen[then], plain[then])
                    assert changed == reaches(first, then, name in PARALLEL), (first, then)
    assert len(sites) == LAYERS * (6 if name in PARALLEL else 7)
