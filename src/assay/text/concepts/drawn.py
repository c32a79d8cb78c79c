"""Word lists that come with the package, and orders drawn by hash: the same on every machine and in every version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TypeVar

T = TypeVar("T")

_BITS = 53  # as many as a float64 holds exactly


def written_out(name: str) -> str:
    """The text of a file in ``words/``."""
    return files("assay.text.concepts").joinpath("words", name).read_text(encoding="utf-8")


def table(name: str) -> list[tuple[str, ...]]:
    """The rows of a tab-separated word list; a line that starts with ``#`` is a remark."""
    lines = written_out(name).splitlines()
    return [tuple(line.split("\t")) for line in lines if line and not line.startswith("#")]


def fraction(*key: object) -> float:
    """A number in [0, 1) that depends on the key alone: the first 53 bits of its SHA-256."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / 2**_BITS


def shuffled(things: Sequence[T], *key: object) -> list[T]:
    """The things in an order that depends on themselves and the key alone; equal ones keep their order."""
    return sorted(things, key=lambda thing: fraction(*key, thing))


def picked(options: Sequence[T], *key: object) -> T:
    """One of the options, by the key alone."""
    return options[int(fraction(*key) * len(options))]
