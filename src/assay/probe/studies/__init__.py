"""The experiments of the lab, by name; each is a function from what was asked to what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Experiment(NamedTuple):
    """One experiment: its verb, the module of this package in which ``run(bench, request)`` stands, the data sets it
    uses unless asked otherwise, whether it needs a language model, and a line for people."""

    verb: str
    module: str
    data: tuple[str, ...]
    model: bool
    about: str


EXPERIMENTS: Mapping[str, Experiment] = {
    "l2-limit": Experiment("probe", "l2_limit", ("cities",), True, "mean difference is logistic with enough L2"),
    "ood": Experiment(
        "probe", "ood", ("cities", "neg_cities", "translations"), True, "held-out items hide the wrong concept"
    ),
    "lat-layers": Experiment("probe", "lat_layers", ("cities",), True, "how steady LAT is over layers and seeds"),
    "torn-pairs": Experiment("probe", "torn_pairs", ("cities",), True, "a random split beside a split by group"),
    "ccs": Experiment("probe", "ccs", ("cities", "comparisons", "sentiment"), True, "CCS beside its folded null"),
    "monitor": Experiment(
        "probe",
        "monitor",
        ("requests", "requests_rephrased", "requests_benign"),
        True,
        "few positives, recall at 1 % false positives",
    ),
    "jobs": Experiment(
        "probe", "jobs", ("sentiment", "sentiment_letters"), True, "one direction: detect, steer, erase, silence"
    ),
    "steganography": Experiment("probe", "steganography", (), True, "bits hidden in text: what survives, who sees it"),
    "mean-ablation": Experiment("erase", "mean_ablation", ("sentiment",), True, "equal means, and yet a threshold"),
    "rare": Experiment("erase", "rare", (), True, "LEACE's tolerance and rare concepts"),
    "swaps": Experiment(
        "erase", "swaps", ("gender", "gender_hard"), True, "CDE, RLACE and others: does the output follow the swap?"
    ),
}
