"""Many claims at once get what ``prediction_check`` and ``judge_check`` give each of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from assay.errors import UsageError
from assay.referee import CheckInput, CheckVerdict, Verdict, judge_check, prediction_check, shuffled
from assay.referee.many import many_differences, many_prediction_checks, shuffled_order
from assay.referee.verdict import Difference, judge_differences
from assay.stats import document_weights, score
from assay.stats.many_undecided import many_grounds

B = 150


def layer(units: int = 30, documents: int = 40, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Claims from useless to good, and every kind of unit that can't be judged."""
    rng = np.random.default_rng(seed)
    n = documents * 60
    of_token = np.repeat(np.arange(documents), 60)
    a = rng.standard_normal((units, n)).astype(np.float32)
    strength = np.linspace(0, 0.15, units, dtype=np.float32)[:, None]
    p = (strength * a + rng.standard_normal((units, n))).astype(np.float32)
    p[1], a[2] = 2.0, 0.1
    a[3] *= np.where(of_token == 3, 100, 1)
    a[4] = of_token == 5
    p[5] = of_token == 7
    fire_above = np.full(units, 1.5)
    fire_above[6] = 9.0
    return {"p": p, "a": a, "of_token": of_token, "fire_above": fire_above, "rivals": np.roll(np.arange(units), 1)}


def alone(given: dict[str, NDArray[Any]], rows: NDArray[Any], other: bool = True) -> dict[int, CheckInput]:
    return {
        i: prediction_check(
            given["p"][rows[i]],
            given["a"][i],
            given["of_token"],
            float(given["fire_above"][i]),
            given["p"][given["rivals"][i]] if other else None,
            replicates=B,
            seed=3,
        )
        for i in range(len(given["a"]))
    }


def together(given: dict[str, NDArray[Any]], rows: NDArray[Any] | None = None, other: bool = True) -> list[Difference]:
    documents = int(given["of_token"].max()) + 1
    checks = many_prediction_checks(
        given["p"],
        given["a"],
        given["of_token"],
        document_weights(documents, B, 3),
        given["p"] if other else None,
        rows=rows,
        other_rows=given["rivals"] if other else None,
        seed=3,
    )
    return many_differences(checks, many_grounds(given["a"], given["of_token"], documents, given["fire_above"]))


def assert_same(found: CheckVerdict, expected: CheckVerdict) -> None:
    assert (found.verdict, found.null, found.reason) == (expected.verdict, expected.null, expected.reason)
    for name in ("d", "d_lo", "d_hi", "p_support", "p_refute"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one is None if other is None else one == pytest.approx(other, rel=1e-6, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("documents", [40, 12])
@pytest.mark.parametrize("other", [True, False])
def test_verdicts_are_those_of_each_claim(documents: int, other: bool) -> None:
    given = layer(documents=documents)
    own, strangers = np.arange(30), np.roll(np.arange(30), 5)
    expected = judge_check(alone(given, own, other), alone(given, strangers, other))
    found = judge_differences(
        dict(enumerate(together(given, None, other))), dict(enumerate(together(given, strangers, other)))
    )
    assert found.summary == expected.summary
    for i in range(30):
        assert_same(found.claims[i], expected.claims[i])
        assert_same(found.controls[i], expected.controls[i])
    verdicts = Counter(check.verdict for check in found.claims.values())
    assert len(verdicts) == (3 if documents == 40 else 1)


def test_a_leak_voids_the_run() -> None:
    given = layer()
    leaky = dict(enumerate(together(given)[20:]))
    found = judge_differences(dict(enumerate(together(given))), leaky)
    assert found.summary.void
    assert {check.verdict for check in found.claims.values()} == {Verdict.VOID}


def test_what_was_measured_is_what_is_shown() -> None:
    given = layer()
    weights = document_weights(40, B, 3)
    checks = many_prediction_checks(
        given["p"], given["a"], given["of_token"], weights, given["p"], other_rows=given["rivals"], seed=3
    )
    for i, check in alone(given, np.arange(30)).items():
        shown = score(given["p"][i], given["a"][i], given["of_token"], replicates=B, seed=3).r or (np.nan,) * 3
        assert tuple(float(part[i]) for part in checks.r) == pytest.approx(tuple(shown), abs=1e-9, nan_ok=True)
        nulls = (0.0, float(checks.shuffled[i]), float(checks.other_unit[i]))
        assert nulls == pytest.approx(tuple(check.nulls.values()), abs=1e-9, nan_ok=True)
    few = many_prediction_checks(given["p"], given["a"], given["of_token"] // 3, document_weights(14, B, 3))
    assert np.isnan(few.r.lo).all()
    assert np.isfinite(few.d.lo).sum() > 20
    assert np.isnan(few.other_unit).all()


def test_the_order_is_that_of_the_shuffled_null() -> None:
    values = np.random.default_rng(0).standard_normal(777)
    assert np.array_equal(values[shuffled_order(777, 5)], shuffled(values, 5))


def test_other_units_must_be_there() -> None:
    given = layer()
    weights = document_weights(40, 10)
    with pytest.raises(UsageError, match="say in rows"):
        many_prediction_checks(given["p"], given["a"], given["of_token"], weights, given["p"][:2])
    bad = given["p"].copy()
    bad[0, 0] = np.inf
    with pytest.raises(UsageError, match="1 of 30 units"):
        many_prediction_checks(given["p"], given["a"], given["of_token"], weights, bad)


def test_under_the_null_few_are_supported_and_true_ones_found() -> None:
    """1,000 predictions of nothing, and 200 at r .2, in documents that differ in how loud they are."""
    rng = np.random.default_rng(0)
    n, nothing, true = 4000, 1000, 200
    of_token = np.arange(n) // 100
    loud = rng.uniform(0.7, 1.3, 40).repeat(100).astype(np.float32)
    p = loud * rng.standard_normal((nothing + true, n), dtype=np.float32)
    a = loud * rng.standard_normal((nothing + true, n), dtype=np.float32)
    a[nothing:] = 0.2 * p[nothing:] + np.float32(np.sqrt(0.96)) * a[nothing:]
    a[: nothing // 2] += np.float32(0.02) * p[: nothing // 2]  # exactly at the margin
    checks = many_prediction_checks(
        p, a, of_token, document_weights(40, 400), p, other_rows=np.roll(np.arange(1200), 7)
    )
    differences = many_differences(checks, many_grounds(a, of_token, 40, np.full(1200, 1.5)))
    assert not any(difference.reasons for difference in differences)
    by_itself = [judge_differences({0: d}, {}).claims[0].verdict for d in differences[:nothing]]
    assert by_itself.count(Verdict.SUPPORTED) <= binom.ppf(0.999, nothing, 0.05)
    family = judge_differences(dict(enumerate(differences)), dict(enumerate(differences[:nothing])))
    verdicts = [check.verdict for check in family.claims.values()]
    assert verdicts[nothing:].count(Verdict.SUPPORTED) >= 0.95 * true
    assert verdicts[:nothing].count(Verdict.SUPPORTED) <= binom.ppf(0.999, true, 0.05)
    assert not family.summary.void
