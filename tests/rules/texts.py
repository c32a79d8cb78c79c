"""Small texts as rules see them: windows written as lists of token strings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.rules import View

Windows = Sequence[Sequence[str]]


def view_of(windows: Windows, rows: Sequence[bool] | None = None) -> View:
    """A view of windows of token strings; every distinct string is one id."""
    texts = sorted({token for window in windows for token in window})
    ids = np.full((len(windows), max(map(len, windows))), -1, dtype=np.int32)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = [texts.index(token) for token in window]
    return View(ids, texts, None if rows is None else np.array(rows, dtype=bool))


def random_view(rng: np.random.Generator, windows: int, length: int, texts: Sequence[str]) -> View:
    """A view of independent uniform tokens."""
    return View(rng.integers(0, len(texts), (windows, length)).astype(np.int32), texts)
