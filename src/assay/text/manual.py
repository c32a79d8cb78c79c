"""Text that people wrote and that every Python has: the reference manual of the language, as ``help()`` shows it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from assay.text.corpus import Corpus, Document, hashed

NAME = "python-manual"

_CODE = re.compile(r"^(\s{3,}|>>>|\.\.\.)")


def python_manual() -> Corpus:
    """Its topics as documents: the paragraphs that are prose. It differs from one version of Python to another."""
    topics: Mapping[str, str] = importlib.import_module("pydoc_data.topics").topics
    documents = tuple(
        Document(name, text, name) for name, topic in sorted(topics.items()) if len(text := _prose(topic)) > _SHORTEST
    )
    source: Mapping[str, Any] = MappingProxyType({"kind": "pydoc_data.topics"})
    return Corpus(NAME, documents, hashed(documents), source)


_SHORTEST = 400  # letters


def _prose(topic: str) -> str:
    """Paragraphs without code, tables and headings, each on one line."""
    kept: list[str] = []
    for paragraph in re.split(r"\n\s*\n", topic):
        lines = paragraph.splitlines()
        if any(_CODE.match(line) or line.startswith(("+-", "|", "***", "===", "---")) for line in lines):
            continue
        text = " ".join(line.strip() for line in lines)
        if len(text) > 60 and text.endswith((".", ":")):
            kept.append(text)
    return "\n\n".join(kept)
