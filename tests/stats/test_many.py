"""Each score of many units is what ``assay.score`` gives for the unit alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.stats import document_weights, interval, score, token_means
from assay.stats.firing import auprc, average_precision
from assay.stats.many import Context, Many, ManyScores, many_r, many_scores, percentiles
from assay.stats.many_layout import check_rows, layout, one_a_unit, rows_together
from assay.stats.many_means import kept_tokens, many_token_means
from assay.stats.many_quantiles import many_quantiles

Arrays = dict[str, NDArray[Any]]
B = 120


def layer(units: int = 24, tokens: int = 3000, documents: int = 40, seed: int = 0) -> Arrays:
    """Units of every kind that gives trouble, beside ordinary ones."""
    rng = np.random.default_rng(seed)
    of_token = np.unique(np.sort(rng.integers(0, documents, tokens)), return_inverse=True)[1]
    a = rng.standard_normal((units, tokens)).astype(np.float32) ** 3
    p = (0.4 * a + rng.standard_normal((units, tokens))).astype(np.float32)
    p[::2] = np.round(p[::2])  # ties, at most 64 distinct values
    ids = np.minimum(rng.zipf(1.4, tokens), 90) - 1
    for place, change in enumerate(
        (
            lambda i: p[i].fill(2.5),
            lambda i: a[i].fill(0.1),
            lambda i: np.copyto(a[i], np.maximum(a[i], 0)),
            lambda i: np.copyto(p[i], -np.abs(p[i])),
            lambda i: np.copyto(p[i], rng.standard_normal(90).astype(np.float32)[ids]),  # a function of the token
            lambda i: np.multiply(a[i], np.where(of_token == 3, 100, 0.01).astype(np.float32), out=a[i]),
            lambda i: np.add(p[i], np.float32(1000), out=p[i]),  # far from 0
            lambda i: np.copyto(p[i], (of_token == 5).astype(np.float32)),  # constant in many resamples
            lambda i: np.copyto(a[i], (of_token == 5).astype(np.float32)),
        )
    ):
        if place + 1 < units:
            change(place + 1)
    fire_above = np.quantile(a, 0.98, axis=1).astype(np.float64)
    thresholds = np.quantile(p, 0.97, axis=1).astype(np.float64)
    if units > 12:
        fire_above[10], thresholds[11] = 1e9, np.nan
        fire_above[12] = -1e9  # fires everywhere: more than 64 distinct predictions at firings
    fit = rng.standard_normal((units, 900)).astype(np.float32)
    return {"p": p, "a": a, "of_token": of_token, "ids": ids, "fire_above": fire_above, "thresholds": thresholds} | {
        "fit": fit,
        "fit_ids": np.minimum(rng.zipf(1.4, 900), 120) - 1,
    }


def scored(given: Arrays, replicates: int = B, own_means: bool = False, **more: Any) -> ManyScores:
    kept, columns = np.unique(given["ids"], return_inverse=True)
    at = kept_tokens(given["fit_ids"], kept)
    means = many_token_means(given["fit"], at)
    of_predictions = many_token_means(given["fit"] * 2, at, 0.0) if own_means else None
    return many_scores(
        given["p"],
        given["a"],
        given["of_token"],
        document_weights(int(given["of_token"].max()) + 1, max(replicates, 1))[:replicates],
        given["fire_above"],
        thresholds=given["thresholds"],
        context=Context(columns, means, of_predictions),
        **more,
    )


def assert_equals_score(
    found: ManyScores, given: Arrays, own_means: bool = False, row: NDArray[Any] | None = None
) -> None:
    for i in range(len(given["a"])):
        fit, fit_ids = given["fit"][i], given["fit_ids"]
        alone = score(
            given["p"][i if row is None else row[i]],
            given["a"][i],
            given["of_token"],
            tokens=given["ids"],
            token_means=token_means(fit, fit_ids, 120),
            predicted_token_means=token_means(fit * np.float32(2), fit_ids, 120, 0.0) if own_means else None,
            fire_above=float(given["fire_above"][i]),
            threshold=None if np.isnan(given["thresholds"][i]) else float(given["thresholds"][i]),
            replicates=B,
        )
        for measure, many in found._asdict().items():
            expected = getattr(alone, measure) or (np.nan,) * 3
            here = tuple(float(part[i]) for part in many)
            assert here == pytest.approx(tuple(expected), rel=1e-9, abs=1e-9, nan_ok=True), (i, measure)


@pytest.mark.parametrize("own_means", [False, True])
def test_many_scores_are_each_unit_s(own_means: bool) -> None:
    given_ = layer()
    found = scored(given_, own_means=own_means)
    assert_equals_score(found, given_, own_means)
    assert np.isfinite(found.auprc.lo).sum() > 15
    assert np.isnan(found.f1.value).sum() == 4  # constant, never firing (two), without a threshold
    assert (found.r_context.value[5] == 0) == (not own_means)  # knows the token and no more


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 6), st.integers(30, 400), st.integers(1, 60), st.integers(0, 10**6))
def test_many_scores_are_each_unit_s_on_small_data(units: int, tokens: int, documents: int, seed: int) -> None:
    given_ = layer(units, tokens, documents, seed)
    assert_equals_score(scored(given_), given_)


def test_documents_in_pieces_give_the_same() -> None:
    given_ = layer()
    mixed = np.random.default_rng(1).permutation(3000)
    pieces = {name: v[..., mixed] if name in ("p", "a", "of_token", "ids") else v for name, v in given_.items()}
    for whole, parts in zip(scored(given_), scored(pieces), strict=True):
        for one, other in zip(whole, parts, strict=True):
            assert np.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_threads_and_memory_order_change_nothing() -> None:
    given_ = layer(70, 500)
    one = scored(given_, threads=1)
    turned = given_ | {name: np.asfortranarray(given_[name]) for name in ("p", "a", "fit")}
    for again in (scored(given_, threads=3), scored(turned, threads=2)):
        assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(one[0], again[0], strict=True))
        assert np.array_equal(one.auprc.hi, again.auprc.hi, equal_nan=True)


def test_rows_say_whose_prediction_is_asserted_and_order_shuffles() -> None:
    given_ = layer()
    rows = np.roll(np.arange(24), 3)
    assert_equals_score(scored(given_, rows=rows), given_, row=rows)
    order = np.random.default_rng(0).permutation(3000)
    found = scored(given_, order=order)
    assert_equals_score(found, given_ | {"p": given_["p"][:, order]})


def test_without_resamples_there_are_values_alone() -> None:
    given_ = layer()
    whole, bare = scored(given_), scored(given_, replicates=0)
    assert np.array_equal(whole.auprc.value, bare.auprc.value, equal_nan=True)
    assert np.allclose(whole.r_context.value, bare.r_context.value, equal_nan=True, atol=1e-12)
    assert np.isnan(bare.r.lo).all()


def test_a_known_r_is_passed_on() -> None:
    given_ = layer()
    known = Many(*np.arange(72.0).reshape(3, 24))
    found, whole = scored(given_, r=known), scored(given_)
    assert found.r is known
    for name in ("r_pos", "r_neg", "r_context", "f1", "auprc"):
        assert np.array_equal(getattr(found, name).hi, getattr(whole, name).hi, equal_nan=True)


def test_without_context_there_is_no_r_context() -> None:
    given_ = layer(4)
    weights = document_weights(int(given_["of_token"].max()) + 1, 20)
    found = many_scores(given_["p"], given_["a"], given_["of_token"], weights, given_["fire_above"])
    assert np.isnan(found.r_context.value).all()
    assert np.isnan(found.f1.value).all()
    assert np.isfinite(found.r.value).any()


def test_64_score_bins_are_close_to_the_exact_auprc() -> None:
    """The definition is ``bin_borders``': 64 quantiles of the predictions at firings. Exact up to 64 distinct ones."""
    given_ = layer(20, 6000)
    given_["p"] += np.random.default_rng(3).normal(0, 0.01, given_["p"].shape).astype(np.float32)
    found = scored(given_).auprc.value
    for i in range(20):
        fires = given_["a"][i] > given_["fire_above"][i]
        highest = np.argsort(-given_["p"][i])
        exact = average_precision(fires[highest].astype(float), np.ones(6000)) if fires.any() else np.nan
        assert found[i] == pytest.approx(exact, abs=0.01, nan_ok=True)


def test_counts_too_large_for_float32_stay_exact() -> None:
    given_ = layer(3, 400)
    heavy = np.full((1, int(given_["of_token"].max()) + 1), 2.0**21 + 1)
    heavy[0, ::3] -= 2
    found = many_scores(given_["p"], given_["a"], given_["of_token"], heavy, given_["fire_above"])
    for i in range(2):
        fires = given_["a"][i] > given_["fire_above"][i]
        (expected,) = auprc(given_["p"][i], fires, given_["of_token"], heavy).replicates
        assert found.auprc.lo[i] == pytest.approx(expected, rel=1e-12)


def test_percentiles_are_those_of_interval() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((2, 30, 101))
    drawn[0, 3, :5] = drawn[0, 4, :6] = drawn[1, 0] = np.nan
    lo, hi = percentiles(drawn.copy())
    for i, k in np.ndindex(2, 30):
        assert (0.0, lo[i, k], hi[i, k]) == pytest.approx(tuple(interval(0.0, drawn[i, k])), nan_ok=True)


def test_many_r_and_token_means() -> None:
    given_ = layer()
    r = many_r(given_["p"], given_["a"])
    assert np.allclose(r, scored(given_).r.value, atol=1e-12, equal_nan=True)
    assert r[1] == 0
    assert np.isnan(r[2])
    kept = np.array([0, 3, 50, 119, 400])
    for pseudo in (4.0, 0.0):
        found = many_token_means(given_["fit"], kept_tokens(given_["fit_ids"], kept), pseudo)
        for unit, row in enumerate(found):
            expected = token_means(given_["fit"][unit], given_["fit_ids"], 401, pseudo)[kept]
            assert np.allclose(row, expected, rtol=1e-12, atol=1e-15)


def test_bad_input_is_refused() -> None:
    p = np.zeros((3, 50), np.float32)
    docs, weights, level = np.arange(50) // 2, document_weights(25, 10), np.zeros(3)
    with pytest.raises(UsageError, match="the same tokens"):
        check_rows(p[:, :49], p, None)
    with pytest.raises(UsageError, match="got 49 for 50 tokens"):
        layout(docs[:49], weights, 50)
    with pytest.raises(UsageError, match="fire_above must be 3 numbers"):
        one_a_unit("fire_above", np.zeros(2), 3)
    with pytest.raises(UsageError, match="each of 50 tokens once"):
        many_scores(p, p, docs, weights, level, order=np.zeros(50, int))
    with pytest.raises(UsageError, match="must be float32; got float64"):
        rows_together(p.astype(float))
    with pytest.raises(UsageError, match="say in rows which is whose"):
        many_scores(p[:2], p, docs, weights, level)
    with pytest.raises(UsageError, match="rows must be 3 numbers from 0 to 2"):
        many_r(p, p, rows=np.array([0, 1, 3]))
    with pytest.raises(UsageError, match="numbered 0 to 23"):
        many_scores(p, p, docs, weights[:, :24], level)
    bad = p.copy()
    bad[1, 7] = np.nan
    with pytest.raises(UsageError, match="1 of 3 units"):
        many_scores(p, bad, docs, weights, level)
    bad[1, 7] = np.inf
    with pytest.raises(UsageError, match="1 of 3 units"):
        many_r(bad, p)
    with pytest.raises(UsageError, match="a column from 0 to 4"):
        many_scores(p, p, docs, weights, level, context=Context(np.full(50, 5), np.zeros((3, 5))))
    with pytest.raises(UsageError, match="ascending"):
        kept_tokens(docs, np.array([2, 1]))


@pytest.mark.parametrize("size", [1, 2, 50, 5000, 20001])
def test_many_quantiles(size: int) -> None:
    """Equal to numpy's, also where values are equal or sorted, so that a look at some says nothing of the others."""
    rng = np.random.default_rng(size)
    noise = rng.standard_normal((3, size)).astype(np.float32)
    for values in (noise, np.round(noise, 1), np.zeros_like(noise), np.sort(noise)[:, ::-1]):
        for share in (0.0, 0.5, 0.99, 0.999, 1.0):
            assert np.array_equal(many_quantiles(values, share), np.quantile(values, share, axis=1))
