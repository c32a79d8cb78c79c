"""One reader a file format. Each yields rows and knows where in its file a row stands."""

from __future__ import annotations

import importlib
import json
import lzma
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from assay.errors import CorpusError
from assay.text.pieces import pieces

SUFFIXES = frozenset({".txt", ".jsonl", ".parquet"})

PAGE = 20_000  # a page of plain text up to this many characters is one document
CHUNK = 4_000  # a longer one is cut into documents of about this many

_BLANK_LINES = re.compile(r"(?<=\n)[ \t]*\n(?=[ \t]*\S)")
_BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """A document as found, with its place ("FILE line 3") for messages."""

    id: str
    text: str
    family: str
    place: str


def read_txt(path: Path, prefix: str = "") -> Iterator[Row]:
    """Documents of a plain text file; see :func:`assay.text.load_corpus` for where one ends."""
    yield from text_rows(decode(_bytes(path), path), path, prefix)


def text_rows(text: str, path: Path, prefix: str = "") -> Iterator[Row]:
    """Documents of plain text that was read from ``path``."""
    text = text.replace("\r\n", "\n")
    parts = [part for page in text.split("\f") for part in _chunks(page)]
    parts = [part for part in parts if part and not part.isspace()]
    for number, part in enumerate(parts):
        name = f"{prefix}{number}" if prefix else f"{path.name}:{number}"
        yield Row(name, part, name, str(path))


def read_jsonl(path: Path, prefix: str = "") -> Iterator[Row]:
    """Documents of a file with one JSON object a line."""
    try:
        with path.open("rb") as lines:
            yield from json_rows(lines, path, prefix)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_jsonl_xz(path: Path) -> Iterator[Row]:
    """Documents of the bundled corpus."""
    if not path.exists():
        raise CorpusError(
            f"the bundled corpus is missing at {path}; reinstall the package, or make it with scripts/bundled_corpus.py"
        )
    try:
        with lzma.open(path, "rb") as lines:
            yield from json_rows(lines, path, "")
    except (lzma.LZMAError, EOFError) as error:
        raise CorpusError(f"{path}: the bundled corpus is damaged ({error}); reinstall the package") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def read_parquet(path: Path, prefix: str = "") -> Iterator[Row]:
    """Documents of a Parquet file, read a batch of rows at a time."""
    arrow: Any = importlib.import_module("pyarrow")  # neither ships types
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as source:
            names = [str(name) for name in source.schema_arrow.names]
            if "text" not in names:
                raise CorpusError(f"{path}: no column 'text'; its columns are {', '.join(names) or 'none'}")
            columns = [name for name in ("id", "family", "text") if name in names]
            number = 0
            for batch in source.iter_batches(batch_size=1024, columns=columns):
                for fields in batch.to_pylist():
                    number += 1
                    yield _row(fields, number, f"{path} row {number}", prefix)
    except arrow.ArrowException as error:
        raise CorpusError(f"{path}: not a Parquet file that can be read ({_one_line(error)})") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def json_rows(lines: Iterable[bytes], path: Path, prefix: str = "") -> Iterator[Row]:
    """Documents of lines that hold one JSON object each and come from ``path``."""
    offset = 0
    for number, line in enumerate(lines, start=1):
        text = decode(line, path, offset)
        offset += len(line)
        if not text or text.isspace():
            continue
        place = f"{path} line {number}"
        try:
            fields: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise CorpusError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{place}: not JSON that can be read ({_one_line(error)})") from error
        yield _row(fields, number, place, prefix)


def _row(fields: Any, number: int, place: str, prefix: str) -> Row:
    if not isinstance(fields, dict):
        raise CorpusError(f"{place}: must be an object with 'text'. Got {type(fields).__name__} instead")
    values = cast(dict[str, Any], fields)
    if "text" not in values:
        raise CorpusError(f"{place}: no 'text'; its keys are {', '.join(map(repr, values)) or 'none'}")
    text = values["text"]
    if not isinstance(text, str):
        raise CorpusError(f"{place}: 'text' must be a string. Got {_kind(text)} instead")
    name = prefix + _label(values.get("id"), "id", str(number), place)
    family = _label(values.get("family"), "family", "", place)
    for value in (text, name, family):
        check_encodable(value, place)
    return Row(name, text, prefix + family if family else name, place)


def _label(value: Any, key: str, default: str, place: str) -> str:
    """An id or family: a string or whole number; null, or an empty string, counts as left out."""
    if value is None or value == "":
        return default
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise CorpusError(f"{place}: {key!r} must be a string or a whole number. Got {_kind(value)} instead")


def check_encodable(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{place}: half a surrogate pair at character {error.start}; not Unicode text") from error


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _chunks(page: str) -> Iterator[str]:
    """A page as it is if short, else groups of paragraphs of about CHUNK characters; they join to the page."""
    if len(page) <= PAGE:
        yield page
        return
    held = ""
    borders = [match.end() for match in _BLANK_LINES.finditer(page)]
    for start, end in zip([0, *borders], [*borders, len(page)], strict=True):
        for part in pieces(page[start:end], CHUNK) if end - start > 2 * CHUNK else [page[start:end]]:
            if held and len(held) + len(part) > CHUNK * 5 // 4:
                yield held
                held = ""
            held += part
    if held:
        yield held


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def decode(data: bytes, path: Path, offset: int = 0) -> str:
    """Strict UTF-8 without a byte order mark; ``offset`` is where in the file ``data`` starts."""
    skipped = len(_BOM) if offset == 0 and data.startswith(_BOM) else 0
    try:
        return data[skipped:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = offset + skipped + error.start
        raise CorpusError(
            f"{path}: invalid UTF-8 at byte {at:,} (0x{data[skipped + error.start]:02x}); convert the file to UTF-8"
        ) from error


def _unreadable(path: Path, error: OSError) -> CorpusError:
    return CorpusError(f"{path}: can't be read ({error.strerror or _one_line(error)})")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
