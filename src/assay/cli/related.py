"""``assay related``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from assay.cli.lazy import load_object
from assay.cli.options import RUN, shared


@click.command(
    short_help="List the units that drive a unit, and those that it drives.",
    epilog="""\b
    Examples:
      assay related L10.mlp_act:345
      assay related L5.head:3 --k 8 --tokens 20000 --run last --json > related.json
    """,
)
@click.argument("unit", metavar="UNIT")
@click.option(
    "--model", default="smollm2-135m", show_default=True, help="Name, Hugging Face id, or directory of a model."
)
@click.option("--dtype", metavar="DTYPE", help="As for assay explain; what is measured is measured in fp32 anyway.")
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 or mps.")
@click.option("--k", default=4, show_default=True, metavar="N", help="Units of each kind on each side.")
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=8_000,
    show_default=True,
    help="Tokens of the corpus to use: half to choose on, half to measure on.",
)
@click.option("--corpus", default="bundled", show_default=True, help="As for assay explain.")
@click.option("--run", metavar="RUN", help="Take sentences from this run.  [default: the newest that have them]")
@shared(RUN)
def related(as_json: bool, **asked: Any) -> None:
    """Say what stands up- and downstream of a unit, by weights and by what changes when one of two is held at its mean.

    Who is listed is chosen on one half of the text, and measured on the other. Each effect stands beside its null.
    """
    from assay.cli.relations import next_unit, print_relations
    from assay.cli.screen import print_json, print_next, telling
    from assay.store.run import open_path

    request = load_object("assay.explain.related.experiment:RelatedRequest")(**asked)
    with telling() as progress:
        outcome = load_object("assay.explain.related.experiment:related")(request, progress=progress)
    if as_json:
        print_json(outcome.result)
    else:
        print_relations(open_path(Path(outcome.run_path)))
    given = {name: asked[name] for name in ("model", "corpus", "run", "out")}
    usual = {"model": "smollm2-135m", "corpus": "bundled"}
    options = "".join(
        f" --{name} {shlex.quote(value)}" for name, value in given.items() if value and value != usual.get(name)
    )
    print_next(f"assay related {next_unit(outcome.result)}{options}", "walk on from there")
