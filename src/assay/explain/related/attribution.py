"""What every earlier unit does to one, to first order, by a few backward passes.

The change of the unit at a token, were an earlier unit held at its mean, is about the sum over tokens of derivative
times deviation ("attribution patching", Nanda 2023; Syed, Rager and Conmy 2023, arXiv:2310.10348). One derivative for
each token would be too many: random signs are put on the tokens, and the square of the signed sum has the sum of the
squares as its mean (Hutchinson 1989). It proposes whom to ablate, and is compared with what the ablation then gives.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.explain.material import Progress
from assay.explain.related.ablation import Change
from assay.explain.related.survey import Survey
from assay.explain.related.text import Text

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.model.hooks import Edit

PROBES = 4


def attribute(
    subject: Subject,
    text: Text,
    unit: UnitId,
    sources: tuple[SiteId, ...],
    found: Survey,
    seed: int,
    progress: Progress,
    probes: int = PROBES,
) -> dict[SiteId, Change]:
    """Estimates of what :meth:`Ablations.upstream` gives, for all units of earlier sites at once; units last."""
    rng = np.random.default_rng([seed, 13])
    counts = {site: subject.units.count(site) for site in sources}
    windows = len(text.ids)
    square, product, deviation = ({at: np.zeros((windows, n)) for at, n in counts.items()} for _ in range(3))
    for batch in text.batches():
        progress(f"derivatives of {unit}", batch.start / windows)
        scored = text.scored[batch].to(subject.device)
        leaves: dict[SiteId, Tensor] = {}
        with torch.enable_grad(), ExitStack() as stack:
            for site in sources:
                stack.enter_context(subject.edit(site, _with_leaf(site, leaves)))
            seen = subject.activations(text.ids[batch], text.mask[batch], [*sources, unit.site])
            value = subject.units.values(unit.site, seen[unit.site], [unit.index])[..., 0]
        away, own = {}, {}
        for site in sources:
            tensor = seen[site].detach()
            away[site] = (tensor - found.means[site].to(tensor)) * scored[..., None]
            values = subject.units.values(site, tensor)
            own[site] = (values - found.unit_means[site].to(values)) * scored[..., None]
            deviation[site][batch] = own[site].square().sum(1).cpu().numpy()
        for probe in range(probes):
            drawn = rng.integers(0, 2, tuple(scored.shape)) * 2 - 1
            signs = torch.as_tensor(drawn, device=value.device).to(value) * scored
            slopes = torch.autograd.grad((value * signs).sum(), list(leaves.values()), retain_graph=probe + 1 < probes)
            for site, slope in zip(leaves, slopes, strict=True):
                moved = (slope * away[site]).sum(1)
                if site.kind == "head":
                    moved = moved.unflatten(-1, (counts[site], -1)).sum(-1)
                signed = torch.einsum("wtn,wt->wn", own[site], signs.to(own[site]))
                square[site][batch] += (moved.double().square() / probes).cpu().numpy()
                product[site][batch] += (moved * signed / probes).double().cpu().numpy()
    return {site: Change(*(text.by_document(sums[site]) for sums in (square, product, deviation))) for site in sources}


def _with_leaf(site: SiteId, leaves: dict[SiteId, Tensor]) -> Edit:
    def edit(tensor: Tensor) -> Tensor:
        leaves[site] = torch.zeros_like(tensor, requires_grad=True)
        return tensor + leaves[site]

    return edit
