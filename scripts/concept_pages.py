"""The figures and tables of docs/findings/concepts/, from stored runs of the concept lab.

    assay probe --experiment ood --effort standard
    python scripts/concept_pages.py RUN [RUN...]

For each run are written: NAME.json, what was found; NAME.svg, the figure; and, in NAME.md, the part between the two
marks. What stands around it is written by hand. A test compares each page with its JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.store import open_run

ROOT = Path(__file__).parents[1] / "docs" / "findings" / "concepts"
BEGIN, END = "<!-- from the run: begin -->", "<!-- from the run: end -->"
_LONG = 24  # findings
_WORDS = {"supported": "stands", "refuted": "does not stand", "undecided": "undecided", None: "described"}


def figure(value: float | None) -> str:
    """.92, -.03, 1.00"""
    if value is None:
        return "–"
    text = f"{value:.2f}"
    text = text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
    return ".00" if text in ("-.00", ".00") else text


def told(result: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a run: findings, tables, notes, and how it was made."""
    kept = {name: result[name] for name in ("experiment", "title", "question", "findings", "tables", "notes")}
    summary = {name: result["summary"][name] for name in ("verdicts", "controls", "items", "arithmetic")}
    asked = {name: value for name, value in spec["asked"].items() if name not in ("out", "device")}
    return kept | {"summary": summary, "asked": asked, "verb": spec["verb"], "model": spec["subject"]["name"]}


def block(found: Mapping[str, Any]) -> str:
    """The part of a page that comes from the run."""
    name = found["experiment"] or found["verb"]
    parts = [
        f"![{found['title']}]({name}.svg)",
        folded(findings(found["findings"]), len(found["findings"])),
        *(f"**{table['title']}**\n\n{markdown(table['columns'], table['rows'])}" for table in found["tables"]),
        *found["notes"],
    ]
    controls = found["summary"]["controls"]
    if controls["n"]:
        parts.append(f"Of {controls['n']} random probes that posed as claims {controls['passed']} passed.")
    return "\n\n".join(parts)


def folded(table: str, rows: int) -> str:
    """A long table behind its title."""
    if rows <= _LONG:
        return table
    return f"<details>\n<summary>All {rows} findings</summary>\n\n{table}\n\n</details>"


def findings(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every finding beside its nulls and what was published."""
    cells = [
        [
            row["claim"],
            f"{figure(row['value'])}"
            + (f" [{figure(row['lo'])} {figure(row['hi'])}]" if row["lo"] is not None else ""),
            ", ".join(f"{name} {figure(value)}" for name, value in row["nulls"].items() if value is not None),
            row["published"],
            _WORDS[row["verdict"]] if not row["unscored"] else f"unscored: {row['unscored']}",
        ]
        for row in rows
    ]
    return markdown(("claim", "ours", "null", "published", "it"), cells)


def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "–" if value is None else str(value).replace("|", "\\|")


def write(name: str | Path, runs: str | None) -> Path:
    """The files of one run."""
    run = open_run(name, runs)
    result = run.result()
    found = told(result, run.spec)
    base = result["experiment"] or run.spec["verb"]
    (ROOT / f"{base}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (ROOT / f"{base}.svg").write_text(run.file("figure.svg").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    page = ROOT / f"{base}.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else f"# {result['title']}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{block(found)}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--out", help="where runs are kept")
    given = parser.parse_args()
    for one in given.runs:
        print(write(one, given.out))
