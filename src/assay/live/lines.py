"""One JSON object a line: what passes between the program and whoever asks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from assay.errors import UsageError

LONGEST = 8 << 20  # bytes of a request


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as a line of ASCII.

    Raises:
        ValueError: NaN or infinity in it.
        TypeError: something in it that is no plain data.
    """
    return json.dumps(message, allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line.

    Raises:
        UsageError: not one JSON object in UTF-8.
    """
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"a request must be one JSON object on one line; {error}") from error
    if not isinstance(message, dict):
        raise UsageError(f"a request must be a JSON object. Got {type(message).__name__} instead.")
    return cast("dict[str, Any]", message)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")
