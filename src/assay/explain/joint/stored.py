"""What a run keeps of joint replacement: the losses by document and arm, from which every score can be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.explain.joint.arms import Arms
from assay.explain.joint.losses import Losses

FILE = "joint"  # of tensors, and the table

Arrays = Mapping[str, NDArray[Any]]


class Stored(NamedTuple):
    """What ``tensors/joint.safetensors`` holds: arrays by ``SITE.NAME``, and the names of sites and arms."""

    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def site_arrays(losses: Losses, arms: Arms) -> dict[str, NDArray[Any]]:
    """What is kept of one site; ``arms`` and ``held`` are those of :func:`arm_names` and its explainers, in order."""
    order = {int(unit): place for place, unit in enumerate(arms.units)}
    joined = np.array([order[int(unit)] for unit in losses.order])
    held = [[int(own[joined[:count]].sum()) for count in losses.counts] for own in arms.held.values()]
    return {
        **{name: getattr(losses, name) for name in Losses._fields if name != "effects"},
        "held": np.array(held, np.int64).reshape(len(arms.held), len(losses.counts)),
        "effects": np.stack(list(losses.effects.values())),
    }


def arm_names(losses: Losses) -> list[str]:
    """``EXPLAINER.ARM`` of each arm, in the order of the stored array; without explainer, ``.mean`` and ``.zero``."""
    return [f"{explainer}.{arm}" for explainer, arm in losses.effects]


def pack(by_site: Mapping[SiteId, Arrays], arms: Mapping[SiteId, Sequence[str]]) -> Stored:
    """All sites in one file."""
    arrays = {f"{site}.{name}": values for site, own in by_site.items() for name, values in own.items()}
    return Stored(arrays, {"arms": json.dumps({str(site): list(names) for site, names in arms.items()})})
