"""Stored runs of one unit: what somebody typed put to the test, or what the lab itself finds."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from assay.errors import UsageError
from assay.explain.claimed import checked_sentence
from assay.explain.experiment import explain
from assay.explain.material import FEWEST
from assay.explain.request import ExplainRequest
from assay.live.params import Params
from assay.live.server import Progress
from assay.live.shelf import Held
from assay.rules import RuleList

TOKENS, MOST_TOKENS = 40_000, 1_000_000


def score(held: Held, params: Params, progress: Progress) -> dict[str, Any]:
    """Test rules or a sentence, see docs/live.md.

    Raises:
        UsageError: they are not of the form, or as :func:`assay.explain.experiment.explain` does.
        MachineError: as that does.
    """
    unit = str(held.unit(params))
    if params.one_of(("rules", "sentence")) == "sentence":
        said = {unit: checked_sentence(params.text("sentence"))}
        return _run(held, params, progress, ExplainRequest(said=said))
    rules = replace(RuleList.from_json(_rules(params)), vocabulary=held.subject.vocab_size)
    return _run(held, params, progress, ExplainRequest(written={unit: rules}))


def explain_unit(held: Held, params: Params, progress: Progress) -> dict[str, Any]:
    """Explain one unit by rules and lookup, see docs/live.md. Raises as :func:`score` does."""
    held.unit(params)
    return _run(held, params, progress, ExplainRequest())


def _rules(params: Params) -> Any:
    rules = params.raw("rules")
    if not isinstance(rules, str | dict):
        raise UsageError(f"'rules' must be a rule list, as JSON or as its text. Got {type(rules).__name__} instead.")
    return rules


def _run(held: Held, params: Params, progress: Progress, request: ExplainRequest) -> dict[str, Any]:
    began, unit = time.monotonic(), str(held.unit(params))
    request = replace(
        request,
        model=held.asked.model,
        dtype=held.asked.dtype,
        device=held.asked.device,
        units=params.text("unit").strip(),
        explainers=("rules", "lookup"),
        tokens=params.whole("tokens", TOKENS, FEWEST, MOST_TOKENS),
        behaviour=params.yes("behaviour"),
        seed=params.whole("seed", 0, 0, 2**31),
        out=params.maybe_text("out"),
    )
    outcome = explain(request, progress, subject=held.subject, corpus=held.corpus(progress))
    return {
        "run": str(outcome.run_path.resolve()),
        "id": outcome.run_path.name,
        "seconds": round(time.monotonic() - began, 1),
        "units": [entry for entry in outcome.result["units"] if entry["unit"] == unit],
    }
