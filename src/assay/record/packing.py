"""Sketches as arrays for a file, in fewer bytes and without loss.

What a subject computes in bf16 has 16 empty bits at the end of each float32. Where that is so of a whole array, only
the other 16 are kept, as unsigned integers under the array's name with ``@bf16``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.record.recording import SiteSketches
from assay.record.sketch import State

_HALF = "@bf16"


def pack(sketches: SiteSketches) -> State:
    """The state of a site's sketches, of which :func:`unpack` makes the same again, bit for bit."""
    packed: State = {}
    for name, array in sketches.state().items():
        bits = np.ascontiguousarray(array).view(np.uint32) if array.dtype == np.float32 else None
        if bits is None or (bits & np.uint32(0xFFFF)).any():
            packed[name] = array
        else:
            packed[name + _HALF] = (bits >> np.uint32(16)).astype(np.uint16)
    return packed


def unpack(site: SiteId, packed: Mapping[str, NDArray[Any]]) -> SiteSketches:
    """The way back."""
    state: State = {}
    for name, array in packed.items():
        if name.endswith(_HALF):
            state[name.removesuffix(_HALF)] = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        else:
            state[name] = array
    return SiteSketches.from_state(site, state)
