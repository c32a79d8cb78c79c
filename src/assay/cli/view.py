"""``assay view``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from assay.cli.lazy import load_object


@click.command(
    short_help="Look at runs in a web browser.",
    epilog="""\b
    Examples:
      assay view
      assay view last --port 8800
      assay view last --export site
    """,
)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="The port, 0 for any that is free.  [default: 8765, or the next]",
)
@click.option("--export", metavar="DIR", help="Write the pages as files instead, which open without a server.")
@click.option(
    "--export-units",
    metavar="N|all",
    default="1000",
    show_default=True,
    help="With --export: how many units of a run get pages.",
)
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def view(
    ctx: click.Context,
    runs: tuple[str, ...],
    port: int | None,
    export: str | None,
    export_units: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Look at runs in a web browser, on this machine alone, or write the pages as files.

    RUN is a path, an id, a part of an id that only one run has, or 'last'; without any all stored runs are shown.
    """
    asked = ctx.get_parameter_source
    if export is None and asked("export_units") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--export-units says how much --export writes; give --export DIR too")
    if export is not None and port is not None:
        raise click.UsageError("--port is of a server, and --export starts none; leave one of them out")
    most = _most(export_units)
    shelf = load_object("assay.view.shelf:Shelf")(runs, out)
    if export is not None:
        _export(load_object("assay.view.pages:Site")(shelf, live=False), Path(export), most, as_json)
        return
    start = f"run/{quote(shelf.named[0].name)}" if len(shelf.named) == 1 else ""
    load_object("assay.view.serve:serve")(load_object("assay.view.pages:Site")(shelf), port, _ready(start, as_json))


def _most(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isascii() or not text.isdigit() or not int(text):
        raise click.BadParameter(
            f"must be a number from 1 on, or 'all'. Got {text!r} instead", param_hint="--export-units"
        )
    return int(text)


def _ready(start: str, as_json: bool) -> Any:
    """Tell the address: of the run, where one was named."""
    from assay.cli.screen import print_json

    def ready(address: str) -> None:
        print_json({"url": address + start}) if as_json else click.echo(address + start)
        click.echo("press Ctrl-C to stop", err=True)

    return ready


def _export(site: Any, directory: Path, most: int | None, as_json: bool) -> None:
    from assay.cli.plain import plain
    from assay.cli.screen import print_json, print_next, telling

    with telling() as progress:
        made = load_object("assay.view.export.write:export")(site, directory, most, progress)
    for run, (units, of) in made.by_run.items():
        if units < of:
            click.echo(f"{plain(run)}: {units:,} of {of:,} units, --export-units all for the rest", err=True)
    if made.failed:
        click.echo(f"{len(made.failed):,} pages can't be shown; the first: {plain(made.failed[0])}", err=True)
    size = f"{made.bytes / 1e6:,.1f} MB"
    click.echo(f"{made.pages:,} pages of {made.units:,} units, {size}, in {made.seconds:,.1f} s", err=True)
    if as_json:
        numbers = {name: getattr(made, name) for name in ("pages", "units", "of", "bytes")}
        print_json({"path": str(made.path), **numbers, "seconds": round(made.seconds, 3)})
    else:
        click.echo(str(made.path))
    print_next(f"python -m webbrowser {shlex.quote(made.path.resolve().as_uri())}", "to look at it")
