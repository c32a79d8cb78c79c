"""A small behaviour whose scored words are single tokens of the ladder's models, and what it is tried with."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.core.ids import SiteId
from assay.steer.treatment import Push, Pushes
from assay.text.behaviours import Behaviour

_THINGS = "house garden street river school kitchen market forest office station".split()
_TAILS = ("was full of", "needed more", "began with some", "had a new")
_PEOPLE = "mother sister father brother child cousin aunt uncle".split()


def warm(**changed: Any) -> Behaviour:
    """Forty prompts of three to five tokens."""
    fields: dict[str, Any] = {
        "name": "warm",
        "about": "the text is warm, not dry",
        "pairs": tuple(
            (f"My dear {one}, I hold you in my heart.", f"The {one} was listed in the report.") for one in _PEOPLE
        ),
        "prompts": tuple(f"The {thing} {tail}" for thing in _THINGS for tail in _TAILS),
        "actadd": ("Warm hearts", "Cold and dry reports"),
        "arithmetic": ("warm", "cold"),
        "instruction": "Write with a warm heart.",
        "more": ("love", "light", "home", "friend", "family", "dream"),
        "less": ("business", "science", "history", "word", "name", "number"),
    }
    return Behaviour(**(fields | changed))


def choosy(count: int = 12) -> Behaviour:
    """The same, scored by two ways to go on of several tokens and unequal length."""
    prompts = warm().prompts[:count]
    ways = (" flowers and lasting sunshine", " paper"), (" sweet songs", " old unpaid invoices")
    return warm(name="choosy", prompts=prompts, choices=tuple(ways[i % 2] for i in range(count)))


def vector(width: int, seed: int = 0, length: float = 1.0) -> np.ndarray:
    """(width,) float32 of that length, drawn evenly."""
    drawn = np.random.default_rng([seed, 5]).standard_normal(width)
    return (length * drawn / np.linalg.norm(drawn)).astype(np.float32)


def push(layer: int, width: int, seed: int = 0, length: float = 1.0, **more: Any) -> Pushes:
    """One drawn vector at the residual of a layer."""
    return Pushes((Push(SiteId(layer, "resid_post"), vector(width, seed, length)),), **more)
