from __future__ import annotations

import pytest

from assay.model import Subject
from assay.testing import planted


@pytest.fixture(scope="session")
def subject() -> Subject:
    """A small Llama in fp32, whose tokenizer has the numbers and no chat template."""
    return planted(seed=0).subject
