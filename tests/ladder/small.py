"""A family so small that it is trained in seconds, on a few documents of the bundled corpus."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from assay.ladder.experiment import LadderRequest, train_ladder
from assay.ladder.shipped import Trained
from assay.text import load_corpus

TOKENS = 70_000


def write_corpus(path: Path) -> Path:
    """Some 75 documents, as a .jsonl file."""
    documents = load_corpus("bundled").documents[::60]
    path.write_text("".join(json.dumps(document._asdict()) + "\n" for document in documents), encoding="utf-8")
    return path


def request(out: Path, corpus: Path, *seeds: int, tokens: int = TOKENS) -> LadderRequest:
    return LadderRequest(
        out, layers=(1,), seeds=seeds or (0,), tokens=tokens, width=32, vocabulary=400, corpus=str(corpus)
    )


def train_small(
    out: Path, corpus: Path, *seeds: int, tokens: int = TOKENS, progress: Callable[[str], None] = lambda _: None
) -> list[Trained]:
    return train_ladder(request(out, corpus, *seeds, tokens=tokens), progress)
