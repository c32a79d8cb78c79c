"""Pictures of a run and of a unit."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np

from assay.errors import RunError, UnknownName, UsageError
from assay.view.means import mean_beside_null
from assay.view.opened import Opened
from assay.view.pages import Ask, Page, Picture, Site

_MANY = 200  # units up to which the map shows each


def histogram_picture(site: Site, ask: Ask) -> Picture:
    """How often the unit has which activation: from all test tokens where they are stored, else from quantiles."""
    from assay.draw import activation_histogram, quantile_histogram

    opened = site.shelf.open(ask.path["run"])
    unit = opened.index.unit(ask.path["unit"])
    if unit is None:
        raise UsageError(
            f"{ask.path['unit'][:80]!r} was not explained in run {opened.run.id}, and has no histogram there"
        )
    q99, name = unit["q99"], f"activation of {unit['unit']}"
    if unit["test"] is not None:
        values = opened.run.tensor_row("test", "activations", unit["test"])[opened.test.scored]
        return Picture(activation_histogram(values, fires_above=q99, name=name).standalone())
    levels, values = opened.quantiles(unit)
    return Picture(quantile_histogram(levels, values, fires_above=q99, name=name).standalone())


def histogram_words(unit: dict[str, Any], number: Any) -> str:
    """What the histogram shows, in words."""
    return (
        f"Histogram of the activation, from {number(unit['min'])} to {number(unit['max'])}: half of the tokens are "
        f"below {number(unit['q50'])}, one in a hundred is below {number(unit['q01'])} and one in a hundred above "
        f"{number(unit['q99'])}, where the unit counts as firing."
    )


def map_page(site: Site, ask: Ask) -> Page:
    """All units of a run by layer and score."""
    opened = site.shelf.open(ask.path["run"])
    explainers = opened.index.explainers()
    if not explainers:
        raise RunError(f"{opened.run.id} explained nothing; it was made by 'assay {opened.run.spec['verb']}'")
    explainer = ask.query.get("explainer") or explainers[0]
    if explainer not in explainers:
        raise UnknownName("explainer", explainer, explainers)
    figure, layers = _map(opened, explainer)
    return Page(
        "map.html",
        {
            "run": opened.run.id,
            "subject": opened.run.spec["subject"]["name"],
            "explainer": explainer,
            "explainers": explainers,
            "figure": figure.svg,
            "alternative": figure.alternative,
            "layers": layers,
        },
    )


@lru_cache(maxsize=16)
def _map(opened: Opened, explainer: str) -> tuple[Any, list[dict[str, Any]]]:
    from assay.draw import layer_map

    rows = opened.index.scores(explainer)
    layers = np.array([row[1] for row in rows], np.int64)
    r = np.array([row[2] for row in rows], np.float64)
    nulls = np.array([np.nan if row[3] is None else row[3] for row in rows], np.float64)
    at, by = f"/run/{quote(opened.run.id)}", quote(explainer)
    few = len(rows) <= _MANY
    figure = layer_map(
        layers,
        r,
        nulls,
        names=[row[0] for row in rows] if few else None,
        cell_link="" if few else f"{at}/units?explainer={by}&layer={{layer}}&from={{low}}&to={{high}}&sort=r",
        unit_link=f"{at}/unit/{{unit}}" if few else "",
    )
    found: list[dict[str, Any]] = []
    for layer in np.unique(layers).tolist():
        own = layers == layer
        good = sum(rows[i][4] in ("predicts", "supported") for i in np.flatnonzero(own))
        found.append(
            {
                "layer": layer,
                "units": int(own.sum()),
                "median_r": float(np.median(r[own])),
                "better": int(good),
                **mean_beside_null(r[own], nulls[own]),
            }
        )
    return figure, found
