"""One pass over a corpus feeds mergeable sketches of what units do. Torch is imported only when a pass runs."""

from assay.record.exemplars import Exemplars, Tail
from assay.record.firing import FiringRate
from assay.record.moments import Moments
from assay.record.predicates import PredicateSums
from assay.record.recorder import SketchSizes, record
from assay.record.recording import Recording, SiteSketches
from assay.record.rows import RowSample
from assay.record.sketch import Context, Sketch
from assay.record.stream import Block, Recordable, stream

__all__ = [
    "Block",
    "Context",
    "Exemplars",
    "FiringRate",
    "Moments",
    "PredicateSums",
    "Recordable",
    "Recording",
    "RowSample",
    "SiteSketches",
    "Sketch",
    "SketchSizes",
    "Tail",
    "record",
    "stream",
]
