import numpy as np
import pytest
from scipy import stats

from assay.record import Context, FiringRate, Moments, PredicateSums


def context_of(n, predicates=None):
    zeros = np.zeros(n, np.int64)
    return Context(
        ids=np.zeros(n, np.int32),
        documents=zeros,
        windows=zeros,
        starts=zeros,
        positions=np.arange(n),
        keys=np.zeros(n, np.uint64),
        counted=np.ones(n, np.bool_),
        predicates=predicates,
    )


def test_moments_agree_with_scipy():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(5, 2, (2000, 300)), rng.exponential(1, (2000, 300))], 1).astype(np.float32)
    sketch = Moments(600)
    for part in np.array_split(values, 7):
        sketch.update(part, context_of(len(part)))
    exact = values.astype(np.float64)
    assert sketch.count == 2000
    np.testing.assert_allclose(sketch.mean, exact.mean(0), rtol=1e-13)
    np.testing.assert_allclose(sketch.sd, exact.std(0), rtol=1e-12)
    np.testing.assert_allclose(sketch.skew, stats.skew(exact), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sketch.kurtosis, stats.kurtosis(exact, fisher=False), rtol=1e-11)
    np.testing.assert_array_equal(sketch.minimum, exact.min(0))
    np.testing.assert_array_equal(sketch.maximum, exact.max(0))


def test_a_large_offset_does_not_cost_the_variance():
    rng = np.random.default_rng(1)
    values = (rng.integers(0, 5, (4096, 3)) * 0.125 + 4096).astype(np.float32)  # exact in float32
    sketch = Moments(3)
    for part in np.array_split(values, 64):
        sketch.update(part, context_of(len(part)))
    centred = values.astype(np.float64) - 4096
    np.testing.assert_allclose(sketch.variance, centred.var(0), rtol=1e-11)
    np.testing.assert_allclose(sketch.kurtosis, stats.kurtosis(centred, fisher=False), rtol=1e-9)


def test_a_constant_unit_and_an_empty_sketch_have_no_shape():
    sketch = Moments(1)
    assert np.isnan(sketch.sd[0])
    for n in (3, 7):
        sketch.update(np.full((n, 1), 0.1, np.float32), context_of(n))
    assert sketch.sd[0] < 1e-16
    assert np.isnan(sketch.skew[0])
    assert np.isnan(sketch.kurtosis[0])


def test_firing_is_strictly_above_the_threshold():
    sketch = FiringRate(np.array([0, 1], np.float32))
    assert np.isnan(sketch.rate).all()
    sketch.update(np.array([[0, 1], [1, 1], [2, 2], [-1, -1]], np.float32), context_of(4))
    assert sketch.fired.tolist() == [2, 1]
    assert sketch.rate.tolist() == [0.5, 0.25]


def test_predicate_sums():
    values = np.array([[1, -1], [2, 0], [4, 3]], np.float32)
    holds = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1]], np.bool_)
    sketch = PredicateSums(3, 2)
    sketch.update(values, context_of(3, holds))
    assert sketch.counts.tolist() == [2, 0, 2]
    assert sketch.sums.tolist() == [[3, -1], [0, 0], [5, 2]]
    with pytest.raises(ValueError, match="need the context's predicates"):
        sketch.update(values, context_of(3))
