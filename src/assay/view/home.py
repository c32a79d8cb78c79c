"""The list of runs, and the page of one."""

from __future__ import annotations

from typing import Any

from assay.errors import RunError
from assay.store.run import RunInfo, open_path
from assay.view.claim import claims_section
from assay.view.compare import EXPLAINING
from assay.view.labs import LABS, lab_of
from assay.view.pages import Ask, Page, Site


def home_page(site: Site, ask: Ask) -> Page:
    """Every run, the newest first, with what it came to."""
    rows = [_row(info) for info in site.shelf.runs()]
    whole = [row for row in rows if row["state"] == "whole" and row["claims"] and row["verb"] in EXPLAINING]
    return Page("home.html", {"runs": rows, "root": str(site.shelf.root), "comparable": whole})


def _row(info: RunInfo) -> dict[str, Any]:
    spec, summary, state, claims = info.spec, dict[str, Any](), info.state, False
    if state == "whole":
        try:
            run = open_path(info.path)
            claims = run.has("claims.parquet")
            summary = run.result().get("summary") or {} if run.has("result.json") else {}
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
    }


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
            "explainers": index.counts(),
            "has_units": bool(index.explainers()),
            "evidence": claims_section(opened),
        },
    )
