"""Probes: linear readers of activations, as scikit-learn estimators."""

from assay.fit.probes.registry import METHODS, UNSUPERVISED, make_probe

__all__ = ["METHODS", "UNSUPERVISED", "make_probe"]
