"""Corpora: documents from a file, a folder or the package itself."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from assay.errors import CorpusError, UnknownName
from assay.text import hub, piped, readers
from assay.text.readers import Row

BUNDLED = Path(__file__).with_name("bundled.jsonl.xz")

Progress = Callable[[str], None]

# A stream is read as far as the tokens asked for may need: splits are uneven, and tokenizers differ.
TOKENS = 1_000_000  # where nobody says how many
CHARACTERS = 8  # for a token; English text has four to five
FEWEST = 100  # no document counts for more than the hundredth part, so that there are that many at least

_HINT = f"(a corpus is 'bundled', a .txt, .jsonl or .parquet file, a folder of these, '-' or {hub.FORM})"


class Document(NamedTuple):
    """One text. ``family`` names what a split keeps together: documents of one book, prompt or author."""

    id: str
    text: str
    family: str


class Corpus(NamedTuple):
    """Documents in the order of their source. ``sha256`` covers every id, family and text.

    ``source`` says of a stream which revision was read and how much of it, in plain data; it is empty for files.
    """

    name: str
    documents: tuple[Document, ...]
    sha256: str
    source: Mapping[str, Any] = MappingProxyType({})


def _quiet(message: str) -> None:
    """Progress that goes nowhere."""


def load_corpus(
    spec: str,
    progress: Progress = _quiet,
    bundled: Path = BUNDLED,
    *,
    tokens: int = TOKENS,
    opener: hub.Opener = hub.open_hub,
) -> Corpus:
    """Read a corpus.

    ``spec`` is ``bundled`` (text that the default model wrote, shipped with the package), a path, ``-`` for standard
    input, or a dataset on the Hugging Face hub:

    * ``.jsonl``: an object a line with ``text``, and optionally ``id`` (default: the line number) and ``family``
      (default: the id). ``.parquet``: the same as columns.
    * ``.txt``: pages divided by form feeds; a page over 20,000 characters becomes documents of about 4,000, cut
      between paragraphs, and within a paragraph only when that alone is over 8,000. Each is a family of its own.
    * a folder: every such file below it, hidden ones left out. Ids start with the file's path in the folder, and
      the documents of one .txt file are one family, unless it is the folder's only file.
    * ``-``: JSON as in a .jsonl file if the first line is an object with ``text``, else plain text as in a .txt file.
    * ``hf:OWNER/NAME[:CONFIG][@REVISION][#SPLIT[.COLUMN]]``: a row a document, from the first on, until there are 8
      characters for each of ``tokens``, of which a document counts for at most a hundredth part.

    Documents that hold nothing but whitespace are left out. ``bundled`` says where the bundled corpus lies, ``opener``
    what opens a dataset.

    Raises:
        UsageError: a dataset's name of another form, or the package datasets is missing.
        UnknownName: no such file (suggests one beside it), configuration, split or column.
        CorpusError: unknown extension, invalid UTF-8 (with the byte offset), a line or row without text, an id
            used twice, no text at all, or a file that can't be read: the message names file and line. A dataset that
            is not there, needs a login, needs code of its own to be run, or ended early.
        DownloadError: the hub can't be reached, or the stream broke off.
    """
    source: Mapping[str, Any] = MappingProxyType({})
    if spec == "bundled":
        rows: Iterable[Row] = readers.read_jsonl_xz(bundled)
        name = spec
    elif spec == piped.SPEC:
        progress("reading standard input")
        rows, name = piped.read_piped(sys.stdin.buffer.read(), progress), piped.NAME
    elif spec.startswith(hub.PREFIX):
        rows, name, source = _stream(hub.HubSpec.parse(spec), tokens, progress, opener)
    else:
        path = Path(spec).expanduser()
        if not path.exists():
            raise _unknown(spec, path)
        rows, name = _folder(path) if path.is_dir() else _file(path, ""), path.resolve().name
    documents, blank = _documents(rows)
    if not documents:
        raise CorpusError(f"{spec}: no text in it; give a corpus with some")
    if blank:
        progress(f"{name}: left out {blank:,} documents without text")
    progress(f"{name}: {len(documents):,} documents, {sum(len(d.text) for d in documents):,} characters")
    return Corpus(name, documents, hashed(documents), source)


class _Meter:
    """Counts characters until there are enough; told one text at a time."""

    def __init__(self, tokens: int) -> None:
        self.needed = tokens * CHARACTERS
        self.counted = 0

    def __call__(self, text: str) -> bool:
        if not text.isspace():
            self.counted += min(len(text), max(1, self.needed // FEWEST))
        return self.counted >= self.needed


def _stream(
    spec: hub.HubSpec, tokens: int, progress: Progress, opener: hub.Opener
) -> tuple[list[Row], str, Mapping[str, Any]]:
    """Rows of a dataset, the corpus's name with the resolved revision, and its source."""
    progress(f"streaming {spec.repo} from the Hugging Face hub")
    taken = hub.take(spec, _Meter(tokens), progress, opener)
    name = spec.named(taken.revision[:12])
    rows = [Row(str(i), text, str(i), f"{spec.repo} row {i}") for i, text in enumerate(taken.texts, start=1)]
    for row in rows:
        readers.check_encodable(row.text, row.place)
    characters = sum(map(len, taken.texts))
    if taken.ended:
        size = sum(len(text.encode()) for text in taken.texts)
        if size < tokens:  # no token is shorter than a byte
            raise CorpusError(
                f"{spec.repo}: the stream ended after {len(rows):,} documents with {characters:,} characters, "
                f"too few for {tokens:,} tokens; ask for fewer tokens, or for a larger split than {spec.split!r}"
            )
        progress(f"{spec.repo}: read to its end")
    source = {
        "dataset": spec.repo,
        "config": spec.config,
        "revision": taken.revision,
        "split": spec.split,
        "column": spec.column,
        "rows": len(rows),
        "characters": characters,
        "whole": taken.ended,
    }
    return rows, name, source


def _file(path: Path, prefix: str) -> Iterable[Row]:
    match path.suffix.lower():
        case ".txt":
            return readers.read_txt(path, prefix)
        case ".jsonl":
            return readers.read_jsonl(path, prefix)
        case ".parquet":
            return readers.read_parquet(path, prefix)
        case other:
            what = f"files ending in {other!r}" if other else "files without an extension"
            raise CorpusError(f"{path}: can't read {what}; use .txt, .jsonl or .parquet")


def _folder(folder: Path) -> Iterable[Row]:
    found = [path for path in folder.rglob("*") if path.suffix.lower() in readers.SUFFIXES and path.is_file()]
    named = sorted((path.relative_to(folder).as_posix(), path) for path in found)
    named = [(name, path) for name, path in named if not any(part.startswith(".") for part in name.split("/"))]
    if not named:
        raise CorpusError(f"{folder}: no .txt, .jsonl or .parquet file in this folder")
    for name, path in named:
        together = path.suffix.lower() == ".txt" and len(named) > 1
        for row in _file(path, name + ":"):
            yield row._replace(family=name) if together else row


def _unknown(spec: str, path: Path) -> UnknownName:
    beside = sorted(p for p in path.parent.iterdir() if _readable(p)) if path.parent.is_dir() else []
    names = [str(p) if p.is_absolute() or len(p.parts) > 1 else p.name for p in beside]
    return UnknownName("corpus", spec, ["bundled", *names], _HINT)


def _readable(path: Path) -> bool:
    return not path.name.startswith(".") and (path.suffix.lower() in readers.SUFFIXES or path.is_dir())


def _documents(rows: Iterable[Row]) -> tuple[tuple[Document, ...], int]:
    """The documents with text in them, and the number of those without."""
    documents: list[Document] = []
    places: dict[str, str] = {}
    blank = 0
    for row in rows:
        if row.id in places:
            raise CorpusError(
                f"{row.place}: id {row.id!r} was used before, at {places[row.id]}; ids must differ, "
                "and documents that belong together share a 'family'"
            )
        places[row.id] = row.place
        if not row.text or row.text.isspace():
            blank += 1
        else:
            documents.append(Document(row.id, row.text, row.family))
    return tuple(documents), blank


def hashed(documents: Iterable[Document]) -> str:
    """Hash of every id, family and text, in order."""
    digest = hashlib.sha256()
    for document in documents:
        for field in document:
            data = field.encode()
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    return digest.hexdigest()
