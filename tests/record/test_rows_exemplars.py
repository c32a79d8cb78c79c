import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.record import Context, Exemplars, RowSample
from assay.record.hashing import document_key, token_hashes

LENGTH = 4


def windows(rng, n, documents, levels):
    """A block of ``n`` full windows with activations (n * LENGTH, 2) on few levels."""
    owner = np.sort(rng.integers(0, documents, n))
    number = np.arange(n) - np.searchsorted(owner, owner)
    tokens = n * LENGTH
    context = Context(
        ids=np.arange(tokens, dtype=np.int32) + 100,
        documents=np.repeat(owner, LENGTH),
        windows=np.repeat(np.arange(n) * 10, LENGTH),
        starts=np.repeat(number * LENGTH, LENGTH),
        positions=np.tile(np.arange(LENGTH), n),
        keys=np.repeat(owner, LENGTH).astype(np.uint64),
        counted=np.tile(np.arange(LENGTH) > 0, n),
    )
    return rng.integers(-levels, levels + 1, (tokens, 2)).astype(np.float32), context


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 30), documents=st.integers(1, 9), levels=st.integers(1, 6),
    k=st.integers(1, 6),
)  # fmt: skip
def test_exemplars_are_what_sorting_all_tokens_gives(seed, n, documents, levels, k):
    values, context = windows(np.random.default_rng(seed), n, documents, levels)
    sketch = Exemplars(2, LENGTH, k)
    sketch.update(values, context)
    for unit in range(2):
        for tail, sign in ((sketch.top, 1), (sketch.bottom, -1)):
            ranked = sorted(
                (-sign * values[row, unit], context.documents[row], context.places[row], row)
                for row in np.flatnonzero(context.counted)
            )
            best, seen = [], set()
            for _, document, _, row in ranked:
                if document not in seen:
                    seen.add(document)
                    best.append(row)
            best = best[:k]
            assert tail.documents[unit].tolist() == [*context.documents[best], *[-1] * (k - len(best))]
            for slot, row in enumerate(best):
                window = np.flatnonzero(context.windows == context.windows[row])
                assert tail.peaks[unit, slot] == values[row, unit]
                assert tail.starts[unit, slot] == context.starts[row]
                assert tail.positions[unit, slot] == context.positions[row]
                assert tail.ids[unit, slot].tolist() == context.ids[window].tolist()
                assert tail.activations[unit, slot].tolist() == values[window, unit].tolist()
            assert np.isinf(tail.peaks[unit, len(best) :]).all()
            assert (tail.ids[unit, len(best) :] == -1).all()


def test_short_windows_are_padded_and_uncounted_tokens_are_shown():
    context = Context(
        ids=np.array([7, 8], np.int32),
        documents=np.array([3, 3]),
        windows=np.array([0, 0]),
        starts=np.array([64, 64]),
        positions=np.array([0, 1]),
        keys=np.zeros(2, np.uint64),
        counted=np.array([False, True]),
    )
    sketch = Exemplars(1, LENGTH, k=1)
    sketch.update(np.array([[9], [2]], np.float32), context)
    assert sketch.top.peaks.tolist() == [[2]]
    assert sketch.top.positions.tolist() == [[1]]
    assert sketch.top.ids.tolist() == [[[7, 8, -1, -1]]]
    assert sketch.top.activations.tolist() == [[[9, 2, 0, 0]]]


def test_a_sample_of_all_tokens_holds_all_counted_ones():
    values, context = windows(np.random.default_rng(0), 20, 5, 9)
    sketch = RowSample(2, size=1000)
    sketch.update(values, context)
    assert len(sketch) == context.counted.sum() == 60
    held = set(zip(sketch.documents, sketch.starts, sketch.positions, *sketch.values.T, strict=True))
    rows = np.flatnonzero(context.counted)
    all_rows = zip(context.documents[rows], context.starts[rows], context.positions[rows], *values[rows].T, strict=True)
    assert held == set(all_rows)
    np.testing.assert_allclose(sketch.quantile(0.5), np.median(values[rows], 0))
    assert sketch.quantile([0.1, 0.9]).shape == (2, 2)


def test_the_same_tokens_are_drawn_whatever_the_units_and_others_with_another_seed():
    rng = np.random.default_rng(0)
    values, context = windows(rng, 500, 40, 9)
    drawn = {}
    for name, seed, shown in (("a", 0, values), ("b", 0, -values), ("c", 1, values)):
        sketch = RowSample(2, size=50, seed=seed)
        sketch.update(shown, context)
        drawn[name] = set(zip(sketch.documents.tolist(), (sketch.starts + sketch.positions).tolist(), strict=True))
    assert len(drawn["a"]) == 50
    assert drawn["a"] == drawn["b"]
    assert len(drawn["a"] & drawn["c"]) < 15


def test_the_sample_is_uniform_over_documents_and_places():
    keys = np.array([document_key(f"doc {i}") for i in range(400)], np.uint64)
    places = np.tile(np.arange(250), 400)
    hashes = token_hashes(np.repeat(keys, 250), places, seed=0)
    assert len(np.unique(hashes)) == len(hashes)
    sample = np.argsort(hashes)[:10_000]
    # counts by document and by place: chi square against the uniform
    for counts in (np.bincount(sample // 250, minlength=400), np.bincount(places[sample], minlength=250)):
        assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4
    bits = (hashes[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    # 100,000 fair coins: standard deviation .0016
    assert np.abs(bits.mean(0) - 0.5).max() < 4.5 * 0.0016


def test_an_empty_sample_has_no_quantile():
    with pytest.raises(ValueError, match="no token has been sampled"):
        RowSample(2).quantile(0.5)
