"""The tables of docs/selftest.md, from a stored selftest.

    assay selftest --judge smollm2-135m
    python scripts/selftest_page.py RUN

Written is ``docs/findings/selftest.json``, what the command found but for the units' own scores; printed are the tables
of the page, which a test compares with the JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.store import open_run

PLACE = Path(__file__).parents[1] / "docs" / "findings" / "selftest.json"
FAMILIES = {"noisy": "noisy", "polysemantic": "several meanings", "beyond": "beyond the grammar"}


def figure(value: float | None) -> str:
    """.92, -.03, 1.00"""
    if value is None:
        return "–"
    text = f"{value:.2f}"
    text = text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
    return ".00" if text == "-.00" else text


def bounded(row: Mapping[str, Any], name: str) -> str:
    """A figure with its interval, where there is one."""
    lo, hi = row[f"{name}_lo"], row[f"{name}_hi"]
    return figure(row[name]) if lo is None else f"{figure(row[name])} [{figure(lo)} {figure(hi)}]"


def lost(row: Mapping[str, Any], change: str) -> str:
    """The share of its score that the truth lost, with its interval over units."""
    value, lo, hi = (row[f"{change}_share{end}"] for end in ("", "_lo", "_hi"))
    if value is None:
        return "–"
    return f"{signed(value)} %" + ("" if lo is None else f" [{signed(hi)} {signed(lo)}]")


def signed(share: float) -> str:
    """What was lost, in hundredths."""
    return f"{-100 * share:.0f}" if round(100 * share) else "0"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    scores, verdict = found["scores"], found["verdict"]
    own = [
        [
            f"**{name}**" if row["primary"] else name,
            bounded(row, "truth"),
            f"{row['beaten']} of {row['pairs']}",
            lost(row, "missing"),
            lost(row, "extra"),
            "passes" if row["passes"] else "fails",
        ]
        for name, row in scores.items()
    ]
    primary = [name for name, row in scores.items() if row["primary"]]
    elsewhere = [
        [
            title,
            *(
                f"{row['beaten']} of {row['pairs']}, {figure(row['truth'])}"
                for name in primary
                for row in [scores[name]["elsewhere"][family]]
            ),
        ]
        for family, title in FAMILIES.items()
    ]
    power = [
        [
            f"{row['effect']:g}",
            f"{100 * row['power']:.0f} % [{100 * row['power_lo']:.0f} {100 * row['power_hi']:.0f}]",
            f"{100 * row['refuted'] / row['n']:.0f} %",
            *(f"{100 * row['overall'].get(kind, 0) / row['both_n']:.0f} %" for kind in ("supported", "predicts")),
        ]
        for row in verdict["power"]
    ]
    return {
        "scores": table(("score", "truth", "above decoys", "half missing", "as many extra", ""), own),
        "elsewhere": table(("units", *primary), elsewhere),
        "power": table(("d", "prediction check passed", "refuted", "supported", "predicts"), power),
        "swap": liars(found["dishonest"]["swap"]),
        "hide": liars(found["dishonest"]["hide"]),
        "judge": judged(found["judge"]),
    }


def liars(cases: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """AUC of each statistic against each kind of liar."""
    statistics = list(next(iter(cases.values())))
    rows = [
        [
            name,
            *(
                f"{figure(row['auc'])} [{figure(row['lo'])} {figure(row['hi'])}]"
                for row in (c[name] for c in cases.values())
            ),
        ]
        for name in statistics
    ]
    return table(("told by", *cases), rows)


def judged(found: Mapping[str, Any]) -> str:
    """A judge as a simulator and as an explainer."""
    simulator, explainer = found["simulator"], found["explainer"]
    rows = [
        ["the truth in words", bounded(simulator, "r")],
        ["another unit's truth", bounded(simulator, "r_null")],
        ["a simulator without fault", figure(simulator["r_perfect"])],
        ["truth above its decoys, by unit (chance .50)", bounded(simulator, "truth_above_decoys")],
        ["its own sentences", bounded(explainer, "r")],
        ["less the truth in words", bounded(explainer, "above_truth")],
        ["less its sentences on other units", bounded(explainer, "above_null")],
    ]
    return table((f"{found['judge']}, {simulator['units']} units", "r"), rows)


def main() -> None:
    """Read the run, write the figures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", help="directory of a selftest")
    found = open_run(parser.parse_args().run).result()
    kept = {name: found[name] for name in ("effort", "scores", "verdict", "dishonest", "judge")}
    summary = {name: value for name, value in found["summary"].items() if name not in ("seconds", "peak_rss_mb")}
    PLACE.write_text(json.dumps(kept | {"summary": summary}, indent=1) + "\n", encoding="utf-8")
    for name, text in tables(kept).items():
        print(f"{name}\n\n{text}\n")


if __name__ == "__main__":
    main()
