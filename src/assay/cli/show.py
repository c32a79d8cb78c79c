"""``assay show``."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
from rich.text import Text

from assay.cli.concept_tables import is_concepts, print_concepts
from assay.cli.lazy import load_object
from assay.cli.numbers import verdict_text
from assay.cli.plain import plain
from assay.cli.relations import is_related, next_unit, print_relations
from assay.cli.report import print_run
from assay.cli.reports import is_reports, of_unit, print_reports, print_reports_unit, recomputed
from assay.cli.screen import print_json, print_next, screen
from assay.cli.selftest_report import is_selftest, print_selftest
from assay.cli.unit import print_unit, unit_record
from assay.cli.whole import first_unit, is_whole, print_whole, print_whole_json
from assay.core.ids import UnitId
from assay.errors import UsageError
from assay.store.run import Run, open_run

NOT_AS_EXPECTED = 3


@click.command(
    short_help="Show a stored run, or one unit of it.",
    epilog="""\b
    Examples:
      assay show
      assay show L10.mlp_act:345 --run last
      assay show last --recompute
    """,
)
@click.argument("what", metavar="[RUN|UNIT]", default="last")
@click.option("--run", "run_name", metavar="RUN", help="The run to take a UNIT from.  [default: last]")
@click.option("--recompute", is_flag=True, help="Recompute the verdicts from the stored arrays; exit 3 if they differ.")
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def show(
    context: click.Context, what: str, run_name: str | None, recompute: bool, out: str | None, as_json: bool
) -> None:
    """Show a stored run, or one unit of it: its rules, scores, verdict and where it fires most.

    RUN is a path, an id, a part of an id that only one run has, or 'last', the latest whole run. No model is
    loaded.
    """
    unit = UnitId.parse(what) if re.match(r"L\d+\.[\w.]+:", what) else None
    if unit is None and run_name is not None:
        raise UsageError(f"{what!r} is not a unit, and --run goes with one; leave one of the two out")
    run = open_run(run_name or "last" if unit else what, out)
    if recompute:
        context.exit(_recompute(run, unit, as_json))
    if unit and is_reports(run):
        print_json({"cells": of_unit(run, unit)}) if as_json else print_reports_unit(run, unit)
        print_next(_command("assay show", run.id, out), "the whole run")
        return
    if unit:
        record = unit_record(run, unit)
        print_json(record) if as_json else print_unit(record, run)
        print_next(_command("assay show", run.id, out), "the whole run")
        return
    if is_selftest(run):
        print_json(run.result()) if as_json else print_selftest(run)
        return
    if is_concepts(run):
        print_json(run.result()) if as_json else print_concepts(run)
        return
    if is_related(run):
        print_json(run.result()) if as_json else print_relations(run)
        print_next(_command("assay related", next_unit(run.result()), out), "walk on from there")
        return
    if is_reports(run):
        print_json(run.result()) if as_json else print_reports(run)
        return
    if is_whole(run):
        print_whole_json(run) if as_json else print_whole(run)
    else:
        print_json(run.result()) if as_json else print_run(run)
    first = first_unit(run)
    print_next(_command(f"assay show {first} --run", run.id, out), "its rules, its scores and where it fires most")


def _command(start: str, name: str, out: str | None) -> str:
    return f"{start} {name}" + (f" --out {shlex.quote(out)}" if out else "")


def _recompute(run: Run, unit: UnitId | None, as_json: bool) -> int:
    found = recomputed(run) if is_reports(run) else _recomputed(run)
    rows = [row for row in found if unit is None or row["unit"] == str(unit)]
    differing = [row for row in rows if row["stored"] != row["recomputed"] or row.get("differ")]
    joint = _joint_agrees(run) if unit is None else None
    if as_json:
        agree = not differing and joint is not False
        told = {} if joint is None else {"joint_agrees": joint}
        print_json({"run": str(run.path), "agree": agree, "claims": rows, **told})
    else:
        console = screen()
        for row in differing:
            stored, now = verdict_text(row["stored"]), verdict_text(row["recomputed"])
            others = f" ({', '.join(row['differ'])})" if row.get("differ") else ""
            told = f"{row['unit']} {plain(row['explainer'])}: stored "
            console.print(Text.assemble(told, stored, ", now ", now, others))
        agreeing = len(rows) - len(differing)
        console.print(f"{agreeing} of {len(rows)} verdicts recomputed from {run.path} agree", soft_wrap=True)
        if joint is not None:
            console.print(f"joint replacement recomputed from stored losses {'agrees' if joint else 'differs'}")
    print_next(f"assay show {run.id}", "the table of this run")
    return NOT_AS_EXPECTED if differing or joint is False else 0


def _recomputed(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "claim": int(row.claim),
            "unit": str(row.unit),
            "explainer": row.explainer,
            "stored": row.stored,
            "recomputed": row.recomputed,
        }
        for row in load_object("assay.explain.verdicts:recompute")(run)
    ]


def _joint_agrees(run: Run) -> bool | None:
    """Whether joint replacement comes out again from the stored losses; None where there was none."""
    if not run.has("tensors/joint.safetensors"):
        return None
    again: list[dict[str, Any]] = load_object("assay.explain.joint.scores:recompute_joint")(run)
    return again == run.result().get("joint")
