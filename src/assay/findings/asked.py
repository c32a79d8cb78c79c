"""What is asked of the concept labs alike: names from a list, and layers of a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from assay.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from assay.model import Subject


def check_names(option: str, kind: str, names: tuple[str, ...] | None, known: Collection[str] | None) -> None:
    """Refuse names that are not known, none at all, and one twice.

    Raises:
        UnknownName: one that is not among ``known``.
        UsageError: none, or one twice.
    """
    if names is None:
        return
    for name in names:
        if known is not None and name not in known:
            raise UnknownName(kind, name, known)
    if not names or len(set(names)) < len(names):
        raise UsageError(f"{option} must name one or more, each once. Got {', '.join(names) or 'none'}.")


def spread(layers: int, n_layers: int) -> tuple[int, ...]:
    """So many layers, evenly spread over a model's."""
    return tuple(sorted({int((i + 0.5) * n_layers / layers) for i in range(min(layers, n_layers))}))


def named_layers(subject: Subject, asked: Sequence[int]) -> tuple[int, ...]:
    """The layers asked for, each once.

    Raises:
        UsageError: the model has no such layer.
    """
    n = subject.n_layers
    for layer in asked:
        if not 0 <= layer < n:
            raise UsageError(f"{subject.name} has layers 0 to {n - 1}, and --layers names {layer}")
    return tuple(dict.fromkeys(asked))
