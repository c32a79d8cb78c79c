"""A model of the package that is read once for all tests of this room."""

from __future__ import annotations

from typing import Any

import pytest

import assay


@pytest.fixture(scope="session")
def ladder() -> Any:
    """Two layers of width 96, in fp32."""
    return assay.load("ladder-2-0", "fp32")
