"""For tests of assay and of what is built on it: models whose inner workings are known."""

from __future__ import annotations

from assay.testing.planted import Planted, Truth, planted
from assay.testing.planted_language import planted_corpus

__all__ = ["Planted", "Truth", "planted", "planted_corpus"]
