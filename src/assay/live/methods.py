"""What can be asked: each method by its name, with the parameters that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from assay.live.params import Params
from assay.live.server import Method, Progress


class Row(NamedTuple):
    """One method: what carries it out, as "module:function", and its own parameters."""

    place: str
    names: tuple[str, ...]


_RUN = ("unit", "tokens", "behaviour", "seed", "out")
METHODS: Mapping[str, Row] = {
    "load": Row("assay.live.load:describe_model", ()),
    "activations": Row("assay.live.activations:activations", ("unit", "text", "claims", "context", "simulate")),
    "steer": Row("assay.live.steer:steer", ("unit", "text", "factor", "value", "add", "tokens", "directions", "seed")),
    "score": Row("assay.live.runs:score", (*_RUN, "rules", "sentence")),
    "explain": Row("assay.live.runs:explain_unit", _RUN),
    "neighbours": Row("assay.live.neighbours:neighbours", ("unit",)),
}


def methods() -> dict[str, Method]:
    """Every method of one worker, which share the model in memory. Imports torch."""
    from importlib import import_module

    from assay.live.shelf import Shelf

    shelf = Shelf()

    def ask(name: str, row: Row, given: Mapping[str, Any], progress: Progress) -> Mapping[str, Any]:
        params = Params(name, given, row.names)
        module, _, function = row.place.partition(":")
        carry_out: Callable[..., Mapping[str, Any]] = getattr(import_module(module), function)
        return carry_out(shelf.get(params, progress), params, progress)

    return {name: partial(ask, name, row) for name, row in METHODS.items()}
