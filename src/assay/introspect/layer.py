"""All cells of one layer: reporters are taught and asked, baselines and controls measured, verdicts given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from assay.introspect import readers
from assay.introspect.baselines import (
    Parts,
    Told,
    at_best,
    best_by_choose,
)
from assay.introspect.evidence import Evidence, Said
from assay.introspect.ground import Ground, Progress
from assay.introspect.group import NULL, Course, Learnt, Teacher, Trial, course, doses_drawn, hear, teach
from assay.introspect.lanes import Lanes
from assay.introspect.neurons import Neuron
from assay.introspect.regimes import INT, Doses
from assay.introspect.stored import Pack, cells_from, pack, with_also
from assay.introspect.training import Plan
from assay.introspect.verdicts import Thresholds


class Asked(NamedTuple):
    """What is to be found out of one layer.

    ``sizes``: numbers of sentences, each twice the one before. ``draws``: patches of each test sentence in the regime
    that slopes are taken in.
    """

    topology: str
    trainable: str
    regimes: tuple[str, ...]
    sizes: tuple[int, ...]
    draws: int
    seed: int
    plan: Plan
    limits: Thresholds


class Others(NamedTuple):
    """Grounds of the controls: ``blind`` lacks the full stop, ``sibling`` is another model; ``same_size`` says of
    what kind."""

    blind: Ground | None
    sibling: Ground | None
    same_size: bool


Lesson = tuple[str, int]  # a regime, or who else is taught natural values; and how many sentences
School = Callable[[Mapping[Lesson, Course]], Mapping[Lesson, Learnt]]


def study_layer(
    ground: Ground,
    others: Others,
    neurons: list[Neuron],
    asked: Asked,
    progress: Progress,
    teacher: Teacher = teach,
    also: Ground | None = None,
    lanes: Lanes | None = None,
) -> tuple[list[dict[str, Any]], Pack]:
    """The cells of some neurons of one layer, regime by regime, and the evidence from which they can be made again.

    ``teacher`` makes a reporter out of what there is to learn, in as many ``lanes`` at once (one if left out).
    ``also``: the same ground with other text to test on; the same reporters are asked there too.
    """
    known: dict[Lesson, Learnt] = {}

    def school(courses: Mapping[Lesson, Course]) -> Mapping[Lesson, Learnt]:
        learnt = (lanes or Lanes(1)).teach(list(courses.values()), progress, teacher)
        known.update(zip(courses, learnt, strict=True))
        return known

    packed = pack(_evidence(ground, others, neurons, asked, progress, school))
    if also is not None:
        nobody = Others(None, None, others.same_size)
        packed = with_also(packed, pack(_evidence(also, nobody, neurons, asked, progress, lambda _: known)))
    # cells are made from what is stored, so that they come out again to the last digit
    cells = cells_from(packed, asked.regimes, asked.sizes[-1], asked.limits)
    return [_named(ground, asked, neurons[0].unit.site.layer) | cell for cell in cells], packed


def _evidence(
    ground: Ground, others: Others, neurons: list[Neuron], asked: Asked, progress: Progress, school: School
) -> Evidence:
    layer = neurons[0].unit.site.layer
    values = ground.values([neuron.unit for neuron in neurons])
    digits = Parts(*(np.stack([n.digits(c) for n, c in zip(neurons, v.T, strict=True)], 1) for v in values))
    patched = {regime if regime in INT else "int": asked.draws for regime in asked.regimes}
    tests = doses_drawn({"nat": 1, **dict.fromkeys((*INT, "swap"), 1), **patched}, neurons, values.test, asked.seed)
    progress(f"baselines of layer {layer}")
    told = readers.told(ground, neurons, digits)
    optima = {regime: readers.optima(ground, neurons, values, regime, asked.seed) for regime in patched}
    threshold = asked.draws, asked.seed, asked.limits.readable
    readable = {
        regime: readers.readable(ground, neurons, values, regime, optima, *threshold) for regime in asked.regimes
    }
    courses = _courses(ground, neurons, readable, asked)
    controls = _controls(ground, others, neurons, asked)
    learnt = school(courses | controls)
    progress(f"asking about layer {layer}")
    heard = _hear_all(ground, neurons, readable, asked, courses, learnt, tests)
    told |= _hear_controls(controls, learnt, tests, digits.choose)
    words = {name: told[name] for name in ("word", "tfidf")}
    probe = {"nat": told["probe_after"].test[None]} | {
        regime: readers.read_patched(ground, neurons, values, regime, optima, tests, asked.seed)
        for regime in asked.regimes
        if regime != "nat"
    }
    return Evidence(
        neurons,
        digits.test,
        values.test,
        ground.sentences.test.documents,
        {regime: np.stack([one.digits for one in given]) for regime, given in tests.items()},
        heard,
        {name: one.test for name, one in told.items()},
        best_by_choose(words, digits.choose),
        probe,
        {regime: readers.linear(ground, neurons, own, tests[regime], "test") for regime, own in optima.items()},
        others.sibling is not None and others.same_size,
        asked.topology == "Q" and layer == ground.learner.n_layers - 1,
        {regime: readers.linear_controls(ground, neurons, own, regime, asked.seed) for regime, own in optima.items()},
    )


def _named(ground: Ground, asked: Asked, layer: int) -> dict[str, Any]:
    return {
        "model": ground.learner.name,
        "layer": layer,
        "layers_left": ground.learner.n_layers - 1 - layer,
        "topology": asked.topology,
        "trainable": asked.trainable,
        "sentences": asked.sizes[-1],
    }


def _courses(
    ground: Ground, neurons: list[Neuron], readable: Mapping[str, Sequence[int]], asked: Asked
) -> dict[Lesson, Course]:
    """What is taught about the neurons that are worth teaching."""
    return {
        (regime, size): course(
            ground, [neurons[place] for place in places], Trial(asked.trainable, regime, size), asked.plan, asked.seed
        )
        for regime, places in readable.items()
        for size in asked.sizes
        if places
    }


def _controls(ground: Ground, others: Others, neurons: list[Neuron], asked: Asked) -> dict[Lesson, Course]:
    """Reporters that can't read: one without the full stop, one taught shuffled numbers, one of another model."""
    if "nat" not in asked.regimes:
        return {}
    values, size = ground.values([neuron.unit for neuron in neurons]), asked.sizes[-1]
    trial = Trial(asked.trainable, "nat", size)
    courses = {(NULL, size): course(ground, neurons, trial._replace(regime=NULL), asked.plan, asked.seed)}
    for name, other in (("blind", others.blind), ("other_model", others.sibling)):
        if other is not None:
            courses[name, size] = course(other, neurons, trial, asked.plan, asked.seed, values)
    return courses


def _hear_all(
    ground: Ground,
    neurons: list[Neuron],
    readable: Mapping[str, Sequence[int]],
    asked: Asked,
    courses: Mapping[Lesson, Course],
    learnt: Mapping[Lesson, Learnt],
    tests: Mapping[str, Sequence[Doses]],
) -> dict[Lesson, Said]:
    """What reporters say by regime and number of sentences; where a neuron is not worth teaching there is NaN."""
    apart = readers.apart(ground)
    heard: dict[Lesson, Said] = {}
    for (regime, size), lessons in courses.items():
        places, own = list(readable[regime]), learnt[regime, size]
        given = {name: [one.of(places) for one in drawn] for name, drawn in tests.items()}
        if size == asked.sizes[-1]:
            found = hear(lessons, own, given, apart, regime if regime in INT else "int")
        else:
            found = hear(lessons, own, {regime: given[regime][:1]})
        heard[regime, size] = found.placed(places, len(neurons)).said
    return heard


def _hear_controls(
    courses: Mapping[Lesson, Course],
    learnt: Mapping[Lesson, Learnt],
    tests: Mapping[str, Sequence[Doses]],
    right: Int64[NDArray[np.int64], "m units"],
) -> dict[str, Told]:
    """What they say of natural values."""
    said: dict[str, Told] = {}
    for (name, size), lessons in courses.items():
        one = hear(lessons, learnt[name, size], {"nat": tests["nat"]})
        told = Told(one.choose, one.logs["nat"][0])
        # what was taught shuffled numbers must not be told the right ones by a calibration
        said[name] = told if name == NULL else at_best(told, right)
    return said
