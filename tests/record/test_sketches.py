"""Merging is associative and commutative, and equals one pass, for random corpora, divisions and groupings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from assay.record import Context, Exemplars, FiringRate, Moments, PredicateSums, RowSample, Sketch

UNITS, LENGTH, PREDICATES = 3, 5, 4


def corpus(seed, n_windows, levels):
    """Windows of a few documents with activations on few levels, so that ties are common."""
    rng = np.random.default_rng(seed)
    blocks = []
    starts = {}
    for window in range(n_windows):
        document = int(rng.integers(0, 6))
        start = starts.get(document, 0)
        starts[document] = start + LENGTH
        n = int(rng.integers(1, LENGTH + 1))
        context = Context(
            ids=rng.integers(0, 9, n, dtype=np.int32),
            documents=np.full(n, document),
            windows=np.full(n, window),
            starts=np.full(n, start),
            positions=np.arange(n),
            keys=np.full(n, document * 1000 + 17, np.uint64),
            counted=rng.random(n) < 0.8,
            predicates=rng.random((n, PREDICATES)) < 0.4,
        )
        values = rng.integers(-levels, levels + 1, (n, UNITS)).astype(np.float32)
        blocks.append((values + np.float32(3.3), context))
    return blocks


def together(blocks):
    fields = list(Context.__dataclass_fields__)
    context = Context(*(np.concatenate([getattr(c, field) for _, c in blocks]) for field in fields))
    return np.concatenate([values for values, _ in blocks]), context


def fed(sketch, blocks, draw_sizes):
    rest = list(blocks)
    while rest:
        size = draw_sizes(len(rest))
        sketch.update(*together(rest[:size]))
        rest = rest[size:]
    return sketch


EMPTY = {
    "moments": lambda: Moments(UNITS),
    "firing": lambda: FiringRate(np.array([0, 3.3, 5], np.float32)),
    "exemplars": lambda: Exemplars(UNITS, LENGTH, k=3),
    "rows": lambda: RowSample(UNITS, size=7, seed=5),
    "predicates": lambda: PredicateSums(PREDICATES, UNITS),
}
INEXACT = {"mean", "m2", "m3", "m4", "sums", "squares"}


def assert_same(one, other):
    assert one.state().keys() == other.state().keys()
    for name, values in one.state().items():
        theirs = other.state()[name]
        assert (values.dtype, values.shape) == (theirs.dtype, theirs.shape)
        if name in INEXACT:
            np.testing.assert_allclose(values, theirs, rtol=1e-11, atol=1e-8)
        else:
            np.testing.assert_array_equal(values, theirs, err_msg=name)


@pytest.mark.parametrize("kind", EMPTY)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), levels=st.integers(1, 5), data=st.data())
def test_any_division_merged_in_any_order_equals_one_pass(kind, seed, n, levels, data):
    blocks = corpus(seed, n, levels)
    whole = EMPTY[kind]()
    whole.update(*together(blocks))

    shuffled = data.draw(st.permutations(blocks))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    parts = [shuffled[i:j] for i, j in zip([0, *cuts], [*cuts, n], strict=True)]
    sketches = [fed(EMPTY[kind](), part, lambda m: data.draw(st.integers(1, m))) for part in parts]
    while len(sketches) > 1:  # a random tree of merges, sides swapped at random
        i = data.draw(st.integers(0, len(sketches) - 1))
        one = sketches.pop(i)
        j = data.draw(st.integers(0, len(sketches) - 1))
        sketches.append(one.merge(sketches.pop(j)))
    assert_same(sketches[0], whole)


@pytest.mark.parametrize("kind", EMPTY)
def test_an_empty_sketch_changes_nothing_and_merge_leaves_its_sides_alone(kind):
    one, other = EMPTY[kind](), EMPTY[kind]()
    one.update(*together(corpus(0, 12, 4)))
    other.update(*together(corpus(1, 12, 4)))
    before = one.state(), other.state()
    before = [{name: values.copy() for name, values in state.items()} for state in before]
    assert_same(one.merge(EMPTY[kind]()), one)
    assert_same(EMPTY[kind]().merge(one), one)
    merged = one.merge(other)
    merged.update(*together(corpus(2, 12, 4)))
    for sketch, state in zip((one, other), before, strict=True):
        for name, values in sketch.state().items():
            np.testing.assert_array_equal(values, state[name])


@pytest.mark.parametrize("kind", EMPTY)
def test_state_goes_through_safetensors_and_the_copy_goes_on(kind):
    one = EMPTY[kind]()
    one.update(*together(corpus(0, 12, 4)))
    state = one.state()
    copy = type(one).from_state(load(save(state)))
    assert isinstance(copy, Sketch)
    assert_same(copy, one)
    kept = {name: values.copy() for name, values in state.items()}
    for sketch in (one, copy):
        sketch.update(*together(corpus(1, 30, 5)))
    assert_same(copy, one)
    for name, values in state.items():  # a state taken is not changed by what comes after
        np.testing.assert_array_equal(values, kept[name])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Moments(2), Moments(3)),
        (FiringRate(np.zeros(2, np.float32)), FiringRate(np.ones(2, np.float32))),
        (Exemplars(2, 5, k=3), Exemplars(2, 5, k=4)),
        (RowSample(2, 5, seed=1), RowSample(2, 5, seed=2)),
        (PredicateSums(2, 3), PredicateSums(3, 3)),
    ],
)
def test_sketches_of_different_things_do_not_merge(one, other):
    with pytest.raises(ValueError, match="sketches to merge must have the same"):
        one.merge(other)


@pytest.mark.parametrize("kind", EMPTY)
def test_nothing_counted_changes_nothing(kind):
    values, context = together(corpus(0, 12, 4))
    sketch = EMPTY[kind]()
    sketch.update(values, context.counting(np.zeros(len(values), np.bool_)))
    assert_same(sketch, EMPTY[kind]())
