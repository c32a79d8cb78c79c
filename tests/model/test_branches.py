"""Branches against full passes with the edit at the last token alone."""

from __future__ import annotations

import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model.branches import Branches
from model.tiny_models import CONFIGS, LAYERS, count_hooks, tiny, token_batch

LENGTHS = (9, 6, 2)
COUNT = 3
# GPT-J rounds queries to fp32 whatever the dtype; Gemma 2 gives NaN in fp64 where padding stands on the left
EXACT = (torch.float64, 1e-10)
OTHERWISE = {"gptj": (torch.float64, 1e-6), "gemma2": (torch.float32, 2e-5)}


def bump(site_width: int, branch: int) -> torch.Tensor:
    return torch.linspace(-1, 1, site_width) * branch


@pytest.mark.parametrize("name", CONFIGS)
def test_every_branch_equals_a_full_pass_edited_at_the_last_token(name: str) -> None:
    """Every site of every layer, texts padded on the left; sliding windows of 4 tokens are in some of these."""
    dtype, tolerance = OTHERWISE.get(name, EXACT)
    subject = tiny(name, dtype)
    ids, mask = token_batch("left", LENGTHS)
    branches = Branches(subject, ids, mask, range(LAYERS))
    whole = subject.hidden(ids, mask)
    assert branches.base == pytest.approx(whole[:, -1], abs=tolerance)
    for site in subject.sites():

        def branched(tensor: torch.Tensor) -> torch.Tensor:
            assert tensor.shape == (len(LENGTHS), COUNT, subject.width(site))  # noqa: B023
            return tensor + torch.stack([bump(tensor.shape[-1], k) for k in range(COUNT)])

        found = branches.run(site.layer, COUNT, {site: branched})
        assert found[:, 0] == pytest.approx(whole[:, -1], abs=tolerance)
        for k in range(1, COUNT):

            def edited(tensor: torch.Tensor) -> torch.Tensor:
                last = torch.zeros_like(tensor)
                last[:, -1] = bump(tensor.shape[-1], k)  # noqa: B023
                return tensor + last

            with subject.edit(site, edited):
                expected = subject.hidden(ids, mask)[:, -1]
            assert found[:, k] == pytest.approx(expected, abs=10 * tolerance), (site, k)
            assert (expected - whole[:, -1]).abs().max() > 1e-3
    assert count_hooks(subject) == 0


def test_some_texts_alone_and_edits_at_two_sites() -> None:
    subject = tiny("llama", torch.float64)
    ids, mask = token_batch("left", LENGTHS)
    branches = Branches(subject, ids, mask, [0])
    seen: list[tuple[int, ...]] = []

    def first(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(tensor.shape))
        return tensor * torch.tensor([1.0, 2.0])[:, None]

    def second(tensor: torch.Tensor) -> torch.Tensor:
        return tensor + torch.tensor([0.0, 3.0])[:, None]

    edits = {SiteId(0, "mlp_act"): first, SiteId(2, "resid_post"): second}
    every = branches.run(0, 2, edits)
    some = branches.run(0, 2, edits, slice(1, 3))
    assert seen == [(3, 2, subject.width(SiteId(0, "mlp_act"))), (2, 2, subject.width(SiteId(0, "mlp_act")))]
    assert some == pytest.approx(every[1:], abs=1e-10)
    assert (every[:, 1] - every[:, 0]).abs().max() > 0.1


def test_the_unedited_pass_is_kept_as_it_was() -> None:
    """Running branches twice gives the same: no key of a branch stays behind."""
    subject = tiny("gemma3_text", torch.float64)
    ids, mask = token_batch("left", LENGTHS)
    branches = Branches(subject, ids, mask, [1])
    site = SiteId(1, "mlp_out")
    one, two = (branches.run(1, 3, {site: lambda t: t + 1}) for _ in range(2))
    assert torch.equal(one, two)


def test_an_edit_that_could_not_act_is_refused() -> None:
    subject = tiny("gpt2")
    branches = Branches(subject, *token_batch("left", LENGTHS), [2])
    with pytest.raises(UsageError, match=r"the edit at L1\.mlp_out can't act in a pass that starts at layer 2"):
        branches.run(2, 2, {SiteId(1, "mlp_out"): lambda t: t})
    with pytest.raises(KeyError):
        branches.run(1, 2, {})
