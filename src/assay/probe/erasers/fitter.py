"""What fitters have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from jaxtyping import Shaped

from assay.probe.erasers.eraser import Eraser


class Fitter(ABC):
    """Gathers rows and their concept, batch by batch, and ends in an :class:`~assay.probe.erasers.eraser.Eraser`."""

    @abstractmethod
    def update(self, x: Shaped[Any, "*lead width"], z: Shaped[Any, "*shape"]) -> Fitter:
        """Take in x (..., x_dim) and z (...,) or (..., z_dim), numpy or torch. Raises FitError."""

    @property
    @abstractmethod
    def eraser(self) -> Eraser:
        """What all rows so far come to.

        Raises:
            FitError: nothing can be fitted to them.
        """
