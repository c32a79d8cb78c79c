"""How a treatment is made of a behaviour, by name."""

from assay.steer.methods.registry import METHODS, Method, make

__all__ = ["METHODS", "Method", "make"]
