"""All cells of one layer: reporters are taught and asked, baselines and controls measured, verdicts given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from assay.introspect.asking import linear_control_slopes
from assay.introspect.baselines import (
    Parts,
    Told,
    at_best,
    best_by_choose,
    calibrated,
    of_each,
    told_by_probe,
    told_by_text,
)
from assay.introspect.cells import cells_of
from assay.introspect.evidence import Evidence, Said, read_off
from assay.introspect.ground import Ground, Progress
from assay.introspect.group import NULL, Teacher, Trial, course, doses_drawn, hear, teach
from assay.introspect.kept import Batch
from assay.introspect.neurons import Neuron
from assay.introspect.optimum import Optimum, linear_optimum
from assay.introspect.regimes import INT, Doses
from assay.introspect.stored import Pack, pack, unpack
from assay.introspect.training import Plan
from assay.introspect.verdicts import Thresholds

CONTROL_BATCHES = 2


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
) -> tuple[list[dict[str, Any]], Pack]:
    """The cells of some neurons of one layer, regime by regime, and the evidence from which they can be made again.

    ``teacher`` makes a reporter out of what there is to learn.
    """
    packed = pack(_evidence(ground, others, neurons, asked, progress, teacher))
    # cells are made from what is stored, so that they come out again to the last digit
    cells = cells_of(unpack(packed), asked.regimes, asked.sizes[-1], asked.limits)
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
    told = _told(ground, neurons, digits)
    optima = {regime: _optima(ground, neurons, values, regime, asked.seed) for regime in patched}
    readable = {regime: _readable(ground, neurons, values, regime, optima, asked) for regime in asked.regimes}
    heard = _hear_all(ground, neurons, readable, asked, tests, teacher, progress)
    if "nat" in asked.regimes:
        told |= _controls(ground, others, neurons, asked, tests, teacher, progress, digits.choose)
    words = {name: told[name] for name in ("word", "tfidf")}
    probe = {"nat": told["probe_after"].test[None]} | {
        regime: _read_patched(ground, neurons, values, regime, optima, tests, asked.seed)
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
        {regime: _linear(ground, neurons, own, tests[regime], "test") for regime, own in optima.items()},
        others.sibling is not None and others.same_size,
        asked.topology == "Q" and layer == ground.learner.n_layers - 1,
        {regime: _linear_controls(ground, neurons, own, regime, asked.seed) for regime, own in optima.items()},
    )


def _readable(
    ground: Ground,
    neurons: list[Neuron],
    values: Parts,
    regime: str,
    optima: Mapping[str, Sequence[Optimum]],
    asked: Asked,
) -> list[int]:
    """Which neurons are worth teaching: those whose patches the best linear reader sees on the choose split."""
    if regime == "nat":
        return list(range(len(neurons)))
    scale = regime if regime in INT else "int"
    given = doses_drawn({scale: asked.draws}, neurons, values.choose, asked.seed + 1)[scale]
    said, right = _linear(ground, neurons, optima[scale], given, "choose"), np.stack([one.digits for one in given])
    documents = ground.sentences.choose.documents
    r2 = [read_off(said[..., unit], right[..., unit], documents)[1] for unit in range(len(neurons))]
    return [unit for unit, value in enumerate(r2) if value >= asked.limits.readable]


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
    apart = _apart(ground)
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


def _apart(ground: Ground) -> tuple[Batch, ...]:
    """The test sentences on which control patches are tried: some short, some long."""
    batches = ground.test.batches
    return batches[:: max(1, len(batches) // CONTROL_BATCHES)][:CONTROL_BATCHES]


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


def _told(ground: Ground, neurons: list[Neuron], digits: Parts) -> dict[str, Told]:
    layer = neurons[0].unit.site.layer
    found = {kind: told_by_text(kind, ground.sentences, digits) for kind in ("word", "tfidf")}
    found["probe_before"] = told_by_probe(ground.before(layer), digits)
    after = {str(upper): told_by_probe(ground.stop(upper), digits) for upper in ground.kept_layers() if upper > layer}
    found["probe_after"] = of_each(after, best_by_choose(after, digits.choose))
    return found


def _optima(ground: Ground, neurons: list[Neuron], values: Parts, regime: str, seed: int) -> list[Optimum]:
    after = ground.stop(neurons[0].unit.site.layer + 1)
    return [
        linear_optimum(regime, neuron, after, Parts(*(v[:, unit] for v in values)), ground.adds(neuron.unit), seed)
        for unit, neuron in enumerate(neurons)
    ]


def _linear(
    ground: Ground, neurons: list[Neuron], optima: Sequence[Optimum], given: Sequence[Doses], part: str
) -> Float[NDArray[np.float64], "draws n units"]:
    """What the best linear readers say of patches of a split."""
    after = getattr(ground.stop(neurons[0].unit.site.layer + 1), part)
    found: list[NDArray[np.float64]] = []
    for unit, (neuron, optimum) in enumerate(zip(neurons, optima, strict=True)):
        adds = getattr(ground.adds(neuron.unit), part)
        found.append(np.stack([optimum.says(after + adds(one.change[:, unit])) for one in given]))
    return np.stack(found, -1)


def _linear_controls(
    ground: Ground, neurons: list[Neuron], optima: Sequence[Optimum], regime: str, seed: int
) -> Float[NDArray[np.float64], "units controls"]:
    """How much patches that are not of the neuron move the number of its best linear reader."""
    readers = [optimum.reader for optimum in optima]
    return linear_control_slopes(ground.meter, neurons, readers, _apart(ground), regime, seed)


def _read_patched(
    ground: Ground,
    neurons: list[Neuron],
    values: Parts,
    regime: str,
    optima: Mapping[str, Sequence[Optimum]],
    tests: Mapping[str, Sequence[Doses]],
    seed: int,
) -> Float[NDArray[np.float64], "draws n units 10"]:
    """What the best linear reader of patched residuals says of the ten digits, calibrated on the choose split."""
    after = ground.stop(neurons[0].unit.site.layer + 1)
    readers = optima[regime if regime in INT else "int"]
    chosen = doses_drawn({regime: 1}, neurons, values.choose, seed + 1)[regime][0]
    found: list[NDArray[np.float64]] = []
    for unit, (neuron, reader) in enumerate(zip(neurons, readers, strict=True)):
        adds = ground.adds(neuron.unit)
        choose = reader.says(after.choose + adds.choose(chosen.change[:, unit]))[:, None]
        test = np.concatenate([reader.says(after.test + adds.test(one.change[:, unit])) for one in tests[regime]])
        told = calibrated(choose, test[:, None], chosen.digits[:, [unit]]).test[:, 0]
        found.append(told.reshape(len(tests[regime]), -1, 10))
    return np.stack(found, 2)
