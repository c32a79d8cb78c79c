"""Checks on explanations that a person wrote by hand: one clear line for each mistake."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from assay.errors import UnknownName, UsageError


@contextmanager
def at(where: str) -> Generator[None, None, None]:
    """Say where in what was written a mistake is."""
    try:
        yield
    except UsageError as error:
        error.args = (f"{where}: {error}",)
        raise


def parsed(data: object, what: str) -> object:
    """``data``, or what it says if it is a string of JSON."""
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        raise UsageError(f"{what} must be JSON; line {error.lineno}, column {error.colno}: {error.msg}") from error


def table(value: object, what: str, required: Sequence[str], optional: Sequence[str]) -> Mapping[str, Any]:
    """``value`` as an object with these keys and no others."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{what} must be an object with {_listed(required)}, got {_shown(value)}")
    found = cast("Mapping[str, Any]", value)
    for key in found:
        if key not in (*required, *optional):
            raise UnknownName(f"key of {what}", key, (*required, *optional))
    missing = [key for key in required if key not in found]
    if missing:
        raise UsageError(f"{what} needs {_listed(missing)}")
    return found


def of_kind(found: Mapping[str, Any], kind: str) -> None:
    """Refuse an explanation of another kind."""
    if found.get("kind", kind) != kind:
        raise UsageError(f"this is an explanation of kind {_shown(found['kind'])}, not {kind!r}")


def array(value: object, what: str) -> Sequence[Any]:
    """``value`` as a list."""
    if not isinstance(value, list | tuple):
        raise UsageError(f"{what} must be a list, got {_shown(value)}")
    return cast("Sequence[Any]", value)


def strings(value: object, what: str) -> tuple[str, ...]:
    """``value`` as a list of strings."""
    if isinstance(value, str):
        raise UsageError(f"{what} must be a list of strings, got the string {value!r}; put it in brackets")
    found = array(value, what)
    for item in found:
        string(item, f"every member of {what}")
    return tuple(found)


def string(value: object, what: str) -> str:
    """``value`` as a string."""
    if not isinstance(value, str):
        raise UsageError(f"{what} must be a string, got {_shown(value)}")
    return value


def number(value: object, what: str) -> float:
    """``value`` as a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{what} must be a finite number, got {_shown(value)}")
    return float(value)


def boolean(value: object, what: str) -> bool:
    """``value`` as true or false."""
    if not isinstance(value, bool):
        raise UsageError(f"{what} must be true or false, got {_shown(value)}")
    return value


def vocabulary_size(value: object) -> int:
    """``value`` as a number of tokens."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        raise UsageError(f"'vocabulary' must be a whole number of at least 2, got {_shown(value)}")
    return value


def _listed(keys: Sequence[str]) -> str:
    return " and ".join(repr(key) for key in keys)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
