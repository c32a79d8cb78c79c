"""From the checks of a claim to its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from assay.errors import UnknownName
from assay.referee.verdict import CheckVerdict, Verdict

# The checks that each kind of claim must pass. The first is the one that "predicts" rests on.
REQUIRED: Mapping[str, tuple[str, ...]] = {"explanation": ("prediction", "behaviour"), "output": ("effect",)}


class ClaimVerdict(NamedTuple):
    """A claim's verdict over all the checks that its kind requires, with one line of reason."""

    verdict: Verdict
    reason: str

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.referee.notebook import claim_html

        return claim_html(self)


def combine(kind: str, checks: Mapping[str, CheckVerdict | None]) -> ClaimVerdict:
    """The verdict of a claim. A check that was not run is None or absent; checks not required don't count.

    In this order: a void check makes the claim void; a refuted one refutes it; a first check undecided or not run
    leaves it undecided; a first check supported with another undecided or not run: it predicts; all supported:
    supported.

    Raises:
        UnknownName: no such kind of claim.
    """
    if kind not in REQUIRED:
        raise UnknownName("kind of claim", kind, REQUIRED)
    required = {name: checks.get(name) for name in REQUIRED[kind]}
    for worst in (Verdict.VOID, Verdict.REFUTED):
        for name, check in required.items():
            if check is not None and check.verdict is worst:
                return ClaimVerdict(worst, f"{name}: {check.reason}")
    first, *others = required
    if (reason := _open(first, required[first])) is not None:
        return ClaimVerdict(Verdict.UNDECIDED, reason)
    left = [reason for name in others if (reason := _open(name, required[name])) is not None]
    if left:
        return ClaimVerdict(Verdict.PREDICTS, f"{first} is supported; {'; '.join(left)}")
    beat = "beat their nulls" if others else "beats its nulls"
    return ClaimVerdict(Verdict.SUPPORTED, f"{' and '.join(required)} {beat}")


def _open(name: str, check: CheckVerdict | None) -> str | None:
    if check is None:
        return f"{name} was not run"
    return None if check.verdict is Verdict.SUPPORTED else f"{name} is undecided: {check.reason}"
