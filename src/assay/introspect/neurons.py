"""Which neurons are asked about, and the scale on which each one's value is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.model import Subject

STRATA = ("random", "top", "sparse")
_SPARSE = 0.1  # share of a layer's neurons, those of the highest kurtosis, from which sparse ones are drawn


@dataclass(frozen=True)
class Neuron:
    """One neuron and its natural values at full stops, on the fit split.

    ``mean``, ``sd``: of these. ``edges``: (9,) the borders between its deciles. ``write_norm``: length of what one
    unit of activation adds to the residual.
    """

    unit: UnitId
    stratum: str
    mean: float
    sd: float
    edges: Float[NDArray[np.float64], " 9"]
    write_norm: float

    def digits(self, values: Float[NDArray[np.float64], "*n"]) -> Int64[NDArray[np.int64], "*n"]:
        """The decile of each value, 0 to 9."""
        return np.searchsorted(self.edges, values, side="right")


def measured(unit: UnitId, stratum: str, values: Float[np.ndarray, " n"], write_norm: float) -> Neuron:
    """A neuron with its scale, from its values on the fit split.

    Raises:
        UsageError: it never varies, so that there is nothing to tell.
    """
    values = values.astype(np.float64)
    edges = np.quantile(values, np.arange(1, 10) / 10)
    if len(np.unique(edges)) < len(edges):
        share = float((values == np.median(values)).mean())
        raise UsageError(
            f"{unit} has no ten values to tell apart at full stops: it is {np.median(values):.3g} in {share:.0%} of "
            "the sentences; name another neuron"
        )
    return Neuron(unit, stratum, float(values.mean()), float(values.std()), edges, write_norm)


def choose_neurons(
    subject: Subject, layer: int, values: Float[np.ndarray, "n neurons"], count: int, seed: int
) -> list[Neuron]:
    """``count`` neurons of a layer, by turns from three strata, chosen on the fit split.

    "random" draws from all, "top" takes those that write the most (standard deviation times write norm), "sparse"
    draws from the tenth with the highest kurtosis. Neurons without ten distinct deciles are left out.

    Raises:
        UsageError: fewer neurons of the layer vary.
    """
    values = values.astype(np.float64)
    site = SiteId(layer, "mlp_act")
    edges = np.quantile(values, np.arange(1, 10) / 10, axis=0)
    varying = np.flatnonzero((np.diff(edges, axis=0) > 0).all(0))
    if len(varying) < count:
        raise UsageError(
            f"{len(varying)} of the {values.shape[1]} neurons of layer {layer} vary at full stops, and {count} were "
            "asked for; ask for fewer --neurons-per-layer, or name other --layers"
        )
    norms = np.array([float(subject.write_vector(UnitId(site, int(i))).norm()) for i in varying])
    centred = values[:, varying] - values[:, varying].mean(0)
    sd = centred.std(0)
    kurtosis = ((centred / sd) ** 4).mean(0)
    rng = np.random.default_rng([seed, layer])
    sparse = np.argsort(-kurtosis, kind="stable")[: max(1, round(_SPARSE * len(varying)))]
    ranked = {
        "random": rng.permutation(len(varying)),
        "top": np.argsort(-sd * norms, kind="stable"),
        "sparse": rng.permutation(sparse),
    }
    chosen: dict[int, str] = {}
    while len(chosen) < count:
        stratum = STRATA[len(chosen) % len(STRATA)]
        left = [int(i) for i in ranked[stratum] if int(i) not in chosen]
        stratum, pick = (
            (stratum, left[0]) if left else ("random", next(int(i) for i in ranked["random"] if int(i) not in chosen))
        )
        chosen[pick] = stratum
    return [
        measured(UnitId(site, int(varying[i])), stratum, values[:, varying[i]], float(norms[i]))
        for i, stratum in chosen.items()
    ]
