"""``assay selftest``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from assay.cli.lazy import load_object

NOT_AS_EXPECTED = 3


@click.command(
    short_help="Set the scores, the verdict and liars against planted truth.",
    epilog="""\b
    Examples:
      assay selftest
      assay selftest --effort smoke --seed 1 --json > selftest.json
    """,
)
@click.option(
    "--effort",
    default="standard",
    show_default=True,
    metavar="EFFORT",
    help="smoke, standard or full: how many documents, claims and liars.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything drawn.")
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.pass_context
def selftest(context: click.Context, effort: str, seed: int, out: str | None, as_json: bool) -> None:
    """Test the tests: on a model whose units do what was planted in them.

    Per score: is the truth above every decoy, and does the score fall when labels are missing or too many? For the
    verdict: power and false support. For explainers that lie: what gives them away. No model is fetched. The exit code
    is 3 if a score that this project stands by fails on units that rules describe.
    """
    from assay.cli.screen import print_json, print_next, telling
    from assay.cli.selftest_report import print_selftest
    from assay.store.run import open_path

    request = load_object("assay.selftest.experiment:SelftestRequest")(effort=effort, seed=seed, out=out)
    with telling() as progress:
        outcome = load_object("assay.selftest.experiment:selftest")(request, progress=progress)
    if as_json:
        print_json(outcome.result)
    else:
        print_selftest(open_path(Path(outcome.run_path)))
    place = f" --out {shlex.quote(out)}" if out else ""
    question = "select explainer, measure, avg(value) from claims join evidence using (run, claim) group by all"
    print_next(f'assay query "{question}" --run {outcome.run_path.name}{place}', "every score by kind of decoy")
    if not outcome.as_expected:
        context.exit(NOT_AS_EXPECTED)
