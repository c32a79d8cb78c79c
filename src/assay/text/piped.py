"""Text from standard input: JSON, an object a line, or plain text."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from assay.text.readers import Row, decode, json_rows, text_rows

SPEC = "-"
NAME = "stdin"
_PLACE = Path("standard input")  # how messages call it


def read_piped(data: bytes, progress: Callable[[str], None]) -> Iterable[Row]:
    """Documents of all that stood on standard input.

    It is JSON if its first line that is not blank is an object with ``text``: every other line must then be one too.
    Else it is plain text and follows the rules of a .txt file.

    Raises:
        CorpusError: invalid UTF-8, with the byte offset; or JSON with a line that is none, with its number.
    """
    lines = list(io.BytesIO(data))
    first = next((bare for line in lines if (bare := line.removeprefix(codecs.BOM_UTF8).strip())), b"")
    if _is_document(first):
        progress(f"standard input is JSON, {len(lines):,} lines")
        return json_rows(lines, _PLACE)
    progress(f"standard input is plain text, {len(data):,} bytes")
    return text_rows(decode(data, _PLACE), _PLACE)


def _is_document(line: bytes) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "text" in value
