from __future__ import annotations

from collections.abc import Iterator

import pytest

from assay.live.client import Worker
from assay.live.shelf import Held, Shelf
from live.asking import MODEL, asking, quiet


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


@pytest.fixture(scope="session")
def held() -> Held:
    """The model, here in this process."""
    return Shelf().get(asking("load", model=MODEL), quiet)
