"""``assay ladder``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.table import Table
from rich.text import Text

from assay.cli.lazy import load_object
from assay.cli.numbers import beside, score_text
from assay.cli.plain import plain
from assay.errors import UsageError

NULLS = ("unigram", "bigram", "reinit")
_WITHOUT_TRAINING = ("train", "as_json")


@click.command(
    short_help="List the small models of the package, or train such a family.",
    epilog="""\b
    Examples:
      assay ladder
      assay ladder --json > ladder.json
      assay ladder --train small --layers 1,2 --seeds 0 --tokens 500000 --width 64 --vocabulary 1024
    """,
)
@click.option("--train", metavar="DIR", help="Train a family into this directory instead; goes on where it was ended.")
@click.option(
    "--layers", default="2,4,8,12", show_default=True, metavar="N[,N]", help="A model for each, of each seed."
)
@click.option("--seeds", default="0,1", show_default=True, metavar="S[,S]", help="Of first weights and order of text.")
@click.option("--corpus", default="bundled", show_default=True, help="As for assay explain; 60 % of it is trained on.")
@click.option(
    "--tokens", type=click.IntRange(min=1), default=7_000_000, show_default=True, help="Tokens that each model sees."
)
@click.option("--width", type=click.IntRange(min=1), default=96, show_default=True, help="Of the residual; 4 heads.")
@click.option(
    "--vocabulary", type=click.IntRange(min=1), default=4096, show_default=True, help="Entries of the tokenizer."
)
@click.option("--dtype", metavar="DTYPE", help="Of products: bf16 or fp32.  [default: bf16 where the processor has it]")
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1 or mps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def ladder(context: click.Context, train: str | None, as_json: bool, **asked: Any) -> None:
    """Small models that differ in depth and seed only, with what their next-token predictions cost.

    The loss, in nats a token, is that on test documents, beside what needs no model or a random one: unigram, bigram,
    and the reinitialised twin. Those of the package are named in --model: --model ladder-12-0. Their figures were
    stored when they were trained.
    """
    from assay.cli.screen import print_json, print_next

    if train is None:
        _refuse_training_options(context)
        found = load_object("assay.ladder:shipped")()
    else:
        found = _train(train, asked)
    rows = [trained.summary() for trained in found]
    if as_json:
        print_json(rows)
    else:
        _print(rows)
    if rows:
        name = rows[-1]["name"] if train is None else rows[-1]["directory"]
        print_next(f"assay explain --model {shlex.quote(name)}", "explain some of its units")


def _refuse_training_options(context: click.Context) -> None:
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in _WITHOUT_TRAINING and context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(
                f"{parameter.opts[0]} goes with --train DIR; without it, the models of the package are listed"
            )


def _train(directory: str, asked: Mapping[str, Any]) -> Sequence[Any]:
    from assay.cli.screen import telling

    request = load_object("assay.ladder.experiment:LadderRequest")(
        Path(directory).expanduser(),
        layers=_numbers("--layers", asked["layers"], 1),
        seeds=_numbers("--seeds", asked["seeds"], 0),
        tokens=asked["tokens"],
        width=asked["width"],
        vocabulary=asked["vocabulary"],
        corpus=asked["corpus"],
        device=asked["device"],
        products=asked["dtype"],
    )
    with telling() as progress:
        return load_object("assay.ladder.experiment:train_ladder")(request, progress)


def _numbers(option: str, text: str, least: int) -> tuple[int, ...]:
    """Whole numbers between commas, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) >= least for part in parts):
        raise UsageError(f"{option} must be whole numbers from {least} on, with commas between. Got {text!r} instead.")
    return tuple(dict.fromkeys(map(int, parts)))


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    from assay.cli.screen import screen

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("model", "layers", "parameters", "test loss", *NULLS, "below bigram"):
        left = name in ("model", "test loss", "below bigram")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(plain(row["name"])),
            str(row["layers"]),
            f"{row['parameters']:,}",
            beside(*row["loss"]),
            *(Text(score_text(row["nulls"][name][0]), style="dim") for name in NULLS),
            beside(*row["below"]["bigram"]),
        )
    console = screen()
    console.print(table)
    if rows:
        said = f"nats a token on {rows[0]['documents']:,} test documents, as stored when they were trained"
        console.print(Text(said, style="dim"), soft_wrap=True)
