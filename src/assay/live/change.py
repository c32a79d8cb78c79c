"""A unit changed at every token, random directions in the place of what that writes, and what comes of either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.explain.steering import writes_at

if TYPE_CHECKING:
    from assay.model import Subject

KINDS = ("factor", "value", "add")
AT_ONCE = 1024  # tokens that run together under random directions


@dataclass(frozen=True)
class Change:
    """A unit multiplied by a factor, set to a value, or moved by so much; a head's norm ends at 0."""

    subject: Subject
    unit: UnitId
    kind: str
    amount: float

    def values(self, tensor: Float[Tensor, "*tokens width"]) -> Float[Tensor, "*tokens"]:
        """The unit's values in the tensor of its site."""
        return self.subject.units.values(self.unit.site, tensor, [self.unit.index])[..., 0]

    def __call__(self, tensor: Float[Tensor, "*tokens width"]) -> Float[Tensor, "*tokens width"]:
        """The tensor of the unit's site with the unit changed at every token."""
        has = self.values(tensor)
        changed = {"factor": has * self.amount, "value": torch.full_like(has, self.amount), "add": has + self.amount}
        return self.subject.units.put(self.unit, tensor, changed[self.kind])

    @property
    def site(self) -> SiteId:
        """Where the unit is."""
        return self.unit.site

    @property
    def place(self) -> SiteId:
        """Where what it writes reaches the residual."""
        return writes_at(self.unit.site)


@dataclass(frozen=True)
class Written:
    """What a change does to one text: the unit's values before and after, and what is added at ``place``.

    ``before``, ``after``: (seq,). ``added``: (seq, d_model).
    """

    before: Float[Tensor, " seq"]
    after: Float[Tensor, " seq"]
    added: Float[Tensor, "seq d_model"]

    def along(self, vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, "n seq d_model"]:
        """As much added along other directions, of norm 1, at each token, with the sign of the unit's change."""
        sizes = signed(self.before, self.after, self.added.norm(dim=-1))
        return sizes[None, :, None] * vectors[:, None]


def signed(
    before: Float[Tensor, "*tokens"], after: Float[Tensor, "*tokens"], norms: Float[Tensor, "*tokens"]
) -> Float[Tensor, "*tokens"]:
    """Norms, below 0 where the unit falls."""
    return torch.where(after < before, -norms, norms)


class Passes:
    """Passes over one text: unedited, changed, and with random directions in the place of the change.

    The first two have one row each, so that an edit that changes nothing changes not a bit. The layers below the unit
    are run once: an edit does not reach them. ``unedited``, ``edited``: (d_out,) what the head is given at the last
    token. ``written``: what the change does to the text.
    """

    @torch.inference_mode()
    def __init__(self, change: Change, ids: Int[Tensor, "1 seq"]) -> None:
        self.change, self.subject, self.ids = change, change.subject, ids
        site, place = change.site, change.place
        start = SiteId(site.layer, "resid_pre")
        with self.subject.capture({start, site, place}) as got:
            self.unedited = self.subject.hidden(ids)[0, -1]
        self._start, self._at_place = got[start], got[place]
        before = change.values(got[site])[0]
        with self.subject.edit(site, change), self.subject.capture({site, place}) as got:
            self.edited = self._on()[0]
        after = change.values(got[site])[0]
        self.written = Written(before, after, (got[place] - self._at_place)[0])

    @torch.inference_mode()
    def random(self, vectors: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_out"]:
        """What the head is given at the last token with each direction in the place of what the change writes."""
        each = max(1, AT_ONCE // self.ids.shape[1])
        return torch.cat([self._under(part) for part in vectors.split(each)])

    def _under(self, vectors: Tensor) -> Tensor:
        with self.subject.edit(self.change.place, Add(self.written.along(vectors))):
            return self._on(len(vectors))

    @torch.inference_mode()
    def padded(self, by: int = 8) -> Float[Tensor, " d_out"] | None:
        """The unedited pass once more behind padding, which sums in another order; None where there is no room."""
        if self.ids.shape[1] + by > self.subject.context_length:
            return None
        ids = torch.nn.functional.pad(self.ids, (by, 0))
        mask = torch.nn.functional.pad(torch.ones_like(self.ids), (by, 0))
        return self.subject.hidden(ids, mask)[0, -1]

    def _on(self, rows: int = 1) -> Tensor:
        return self.subject.forward_from(self.change.site.layer, self._start.expand(rows, -1, -1))[:, -1]


@dataclass(frozen=True)
class Add:
    """The edit that adds to a tensor what is of its shape."""

    more: Float[Tensor, "rows seq width"]

    def __call__(self, tensor: Float[Tensor, "rows seq width"]) -> Float[Tensor, "rows seq width"]:
        return tensor + self.more.to(tensor.device, tensor.dtype)


def directions(subject: Subject, unit: UnitId, count: int, seed: int) -> Float[Tensor, "count d_model"]:
    """Random directions of norm 1, the same for the same unit and seed."""
    drawn = np.random.default_rng([seed, 52, *str(unit).encode()]).standard_normal((count, subject.d_model))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return torch.as_tensor(drawn, dtype=subject.dtype, device=subject.device)
