"""The experiments of the lab, by name; each is a function from what was asked to what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_READ = "layers items position"  # of what is read of data sets


class Experiment(NamedTuple):
    """One experiment, or what a verb does without one.

    ``module``: of this package, in which ``run(bench, request)`` stands. ``data``: sets it uses unless asked otherwise.
    ``heeds``: the options that it takes beside those that all take; what it would ignore is refused. ``model``: whether
    it reads the model that is asked for, rather than one of its own.
    """

    verb: str
    module: str
    data: tuple[str, ...]
    about: str
    heeds: str
    model: bool = True

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that not every experiment takes, and this one does."""
        return (*self.heeds.split(), *(("model", "dtype", "device") if self.model else ()))


USUAL: Mapping[str, Experiment] = {
    "probe": Experiment(
        "probe",
        "detection",
        ("cities",),
        "directions and their tests",
        f"data transfer methods {_READ} split tear",
    ),
    "erase": Experiment(
        "erase", "erasure", ("gender",), "erasers and attacks", f"data methods {_READ} attacks rank seeds"
    ),
}

EXPERIMENTS: Mapping[str, Experiment] = {
    "l2-limit": Experiment(
        "probe", "l2_limit", ("cities",), "mean difference is logistic with enough L2", f"data {_READ}"
    ),
    "ood": Experiment(
        "probe",
        "ood",
        ("cities", "neg_cities", "translations"),
        "held-out items hide the wrong concept",
        f"data transfer methods {_READ}",
    ),
    "lat-layers": Experiment(
        "probe",
        "lat_layers",
        ("cities",),
        "how steady LAT is over layers and seeds",
        f"data methods {_READ}",
    ),
    "torn-pairs": Experiment(
        "probe",
        "torn_pairs",
        ("cities",),
        "a random split beside a split by group",
        f"data methods {_READ}",
    ),
    "ccs": Experiment(
        "probe",
        "ccs",
        ("cities", "comparisons", "sentiment"),
        "CCS beside its folded null",
        f"data transfer {_READ} seeds",
    ),
    "monitor": Experiment(
        "probe",
        "monitor",
        ("requests", "requests_rephrased", "requests_benign"),
        "few positives, recall at 1 % false positives",
        f"methods {_READ} seeds",
    ),
    "easy-to-hard": Experiment(
        "probe", "easy_to_hard", (), "the truth where the model does not say it", "methods layers", model=False
    ),
    "jobs": Experiment(
        "probe",
        "jobs",
        ("sentiment", "sentiment_letters"),
        "one direction: detect, steer, erase, silence",
        f"methods {_READ}",
    ),
    "steganography": Experiment(
        "probe", "steganography", (), "bits hidden in text: what survives, who sees it", "methods layers items"
    ),
    "mean-ablation": Experiment(
        "erase",
        "mean_ablation",
        ("sentiment",),
        "equal means, and yet a threshold",
        f"data methods {_READ}",
    ),
    "rare": Experiment("erase", "rare", (), "LEACE's tolerance and rare concepts", "layers"),
    "swaps": Experiment(
        "erase",
        "swaps",
        ("gender", "gender_hard"),
        "CDE, RLACE and others: does the output follow the swap?",
        "data methods layers items rank seeds",
    ),
}
