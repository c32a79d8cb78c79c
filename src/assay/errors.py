"""Every error that assay raises on purpose, as one tree.

    AssayError                      exit 1
    ├── UsageError                  exit 2   what was asked for can't be done; the message says what to change
    │   ├── UnknownName                      a name that nothing answers to; suggests the nearest
    │   ├── UnsupportedModel                 an architecture without a site map, or one that fails validation
    │   ├── CorpusError                      text that can't be read, or too little of it
    │   ├── RunError                         a run that is incomplete, damaged or of a newer schema
    │   ├── ActivationError                  the model produced NaN or infinite activations
    │   └── FitError                         data that nothing can be fitted to; a ValueError too, as scikit-learn's are
    └── MachineError                exit 1   the machine said no
        ├── DownloadError                    a fetch that broke off or brought the wrong bytes
        └── StorageError                     a disk that is full or may not be written

Messages are one line: what was wrong, what was got, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AssayError(Exception):
    """Root of the tree. ``exit_code`` is what the command line returns."""

    exit_code = 1


class UsageError(AssayError):
    """The request can't be carried out as asked."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that nothing answers to.

    ``kind`` is the noun ("model", "site"), ``got`` what was typed, ``known`` what exists.
    """

    def __init__(self, kind: str, got: str, known: Iterable[str], hint: str = "") -> None:
        names = list(known)
        near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
        if near:
            tail = f"did you mean {near[0]!r}?"
        elif len(names) <= 12:
            tail = "known: " + ", ".join(names)
        else:
            tail = f"known: {', '.join(names[:8])} ... ({len(names)} in all)"
        super().__init__(f"unknown {kind} {got!r}; {tail}" + (f" {hint}" if hint else ""))
        self.suggestion = near[0] if near else None


class UnsupportedModel(UsageError):
    """An architecture without a site map, or a model that fails the checks made at load."""


class CorpusError(UsageError):
    """Text that can't be read, or too little of it."""


class RunError(UsageError):
    """A run directory that is incomplete, damaged or of a newer schema."""


class ActivationError(UsageError):
    """The model produced NaN or infinite activations."""


class FitError(UsageError, ValueError):
    """Data that nothing can be fitted to. A ValueError too: that is what scikit-learn's own tools expect."""


class MachineError(AssayError):
    """The machine, not the request, is what failed."""


class DownloadError(MachineError):
    """A fetch that broke off or brought the wrong bytes."""


class StorageError(MachineError):
    """A disk that is full, or a place that may not be written."""
