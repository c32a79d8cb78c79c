"""Neutral text of the package is cut once for all tests of a worker, and runs of a bench are shared."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

from assay.steer import bench as benches
from assay.steer.bench import Bench
from assay.steer.request import SteerRequest
from steer.warm import warm


@pytest.fixture(scope="session", autouse=True)
def _text_is_cut_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benches, "neutral_text", cache(benches.neutral_text))
        yield


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def bench(ladder: Any) -> Bench:
    """Of the small behaviour, with the least effort."""
    return Bench(ladder, warm(), SteerRequest(effort="smoke"), lambda message, share=None: None)
