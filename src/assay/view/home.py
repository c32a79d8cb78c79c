"""The list of runs, and the page of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.errors import RunError
from assay.store.run import RunInfo, open_path
from assay.view.claim import claims_section
from assay.view.compare import EXPLAINING
from assay.view.labs import LABS, lab_of
from assay.view.means import means_of
from assay.view.pages import Ask, Page, Site


def home_page(site: Site, ask: Ask) -> Page:
    """Every run, the newest first, with what it came to."""
    rows = [_row(info) for info in site.shelf.runs()]
    whole = [row for row in rows if row["state"] == "whole" and row["claims"] and row["verb"] in EXPLAINING]
    return Page("home.html", {"runs": rows, "root": str(site.shelf.root), "comparable": whole})


def _row(info: RunInfo) -> dict[str, Any]:
    spec, summary, state, claims = info.spec, dict[str, Any](), info.state, False
    null: float | None = None
    if state == "whole":
        try:
            run = open_path(info.path)
            claims = run.has("claims.parquet")
            result = run.result() if run.has("result.json") else {}
            summary, null = result.get("summary") or {}, _mean_null(result.get("units") or ())
        except RunError:
            state = "damaged"
    return {
        "id": info.id,
        "state": state,
        "verb": spec.get("verb"),
        "claims": claims,
        "started": spec.get("started"),
        "subject": spec.get("subject", {}).get("name"),
        "corpus": spec.get("corpus", {}).get("name"),
        "asked": (spec.get("asked") or {}).get("units") or (spec.get("asked") or {}).get("unit"),
        "units": summary.get("units") or summary.get("cells"),
        "mean_r": summary.get("mean_r"),
        "mean_r_lo": summary.get("mean_r_lo"),
        "mean_r_hi": summary.get("mean_r_hi"),
        "mean_null": summary.get("mean_null", null),
    }


def _mean_null(entries: Sequence[Mapping[str, Any]]) -> float | None:
    """The mean of the best nulls of the claims that a run's mean r is of: those of its first explainer."""
    first = [entry for entry in entries if entry["explainer"] == entries[0]["explainer"] and entry["r"] is not None]
    best = [max((null for null in entry["nulls"].values() if null is not None), default=None) for entry in first]
    known = [null for null in best if null is not None]
    return sum(known) / len(known) if known else None


def run_page(site: Site, ask: Ask) -> Page:
    """What a run came to: of claims about units by explainer, with ways into it; of another verb, its lab's page."""
    opened = site.shelf.open(ask.path["run"])
    run, index = opened.run, opened.index
    if run.spec["verb"] in LABS or not index.explainers():
        return lab_of(site, opened, ask)
    result = run.result() if run.has("result.json") else {}
    return Page(
        "run.html",
        {
            "run": run.id,
            "spec": run.spec,
            "summary": result.get("summary") or {},
            "explainers": [row | means_of(opened, row["explainer"]) for row in index.counts()],
            "has_units": bool(index.explainers()),
            "evidence": claims_section(opened),
        },
    )
