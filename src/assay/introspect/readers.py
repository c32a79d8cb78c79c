"""What whoever knows the text, or reads the residual linearly, says of the neurons of a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from assay.introspect.asking import linear_control_slopes
from assay.introspect.baselines import Parts, Told, best_by_choose, calibrated, of_each, told_by_probe, told_by_text
from assay.introspect.evidence import read_off
from assay.introspect.ground import Ground
from assay.introspect.group import doses_drawn
from assay.introspect.kept import Batch
from assay.introspect.neurons import Neuron
from assay.introspect.optimum import Optimum, linear_optimum
from assay.introspect.regimes import INT, Doses

CONTROL_BATCHES = 2


def told(ground: Ground, neurons: list[Neuron], digits: Parts) -> dict[str, Told]:
    """What texts and ridge probes say: of the residual before the neuron, and of that after it which is the best of
    all layers above by the choose split."""
    layer = neurons[0].unit.site.layer
    found = {kind: told_by_text(kind, ground.sentences, digits) for kind in ("word", "tfidf")}
    found["probe_before"] = told_by_probe(ground.before(layer), digits)
    after = {str(upper): told_by_probe(ground.stop(upper), digits) for upper in ground.kept_layers() if upper > layer}
    found["probe_after"] = of_each(after, best_by_choose(after, digits.choose))
    return found


def optima(ground: Ground, neurons: list[Neuron], values: Parts, regime: str, seed: int) -> list[Optimum]:
    """The best linear reader of each neuron's patches in a regime."""
    after = ground.stop(neurons[0].unit.site.layer + 1)
    return [
        linear_optimum(regime, neuron, after, Parts(*(v[:, unit] for v in values)), ground.adds(neuron.unit), seed)
        for unit, neuron in enumerate(neurons)
    ]


def readable(
    ground: Ground,
    neurons: list[Neuron],
    values: Parts,
    regime: str,
    optima: Mapping[str, Sequence[Optimum]],
    draws: int,
    seed: int,
    least: float,
) -> list[int]:
    """Which neurons are worth teaching: those whose patches the best linear reader sees on the choose split."""
    if regime == "nat":
        return list(range(len(neurons)))
    scale = regime if regime in INT else "int"
    given = doses_drawn({scale: draws}, neurons, values.choose, seed + 1)[scale]
    said, right = linear(ground, neurons, optima[scale], given, "choose"), np.stack([one.digits for one in given])
    documents = ground.sentences.choose.documents
    r2 = [read_off(said[..., unit], right[..., unit], documents)[1] for unit in range(len(neurons))]
    return [unit for unit, value in enumerate(r2) if value >= least]


def linear(
    ground: Ground, neurons: list[Neuron], optima: Sequence[Optimum], given: Sequence[Doses], part: str
) -> Float[NDArray[np.float64], "draws n units"]:
    """What the best linear readers say of patches of a split."""
    after = getattr(ground.stop(neurons[0].unit.site.layer + 1), part)
    found: list[NDArray[np.float64]] = []
    for unit, (neuron, optimum) in enumerate(zip(neurons, optima, strict=True)):
        adds = getattr(ground.adds(neuron.unit), part)
        found.append(np.stack([optimum.says(after + adds(one.change[:, unit])) for one in given]))
    return np.stack(found, -1)


def linear_controls(
    ground: Ground, neurons: list[Neuron], optima: Sequence[Optimum], regime: str, seed: int
) -> Float[NDArray[np.float64], "units controls"]:
    """How much patches that are not of the neuron move the number of its best linear reader."""
    readers = [optimum.reader for optimum in optima]
    return linear_control_slopes(ground.meter, neurons, readers, apart(ground), regime, seed)


def read_patched(
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


def apart(ground: Ground) -> tuple[Batch, ...]:
    """The test sentences on which control patches are tried: some short, some long."""
    batches = ground.test.batches
    return batches[:: max(1, len(batches) // CONTROL_BATCHES)][:CONTROL_BATCHES]
