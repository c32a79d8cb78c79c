"""``assay selftest``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from assay.cli.lazy import load_object
from assay.cli.options import JUDGE, RUN, shared

NOT_AS_EXPECTED = 3


@click.command(
    short_help="Set the scores, the verdict and liars against planted truth.",
    epilog="""\b
    Examples:
      assay selftest
      assay selftest --effort smoke --seed 1 --json > selftest.json
      assay selftest --judge smollm2-135m
    """,
)
@click.option(
    "--effort",
    default="standard",
    show_default=True,
    metavar="EFFORT",
    help="smoke, standard or full: how many documents, claims and liars.",
)
@shared(JUDGE, RUN)
@click.pass_context
def selftest(context: click.Context, effort: str, as_json: bool, **asked: Any) -> None:
    """Test the tests: on a model whose units do what was planted in them.

    Per score: is the truth above every decoy, and does the score fall when labels are missing or too many? For the
    verdict: power and false support. For explainers that lie: what gives them away. With --judge: how well it simulates
    and explains. No model is fetched but that of --judge. The exit code is 3 if a score that this project stands by
    fails on units that rules describe.
    """
    from assay.cli.screen import print_json, print_next, telling
    from assay.cli.selftest_report import print_selftest
    from assay.store.run import open_path

    request = load_object("assay.selftest.experiment:SelftestRequest")(effort=effort, **asked)
    with telling() as progress:
        outcome = load_object("assay.selftest.experiment:selftest")(request, progress=progress)
    if as_json:
        print_json(outcome.result)
    else:
        print_selftest(open_path(Path(outcome.run_path)))
    place = f" --out {shlex.quote(asked['out'])}" if asked["out"] else ""
    question = "select explainer, measure, avg(value) from claims join evidence using (run, claim) group by all"
    print_next(f'assay query "{question}" --run {outcome.run_path.name}{place}', "every score by kind of decoy")
    if not outcome.as_expected:
        context.exit(NOT_AS_EXPECTED)
