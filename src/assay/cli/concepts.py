"""``assay probe`` and ``assay erase``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from assay.cli.lazy import load_object
from assay.cli.options import RUN, shared
from assay.cli.read import layers, names

SHARED = (
    click.option("--layers", callback=layers, metavar="N[,N]", help="Layers whose resid_post is read.  [by effort]"),
    click.option(
        "--seeds", type=int, metavar="N", help="How often what is drawn or trained is drawn anew.  [by effort]"
    ),
    click.option("--items", type=int, metavar="N", help="Most items of a data set, in whole groups.  [by effort]"),
    click.option(
        "--effort", default="quick", show_default=True, metavar="EFFORT", help="smoke, quick, standard, full."
    ),
    click.option(
        "--model", default="smollm2-135m", show_default=True, help="Name, Hugging Face id, or directory of a model."
    ),
    click.option("--dtype", metavar="DTYPE", help="What activations are read in; effects are measured in fp32."),
    click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 or mps."),
)


@click.command(
    short_help="Find directions that tell a concept; test them elsewhere.",
    epilog="""\b
    Examples:
      assay probe --data cities --transfer neg_cities,translations --methods mean_diff,logistic,lat,ccs \\
          --layers 4,12,20,28
      assay probe --experiment ccs --json > ccs.json

    \b
    Methods:
      mean_diff, lda, logistic, lat, ccs, ccs_recursive, random
    Experiments:
      l2-limit      the mean difference is a logistic probe with enough L2
      ood           held-out items hide the wrong concept
      lat-layers    how steady LAT is over layers and seeds
      torn-pairs    a random split beside a split by group
      ccs           CCS beside its folded null, and every sign vector
      monitor       few positives, recall at 1 % false positives
      easy-to-hard  the truth where the model does not say it
      jobs          one direction: does it detect, steer, erase, silence?
      steganography bits hidden in text: what survives, and who sees it
    """,
)
@click.option("--data", metavar="NAME", help="Concept data by name, or a .csv or .jsonl file.  [default: cities]")
@click.option(
    "--transfer", callback=names, metavar="NAME[,NAME]", help="Data sets to test on that nothing is fitted on."
)
@click.option(
    "--methods", callback=names, metavar="NAME[,NAME]", help="How directions are found.  [mean_diff,logistic,lat]"
)
@click.option("--experiment", metavar="NAME", help="One of the experiments below, each with data of its own.")
@click.option("--position", default="last", show_default=True, help="Where activations are read: last or mean.")
@click.option("--split", default="group", show_default=True, help="By group, or by row.")
@click.option("--tear", is_flag=True, help="Let --split row put a group on both sides.")
@shared(SHARED, RUN)
def probe(as_json: bool, **asked: Any) -> None:
    """Find directions that tell a concept, and test them on held-out groups and on data where the concept is another.

    Every AUROC stands beside probes of shuffled labels and random directions, which decide, and beside words, length,
    layer 0 and the model's own answer, which inform.
    """
    asked["transfer"] = asked["transfer"] or ()
    carry_out("probe", "probe", "ProbeRequest", as_json, asked)


@click.command(
    short_help="Erase a concept in several ways; attack what is left.",
    epilog="""\b
    Examples:
      assay erase --data gender --methods mean,tukey,leace,inlp,rlace,cde --layers 0,10,20 --seeds 5
      assay erase --experiment rare

    \b
    Methods:
      mean, tukey, leace, inlp, rlace, cde
    Attacks:
      logistic, svm, threshold, knn, mlp
    Experiments:
      mean-ablation  equal means, and yet a threshold finds it
      rare           LEACE's tolerance and concepts of one token in a thousand
      swaps          CDE, RLACE and others: does the output follow the swap?
    """,
)
@click.option("--data", metavar="NAME", help="Concept data by name, or a .csv or .jsonl file.  [default: gender]")
@click.option("--methods", callback=names, metavar="NAME[,NAME]", help="How it is erased.  [mean,leace,rlace]")
@click.option("--attacks", callback=names, metavar="NAME[,NAME]", help="Who looks for what is left.  [all]")
@click.option("--rank", default=1, show_default=True, metavar="K", help="Dimensions that are erased.")
@click.option("--experiment", metavar="NAME", help="One of the experiments below, each with data of its own.")
@click.option("--position", default="last", show_default=True, help="Where activations are read: last or mean.")
@shared(SHARED, RUN)
def erase(as_json: bool, **asked: Any) -> None:
    """Erase a concept from a layer, attack what is left, and see whether the output follows when it is swapped.

    Every attack stands beside the same attack on shuffled labels.
    """
    carry_out("erase", "probe", "EraseRequest", as_json, asked)


def carry_out(verb: str, lab: str, request: str, as_json: bool, asked: dict[str, Any], shown: str = "") -> None:
    """Ask a concept lab, print what it found, and say that more is shown in a browser."""
    from assay.cli.concept_tables import print_concepts
    from assay.cli.screen import print_json, print_next, telling
    from assay.store.run import open_path

    made = load_object(f"assay.{lab}.request:{request}")(**asked)
    with telling() as progress:
        outcome = load_object(f"assay.{lab}.experiment:{verb}")(made, progress=progress)
    if as_json:
        print_json(outcome.result)
    else:
        print_concepts(open_path(Path(outcome.run_path)))
    place = f" --out {shlex.quote(asked['out'])}" if asked["out"] else ""
    print_next(f"assay view {outcome.run_path.name}{place}", shown or "the figure and every finding, in a browser")
