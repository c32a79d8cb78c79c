"""``assay explain``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from assay.cli.lazy import load_object


@click.command(
    short_help="Explain units of a model, and test the explanations.",
    epilog="""\b
    Examples:
      assay explain
      assay explain --units L10.mlp_act:random64 --rules 32 --corpus notes.txt --json > result.json

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
@click.option(
    "--model", default="smollm2-135m", show_default=True, help="Name, Hugging Face id, or directory of a model."
)
@click.option("--dtype", metavar="DTYPE", help="bf16, fp16 or fp32.  [default: bf16 where the processor has it]")
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, mps, or auto: spread over devices, RAM and disk.")
@click.option(
    "--trust-remote-code", metavar="NAME", help="Run the code that the model brings; NAME must be the model's name."
)
@click.option("--units", default="spread3", show_default=True, metavar="SPEC[,SPEC]", help="Units to explain.")
@click.option(
    "--explainer",
    default="rules,self,lookup",
    show_default=True,
    metavar="NAME[,NAME]",
    help="Explainers to set them to: rules, self (the model itself, in a sentence), lookup.",
)
@click.option(
    "--rules", type=click.IntRange(min=1), default=8, show_default=True, help="Most rules an explanation may have."
)
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=120_000,
    show_default=True,
    help="Tokens of the corpus to use: 60 % to fit, 20 % to choose, 20 % to test.",
)
@click.option(
    "--corpus",
    default="bundled",
    show_default=True,
    help="'bundled', a .txt, .jsonl or .parquet file, a folder, - for stdin, or hf:OWNER/NAME.",
)
@click.option("--also", metavar="CORPUS", help="Other text, to score the same explanations on, and how far r drops.")
@click.option(
    "--behaviour/--no-behaviour",
    default=True,
    show_default=True,
    help="Replace each unit by its prediction and compare what the model says; turn it up, to say what it writes.",
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
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything drawn.")
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def explain(
    model: str,
    dtype: str | None,
    device: str | None,
    trust_remote_code: str | None,
    units: str,
    explainer: str,
    rules: int,
    tokens: int,
    corpus: str,
    also: str | None,
    behaviour: bool,
    sample: int,
    written: str | None,
    seed: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Say what makes units of a model fire, and try to break what was said.

    Each explanation is fitted and tested on different documents, and stands beside its nulls and references.
    The run, a figure and a page are stored under --out.
    """
    from assay.cli.report import print_run
    from assay.cli.screen import print_json, print_next, telling
    from assay.cli.whole import first_unit, is_whole, print_whole, print_whole_json
    from assay.store.run import open_path

    request = load_object("assay.explain.experiment:ExplainRequest")(
        model=model,
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        units=units,
        explainers=tuple(name.strip() for name in explainer.split(",")),
        rules=rules,
        tokens=tokens,
        corpus=corpus,
        also=also,
        behaviour=behaviour,
        sample=sample,
        seed=seed,
        out=out,
        written=load_object("assay.rules.written:read_written")(written) if written else {},
    )
    with telling() as progress:
        outcome = load_object("assay.explain.experiment:explain")(request, progress=progress)
    run = open_path(Path(outcome.run_path))
    if is_whole(run):
        print_whole_json(run) if as_json else print_whole(run)
    elif as_json:
        print_json(outcome.result)
    else:
        print_run(run)
    first = first_unit(run)
    place = f" --out {shlex.quote(out)}" if out else ""
    print_next(f"assay show {first} --run {run.id}{place}", "its rules, its scores and where it fires most")
