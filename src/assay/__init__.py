"""Claims about the inside of language models, made and then tested.

This is the door: every name here is public, and nothing else is. Names are imported when they are first used, so
that ``import assay`` costs nothing and ``assay.score`` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.core.cache import cache_dir as cache_dir
    from assay.core.direction import Direction as Direction
    from assay.core.ids import SiteId as SiteId
    from assay.core.ids import UnitId as UnitId
    from assay.errors import ActivationError as ActivationError
    from assay.errors import AssayError as AssayError
    from assay.errors import CorpusError as CorpusError
    from assay.errors import DownloadError as DownloadError
    from assay.errors import MachineError as MachineError
    from assay.errors import RunError as RunError
    from assay.errors import StorageError as StorageError
    from assay.errors import UnknownName as UnknownName
    from assay.errors import UnsupportedModel as UnsupportedModel
    from assay.errors import UsageError as UsageError
    from assay.explain.checking import check_claims as check_claims
    from assay.explain.experiment import ExplainOutcome as ExplainOutcome
    from assay.explain.experiment import ExplainRequest as ExplainRequest
    from assay.explain.experiment import explain as explain_units
    from assay.introspect.experiment import ReportOutcome as ReportOutcome
    from assay.introspect.experiment import ReportRequest as ReportRequest
    from assay.introspect.experiment import report as report
    from assay.model import Subject as Subject
    from assay.model import load as load
    from assay.referee import Verdict as Verdict
    from assay.rules import Lookup as Lookup
    from assay.rules import Rule as Rule
    from assay.rules import RuleList as RuleList
    from assay.stats import Scores as Scores
    from assay.stats import score as score
    from assay.store import Run as Run
    from assay.store import open_run as open_run
    from assay.store.query import query as query
    from assay.text import load_corpus as load_corpus

__version__ = "0.1.0"

# explain() is explain_units here: `assay.explain` is the room, once it has been imported.
_PLACES = {
    "ActivationError": "assay.errors:ActivationError",
    "AssayError": "assay.errors:AssayError",
    "CorpusError": "assay.errors:CorpusError",
    "Direction": "assay.core.direction:Direction",
    "DownloadError": "assay.errors:DownloadError",
    "ExplainOutcome": "assay.explain.experiment:ExplainOutcome",
    "ExplainRequest": "assay.explain.experiment:ExplainRequest",
    "Lookup": "assay.rules:Lookup",
    "MachineError": "assay.errors:MachineError",
    "ReportOutcome": "assay.introspect.experiment:ReportOutcome",
    "ReportRequest": "assay.introspect.experiment:ReportRequest",
    "Rule": "assay.rules:Rule",
    "RuleList": "assay.rules:RuleList",
    "Run": "assay.store:Run",
    "RunError": "assay.errors:RunError",
    "Scores": "assay.stats:Scores",
    "SiteId": "assay.core.ids:SiteId",
    "StorageError": "assay.errors:StorageError",
    "Subject": "assay.model:Subject",
    "UnitId": "assay.core.ids:UnitId",
    "UnknownName": "assay.errors:UnknownName",
    "UnsupportedModel": "assay.errors:UnsupportedModel",
    "UsageError": "assay.errors:UsageError",
    "Verdict": "assay.referee:Verdict",
    "cache_dir": "assay.core.cache:cache_dir",
    "check_claims": "assay.explain.checking:check_claims",
    "explain_units": "assay.explain.experiment:explain",
    "load": "assay.model:load",
    "load_corpus": "assay.text:load_corpus",
    "open_run": "assay.store:open_run",
    "query": "assay.store.query:query",
    "report": "assay.introspect.experiment:report",
    "score": "assay.stats:score",
}

__all__ = [
    "ActivationError",
    "AssayError",
    "CorpusError",
    "Direction",
    "DownloadError",
    "ExplainOutcome",
    "ExplainRequest",
    "Lookup",
    "MachineError",
    "ReportOutcome",
    "ReportRequest",
    "Rule",
    "RuleList",
    "Run",
    "RunError",
    "Scores",
    "SiteId",
    "StorageError",
    "Subject",
    "UnitId",
    "UnknownName",
    "UnsupportedModel",
    "UsageError",
    "Verdict",
    "__version__",
    "cache_dir",
    "check_claims",
    "explain_units",
    "load",
    "load_corpus",
    "open_run",
    "query",
    "report",
    "score",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    module, _, attribute = place.partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
