"""What is asked, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import UsageError

MOST = 64


@dataclass(frozen=True)
class RelatedRequest:
    """What is asked for; the same names as the options of ``assay related``.

    ``k``: units of each kind on each side. ``run``: the stored run that sentences are taken from; None for the newest
    ones that have them.
    """

    unit: str
    model: str = "smollm2-135m"
    k: int = 4
    tokens: int = 8_000
    corpus: str = "bundled"
    run: str | None = None
    dtype: str | None = None
    device: str | None = None
    seed: int = 0
    out: str | None = None

    def check(self) -> None:
        """Refuse what can't be done before anything is loaded.

        Raises:
            UsageError: a number out of range.
        """
        if not 1 <= self.k <= MOST:
            raise UsageError(f"--k must be 1 to {MOST}, got {self.k}")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")


@dataclass(frozen=True)
class RelatedOutcome:
    """Where the run was stored, and the JSON that the command prints."""

    run_path: Path
    result: dict[str, Any]
