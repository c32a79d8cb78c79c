"""What an explanation says about a text, token by token, as a notebook shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.draw.heat import Scale, ShadedToken
from assay.draw.notebook import fragment, heat, paragraph, scale_note


@dataclass(frozen=True, eq=False)
class TokenHeat:
    """Tokens with one or two numbers each: what is predicted and, where it is known, what the unit did.

    ``tokens``: (n,) their texts. ``predicted``: (n,). ``real``: (n,) or None. A notebook shades the lower half of a
    token by the prediction and the upper half by the real activation; both by the prediction where that is all.
    """

    tokens: tuple[str, ...]
    predicted: NDArray[np.float32]
    real: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, tokens: Sequence[str], predicted: ArrayLike, real: ArrayLike | None = None) -> TokenHeat:
        """From plain sequences.

        Raises:
            ValueError: they are not of one length.
        """
        said = np.asarray(predicted, np.float32)
        did = None if real is None else np.asarray(real, np.float32)
        sizes = [len(tokens), *(side.size for side in (said, did) if side is not None)]
        if len(set(sizes)) > 1:
            raise ValueError(f"tokens and activations must be of one length. Got {sizes} instead.")
        return cls(tuple(tokens), said, did)

    def shaded(self) -> list[ShadedToken]:
        """The tokens with the classes of their shades, on one scale."""
        scale, real = self._scale(), self.real
        found: list[ShadedToken] = []
        for i, token in enumerate(self.tokens):
            said = float(self.predicted[i])
            shades, number = scale.shade("b" if real is None else "p", said), ""
            if real is not None:
                did = float(real[i])
                shades, number = f"{scale.shade('a', did)} {shades}".strip(), scale.number(did)
            found.append(ShadedToken(token, shades, number, scale.number(said), False))
        return found

    def _scale(self) -> Scale:
        return Scale.of(self.predicted if self.real is None else np.concatenate([self.real, self.predicted]))

    def _repr_html_(self) -> str:
        """For notebooks."""
        halves = "" if self.real is None else "upper half: real activation; lower half: prediction; "
        full = self._scale()
        note = paragraph(f"{halves}numbers on hover", "q")
        return fragment(heat(self.shaded()), note, scale_note(full.number(full.full)))
