"""Compiled code against the sketches' own numpy code, on blocks made to be awkward."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from assay.core.ids import SiteId
from assay.record import Context, Exemplars, FiringRate, Moments, PredicateSums, RowSample, SiteSketches, recording
from assay.record.fused import take_in
from assay.record.kernels_sums import TILE
from assay.record.sketch import widened

LENGTH, PREDICATES, K = 6, 16, 3
RATES = np.linspace(0, 1, PREDICATES) ** 2  # at which predicates hold: some are in teams, the last one not full
MOMENTS = ("mean", "m2", "m3", "m4")


def empty(units, thresholds=None, predicates=PREDICATES, k=K):
    return SiteSketches(
        site=SiteId(0, "mlp_act"),
        units=tuple(range(units)),
        moments=Moments(units),
        first=Moments(units),
        special=Moments(units),
        firing=FiringRate(np.zeros(units, np.float32) if thresholds is None else thresholds),
        exemplars=Exemplars(units, LENGTH, k),
        rows=RowSample(units, 50),
        predicates=PredicateSums(predicates, units) if predicates else None,
    )


def block(rng, units, n_windows, documents, levels, number=0, sparse_predicates=False):
    """Ragged windows of any documents, others in each block ``number``. Few levels make ties."""
    lengths = rng.integers(1, LENGTH + 1, n_windows)
    owner = rng.integers(0, documents, n_windows)
    begin = number * 10**4 + rng.permutation(n_windows) * LENGTH
    n = int(lengths.sum())
    holds = rng.random((n, PREDICATES)) < RATES
    context = Context(
        ids=rng.integers(0, 99, n, dtype=np.int32),
        documents=np.repeat(owner, lengths),
        windows=np.repeat(rng.permutation(n_windows), lengths),
        starts=np.repeat(begin, lengths),
        positions=np.concatenate([np.arange(length) for length in lengths]),
        keys=np.repeat(owner, lengths).astype(np.uint64),
        counted=rng.random(n) < rng.choice([0, 0.5, 1], p=[0.1, 0.5, 0.4]),
        predicates=sparse.csr_matrix(holds) if sparse_predicates else holds,
    )
    values = rng.integers(-levels, levels + 1, (n, units)).astype(np.float32) / 4
    first = context.positions == 0
    return values, context, first, ~first & ~context.counted


def magnitudes_of(blocks, units):
    """(p, u) the sums of the magnitudes of the activations where each predicate holds."""
    sums = PredicateSums(PREDICATES, units)
    for values, context, *_ in blocks:
        sums.update(np.abs(values), context)
    return sums.sums


def assert_close(fused, naive, magnitudes):
    """Equal, sums within the rounding of their terms, of which ``magnitudes`` are the sums."""
    mine, theirs = fused.state(), naive.state()
    assert mine.keys() == theirs.keys()
    for name, values in mine.items():
        assert values.dtype == theirs[name].dtype, name
        _, _, kind = name.rpartition(".")
        if kind in MOMENTS:
            np.testing.assert_allclose(values, theirs[name], rtol=1e-12, atol=1e-11, err_msg=name)
        elif kind == "sums":
            assert (np.abs(values - theirs[name]) <= 2**-19 * magnitudes).all()
        else:
            np.testing.assert_array_equal(values, theirs[name], err_msg=name)


def assert_same_bits(one, other):
    for name, values in one.state().items():
        assert values.tobytes() == other.state()[name].tobytes(), name


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10**6),
    units=st.sampled_from([1, 2, 7, TILE - 1, TILE, TILE + 1, 2 * TILE + 3]),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    documents=st.sampled_from([1, 3, 9, 40]),
    levels=st.sampled_from([0, 1, 3, 100]),
    sparse_predicates=st.booleans(),
)
def test_one_compiled_pass_does_what_each_sketch_does_alone(seed, units, sizes, documents, levels, sparse_predicates):
    rng = np.random.default_rng(seed)
    thresholds = rng.integers(-2, 3, units).astype(np.float32) / 4
    fused, naive = empty(units, thresholds), empty(units, thresholds)
    blocks = [block(rng, units, size, documents, levels, n, sparse_predicates) for n, size in enumerate(sizes)]
    for rows in blocks:
        fused.update(*rows)
        naive.rows.update(*rows[:2])
        naive.update_each(*rows)
    assert_close(fused, naive, magnitudes_of(blocks, units))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), units=st.sampled_from([1, TILE + 5]), cut=st.integers(0, 4))
def test_passes_over_parts_merge_to_the_pass_over_all(seed, units, cut):
    rng = np.random.default_rng(seed)
    parts = [block(rng, units, 4, 5, 3, number) for number in range(4)]
    whole, left, right = (empty(units) for _ in range(3))
    for i, rows in enumerate(parts):
        whole.update(*rows)
        (left if i < cut else right).update(*rows)
    magnitudes = magnitudes_of(parts, units)
    assert_close(left.merge(right), whole, magnitudes)
    assert_close(right.merge(left), whole, magnitudes)
    taken_up = SiteSketches.from_state(left.site, left.state())
    for rows in parts[cut:]:
        taken_up.update(*rows)
    assert_same_bits(taken_up, whole)


def test_the_bits_do_not_depend_on_threads_nor_on_the_units_beside():
    rng = np.random.default_rng(3)
    units = 3 * TILE + 17
    blocks = [block(rng, units, 30, 12, 10**5, number) for number in range(3)]
    one, narrow = empty(units), empty(TILE + 2)
    others = {threads: empty(units) for threads in (2, 3, 4, 9)}
    for rows in blocks:
        take_in(one, *rows, threads=1)
        take_in(narrow, np.ascontiguousarray(rows[0][:, 5 : TILE + 7]), *rows[1:], threads=1)
        for threads, sketches in others.items():
            take_in(sketches, *rows, threads=threads)
    for sketches in others.values():
        assert_same_bits(one, sketches)
    np.testing.assert_array_equal(narrow.moments.m4, one.moments.m4[5 : TILE + 7])
    np.testing.assert_array_equal(narrow.predicates.sums, one.predicates.sums[:, 5 : TILE + 7])


def test_bfloat16_goes_in_by_its_bits():
    rng = np.random.default_rng(4)
    whole, halves, naive = empty(TILE + 3), empty(TILE + 3), empty(TILE + 3)
    seen = []
    for number in range(3):
        _, *rest = block(rng, TILE + 3, 12, 6, 3, number)
        bits = rng.normal(0, 2, (len(rest[0].ids), TILE + 3)).astype(np.float32).view(np.uint32) >> 16
        bits = bits.astype(np.uint16)
        whole.update(widened(bits), *rest)
        halves.update(bits, *rest)
        naive.rows.update(bits, rest[0])
        naive.update_each(widened(bits), *rest)
        seen.append((widened(bits), *rest))
    assert_same_bits(whole, halves)
    assert_close(halves, naive, magnitudes_of(seen, TILE + 3))
    assert widened(np.array([[0x3F80, 0xC0A0]], np.uint16)).tolist() == [[1, -5]]


def test_a_view_and_a_read_only_block_are_taken_too():
    rng = np.random.default_rng(5)
    values, *rest = block(rng, 9, 8, 4, 3)
    view, locked = np.asfortranarray(values), values.copy()
    locked.setflags(write=False)
    made = [empty(9) for _ in range(3)]
    for sketches, block_ in zip(made, (values, view, locked), strict=True):
        sketches.update(block_, *rest)
    assert_same_bits(made[0], made[1])
    assert_same_bits(made[0], made[2])


@pytest.mark.parametrize(("dtype", "rounding"), [(np.float64, 0.0), (np.float32, 2**-24)])
def test_sums_keep_to_their_bound_where_they_nearly_cancel(dtype, rounding):
    """Against exact sums of integers whose magnitudes differ by 2**20."""
    rng = np.random.default_rng(6)
    sketches = empty(4)
    sketches = replace(sketches, predicates=PredicateSums(PREDICATES, 4, dtype))
    exact, magnitude, blocks = 0, 0, 5
    for number in range(blocks):
        _, context, first, special = block(rng, 4, 200, 40, 3, number)
        context.counted[:] = True
        whole = rng.integers(-(2**23), 2**23, (len(first), 4)) * 2 ** rng.integers(0, 20, (len(first), 1))
        sketches.update(whole.astype(np.float32), context, first, special)
        held = context.predicates.astype(object).T
        exact, magnitude = exact + held @ whole.astype(object), magnitude + held @ np.abs(whole).astype(object)
    assert sketches.predicates.sums.dtype == dtype
    bound = 2**-19 + blocks * rounding
    for p in range(PREDICATES):
        for unit in range(4):
            assert abs(int(sketches.predicates.sums[p, unit]) - exact[p, unit]) <= bound * magnitude[p, unit]


def test_a_large_offset_does_not_cost_the_spread():
    rng = np.random.default_rng(7)
    _, context, first, special = block(rng, TILE, 300, 9, 1)
    context.counted[:] = True
    values = (rng.integers(0, 5, (len(first), TILE)) * 0.125 + 4096).astype(np.float32)
    sketches = empty(TILE)
    sketches.update(values, context, first, special)
    np.testing.assert_allclose(sketches.moments.variance, (values.astype(np.float64) - 4096).var(0), rtol=1e-11)


def test_an_exemplar_is_replaced_by_a_better_window_of_its_document_only():
    """Documents 1 and 2 fill both slots; a lower peak of 2 changes nothing, a higher one moves it up."""
    sketches = empty(1, predicates=0, k=2)

    def show(document, start, values):
        n = len(values)
        context = Context(
            ids=np.arange(n, dtype=np.int32) + start, documents=np.full(n, document), windows=np.zeros(n, np.int64),
            starts=np.full(n, start), positions=np.arange(n), keys=np.zeros(n, np.uint64), counted=np.ones(n, np.bool_),
        )  # fmt: skip
        none = np.zeros(n, np.bool_)
        sketches.update(np.array(values, np.float32)[:, None], context, none, none)
        top = sketches.exemplars.top
        return list(zip(top.documents[0].tolist(), top.peaks[0].tolist(), top.starts[0].tolist(), strict=True))

    assert show(2, 0, [1, 4]) == [(2, 4, 0), (-1, -np.inf, 0)]
    assert show(1, 0, [5]) == [(1, 5, 0), (2, 4, 0)]
    assert show(2, 10, [3, 3]) == [(1, 5, 0), (2, 4, 0)]
    assert show(2, 20, [0, 6]) == [(2, 6, 20), (1, 5, 0)]
    assert show(2, 5, [6, 6]) == [(2, 6, 5), (1, 5, 0)]
    assert show(0, 7, [5]) == [(2, 6, 5), (0, 5, 7)]
    assert show(3, 7, [5]) == [(2, 6, 5), (0, 5, 7)]
    top, bottom = sketches.exemplars.top, sketches.exemplars.bottom
    assert top.ids[0].tolist() == [[5, 6, -1, -1, -1, -1], [7, -1, -1, -1, -1, -1]]
    assert top.activations[0, 0].tolist() == [6, 6, 0, 0, 0, 0]
    assert bottom.documents[0].tolist() == [2, 0]
    assert bottom.peaks[0].tolist() == [0, 5]


def test_without_numba_the_sketches_do_it_themselves(monkeypatch):
    rng = np.random.default_rng(9)
    given, naive = empty(7), empty(7)
    monkeypatch.setattr(recording, "why_no_numba", lambda: "numba can't be imported (none)")
    monkeypatch.setattr(recording, "take_in", None)
    for number in range(2):
        values, *rest = block(rng, 7, 9, 4, 3, number)
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        given.update(bits if number else values, *rest)
        naive.rows.update(values, rest[0])
        naive.update_each(values, *rest)
    assert_same_bits(given, naive)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda v, c: (v[:, :4], c), "same tokens and units"),
        (lambda v, c: (np.hstack([v, v]), c), "same tokens and units"),
        (lambda v, c: (v, replace(c, positions=c.positions + LENGTH)), "at most 6 tokens"),
        (lambda v, c: (v, replace(c, predicates=c.predicates[:, 1:])), "same predicates"),
        (lambda v, c: (v, replace(c, predicates=None)), "need the context's predicates"),
        (lambda v, c: (v, replace(c, starts=c.starts + 2**31)), "below 2"),
    ],
)
def test_a_block_that_does_not_fit_is_refused_and_changes_nothing(spoil, said):
    values, context, first, special = block(np.random.default_rng(8), 5, 4, 3, 2)
    sketches = empty(5)
    with pytest.raises(ValueError, match=said):
        take_in(sketches, *spoil(values, context), first, special)
    assert_same_bits(sketches, empty(5))
