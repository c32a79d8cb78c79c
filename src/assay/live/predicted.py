"""What stored claims predict of a text, on the scale of their unit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.explain.claims import Line
from assay.explain.names import OUTPUTS, SIMULATED
from assay.judge import Unscored
from assay.live.server import Progress
from assay.live.shelf import Held
from assay.rules import Lookup, RuleList, View
from assay.stats import Calibration, Steps
from assay.text import TokenTable

AT_ONCE = 16  # stretches of text simulated between two lines of progress
_EXECUTED = {"rules": RuleList.from_json, "lookup": Lookup.from_json}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predicted:
    """What one claim says of every token, calibrated, NaN where nothing; ``unscored`` says why it says nothing at all.

    ``values``: (tokens,), flat. ``simulated_by`` is the judge, where one was needed.
    """

    explainer: str
    kind: str
    sentence: str
    values: Floats
    unscored: str | None = None
    simulated_by: str | None = None
    note: str = ""


def predict(held: Held, table: TokenTable, claim: Mapping[str, Any], simulate: bool, progress: Progress) -> Predicted:
    """One claim, given as in the table ``claims`` of a run: ``explainer``, ``rules`` and ``calibration``.

    Raises:
        UsageError: a column is missing, no JSON, or not of a form that runs write.
    """
    explainer = claim.get("explainer")
    if not isinstance(explainer, str):
        raise UsageError("a claim needs 'explainer', a name")
    nothing = np.full(table.n_tokens, np.nan)
    said = _object(claim, "rules")
    kind = str(said.get("kind", "rules" if "rules" in said else ""))
    if explainer in OUTPUTS:
        return Predicted(explainer, kind, "", nothing, "it says what the unit writes, not when it fires")
    if kind in _EXECUTED:
        explanation, line = _EXECUTED[kind](said), _line(_object(claim, "calibration"))
        view = View(table.ids, held.subject.token_texts())
        return Predicted(explainer, kind, explanation.sentence(), line(explanation.predict(view)))
    text = said.get("text")
    if explainer not in SIMULATED or not isinstance(text, str):
        return Predicted(explainer, kind, "", nothing, f"a claim of {explainer!r} predicts no activations")
    if said.get("unscored") is not None or not text:
        return Predicted(explainer, kind, text, nothing, str(said.get("unscored") or "there is no sentence"))
    if not simulate:
        return Predicted(explainer, kind, text, nothing, "not simulated: it was not asked for")
    return _simulated(held, table, explainer, said, _line(_object(claim, "calibration")), progress)


def _simulated(
    held: Held, table: TokenTable, explainer: str, said: Mapping[str, Any], line: Line, progress: Progress
) -> Predicted:
    """By the subject, in stretches from the start of each window on, as a run of :mod:`assay.explain` does it."""
    simulator, texts = held.simulator, held.subject.token_texts()
    where = [
        slice(int(first), min(int(first) + simulator.stretch, int(end)))
        for begin, end in zip(table.offsets[:-1], table.offsets[1:], strict=True)
        for first in range(int(begin), int(end), simulator.stretch)
    ]
    values, reasons = np.full(table.n_tokens, np.nan), dict[str, None]()
    for done in range(0, len(where), AT_ONCE):
        progress(f"{held.subject.name} simulates a sentence", done / len(where))
        now = where[done : done + AT_ONCE]
        asked = [[texts[int(i)] for i in table.flat_ids[one]] for one in now]
        for one, answer in zip(now, simulator.predict(str(said["text"]), asked), strict=True):
            if isinstance(answer, Unscored):
                reasons[answer.reason] = None
            else:
                values[one] = line(answer)
    judge, name = str(said.get("judge") or held.subject.name), held.subject.name
    note = "" if judge == name else f"calibrated for {judge}, simulated by {name}"
    why = "; ".join(reasons) if np.isnan(values).all() else None
    return Predicted(explainer, "prose", str(said["text"]), values, why, name, note)


def _object(claim: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = claim.get(name)
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name!r} of a claim is not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise UsageError(f"{name!r} of a claim must be an object. Got {str(value)[:60]!r} instead.")
    return value


def _line(stored: Mapping[str, Any]) -> Line:
    try:
        if set(stored) == {"slope", "intercept"}:
            return Calibration(float(stored["slope"]), float(stored["intercept"]))
        if set(stored) == {"knots", "values"} and len(stored["knots"]) == len(stored["values"]) > 0:
            return Steps(tuple(map(float, stored["knots"])), tuple(map(float, stored["values"])))
    except (TypeError, ValueError) as error:
        raise UsageError(f"'calibration' of a claim holds something that is no number: {error}") from error
    raise UsageError("'calibration' of a claim must have 'slope' and 'intercept', or 'knots' and 'values'")
