"""Silencing: what lies along a direction is held at its mean, at one layer or at all of them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId
from assay.steer.treatment import Before

if TYPE_CHECKING:
    from assay.model import Subject

ONE, ALL = "one layer", "all layers"


@dataclass(frozen=True, eq=False)
class Held:
    """At some sites of the residual, what lies along a direction is replaced by what lies there on average.

    ``unit``: (d_model,) of length 1. ``means``: (d_model,) mean of the residual by site, over neutral text.
    """

    unit: Float[NDArray[np.float64], " d_model"]
    means: dict[SiteId, Float[NDArray[np.float64], " d_model"]]
    doses: tuple[float, ...] = ()
    signed: bool = False
    before: Before | None = field(default=None, init=False)

    @property
    def start(self) -> int:
        return min(site.layer for site in self.means)

    @property
    def size(self) -> Hashable:
        """The sites."""
        return tuple(sorted(self.means))

    @contextmanager
    def applied(self, subject: Subject, dose: float) -> Iterator[None]:
        """Within the block nothing along the direction differs from token to token, but at the first of all.

        Models park attention there, on a residual of its own: held at the mean of others, it breaks them.
        """
        unit = torch.from_numpy(self.unit).to(subject.device, subject.dtype)
        with ExitStack() as stack:
            for site, mean in self.means.items():
                stack.enter_context(subject.edit(site, partial(_hold, subject, unit, float(mean @ self.unit))))
            yield

    def placebo(self, seed: int) -> Held:
        """A random direction, held in the same way."""
        drawn = np.random.default_rng([seed, 89]).standard_normal(len(self.unit))
        return replace(self, unit=drawn / np.linalg.norm(drawn))


def held(
    vector: Float[NDArray[np.floating], " d_model"],
    layer: int,
    means: dict[SiteId, Float[NDArray[np.float64], " d_model"]],
    layers: Collection[int],
    where: str,
) -> Held:
    """A direction that was found at a layer, held there or at every layer."""
    at = [layer] if where == ONE else sorted(layers)
    unit = np.asarray(vector, np.float64) / np.linalg.norm(vector)
    return Held(unit, {SiteId(one, "resid_post"): means[SiteId(one, "resid_post")] for one in at})


def _hold(subject: Subject, unit: Tensor, mean: float, tensor: Tensor) -> Tensor:
    own = unit.to(tensor)
    later = (subject.here().positions > 0).to(tensor)
    return tensor + ((mean - tensor @ own) * later)[..., None] * own
