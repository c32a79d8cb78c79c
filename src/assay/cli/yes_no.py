"""What detection and fuzzing said, as lines below the table of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.cli.numbers import highest, interval_text, score_text
from assay.cli.plain import plain

_KINDS = ("detection", "fuzzing")


def yes_no_lines(units: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each explanation that a judge was asked about: F1 at natural frequency beside its null."""
    for entry in units:
        asked = [f"{kind} {_said(found)}" for kind in _KINDS if (found := entry.get(kind)) is not None]
        if asked:
            yield f"{entry['unit']}, {plain(entry['explainer'])}: {'; '.join(asked)}"


def _said(found: Mapping[str, Any]) -> str:
    if found["unscored"] is not None:
        return f"unscored, {plain(found['unscored'])}"
    bounds = interval_text(found["f1_lo"], found["f1_hi"])
    return f"F1 {score_text(found['f1'])} {bounds}".rstrip() + f", null {score_text(highest(found['nulls']))}"
