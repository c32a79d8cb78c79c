"""The page of a whole run: what the model's units come to, and some of them in full."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from assay.core.ids import SiteId, UnitId
from assay.draw import templates
from assay.explain.joint.view import joint_view
from assay.explain.whole.layer import EXPLAINERS
from assay.explain.whole.shards import Shards

BEST, DRAWN, WORST = 20, 60, 20
_LINES = 4  # rules shown of a unit


def whole_page(
    spec: Mapping[str, Any],
    result: Mapping[str, Any],
    svg: str,
    joint_svg: str | None,
    shards: Shards,
    sites: Sequence[SiteId],
) -> str:
    """The page as one HTML file that needs nothing beside itself; ``joint_svg`` as in the page of some units."""
    environment = templates("assay.explain")
    return environment.get_template("whole.html").render(
        spec=spec,
        summary=result["summary"],
        figure=Markup(svg),  # made here, from numbers
        joint=joint_view(result, joint_svg),
        groups=_groups(shards, sites, int(spec["resolved"]["seed"])),
    )


def _groups(shards: Shards, sites: Sequence[SiteId], seed: int) -> list[dict[str, Any]]:
    """The best, a random sample, and the worst of all units."""
    r = np.concatenate([shards.read(site).arrays[f"{EXPLAINERS[0]}.r"] for site in sites])
    width = len(r) // len(sites)
    known = np.flatnonzero(~np.isnan(r[:, 0]))
    order = known[np.argsort(-r[known, 0], kind="stable")]
    drawn = np.random.default_rng([seed, 8]).choice(known, min(DRAWN, len(known)), replace=False)
    picked = {"the best": order[:BEST], "drawn at random": np.sort(drawn), "the worst": order[::-1][:WORST]}
    tables = {site: (shards.table(site, "claims"), shards.read(site).arrays) for site in sites}
    return [
        {"title": title, "units": [_unit(tables, sites, int(i) // width, int(i) % width) for i in places]}
        for title, places in picked.items()
    ]


def _unit(tables: Mapping[SiteId, Any], sites: Sequence[SiteId], layer: int, unit: int) -> dict[str, Any]:
    site = sites[layer]
    claims, arrays = tables[site]
    row = claims.slice(unit, 1).to_pylist()[0]
    value, lo, hi = arrays[f"{EXPLAINERS[0]}.r"][unit]
    lines = json.loads(row["lines"])
    return {
        "name": str(UnitId(site, unit)),
        "text": row["text"],
        "lines": lines[:_LINES],
        "more": max(len(lines) - _LINES, 0),
        "r": value,
        "lo": lo,
        "hi": hi,
        "null": float(np.nanmax(arrays[f"{EXPLAINERS[0]}.nulls"][unit])),
        "lookup": arrays[f"{EXPLAINERS[0]}.reference.lookup"][unit],
        "bigram_full": arrays[f"{EXPLAINERS[0]}.reference.bigram_full"][unit],
    }
