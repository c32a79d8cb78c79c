from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assay.ladder.shipped import Trained
from ladder.small import train_small, write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("text") / "small.jsonl")


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> list[Trained]:
    """Two models of one layer, of two seeds, trained without interruption."""
    torch.set_num_threads(1)
    return train_small(tmp_path_factory.mktemp("family") / "out", corpus, 0, 1)
