"""Lab: does it do something? Names are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.doors import lazy_door

if TYPE_CHECKING:
    from assay.steer.experiment import steer as steer
    from assay.steer.methods.registry import METHODS as METHODS
    from assay.steer.request import SteerRequest as SteerRequest
    from assay.steer.treatment import Push as Push
    from assay.steer.treatment import Pushes as Pushes

_PLACES = {
    "METHODS": "methods.registry",
    "Push": "treatment",
    "Pushes": "treatment",
    "SteerRequest": "request",
    "steer": "experiment",
}

__all__ = ["METHODS", "Push", "Pushes", "SteerRequest", "steer"]
__getattr__ = lazy_door(__name__, _PLACES)
