"""Lazy packages: a door names what is behind it, and imports it when it is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_door(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package whose names are imported on first use.

    Args:
        places: the module in which each public name stands: of the package, or in full, from ``assay.`` on.
    """

    def door(name: str) -> Any:
        place = places.get(name)
        if place is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(place if place.startswith("assay.") else f"{package}.{place}"), name)

    return door
