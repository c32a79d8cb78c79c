"""``assay compare``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from assay.cli.lazy import load_object
from assay.cli.numbers import interval_text, score_text
from assay.cli.screen import print_json, print_next, screen
from assay.store.atomic import write_text
from assay.store.run import open_run


@click.command(
    short_help="Set a run of whole layers beside that of its randomised twin.",
    epilog="""\b
    Examples:
      assay compare 20261121-210355-explain-1f3a last
      assay compare 20261121-210355-explain-1f3a last --figure twin.svg --json
    """,
)
@click.argument("trained", metavar="RUN")
@click.argument("twin", metavar="TWIN")
@click.option("--figure", metavar="FILE", help="Write the figure there, as SVG.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the resamples.")
@click.option("--out", metavar="DIR", help="Where runs are kept.  [default: $ASSAY_RUNS, or ./runs]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare(trained: str, twin: str, figure: str | None, seed: int, out: str | None, as_json: bool) -> None:
    """Mean r of the rules in a model and in its randomised twin, for units that one token carries and for others.

    Both runs must be of the same layers and text, made with the same options but for --model. The twin enters no
    claim's verdict: random models often score high.
    """
    one, other = open_run(trained, out), open_run(twin, out)
    found = load_object("assay.explain.whole.compare:compare_runs")(one, other, seed)
    data = load_object("assay.explain.whole.compare:comparison_json")(found)
    if figure is not None:
        write_text(Path(figure), load_object("assay.explain.whole.compare:comparison_figure")(found).svg)
    if as_json:
        print_json({"trained": one.id, "twin": other.id} | data)
    else:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for name in ("units", "trained", "n", "twin", "n", "difference", "interval"):
            table.add_column(name, justify="left" if name in ("units", "interval") else "right", no_wrap=True)
        for row in data["overall"]:
            table.add_row(
                row["stratum"],
                score_text(row["trained"]),
                Text(f"{row['n_trained']:,}", style="dim"),
                score_text(row["twin"]),
                Text(f"{row['n_twin']:,}", style="dim"),
                Text(score_text(row["difference"]), style="bold"),
                interval_text(row["lo"], row["hi"]),
            )
        screen().print(table)
    print_next(f"assay show {one.id}", "the run of the trained model")
