"""The erasers by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from assay.errors import UnknownName, UsageError
from assay.probe.erasers.fitter import Fitter

ERASERS: Mapping[str, str] = {
    "mean": "mean:MeanFitter",
    "tukey": "tukey:TukeyFitter",
    "leace": "leace:LeaceFitter",
    "inlp": "inlp:InlpFitter",
    "rlace": "rlace:RlaceFitter",
    "cde": "cde:CdeFitter",
}
"""Where in this package the fitter of each name stands. That of ``cde`` is fitted with a model, not with rows."""

_TAKES: Mapping[str, tuple[str, ...]] = {"tukey": ("seed",), "inlp": ("seed", "rank"), "rlace": ("seed", "rank")}


def make_fitter(name: str, x_dim: int, z_dim: int = 1, seed: int = 0, rank: int = 1) -> Fitter:
    """A fitter of that name that is fitted with rows.

    Args:
        seed: of those that draw something.
        rank: of ``inlp`` and ``rlace``; the others take out as many dimensions as the concept has, whatever is asked.

    Raises:
        UnknownName: no such eraser.
        UsageError: ``cde``, which needs a model.
    """
    if name not in ERASERS:
        raise UnknownName("eraser", name, ERASERS)
    if name == "cde":
        raise UsageError("cde is fitted with a model and pairs of prompts, not with rows; use CdeFitter")
    module, made = ERASERS[name].split(":")
    given = {"seed": seed, "rank": rank}
    settings = {key: given[key] for key in _TAKES.get(name, ())}
    return getattr(importlib.import_module(f"assay.probe.erasers.{module}"), made)(x_dim, z_dim, **settings)
