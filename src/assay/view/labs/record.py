"""The page of a recording: which sites, how much text, and a list of a site's units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.record.moments import Moments
from assay.store.run import Run
from assay.view.evidence import Choice, Column, Section, Table, chosen, paged
from assay.view.labs.lab import Told, lab_page, listed, number
from assay.view.opened import Opened
from assay.view.pages import Ask, Page

_SITES = (
    Column("site", "site"),
    Column("units", "units", "count"),
    Column("mean_sd", "mean sd", "fine"),
    Column("firing", "above 0", "share", "mean share of tokens on which a unit is above 0"),
)
_UNITS = (
    Column("index", "unit"),
    Column("mean", "mean", "fine"),
    Column("sd", "sd", "fine"),
    Column("skew", "skewness", "score"),
    Column("low", "lowest", "fine"),
    Column("high", "highest", "fine"),
    Column("firing", "above 0", "share"),
)


def record_page(opened: Opened, ask: Ask) -> Page:
    """What was recorded; of one site, chosen in the query, every unit with its moments."""
    run = opened.run
    sites: list[str] = list(run.spec["resolved"]["sites"])
    site = chosen(ask.query, "site", sites)
    units = _units(run, site)
    table = paged(_UNITS, units, ask.query, ask.number("page", int, 1, 1_000_000) or 1)
    told = Told(
        f"A recording of {(run.spec.get('subject') or {}).get('name') or 'a model'}",
        _words(run, sites),
        [
            Section("What was recorded", "", None, _summary(run, sites)),
            Section(
                f"Units of {site}",
                "Moments of the tokens that count: no first positions, no special tokens.",
                None,
                table,
            ),
        ],
        choices=[Choice("site", "site", [(name, name) for name in sites], site)] if len(sites) > 1 else [],
    )
    return lab_page(run, ask, told)


def _words(run: Run, sites: list[str]) -> list[str]:
    result = run.result() if run.has("result.json") else {}
    corpus = (run.spec.get("corpus") or {}).get("name") or "text"
    tokens = number(result.get("tokens", "some"))
    words = [f"The model was run over {tokens} tokens of {corpus} once; sites: {listed(sites)}."]
    if result.get("seconds"):
        disk = f", {result['disk_mb']:,.0f} MB on disk" if result.get("disk_mb") else ""
        words.append(f"{result['seconds']:,.0f} s, {result['forward_seconds']:,.0f} of them in the model{disk}.")
    words.append("A recording makes no claims: nothing here was tested.")
    return words


def _summary(run: Run, sites: list[str]) -> Table:
    rows: list[Mapping[str, Any]] = []
    for site in sites[:200]:
        kept = _moments(run, site)
        rows.append(
            {
                "site": site,
                "units": len(kept["mean"]),
                "mean_sd": float(kept["sd"].mean()),
                "firing": float(kept["firing"].mean()),
            }
        )
    return Table(_SITES, rows, len(rows))


def _units(run: Run, site: str) -> list[dict[str, Any]]:
    kept = _moments(run, site)
    columns = {name: [_known(value) for value in values.tolist()] for name, values in kept.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _known(value: float | int) -> float | int | None:
    """The number; None where there is none, such as the skewness of a unit that never changes."""
    return value if math.isfinite(value) else None


_STATE = ("count", "mean", "m2", "m3", "m4", "minimum", "maximum")


def _moments(run: Run, site: str) -> dict[str, np.ndarray]:
    """Moments of a site's units by name; nothing else of the site's file is read."""
    moments = Moments.from_state({name: run.tensor(site, f"moments.{name}") for name in _STATE})
    fired, count = (run.tensor(site, f"firing.{name}") for name in ("fired", "count"))
    return {
        "index": run.tensor(site, "units"),
        "mean": moments.mean,
        "sd": moments.sd,
        "skew": moments.skew,
        "low": moments.minimum,
        "high": moments.maximum,
        "firing": fired / max(int(count[0]), 1),
    }
