"""Tokens shaded by a value: the same heat on pages, in the viewer and in notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS = 8  # shades a sign
_CONTROL = {i: chr(0x2400 + i) for i in range(32)} | {0x7F: "␡", 0x85: "␤", 0x2028: "⏎", 0x2029: "⏎"}
_DIRECTION = {
    code: f"[U+{code:04X}]" for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_WILD = {code: sign for code, sign in (_CONTROL | _DIRECTION).items() if chr(code) not in "\n\t\r"}
_VISIBLE = _CONTROL | _DIRECTION | {ord("\n"): "⏎", ord("\t"): "⇥", ord("\r"): "␍"}


class ShadedToken(NamedTuple):
    """A token as shown: its text, CSS classes for its two shades, and both numbers as text (predicted may be "")."""

    text: str
    shades: str
    real: str
    predicted: str
    looked_at: bool


@dataclass(frozen=True)
class Scale:
    """The shared scale of a unit's shades: the activation that gets the full colour, and decimals for its numbers."""

    full: float
    decimals: int

    @classmethod
    def of(cls, activations: NDArray[np.float32]) -> Scale:
        """From the unit's activations on scored tokens, (n,): full colour at the mean of the ten largest sizes."""
        sizes = np.sort(np.abs(activations))[-10:]
        return cls.up_to(float(sizes.mean()) if sizes.size and sizes[-1] > 0 else 1.0)

    @classmethod
    def up_to(cls, full: float) -> Scale:
        """With full colour at ``full``, which is above 0, and the decimals that this size asks for."""
        return cls(full, int(np.clip(2 - np.floor(np.log10(full)), 0, 6)))

    def number(self, value: float) -> str:
        """The value as text, with a proper minus and without a signed zero."""
        text = f"{value:.{self.decimals}f}"
        return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")

    def shade(self, prefix: str, value: float) -> str:
        """The CSS class of a value: prefix, ``n`` if it is negative, level from 1; "" for the lowest level."""
        level = min(LEVELS, round(LEVELS * abs(value) / self.full))
        return f"{prefix}{'n' if value < 0 else ''}{level}" if level else ""


def visible(text: str) -> str:
    """Text with line breaks, tabs, control and direction characters made visible; runs of spaces alone as low marks."""
    if len(text) > 1 and not text.strip(" "):
        return "␣" * len(text)
    return text.translate(_VISIBLE)


def tame(text: str) -> str:
    """Text with control and direction characters made visible; its lines stay lines."""
    return text.translate(_WILD)
