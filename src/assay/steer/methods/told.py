"""The old remedy: say what is wanted, or show it."""

from __future__ import annotations

from assay.errors import UsageError
from assay.steer.kit import Kit
from assay.steer.treatment import Before, Told
from assay.text.behaviours import REQUESTS

SHOTS = 4


def make(kit: Kit, layer: int, name: str) -> Told:
    """The behaviour's instruction, or its first texts as examples; neutral text stands in for them in placebos."""
    if name == "prompt":
        return Told(Before(kit.behaviour.instruction), kit.meaningless())
    if kit.behaviour.of == REQUESTS:
        raise UsageError(f"the concept {kit.behaviour.name} has requests and no replies, so none can be shown")
    shots = tuple(pair[0] for pair in kit.behaviour.pairs[:SHOTS])
    return Told(Before("", shots), kit.meaningless(len(shots)))
