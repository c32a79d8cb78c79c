"""Joint replacement of a whole layer, from what is in memory when the layer was tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.explain.joint.arms import Arms, make_arms
from assay.explain.joint.losses import JointRuns
from assay.explain.joint.stored import arm_names, site_arrays
from assay.explain.joint.text import JointText
from assay.explain.whole.joined import taken
from assay.stats.many_choose import many_calibrated

if TYPE_CHECKING:
    from assay.explain.material import Progress
    from assay.explain.whole.layer import LayerFound


def layer_arms(found: LayerFound, means: Float[np.ndarray, " u"], text: JointText, seed: int) -> Arms:
    """Every unit of the layer at its prediction; an explanation that never changes says nothing of its unit.

    Args:
        means: of the units on the fit split.
    """
    flat = text.flat
    predicted: dict[str, NDArray[np.float32]] = {}
    rivals: dict[str, NDArray[np.float32]] = {}
    for name, own in found.asserted.items():
        raw = taken(own.raw, flat)
        predicted[name] = many_calibrated(raw, own.lines)
        predicted[name][own.lines.slopes == 0] = np.nan
        rivals[name] = many_calibrated(raw, own.rival_lines, rows=own.rivals)
    real = taken(found.activations, flat)
    return make_arms(found.site, range(len(real)), means, real, predicted, rivals, seed)


def replace_layer(
    runs: JointRuns, found: LayerFound, means: Float[np.ndarray, " u"], progress: Progress
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """What is kept of a layer, and the names of its arms."""
    arms = layer_arms(found, means, runs.text, runs.seed)
    losses = runs.run(arms, progress)
    return site_arrays(losses, arms), arm_names(losses)
