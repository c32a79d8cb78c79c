"""Vector arithmetic: happy - sad. Each word is what sentences with it have more of than sentences with other words."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.model.reading import encode
from assay.steer.kit import Kit
from assay.steer.script import Read
from assay.steer.treatment import Pushes

CARRIERS = (
    "One word: {}",
    "The word is {}",
    "This is about {}",
    "{} and again {}",
    "It has to do with {}",
    "I think of {}",
)
OTHERS = (
    "table",
    "river",
    "seven",
    "green",
    "walking",
    "music",
    "yesterday",
    "paper",
    "window",
    "slowly",
    "bread",
    "north",
)


def make(kit: Kit, layer: int, name: str) -> Pushes:
    """The first of the behaviour's two words minus the second, with the parts that they share set to zero."""
    plus, minus = (word_vector(kit, word, layer) for word in kit.behaviour.arithmetic)
    return kit.push(layer, without_shared(plus, minus))


def word_vector(kit: Kit, word: str, layer: int) -> Float[NDArray[np.float64], " d_model"]:
    """Mean ``resid_post`` at the end of some sentences that end with the word, less that over other words."""
    site = SiteId(layer, "resid_post")
    texts = [carrier.format(*[one] * carrier.count("{}")) for one in (word, *OTHERS) for carrier in CARRIERS]
    rows = [Read(ids, len(ids) - 1) for ids in encode(kit.subject, texts)]
    x = kit.means(rows, [site])[site].astype(np.float64).reshape(1 + len(OTHERS), len(CARRIERS), -1).mean(1)
    return x[0] - x[1:].mean(0)


def without_shared(
    plus: Float[NDArray[np.float64], " d"], minus: Float[NDArray[np.float64], " d"]
) -> Float[NDArray[np.float64], " d"]:
    """The difference, with 0 wherever both have an entry of the same sign: what they share says nothing of either."""
    return np.where(plus * minus > 0, 0.0, plus - minus)
