"""Probes by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from assay.errors import UnknownName

if TYPE_CHECKING:
    from assay.fit.probes.base import LinearProbe

METHODS: Mapping[str, str] = {
    "mean_diff": "mean_diff:MeanDifference",
    "lda": "lda:LDA",
    "logistic": "logistic:Logistic",
    "lat": "lat:LAT",
    "ccs": "ccs:CCS",
    "ccs_recursive": "ccs_recursive:RecursiveCCS",
    "random": "random_probe:RandomDirection",
}
"""Where each method stands: a module beside this one, and a class in it, which is imported when it is asked for."""

UNSUPERVISED = ("lat", "ccs", "ccs_recursive", "random")  # labels settle no more than their sign


def make_probe(name: str, seed: int = 0) -> LinearProbe:
    """An unfitted probe with the settings of the house; ``seed`` is of those that draw lots.

    Raises:
        UnknownName: no such method.
    """
    if name not in METHODS:
        raise UnknownName("method", name, METHODS)
    module, kind = METHODS[name].split(":")
    probe = getattr(importlib.import_module(f"assay.fit.probes.{module}"), kind)()
    return probe.set_params(random_state=seed) if "random_state" in probe.get_params() else probe
