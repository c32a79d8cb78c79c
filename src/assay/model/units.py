"""What the units of a site are: numbers read from its tensor, and what setting one of them does to the tensor.

A site's tensor has coordinates, and at most sites these are its units. Two kinds of unit are not coordinates. A *head*
is a slice of the tensor at ``head``; its value is the norm of what it writes, the slice times its part of the
attention's last matrix, without the bias (and before the norm that follows in OLMo 2 and Gemma). A *direction* reads
``scale * (h @ vector - offset)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError

Index = int | str
"""What stands after the colon of a unit's name: a number, or ``@`` and a direction's name."""


class Units:
    """The units of one subject.

    Args:
        width: the width of a site's tensor; raises where there is no such site.
        n_heads: of each layer.
        o_matrix: the last matrix of a layer's attention, (d_model, n_heads * d_head).
        directions: those that were made units; :meth:`add` adds to them.
        roots: what is kept of ``o_matrix`` between two calls, by site.
    """

    def __init__(
        self,
        width: Callable[[SiteId], int],
        n_heads: int,
        o_matrix: Callable[[SiteId], Tensor],
        directions: dict[UnitId, Direction],
        roots: dict[SiteId, Tensor],
    ) -> None:
        self._width, self._n_heads, self._o_matrix = width, n_heads, o_matrix
        self.directions, self._roots = directions, roots

    def count(self, site: SiteId) -> int:
        """How many units of the site have a number."""
        width = self._width(site)
        return self._n_heads if site.kind == "head" else width

    def at(self, site: SiteId) -> list[Index]:
        """All units of the site: those with a number, then the directions that were added there."""
        return [*range(self.count(site)), *(unit.index for unit in self.directions if unit.site == site)]

    def add(self, unit: UnitId, direction: Direction) -> None:
        """Make a direction a unit.

        Raises:
            UsageError: it does not fit its site, or the name is taken by another.
        """
        width = self._width(unit.site)
        if direction.site != unit.site or direction.vector.shape != (width,):
            size = direction.vector.size
            raise UsageError(
                f"{unit} must be a direction of {width} entries at {unit.site}. Got {size} at {direction.site}."
            )
        taken = self.directions.get(unit)
        if taken is not None and taken.sha256 != direction.sha256:
            raise UsageError(f"{unit} is the name of another direction already; take another name")
        self.directions[unit] = direction

    def check(self, unit: UnitId) -> None:
        """Raise UsageError unless there is such a unit, UnknownName unless there is its site."""
        count = self.count(unit.site)
        if isinstance(unit.index, str):
            if unit not in self.directions:
                raise UsageError(f"there is no direction {unit}; give its file as {unit.site}:@FILE.safetensors")
        elif not 0 <= unit.index < count:
            raise UsageError(f"{unit} is out of range; {unit.site} has units 0 to {count - 1}")

    def values(
        self, site: SiteId, tensor: Float[Tensor, "*tokens width"], indices: Sequence[Index] | None = None
    ) -> Float[Tensor, "*tokens units"]:
        """Each token's values of some units, from the site's tensor; of all that have a number if none are named.

        Coordinates keep the tensor's dtype; heads and directions are computed in fp32, and so are coordinates that
        are asked for together with them.
        """
        plain = self._head_norms(site, tensor) if site.kind == "head" else tensor
        if indices is None or list(indices) == list(range(plain.shape[-1])):
            return plain
        numbers = [index for index in indices if isinstance(index, int)]
        if len(numbers) == len(indices):
            return plain[..., torch.as_tensor(numbers, dtype=torch.long, device=tensor.device)]
        columns = [
            plain[..., index].float() if isinstance(index, int) else self._along(UnitId(site, index), tensor)
            for index in indices
        ]
        return torch.stack(columns, -1)

    def put(
        self,
        unit: UnitId,
        tensor: Float[Tensor, "*tokens width"],
        values: Float[Tensor, "*tokens"],
    ) -> Float[Tensor, "*tokens width"]:
        """The tensor with one unit set to ``values`` and nothing else changed.

        A coordinate is replaced. A head's slice is scaled until what it writes has that norm, 0 where less is asked
        for; a head that writes nothing stays as it is. Along a direction's vector is added what is missing.
        """
        values = values.to(tensor.device, tensor.dtype)
        if isinstance(unit.index, str):
            direction = self.directions[unit]
            vector = _tensor(direction, tensor)
            missing = values.float() - self._along(unit, tensor)
            step = missing / (direction.scale * vector.square().sum())
            return tensor + (step[..., None] * vector).to(tensor.dtype)
        edited = tensor.clone()
        if unit.site.kind != "head":
            edited[..., unit.index] = values
            return edited
        size = tensor.shape[-1] // self._n_heads
        part = slice(unit.index * size, (unit.index + 1) * size)
        norm = self._head_norms(unit.site, tensor)[..., unit.index]
        factor = torch.where(norm > 0, values.float().clamp(min=0) / norm.clamp(min=torch.finfo(norm.dtype).tiny), 1)
        edited[..., part] = (tensor[..., part] * factor[..., None]).to(tensor.dtype)
        return edited

    def _along(self, unit: UnitId, tensor: Tensor) -> Tensor:
        direction = self.directions[unit]
        return direction.scale * (tensor.float() @ _tensor(direction, tensor) - direction.offset)

    def _head_norms(self, site: SiteId, tensor: Tensor) -> Float[Tensor, "*tokens heads"]:
        """(..., heads) float32. With W = QR, |W s| = |R s|, and R is d_head by d_head: no sum cancels."""
        root = self._roots.get(site)
        if root is None or root.device != tensor.device:
            with torch.inference_mode(False):  # what is kept must serve passes with a gradient, too
                matrix = self._o_matrix(site).double()
                blocks = matrix.reshape(matrix.shape[0], self._n_heads, -1).transpose(0, 1)
                root = self._roots[site] = torch.linalg.qr(blocks, mode="r").R.float().to(tensor.device)
        slices = tensor.float().unflatten(-1, (self._n_heads, -1))
        return torch.einsum("...hd,hrd->...hr", slices, root).norm(dim=-1)


def _tensor(direction: Direction, like: Tensor) -> Tensor:
    return torch.from_numpy(np.array(direction.vector)).to(like.device)
