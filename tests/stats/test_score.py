from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from assay.errors import UsageError
from assay.stats import score, token_means


@pytest.fixture
def unit() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 50, 6000)
    activations = rng.standard_normal(50)[tokens] + rng.standard_normal(6000)
    return {
        "predicted": activations + rng.standard_normal(6000),
        "activations": activations,
        "documents": np.array([f"d{i // 100}" for i in range(6000)]),
        "tokens": tokens,
        "token_means": token_means(activations, tokens, 50),
        "replicates": 300,
    }


def test_each_score_is_what_it_says(unit: dict[str, Any]) -> None:
    found = score(**unit, fire_above=2.5, threshold=2.0)
    p, a = unit["predicted"], unit["activations"]
    assert found.r is not None
    assert found.r.value == pytest.approx(np.corrcoef(p, a)[0, 1])
    assert found.r.lo < found.r.value < found.r.hi
    assert found.r_pos is not None
    assert found.r_pos.value == pytest.approx(np.corrcoef(np.maximum(p, 0), np.maximum(a, 0))[0, 1])
    assert found.r_neg is not None
    assert found.r_neg.value == pytest.approx(np.corrcoef(np.minimum(p, 0), np.minimum(a, 0))[0, 1])
    assert found.f1 is not None
    assert found.f1.value == pytest.approx(f1_score(a > 2.5, p > 2.0))
    assert found.auprc is not None
    assert found.auprc.value == pytest.approx(average_precision_score(a > 2.5, p), abs=0.02)
    assert found.r_context is not None
    assert 0 < found.r_context.value < found.r.value
    assert (found.n_tokens, found.n_documents, found.fire_above, found.reasons) == (6000, 60, 2.5, ())


def test_lists_will_do_and_the_seed_decides(unit: dict[str, Any]) -> None:
    arrays = {name: unit[name] for name in ("predicted", "activations", "documents")}
    lists = {name: array.tolist() for name, array in arrays.items()}
    assert score(**lists, replicates=200) == score(**arrays, replicates=200)
    assert score(**arrays, replicates=200, seed=1).r != score(**arrays, replicates=200).r


def test_without_the_means_a_threshold_or_firings_there_is_no_such_score(unit: dict[str, Any]) -> None:
    found = score(unit["predicted"], unit["activations"], unit["documents"])
    assert found.r_context is None
    assert found.f1 is None
    assert found.fire_above == pytest.approx(np.quantile(unit["activations"], 0.99))
    silent = score(**unit, fire_above=1e9, threshold=0.0)
    assert silent.auprc is None
    assert silent.f1 is None
    assert silent.reasons == ("too few firings: 0 in 0 documents; 20 in 10 are needed",)


def test_a_unit_that_is_never_negative_has_no_r_neg(unit: dict[str, Any]) -> None:
    found = score(unit["predicted"], np.abs(unit["activations"]), unit["documents"])
    assert found.r_neg is None
    assert found.r_pos is not None


def test_a_constant_activation_is_unscored_and_says_so(unit: dict[str, Any]) -> None:
    found = score(unit["predicted"], np.ones(6000), unit["documents"])
    assert found.r is None
    assert found.reasons == ("the activation is constant",)


def test_few_documents_give_a_value_without_bounds(unit: dict[str, Any]) -> None:
    found = score(unit["predicted"], unit["activations"], np.arange(6000) // 400, fire_above=2.0)
    assert found.r is not None
    assert found.r.value > 0.5
    assert np.isnan(found.r.lo)
    assert np.isnan(found.r.hi)
    assert "15 documents; 20 are needed" in found.reasons


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": np.zeros(5)}, "must be of one length"),
        ({"predicted": np.zeros((6000, 1))}, "predicted must be numbers"),
        ({"predicted": np.zeros(0), "activations": np.zeros(0), "documents": np.zeros(0)}, "predicted must be numbers"),
        ({"activations": np.array(["x"] * 6000)}, "activations must be numbers"),
        ({"activations": np.full(6000, np.nan)}, "6000 of 6000 values are NaN"),
        ({"predicted": np.r_[np.inf, np.zeros(5999)]}, "1 of 6000 values are NaN or infinite"),
        ({"tokens": None}, "needs both tokens and token_means"),
        ({"token_means": None}, "needs both tokens and token_means"),
        ({"tokens": np.zeros(5, dtype=int)}, "tokens must be 6000 integers"),
        ({"tokens": np.zeros(6000)}, "tokens must be 6000 integers"),
        ({"token_means": np.zeros(7)}, "token ids must be 0 to 6"),
        ({"replicates": 0}, "needs documents and replicates"),
    ],
)
def test_bad_input_is_one_clear_line(unit: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        score(**{**unit, **change})
    assert "\n" not in str(error.value)


def test_scores_are_frozen(unit: dict[str, Any]) -> None:
    found = score(unit["predicted"], unit["activations"], unit["documents"], replicates=50)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.r = None  # type: ignore[misc]
