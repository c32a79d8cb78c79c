"""``assay report``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from assay.cli.lazy import load_object
from assay.cli.options import RUN, shared
from assay.cli.read import layers, names


@click.command(
    short_help="Teach a model to say its neurons' values; test how.",
    epilog="""\b
    Examples:
      assay report --model ladder-4-0 --effort smoke
      assay report --layers 5,20,29 --neurons-per-layer 3 --regime nat,int --train-examples 1000
      assay report --models ladder-2-0,ladder-4-0,ladder-8-0,ladder-12-0 --effort standard --json > ladder.json

    \b
    Regimes:
      nat    the neuron's own value is the answer
      int    the neuron is patched to a random value, which is the answer; int3, int10: three, ten times as far
      swap   it is patched to its value in another sentence
    Topologies:
      Q      a question follows the sentence, then the number
      S      the number is the very next token
    Trainable:
      rows      what is added to the ten digits' logits
      above     rows, and adapters on the layers above the neuron
      question  rows, and adapters on every layer, at the question alone
      full      rows, and adapters on every layer, at every token: the neuron may drift
      finetune  all weights of a small model: the neuron may drift
    """,
)
@click.option(
    "--model",
    "--models",
    "models",
    default="smollm2-135m",
    show_default=True,
    callback=names,
    metavar="NAME[,NAME]",
    help="Names, Hugging Face ids, or directories of models.",
)
@click.option("--layers", callback=layers, metavar="N[,N]", help="Layers whose neurons are asked about.  [by effort]")
@click.option(
    "--neurons-per-layer", type=int, metavar="N", help="Drawn, writing most, and sparse ones by turns.  [by effort]"
)
@click.option(
    "--regime",
    "regimes",
    default="nat,int",
    show_default=True,
    callback=names,
    metavar="NAME[,NAME]",
    help="What the right answer is.",
)
@click.option(
    "--topology",
    "topologies",
    default="Q",
    show_default=True,
    callback=names,
    metavar="NAME[,NAME]",
    help="Where the number stands.",
)
@click.option(
    "--trainable", default="above", show_default=True, callback=names, metavar="NAME[,NAME]", help="What is trained."
)
@click.option(
    "--train-examples", type=int, metavar="N", help="Sentences to teach on; half of them is tried too.  [by effort]"
)
@click.option(
    "--sibling",
    metavar="MODEL",
    help="Another model that is taught the same numbers.  [default: other seed, or new weights]",
)
@click.option("--effort", default="quick", show_default=True, metavar="EFFORT", help="smoke, quick, standard or full.")
@click.option("--corpus", default="bundled", show_default=True, help="As for assay explain.")
@click.option("--also", metavar="CORPUS", help="Other text, on which the same reporters are asked too.")
@click.option("--dtype", metavar="DTYPE", help="What reporters are taught in; everything is measured in fp32.")
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 or mps.")
@shared(RUN)
def report(as_json: bool, **asked: Any) -> None:
    """Teach a model to say what its neurons did at a full stop, and test whether it reads, recomputes or guesses them.

    Every report stands beside what text, probes, another model, a blinded and a shuffled reporter give, and follows
    patches or does not. Broken off, the same command goes on.
    """
    from assay.cli.reports import print_reports
    from assay.cli.screen import print_json, print_next, telling
    from assay.store.run import open_path

    request = load_object("assay.introspect.experiment:ReportRequest")(**asked)
    with telling() as progress:
        outcome = load_object("assay.introspect.experiment:report")(request, progress=progress)
    if as_json:
        print_json(outcome.result)
    else:
        print_reports(open_path(Path(outcome.run_path)))
    place = f" --out {shlex.quote(asked['out'])}" if asked["out"] else ""
    question = "select layer, regime, verdict, count(*) from reports group by all order by all"
    print_next(f'assay query "{question}" --run {outcome.run_path.name}{place}', "verdicts by layer")
