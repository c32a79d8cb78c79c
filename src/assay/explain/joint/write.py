"""Joint replacement into the directory of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import vl_convert

from assay.explain.joint.figure import joint_figure
from assay.explain.joint.scores import joint_rows
from assay.explain.joint.stored import FILE, Stored
from assay.store import RunWriter


def write_joint(writer: RunWriter, stored: Stored, entries: Sequence[Mapping[str, Any]]) -> str:
    """Losses, table and figure; gives the figure as one ``<svg>`` element."""
    writer.tensors(FILE, {name: np.ascontiguousarray(array) for name, array in stored.arrays.items()}, stored.metadata)
    writer.table(FILE, joint_rows(entries))
    chart = joint_figure(entries)
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    writer.file(f"{FILE}.json", chart.to_json(indent=1))
    writer.file(f"{FILE}.svg", svg)
    return svg
