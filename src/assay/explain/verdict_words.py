"""The verdicts, with a sign for each, so that colour never says it alone, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping

VERDICTS: Mapping[str, tuple[str, str]] = {
    "supported": ("●", "prediction and behaviour beat every null"),
    "predicts": ("◐", "prediction beats every null; behaviour is open"),
    "undecided": ("○", "the data can’t carry a verdict"),
    "refuted": ("✕", "no better than a null"),
    "void": ("⊘", "the controls passed too: the test failed, not the claim"),
}
