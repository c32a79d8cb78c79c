"""Options that several verbs share, in the order in which their help shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def shared(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """Gives a verb the options of some groups."""

    def give(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return give


MODEL = (
    click.option(
        "--model", default="smollm2-135m", show_default=True, help="Name, Hugging Face id, or directory of a model."
    ),
    click.option("--dtype", metavar="DTYPE", help="bf16, fp16 or fp32.  [default: bf16 where the processor has it]"),
    click.option(
        "--device", metavar="DEVICE", help="cpu, cuda, cuda:1, mps, or auto: spread over devices, RAM and disk."
    ),
    click.option(
        "--trust-remote-code", metavar="NAME", help="Run the code that the model brings; NAME must be the model's name."
    ),
)
MOST_CALLS = click.option(
    "--max-judge-calls",
    type=click.IntRange(min=0),
    metavar="N",
    help="Most questions to an endpoint; what is left is unscored.",
)
JUDGE = (
    click.option(
        "--judge",
        metavar="JUDGE",
        help="Who writes and simulates the prose: http://HOST/v1#MODEL, a .toml file, replay:FILE, or a model.",
    ),
    MOST_CALLS,
    click.option(
        "--simulator",
        metavar="NAME",
        help="all-at-once, token-by-token or written.  [default: written for endpoints, else all-at-once]",
    ),
)
SCORING = (
    click.option(
        "--detection",
        is_flag=True,
        help="Also ask the judge which texts and which marked tokens fit its sentences.",
    ),
    click.option(
        "--calibration",
        default="linear",
        show_default=True,
        metavar="NAME",
        help="From prediction to activation, on the choose split: none, linear, monotone.",
    ),
)
TEXT = (
    click.option(
        "--rules", type=click.IntRange(min=1), default=8, show_default=True, help="Most rules an explanation may have."
    ),
    click.option(
        "--tokens",
        type=click.IntRange(min=1),
        default=120_000,
        show_default=True,
        help="Tokens of the corpus to use: 60 % to fit, 20 % to choose, 20 % to test.",
    ),
    click.option(
        "--corpus",
        default="bundled",
        show_default=True,
        help="'bundled', a .txt, .jsonl or .parquet file, a folder, - for stdin, or hf:OWNER/NAME.",
    ),
    click.option(
        "--also", metavar="CORPUS", help="Other text, to score the same explanations on, and how far r drops."
    ),
    click.option(
        "--behaviour/--no-behaviour",
        default=True,
        show_default=True,
        help="Replace each unit by its prediction and compare what the model says; turn it up, to say what it writes.",
    ),
)
RUN = (
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything drawn."),
    click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]"),
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
)
