"""Methods by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from assay.errors import UnknownName

if TYPE_CHECKING:
    from assay.steer.kit import Kit
    from assay.steer.treatment import Treatment

VECTOR, WHOLE = "vector", "whole"


class Method(NamedTuple):
    """A way to make a treatment.

    ``module``: beside this one, in which ``make(kit, layer, name)`` stands. ``kind``: a "vector" at one layer, or
    something for the "whole" model. ``reads``: the kind of site at which it reads the pairs, "" where it doesn't.
    ``published``: what others found it to do.
    """

    module: str
    kind: str
    about: str
    reads: str = ""
    published: str = ""

    @property
    def pairs(self) -> bool:
        """Whether it is made of what stands in the residual at the pairs."""
        return self.reads == "resid_post"


METHODS: Mapping[str, Method] = {
    "actadd": Method(
        "actadd", VECTOR, "difference of two prompts, at the first tokens", published="wedding words > .90, before .02"
    ),
    "mean_diff": Method("probes", VECTOR, "mean difference of the pairs (CAA)", "resid_post", "AxBench .239"),
    "lat": Method("probes", VECTOR, "main direction of the pairs' differences", "resid_post"),
    "logistic": Method("probes", VECTOR, "weights of a logistic probe", "resid_post", "AxBench .098"),
    "lda": Method("probes", VECTOR, "weights of linear discriminant analysis", "resid_post"),
    "ccs": Method("probes", VECTOR, "contrast-consistent search", "resid_post"),
    "arithmetic": Method("arithmetic", VECTOR, "one word minus another, shared parts zeroed"),
    "neuron": Method("neuron", VECTOR, "the neuron that tells the pairs apart best", "mlp_act"),
    "iti": Method(
        "iti", WHOLE, "the attention heads that tell the pairs apart best", published="true x informative .33 to .65"
    ),
    "prompt": Method("told", WHOLE, "an instruction put before", published="AxBench .894"),
    "few_shot": Method("told", WHOLE, "examples put before"),
    "lora": Method("lora", WHOLE, "a LoRA finetune on the texts with the behaviour", published="AxBench .615"),
    "random": Method("random", VECTOR, "a random direction, which poses as a claim"),
}


def make(name: str, kit: Kit, layer: int) -> Treatment:
    """A treatment at a layer; of a method for the whole model the layer is nothing.

    Raises:
        UnknownName: no such method.
        UsageError, FitError: it can't be made of this behaviour or for this model.
    """
    if name not in METHODS:
        raise UnknownName("method", name, METHODS)
    return importlib.import_module(f"assay.steer.methods.{METHODS[name].module}").make(kit, layer, name)
