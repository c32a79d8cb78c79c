from __future__ import annotations

import pytest

from assay.testing import Planted, planted
from explain.bench import Bench, planted_text


@pytest.fixture(scope="session")
def model() -> Planted:
    """The planted model. Tests that change its weights make their own."""
    return planted(seed=0)


@pytest.fixture(scope="session")
def bench(model: Planted) -> Bench:
    return Bench(model, planted_text())
