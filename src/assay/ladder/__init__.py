"""A family of small models on one width and one text: depth as the only axis, and every model from two seeds."""

from assay.ladder.shipped import Trained, read_trained, shipped

__all__ = ["Trained", "read_trained", "shipped"]
