"""Wrong types and shapes are found at the first calls of a function, and what is checked often enough is let go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError
from numpy.typing import NDArray

import typed
from assay.stats.auroc import auroc


def test_functions_of_the_package_are_checked() -> None:
    typed._checked.clear()
    with pytest.raises(TypeCheckError):
        auroc(np.array([[0.2, 0.1, 0.4]]), np.array([True, False, True]))


def test_a_function_is_checked_a_hundred_times_however_often_it_is_made() -> None:
    from beartype import beartype

    def made() -> Any:
        def double(x: Any) -> Any:
            return 2 * x

        double.__annotations__ = dict.fromkeys(("x", "return"), Float[NDArray[np.float64], "2"])
        return typed.at_first(typechecker=beartype)(double)

    right, wrong = np.ones(2), np.ones(3)
    for _ in range(typed.FIRST // 2):
        double = made()
        assert double(right).sum() == 4
        with pytest.raises(TypeCheckError):
            double(wrong)
    assert double(wrong).sum() == 6
    assert not hasattr(made(), "__wrapped__")
