"""``assay view``."""

from __future__ import annotations

import click

from assay.cli.lazy import load_object


@click.command(
    short_help="Look at runs in a web browser.",
    epilog="""\b
    Examples:
      assay view
      assay view last --port 8800
    """,
)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="The port, 0 for any that is free.  [default: 8765, or the next]",
)
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
def view(runs: tuple[str, ...], port: int | None, out: str | None) -> None:
    """Look at runs in a web browser, on this machine alone.

    RUN is a path, an id, a part of an id that only one run has, or 'last'; without any all stored runs are shown.
    """
    shelf = load_object("assay.view.shelf:Shelf")(runs, out)
    site = load_object("assay.view.pages:Site")(shelf)
    load_object("assay.view.serve:serve")(site, port, _ready)


def _ready(address: str) -> None:
    click.echo(address)
    click.echo("press Ctrl-C to stop", err=True)
