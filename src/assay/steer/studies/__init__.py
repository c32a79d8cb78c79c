"""The experiments of the lab, by name; each is a function from what was asked to what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Experiment(NamedTuple):
    """One experiment, or what the verb does without one.

    ``module``: of this package, in which ``run(bench)`` stands. ``heeds``: the options that it takes beside those that
    all take; what it would ignore is refused. ``methods`` and ``models``: those that it takes unless others are asked
    for; none where it is the request that says. ``concept``: the same.
    """

    module: str
    about: str
    heeds: str = ""
    methods: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    concept: str = "sentiment"


LADDER = tuple(f"ladder-{layers}-{seed}" for layers in (2, 4, 8, 12) for seed in (0, 1))

USUAL = Experiment("trial", "every method at its best layer and dose, beside placebos")

EXPERIMENTS: Mapping[str, Experiment] = {
    "silence": Experiment(
        "silence",
        "a direction held still: does the behaviour go, and what else?",
        "methods position model kl_cap",
        ("mean_diff", "logistic", "random"),
    ),
    "scale": Experiment(
        "scale",
        "the same trial over models of several sizes",
        "methods models position where kl_cap doses pad",
        ("mean_diff", "actadd", "random"),
        LADDER,
        "second_person",  # whose words the ladder's small vocabulary has whole
    ),
}
