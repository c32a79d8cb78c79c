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
    """,
)
@click.option(
    "--model", default="smollm2-135m", show_default=True, help="Name, Hugging Face id, or directory of a model."
)
@click.option("--units", default="spread10", show_default=True, metavar="SPEC[,SPEC]", help="Units to explain.")
@click.option(
    "--explainer", default="rules,lookup", show_default=True, metavar="NAME[,NAME]", help="Explainers to set them to."
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
    "--corpus", default="bundled", show_default=True, help="'bundled', or a .txt, .jsonl or .parquet file, or a folder."
)
@click.option(
    "--behaviour/--no-behaviour",
    default=True,
    show_default=True,
    help="Replace each unit by its prediction and compare what the model then says.",
)
@click.option(
    "--written", metavar="FILE", help="JSON of rule lists that you wrote, by unit: tested beside what is learnt."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything drawn.")
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def explain(
    model: str,
    units: str,
    explainer: str,
    rules: int,
    tokens: int,
    corpus: str,
    behaviour: bool,
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
    from assay.store.run import open_path

    request = load_object("assay.explain.experiment:ExplainRequest")(
        model=model,
        units=units,
        explainers=tuple(name.strip() for name in explainer.split(",")),
        rules=rules,
        tokens=tokens,
        corpus=corpus,
        behaviour=behaviour,
        seed=seed,
        out=out,
        written=load_object("assay.rules.written:read_written")(written) if written else {},
    )
    with telling() as progress:
        outcome = load_object("assay.explain.experiment:explain")(request, progress=progress)
    run = open_path(Path(outcome.run_path))
    if as_json:
        print_json(outcome.result)
    else:
        print_run(run)
    first = outcome.result["units"][0]["unit"]
    place = f" --out {shlex.quote(out)}" if out else ""
    print_next(f"assay show {first} --run {run.id}{place}", "its rules, its scores and where it fires most")
