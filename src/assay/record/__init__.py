"""One pass over a corpus feeds mergeable sketches of what units do. Torch is imported only when a pass runs."""

from assay.record.exemplars import Exemplars
from assay.record.firing import FiringRate
from assay.record.layers import LayerActivations, walk
from assay.record.moments import Moments
from assay.record.predicates import PredicateSums
from assay.record.recorder import SketchSizes, record
from assay.record.recording import Recording, SiteSketches
from assay.record.request import RecordOutcome, RecordRequest
from assay.record.rows import RowSample
from assay.record.sketch import Context, Sketch
from assay.record.stored import StoredRecording, open_recording
from assay.record.stream import Block, Recordable, stream
from assay.record.tails import Tail
from assay.record.whole import record_sites

__all__ = [
    "Block",
    "Context",
    "Exemplars",
    "FiringRate",
    "LayerActivations",
    "Moments",
    "PredicateSums",
    "RecordOutcome",
    "RecordRequest",
    "Recordable",
    "Recording",
    "RowSample",
    "SiteSketches",
    "Sketch",
    "SketchSizes",
    "StoredRecording",
    "Tail",
    "open_recording",
    "record",
    "record_sites",
    "stream",
    "walk",
]
