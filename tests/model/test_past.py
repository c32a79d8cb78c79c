"""Texts read once and gone on from, against full passes."""

from __future__ import annotations

import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model.past import go_on, go_on_with, read, step
from model.tiny_models import CONFIGS, LAYERS, count_hooks, tiny, token_batch

LENGTHS = (9, 6, 3)
AFTER = 3
# as in the tests of branches: what rounds to fp32, or gives NaN in fp64 with padding on the left
EXACT = (torch.float64, 1e-10)
OTHERWISE = {"gptj": (torch.float64, 1e-6), "gemma2": (torch.float32, 2e-5)}


@pytest.mark.parametrize("name", CONFIGS)
def test_going_on_equals_a_pass_over_everything_from_every_layer(name: str) -> None:
    """The last token of the texts and three more are read again from each layer, and from the final norm."""
    dtype, tolerance = OTHERWISE.get(name, EXACT)
    subject = tiny(name, dtype)
    ids, mask = token_batch("left", LENGTHS)
    more = torch.tensor([[5, 9, 11], [7, 3, 21], [30, 2, 8]])
    everything = torch.cat([ids, more], 1), torch.cat([mask, mask.new_ones(3, AFTER)], 1)
    layers = range(LAYERS + 1)
    sites = [SiteId(n, "resid_pre") for n in range(LAYERS)] + [SiteId(LAYERS - 1, "resid_post")]
    with subject.capture(sites) as got:
        whole = subject.hidden(*everything)
    past, last = read(subject, ids, mask, layers)
    hidden, after, residuals = go_on_with(subject, past, more, layers)
    assert hidden == pytest.approx(whole[:, -AFTER:], abs=tolerance)
    assert after.mask.shape == everything[1].shape
    for layer, site in enumerate(sites):
        assert last[layer] == pytest.approx(got[site][:, -AFTER - 1], abs=tolerance)
        assert residuals[layer] == pytest.approx(got[site][:, -AFTER:], abs=tolerance)
        start = torch.cat([last[layer][:, None], residuals[layer]], 1)
        again, _ = go_on(subject, past.from_layer(layer).without_last(), start, layer)
        assert again == pytest.approx(whole[:, -AFTER - 1 :], abs=tolerance), layer
        if layer < LAYERS:
            above = step(subject, past.without_last(), start, layer)
            assert above == pytest.approx(got[sites[layer + 1]][:, -AFTER - 1 :], abs=tolerance)
    assert count_hooks(subject) == 0


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "gemma3_text", "opt"])
def test_a_past_of_two_makes_is_that_of_a_full_pass_with_the_last_token_edited(name: str) -> None:
    """Upper layers have read an edited last token, lower ones the plain one: as in a pass edited between them."""
    subject = tiny(name, torch.float64)
    ids, mask = token_batch("left", LENGTHS)
    more = torch.tensor([[5, 9], [7, 3], [30, 2]])
    bump = torch.linspace(-1, 1, subject.d_model, dtype=torch.float64)
    past, last = read(subject, ids, mask, [2])
    plain, _, _ = go_on_with(subject, past, more)
    _, edited = go_on(subject, past.without_last(), (last[2] + bump)[:, None], 2)
    found, _, _ = go_on_with(subject, edited.over(past, 2), more)

    def at_the_last(tensor: torch.Tensor) -> torch.Tensor:
        added = torch.zeros_like(tensor)
        added[:, ids.shape[1] - 1] = bump
        return tensor + added

    with subject.edit(SiteId(2, "resid_pre"), at_the_last):
        whole = subject.hidden(torch.cat([ids, more], 1), torch.cat([mask, mask.new_ones(3, 2)], 1))
    assert found == pytest.approx(whole[:, -2:], abs=1e-10)
    assert (found - plain).abs().max() > 1e-3


def test_repeated_texts_are_read_apart() -> None:
    subject = tiny("llama", torch.float64)
    ids, mask = token_batch("left", LENGTHS)
    past, _ = read(subject, ids, mask)
    more = torch.tensor([[5], [7], [30], [2], [8], [9]])
    found, _, _ = go_on_with(subject, past.repeated(2), more)
    for number, token in enumerate(more):
        text = number // 2
        alone = torch.cat([ids[text, mask[text] == 1], token])[None]
        assert found[number, 0] == pytest.approx(subject.hidden(alone)[0, -1], abs=1e-10)


def test_gradients_reach_what_comes_after_and_an_edit_below_is_refused() -> None:
    subject = tiny("llama", torch.float32)
    ids, mask = token_batch("left", LENGTHS)
    past, last = read(subject, ids, mask, [1])
    start = last[1][:, None].clone().requires_grad_()
    hidden, _ = go_on(subject, past.without_last(), start, 1)
    hidden.sum().backward()
    assert start.grad is not None
    assert start.grad.abs().min() > 0
    with (
        subject.edit(SiteId(0, "mlp_out"), lambda tensor: tensor * 2),
        pytest.raises(UsageError, match=r"the edit at L0\.mlp_out can't act"),
    ):
        go_on(subject, past.without_last(), start, 1)
