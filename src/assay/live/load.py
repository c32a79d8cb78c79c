"""Loading a model."""

from __future__ import annotations

from typing import Any

from assay.live.params import Params
from assay.live.server import Progress
from assay.live.shelf import Held
from assay.model.fingerprint import describe


def describe_model(held: Held, params: Params, progress: Progress) -> dict[str, Any]:
    """The model that is in memory by now, as in the spec of a run."""
    progress("hashing the weights")
    return describe(held.subject)
