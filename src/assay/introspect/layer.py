"""All cells of one layer: reporters are taught and asked, baselines and controls measured, verdicts given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def study_layer(
    ground: Ground,
    others: Others,
    neurons: list[Neuron],
    asked: Asked,
    progress: Progress,
    teacher: Teacher = teach,
    also: Ground | None = None,
) -> tuple[list[dict[str, Any]], Pack]:
    """The cells of some neurons of one layer, regime by regime, and the evidence from which they can be made again.

    ``teacher`` makes a reporter out of what there is to learn. ``also``: the same ground with other text to test on;
    the same reporters are asked there too.
    """
    known: dict[Trial, Learnt] = {}

    def teaching(lessons: Course, progress: Progress) -> Learnt:
        learnt = teacher(lessons, progress)
        if lessons.ground is ground:
            known[lessons.trial] = learnt
        return learnt

    packed = pack(_evidence(ground, others, neurons, asked, progress, teaching))
    if also is not None:
        nobody = Others(None, None, others.same_size)
        there = _evidence(also, nobody, neurons, asked, progress, lambda lessons, progress: known[lessons.trial])
        packed = with_also(packed, pack(there))
    # cells are made from what is stored, so that they come out again to the last digit
    cells = cells_from(packed, asked.regimes, asked.sizes[-1], asked.limits)
    return [_named(ground, asked, neurons[0].unit.site.layer) | cell for cell in cells], packed


def _evidence(
    ground: Ground,
    others: Others,
    neurons: list[Neuron],
    asked: Asked,
    progress: Progress,
    teacher: Teacher,
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
    heard = _hear_all(ground, neurons, readable, asked, tests, teacher, progress)
    if "nat" in asked.regimes:
        told |= _controls(ground, others, neurons, asked, tests, teacher, progress, digits.choose)
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


def _hear_all(
    ground: Ground,
    neurons: list[Neuron],
    readable: Mapping[str, Sequence[int]],
    asked: Asked,
    tests: Mapping[str, Sequence[Doses]],
    teacher: Teacher,
    progress: Progress,
) -> dict[tuple[str, int], Said]:
    """What reporters say by regime and number of sentences; where a neuron is not worth teaching there is NaN."""
    apart = readers.apart(ground)
    heard: dict[tuple[str, int], Said] = {}
    for regime in asked.regimes:
        places = list(readable[regime])
        own = [neurons[place] for place in places]
        given = {name: [one.of(places) for one in drawn] for name, drawn in tests.items()}
        for size in asked.sizes if places else ():
            lessons = course(ground, own, Trial(asked.trainable, regime, size), asked.plan, asked.seed)
            learnt = teacher(lessons, progress)
            progress(f"asking about layer {neurons[0].unit.site.layer}, {regime}")
            if size == asked.sizes[-1]:
                found = hear(lessons, learnt, given, apart, regime if regime in INT else "int")
            else:
                found = hear(lessons, learnt, {regime: given[regime][:1]})
            heard[regime, size] = found.placed(places, len(neurons)).said
    return heard


def _controls(
    ground: Ground,
    others: Others,
    neurons: list[Neuron],
    asked: Asked,
    tests: Mapping[str, Sequence[Doses]],
    teacher: Teacher,
    progress: Progress,
    right: Int64[NDArray[np.int64], "m units"],
) -> dict[str, Told]:
    """Reporters that can't read: one without the full stop, one taught shuffled numbers, one of another model."""
    values = ground.values([neuron.unit for neuron in neurons])
    trial, only = Trial(asked.trainable, "nat", asked.sizes[-1]), {"nat": tests["nat"]}
    courses = {NULL: course(ground, neurons, trial._replace(regime=NULL), asked.plan, asked.seed)}
    for name, other in (("blind", others.blind), ("other_model", others.sibling)):
        if other is not None:
            courses[name] = course(other, neurons, trial, asked.plan, asked.seed, values)
    heard = {name: hear(lessons, teacher(lessons, progress), only) for name, lessons in courses.items()}
    said = {name: Told(one.choose, one.logs["nat"][0]) for name, one in heard.items()}
    # what was taught shuffled numbers must not be told the right ones by a calibration
    return {name: one if name == NULL else at_best(one, right) for name, one in said.items()}
