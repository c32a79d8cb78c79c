"""For tests of assay and of what is built on it: models whose inner workings are known, judges that are
told what to say, here or behind HTTP, and what a subject must do."""

from __future__ import annotations

from assay.testing.conformance import check_subject
from assay.testing.gallery import Exhibit, Gallery, gallery
from assay.testing.judges import MockJudge
from assay.testing.planted import Planted, Truth, planted
from assay.testing.planted_language import planted_corpus
from assay.testing.server import serve

__all__ = [
    "Exhibit",
    "Gallery",
    "MockJudge",
    "Planted",
    "Truth",
    "check_subject",
    "gallery",
    "planted",
    "planted_corpus",
    "serve",
]
