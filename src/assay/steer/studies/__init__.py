"""The experiments of the lab, by name; each is a function from what was asked to what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Experiment(NamedTuple):
    """One experiment. ``module``: of this package, in which ``run(bench)`` stands."""

    module: str
    about: str


USUAL = Experiment("trial", "every method at its best layer and dose, beside placebos")

EXPERIMENTS: Mapping[str, Experiment] = {}
