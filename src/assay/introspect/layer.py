"""All cells of one layer: reporters are taught and asked, baselines and controls measured, verdicts given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.introspect.baselines import Parts, Told, best_by_choose, calibrated, told_by_probe, told_by_text
from assay.introspect.cells import TEXT, Evidence, cell, skipped
from assay.introspect.ground import Ground, Progress
from assay.introspect.group import NULL, Heard, Teacher, Trial, course, doses_drawn, hear, teach
from assay.introspect.neurons import Neuron
from assay.introspect.optimum import Optimum, linear_optimum
from assay.introspect.regimes import INT, Doses
from assay.introspect.scores import Slopes, r2_of
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
) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """The cells of some neurons of one layer, regime by regime, and the arrays from which they can be made again.

    ``teacher`` makes a reporter out of what there is to learn.
    """
    values = ground.values([neuron.unit for neuron in neurons])
    digits = Parts(*(np.stack([n.digits(c) for n, c in zip(neurons, v.T, strict=True)], 1) for v in values))
    patched = {regime if regime in INT else "int": asked.draws for regime in asked.regimes}
    tests = doses_drawn({"nat": 1, **dict.fromkeys((*INT, "swap"), 1), **patched}, neurons, values.test, asked.seed)
    progress(f"baselines of layer {neurons[0].unit.site.layer}")
    told = _told(ground, neurons, digits)
    optima = {regime: _optima(ground, neurons, values, regime, asked.seed) for regime in patched}
    best = {regime: _slopes(ground, neurons, optima[regime], tests[regime]) for regime in patched}
    readable = {regime: _readable(ground, neurons, values, regime, optima, asked) for regime in asked.regimes}
    heard = _hear_all(ground, neurons, readable, asked, tests, teacher, progress)
    controls = _controls(ground, others, neurons, asked, tests, teacher, progress) if "nat" in asked.regimes else {}
    text = {name: told[name] for name in TEXT if name in told}
    probe = {"nat": told["probe_after"].test[None]} | {
        regime: _read_patched(ground, neurons, values, regime, optima, tests, asked.seed)
        for regime in asked.regimes
        if regime != "nat"
    }
    found = Evidence(
        neurons,
        digits.test,
        values.test,
        ground.sentences.test.documents,
        tests,
        heard,
        {name: one.logs["nat"][0] for name, one in controls.items()},
        told,
        best_by_choose(text, digits.choose),
        probe,
        best,
        others.sibling is not None and others.same_size,
        asked.topology == "Q" and neurons[0].unit.site.layer == ground.learner.n_layers - 1,
    )
    cells = [
        _named(ground, neuron, asked, regime)
        | (cell if unit in readable[regime] else skipped)(found, unit, regime, asked.sizes[-1], asked.limits)
        for regime in asked.regimes
        for unit, neuron in enumerate(neurons)
    ]
    return cells, _arrays(found, asked)


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
    seen = _slopes(ground, neurons, optima[scale], given, "choose")
    return [unit for unit, (_, r2) in enumerate(seen) if r2 >= asked.limits.readable]


def _named(ground: Ground, neuron: Neuron, asked: Asked, regime: str) -> dict[str, Any]:
    layer = neuron.unit.site.layer
    return {
        "model": ground.learner.name,
        "layer": layer,
        "layers_left": ground.learner.n_layers - 1 - layer,
        "unit": str(neuron.unit),
        "stratum": neuron.stratum,
        "topology": asked.topology,
        "regime": regime,
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
) -> dict[tuple[str, int], Heard]:
    """What reporters say by regime and number of sentences; where a neuron is not worth teaching there is NaN."""
    batches = ground.test.batches
    apart = batches[:: max(1, len(batches) // CONTROL_BATCHES)][:CONTROL_BATCHES]
    heard: dict[tuple[str, int], Heard] = {}
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
            heard[regime, size] = found.placed(places, len(neurons))
    return heard


def _controls(
    ground: Ground,
    others: Others,
    neurons: list[Neuron],
    asked: Asked,
    tests: Mapping[str, Sequence[Doses]],
    teacher: Teacher,
    progress: Progress,
) -> dict[str, Heard]:
    """Reporters that can't read: one without the full stop, one taught shuffled numbers, one of another model."""
    values = ground.values([neuron.unit for neuron in neurons])
    trial, only = Trial(asked.trainable, "nat", asked.sizes[-1]), {"nat": tests["nat"]}
    courses = {NULL: course(ground, neurons, trial._replace(regime=NULL), asked.plan, asked.seed)}
    for name, other in (("blind", others.blind), ("other_model", others.sibling)):
        if other is not None:
            courses[name] = course(other, neurons, trial, asked.plan, asked.seed, values)
    return {name: hear(lessons, teacher(lessons, progress), only) for name, lessons in courses.items()}


def _told(ground: Ground, neurons: list[Neuron], digits: Parts) -> dict[str, Told]:
    layer = neurons[0].unit.site.layer
    found = {kind: told_by_text(kind, ground.sentences, digits) for kind in ("word", "tfidf")}
    found["probe_before"] = told_by_probe(ground.before(layer), digits)
    after = {str(upper): told_by_probe(ground.stop(upper), digits) for upper in ground.kept_layers() if upper > layer}
    best = best_by_choose(after, digits.choose)
    found["probe_after"] = Told(
        np.stack([after[name].choose[:, unit] for unit, name in enumerate(best)], 1),
        np.stack([after[name].test[:, unit] for unit, name in enumerate(best)], 1),
    )
    return found


def _optima(ground: Ground, neurons: list[Neuron], values: Parts, regime: str, seed: int) -> list[Optimum]:
    after = ground.stop(neurons[0].unit.site.layer + 1)
    return [
        linear_optimum(regime, neuron, after, Parts(*(v[:, unit] for v in values)), ground.adds(neuron.unit), seed)
        for unit, neuron in enumerate(neurons)
    ]


def _slopes(
    ground: Ground, neurons: list[Neuron], optima: Sequence[Optimum], given: Sequence[Doses], part: str = "test"
) -> list[tuple[Slopes, float]]:
    """Slopes of the best linear readers on patches of a split, and their R²."""
    after = getattr(ground.stop(neurons[0].unit.site.layer + 1), part)
    documents = getattr(ground.sentences, part).documents
    rows: list[tuple[Slopes, float]] = []
    for unit, (neuron, optimum) in enumerate(zip(neurons, optima, strict=True)):
        adds = getattr(ground.adds(neuron.unit), part)
        said = np.concatenate([optimum.says(after + adds(one.change[:, unit])) for one in given])
        right = np.concatenate([one.digits[:, unit] for one in given])
        sentences, own = np.tile(np.arange(len(after)), len(given)), np.tile(documents, len(given))
        rows.append((Slopes.of(said, right, sentences, own), r2_of(said, right, own).value))
    return rows


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


def _arrays(found: Evidence, asked: Asked) -> dict[str, NDArray[Any]]:
    """What was answered and what was right, so that every number can be made again without the model."""
    arrays: dict[str, NDArray[Any]] = {"right": found.right, "documents": found.documents}
    for (regime, size), heard in found.heard.items():
        for test, logs in heard.logs.items():
            arrays[f"{regime}.{size}.{test}"] = logs.astype(np.float32)
        if heard.controls is not None:
            arrays[f"{regime}.{size}.controls"] = heard.controls
    for test, given in found.tests.items():
        arrays[f"put_in.{test}"] = np.stack([one.digits for one in given])
    for name, logs in found.controls.items():
        arrays[f"control.{name}"] = logs.astype(np.float32)
    for name, told in found.told.items():
        arrays[f"baseline.{name}"] = told.test.astype(np.float32)
    return arrays
