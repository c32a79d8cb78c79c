from __future__ import annotations

import os

import numpy as np
import pytest

from assay.core.jit import jit, kernel_threads, why_no_numba


@jit(inner=True)
def _double(value: float) -> float:
    return 2 * value


@jit()
def doubled(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += _double(value)
    return total


def test_compiled_functions_call_each_other() -> None:
    assert why_no_numba() is None
    assert doubled(np.array([1.0, 2.5])) == 7.0


def test_a_function_for_compiled_functions_refuses_a_call_from_python() -> None:
    """Called from Python it would end the process."""
    with pytest.raises(TypeError, match="_double is compiled for compiled functions only"):
        _double(1.0)


def test_threads_are_those_asked_for_or_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert kernel_threads() == 3
    monkeypatch.setenv("NUMBA_NUM_THREADS", "0")
    assert kernel_threads() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert 1 <= kernel_threads() <= (os.cpu_count() or 1)
