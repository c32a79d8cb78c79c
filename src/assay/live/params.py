"""What is asked of a method, read with one clear line for each mistake."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from assay.errors import UnknownName, UsageError

EVERYWHERE = ("model", "fingerprint", "dtype", "device", "run")


class Params:
    """The parameters of one request.

    Args:
        method: whose they are, for messages.
        given: as they came.
        names: those that the method takes, besides those of :data:`EVERYWHERE`.

    Raises:
        UnknownName: a parameter that it does not take.
    """

    def __init__(self, method: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
        self.method, self._given = method, given
        for name in given:
            if name not in (*EVERYWHERE, *names):
                raise UnknownName(f"parameter of {method}", name, (*EVERYWHERE, *names))

    def __contains__(self, name: str) -> bool:
        return self._given.get(name) is not None

    def text(self, name: str) -> str:
        """A text that must be there. Raises UsageError."""
        if name not in self:
            raise UsageError(f"{self.method} needs {name!r}")
        value = self._given[name]
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise UsageError(f"{name!r} holds half a character (a lone surrogate), which no text in UTF-8 has")
        return value

    def maybe_text(self, name: str) -> str | None:
        """A text, or None. Raises UsageError."""
        return self.text(name) if name in self else None

    def number(self, name: str) -> float:
        """A finite number that must be there. Raises UsageError."""
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._wrong(name, "a finite number")
        return float(value)

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number between two others. Raises UsageError."""
        value = self._given.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self._wrong(name, f"a whole number from {least:,} to {most:,}")
        return value

    def yes(self, name: str, default: bool = False) -> bool:
        """True or false. Raises UsageError."""
        value = self._given.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def word(self, name: str, known: Sequence[str]) -> str:
        """One of some words, the first by default. Raises UnknownName."""
        value = self.maybe_text(name) or known[0]
        if value not in known:
            raise UnknownName(name, value, known)
        return value

    def objects(self, name: str) -> list[Mapping[str, Any]]:
        """A list of objects, empty by default. Raises UsageError."""
        value = self._given.get(name)
        if value is None:
            return []
        items: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [None]
        if not all(isinstance(item, Mapping) for item in items):
            raise self._wrong(name, "a list of objects")
        return items

    def raw(self, name: str) -> Any:
        """As it came, or None."""
        return self._given.get(name)

    def one_of(self, names: Sequence[str]) -> str:
        """Which of some parameters is given. Raises UsageError unless it is exactly one."""
        found = [name for name in names if name in self]
        if len(found) != 1:
            listed = ", ".join(map(repr, names[:-1])) + f" or {names[-1]!r}"
            raise UsageError(f"{self.method} needs exactly one of {listed}. Got {' and '.join(found) or 'none'}.")
        return found[0]

    def _wrong(self, name: str, wanted: str) -> UsageError:
        shown = repr(self._given.get(name))
        return UsageError(f"{name!r} of {self.method} must be {wanted}. Got {shown[:60]} instead.")
