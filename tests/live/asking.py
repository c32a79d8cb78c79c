"""What the tests ask: a small model of the package, one text, and methods called as the program calls them."""

from __future__ import annotations

from typing import Any

from assay.live.methods import METHODS
from assay.live.params import Params

MODEL = "ladder-2-0"
UNIT = "L1.mlp_act:3"
TEXT = "The king of the sea gave what he took, and then he took what the others had; nobody in the house said a word."


def quiet(message: str, share: float | None = None) -> None:
    """Progress that goes nowhere."""


def asking(method: str, **given: Any) -> Params:
    return Params(method, given, METHODS[method].names)
