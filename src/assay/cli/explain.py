"""``assay explain``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from assay.cli.lazy import load_object
from assay.cli.options import JUDGE, MODEL, RUN, SCORING, TEXT, shared


@click.command(
    short_help="Explain units of a model, and test the explanations.",
    epilog="""\b
    Examples:
      assay explain
      assay explain --units L10.mlp_act:random64 --rules 32 --corpus notes.txt --json > result.json
      assay explain --units L10.mlp_act:all --joint

    \b
    Units:
      L10.mlp_act:345        one unit
      L10.mlp_act:0-63       a range, both ends included
      L10.mlp_act:random64   64 of a site, drawn by --seed
      spread16               16 neurons over all depths
      L5.head:0-3            attention heads: the norm of what each writes
      L10.resid_post:@d.safetensors  a direction from a file
      L10.mlp_act:all        every neuron of a layer
      all                    every neuron of the model
    """,
)
@shared(MODEL)
@click.option("--units", default="spread3", show_default=True, metavar="SPEC[,SPEC]", help="Units to explain.")
@click.option(
    "--explainer",
    default="rules,self,lookup",
    show_default=True,
    metavar="NAME[,NAME]",
    help="Explainers to set them to: rules, self (the model itself, in a sentence), prose (--judge), lookup.",
)
@shared(JUDGE, SCORING, TEXT)
@click.option(
    "--joint",
    is_flag=True,
    help="Replace a growing share of a layer's units by their predictions at once, too, and say what the loss says.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="With whole layers: how many units, drawn at random, have their behaviour tested.",
)
@click.option(
    "--written", metavar="FILE", help="JSON of rule lists that you wrote, by unit: tested beside what is learnt."
)
@shared(RUN)
def explain(explainer: str, sample: int, written: str | None, as_json: bool, **asked: Any) -> None:
    """Say what makes units of a model fire, and try to break what was said.

    Each explanation is fitted and tested on different documents, and stands beside its nulls and references.
    The run, a figure and a page are stored under --out.
    """
    from assay.cli.screen import telling

    request = load_object("assay.explain.experiment:ExplainRequest")(
        **asked,
        explainers=tuple(name.strip() for name in explainer.split(",")),
        sample=sample,
        written=load_object("assay.rules.written:read_written")(written) if written else {},
    )
    with telling() as progress:
        outcome = load_object("assay.explain.experiment:explain")(request, progress=progress)
    finish(outcome, asked["out"], as_json)


def finish(outcome: Any, out: str | None, as_json: bool) -> None:
    """Print what a run has found, and what to run next."""
    from assay.cli.report import print_run
    from assay.cli.screen import print_json, print_next
    from assay.cli.whole import is_whole, print_whole, print_whole_json
    from assay.store.run import open_path

    run = open_path(Path(outcome.run_path))
    if is_whole(run):
        print_whole_json(run) if as_json else print_whole(run)
    elif as_json:
        print_json(outcome.result)
    else:
        print_run(run)
    place = f" --out {shlex.quote(out)}" if out else ""
    print_next(f"assay view {run.id}{place}", "look at it in a browser: its units, where they fire, their neighbours")
