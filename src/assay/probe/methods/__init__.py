"""Probes: linear readers of activations, as scikit-learn estimators."""

from assay.probe.methods.registry import METHODS, UNSUPERVISED, make_probe

__all__ = ["METHODS", "UNSUPERVISED", "make_probe"]
