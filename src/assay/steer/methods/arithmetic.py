"""Vector arithmetic: happy - sad. A word is what sentences have more of, from it on, than with others in its place."""

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
    "I feel {} today.",
    "It was a {} day.",
    "They said it was {}.",
    "Everything seemed {} to her.",
    "What a {} thing it is.",
    "He looked {} when he came in.",
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
    """Mean ``resid_post`` of some sentences with the word, from it on, less that with other words in its place."""
    site = SiteId(layer, "resid_post")
    texts = [carrier.format(one) for one in (word, *OTHERS) for carrier in CARRIERS]
    before = [len(ids) for ids in encode(kit.subject, [carrier.partition(" {}")[0] for carrier in CARRIERS])]
    begins = before * (1 + len(OTHERS))
    rows = [Read(ids, first) for ids, first in zip(encode(kit.subject, texts), begins, strict=True)]
    means = kit.means(rows, [site], "mean")[site].astype(np.float64)
    x = means.reshape(1 + len(OTHERS), len(CARRIERS), -1).mean(1)
    return x[0] - x[1:].mean(0)


def without_shared(
    plus: Float[NDArray[np.float64], " d"], minus: Float[NDArray[np.float64], " d"]
) -> Float[NDArray[np.float64], " d"]:
    """The difference, with 0 wherever both have an entry of the same sign: what they share says nothing of either."""
    return np.where(plus * minus > 0, 0.0, plus - minus)
