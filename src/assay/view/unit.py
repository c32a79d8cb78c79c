"""The page of one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.ids import UnitId
from assay.explain.names import OUTPUTS
from assay.explain.page_outputs import output_view
from assay.explain.page_views import ARM_ARRAYS, Arm, arms_of, claim_view, facts
from assay.view.figures import histogram_words
from assay.view.neighbours import neighbours_of, runs_about
from assay.view.opened import Opened
from assay.view.pages import Ask, Page, Site
from assay.view.texts import unit_texts


def unit_page(site: Site, ask: Ask) -> Page:
    """Everything that a run holds of one unit; of a unit that it does not hold, where else to look.

    ``by`` in the query says whose prediction is laid over the texts.
    """
    opened = site.shelf.open(ask.path["run"])
    name = str(UnitId.parse(ask.path["unit"]))
    unit = opened.index.unit(name)
    if unit is None:
        return _elsewhere(site, opened, name)
    claims = [claim for claim in opened.index.claims(unit["n"]) if claim["explainer"] not in OUTPUTS]
    chosen = _chosen(claims, ask.query.get("by", ""))
    texts = unit_texts(opened, unit, chosen)
    views = [claim_view(_row(claim), _tests(claim), *_arms(opened, claim), []) for claim in claims]
    before, behind = opened.index.beside(unit["n"])
    return Page(
        "unit.html",
        {
            "run": opened.run.id,
            "unit": name,
            "subject": opened.run.spec["subject"],
            "row": unit,
            "facts": facts(unit, texts.scale),
            "full": texts.scale.number(texts.scale.full),
            "claims": views,
            "numbers": [claim["claim"] for claim in claims],
            "full_value": texts.scale.full,
            "fills": [_fill(claim) for claim in claims if _fill(claim)],
            "by": chosen["explainer"] if chosen else None,
            "histogram": histogram_words(unit, texts.scale.number),
            "test": texts.test,
            "fit": texts.fit,
            "outputs": [output_view(entry) for entry in opened.index.outputs(unit["n"])],
            "neighbours": neighbours_of(site, opened, name),
            "related": runs_about(site, opened, name),
            "before": before,
            "behind": behind,
        },
    )


def _chosen(claims: Sequence[dict[str, Any]], by: str) -> dict[str, Any] | None:
    """The claim of that explainer, else the first."""
    return next((claim for claim in claims if claim["explainer"] == by), claims[0] if claims else None)


def _fill(claim: Mapping[str, Any]) -> dict[str, Any] | None:
    """A claim's rules, to be edited; None for a claim that has none."""
    rules = claim["detail"]["rules"]
    return {"explainer": claim["explainer"], "rules": rules} if rules.get("kind") == "rules" else None


def _row(claim: Mapping[str, Any]) -> dict[str, Any]:
    return {**claim, "rules": claim["detail"]["rules"], "lines": claim["detail"]["lines"]}


_DECIDE = ("r", "behaviour")
_EMPTY = dict.fromkeys(("value", "lo", "hi", "unscored", "verdict")) | {"nulls": {}, "references": {}, "reason": ""}


def _tests(claim: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The evidence, the scores that decide first."""
    tests = [{**_EMPTY, **test} for test in claim["detail"]["evidence"]]
    return sorted(tests, key=lambda test: test["measure"] not in _DECIDE)


def _arms(opened: Opened, claim: Mapping[str, Any]) -> tuple[list[Arm], str]:
    if claim["test"] is None or not opened.run.has("tensors/behaviour.safetensors"):
        return [], ""
    return arms_of({name: opened.run.tensor_row("behaviour", name, claim["test"]) for name in ARM_ARRAYS})


def _elsewhere(site: Site, opened: Opened, name: str) -> Page:
    """A unit that this run did not explain: which runs did, and what weights say of it."""
    unit = UnitId.parse(name)
    return Page(
        "elsewhere.html",
        {
            "run": opened.run.id,
            "unit": name,
            "subject": opened.run.spec["subject"],
            "layer": unit.site.layer,
            "related": runs_about(site, opened, name),
            "neighbours": neighbours_of(site, opened, name),
        },
        404 if unit.site.layer >= opened.run.spec["subject"].get("n_layers", 1 << 30) else 200,
    )
