"""What a page shows of a unit's output claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from assay.draw.heat import visible
from assay.explain.page_scores import ScoreRow, score_row

Entry = Mapping[str, Any]


class Named(NamedTuple):
    """A token that is named, the claimed change of its logit in nats, and the width of its bar in per cent."""

    token: str
    nats: str
    width: float


class OutputView(NamedTuple):
    """One output claim as shown; a claim by rules names no token."""

    form: str
    text: str
    bits: str
    verdict: str
    reason: str
    promoted: list[Named]
    suppressed: list[Named]
    lines: list[tuple[str, str]]
    scores: list[ScoreRow]
    dose: str


def output_view(entry: Entry) -> OutputView:
    """An entry of ``outputs`` in the result as a page shows it."""
    most = max((abs(change) for _, change in (*entry["promoted"], *entry["suppressed"])), default=1.0) or 1.0
    promoted, suppressed = (
        [
            Named(visible(token), f"{change:+.3g}".replace("-", "−"), round(100 * abs(change) / most, 1))
            for token, change in pairs
        ]
        for pairs in (entry["promoted"], entry["suppressed"])
    )
    return OutputView(
        entry["explainer"].removeprefix("output_"),
        visible(entry["explanation"]),
        f"{entry['bits']:,.0f}",
        entry["verdict"],
        visible(entry["reason"]),
        promoted,
        suppressed,
        [_split(visible(line)) for line in entry["rules"]],
        _scores(entry),
        f"{entry['dose']:.3g}",
    )


def _split(line: str) -> tuple[str, str]:
    value, _, when = line.partition(" when ")
    return value.replace("-", "−", 1), when


def _scores(entry: Entry) -> list[ScoreRow]:
    rows = [
        score_row(
            "r",
            "of the claimed change of the next token’s logits with the mean change, over the tokens",
            *_bounds(entry, "r"),
            nulls=entry["nulls"],
            references=entry["references"],
            unscored=entry["unscored"].get("r", ""),
        ),
        score_row("r at one place, at most", "what an r of 1 comes to at a single token", *_bounds(entry, "ceiling")),
        score_row("r, turned down", "the same with the dose taken away", *_bounds(entry, "turned_down_r")),
        score_row("direct path", "r, at one place, of the change without the layers above", entry["direct_path_r"]),
    ]
    rise = score_row(
        "rise, nats",
        "logits of the promoted tokens less those of the suppressed",
        *_bounds(entry, "rise"),
        nulls=entry["rise_nulls"],
        unscored=entry["unscored"].get("rise", ""),
    )
    share = entry["half_dose"]
    half = "–" if share is None else f"{100 * share:.0f} %"
    rows.insert(1, rise._replace(strip=None))
    rows.append(ScoreRow("rise, half the dose", "1/2 where it is linear", half, "", "", "", "", None))
    return rows


def _bounds(entry: Entry, name: str) -> tuple[float | None, float | None, float | None]:
    return entry[name], entry[f"{name}_lo"], entry[f"{name}_hi"]
