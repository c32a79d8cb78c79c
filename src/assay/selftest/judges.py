"""How good is a judge, on units whose truth is known?

As a simulator: given the truth in words, does it predict the unit, and predict it worse from each decoy? As an
explainer: is what it says of a unit worth as much as the truth is, when the same judge simulates both? Both are asked
on short pieces of the test split, half of them with a firing, each weighted to its natural frequency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.manner import FROM_TEXTS
from assay.explain.material import Material, Part, Progress
from assay.explain.simulated import PIECE, all_pieces
from assay.explain.voice import Voice
from assay.judge import Judge, Simulator, Unscored
from assay.referee.checks import MAX_UNSCORED
from assay.selftest.bench import PARTS, Bench, by_truth
from assay.selftest.candidates import TRUTH, told
from assay.selftest.sanity import mean_entry
from assay.testing import Exhibit

if TYPE_CHECKING:
    from assay.selftest.bench import Floats

EACH = 24  # pieces with a firing, and pieces without
ANOTHER = "another unit's"
PROSE = "prose"


class Sample(NamedTuple):
    """Pieces of the test split: where the tokens of each stand, which of them count, and how many each stands for."""

    places: list[NDArray[np.int64]]
    weights: NDArray[np.float64]


@dataclass
class Listener:
    """A simulator that is asked about samples; ``unscored`` counts the pieces without an answer by reason."""

    simulator: Simulator
    part: Part
    unscored: Counter[str] = field(default_factory=Counter)

    def r(self, sentence: str, sample: Sample, real: Floats) -> float:
        """Weighted Pearson's r of what a sentence predicts with (tokens,) what is; NaN with too few answers."""
        texts, ids = self.part.texts, self.part.table.flat_ids
        asked = [[texts[int(i)] for i in ids[place]] for place in sample.places]
        found = self.simulator.predict(sentence, asked)
        said: list[NDArray[np.float32]] = []
        weights: list[NDArray[np.float64]] = []
        counted: list[NDArray[np.int64]] = []
        for place, weight, answer in zip(sample.places, sample.weights, found, strict=True):
            if isinstance(answer, Unscored):
                self.unscored[answer.reason] += 1
                continue
            inside = self.part.scored[place]
            said.append(answer[inside])
            counted.append(place[inside])
            weights.append(np.full(int(inside.sum()), weight))
        if len(said) < (1 - MAX_UNSCORED) * len(found):
            return float("nan")
        return weighted_r(np.concatenate(said), real[np.concatenate(counted)], np.concatenate(weights))


def weighted_r(predicted: Floats, real: Floats, weights: NDArray[np.float64]) -> float:
    """Pearson's r of two rows of tokens that stand for so many each; 0 where one of them never changes."""
    share = weights / weights.sum()
    p, a = (values.astype(np.float64) - share @ values for values in (predicted, real))
    spread = np.sqrt((share @ p**2) * (share @ a**2))
    return float(share @ (p * a) / spread) if spread > 0 else 0.0


def draw_sample(part: Part, activations: Floats, fire_above: float, seed: int) -> Sample:
    """Up to 24 pieces in which a unit fires and 24 in which it does not, each weighted to all of its kind.

    Args:
        activations: (tokens,) the unit's on the part, flat.
    """
    starts, _ = all_pieces(part.table)
    fires = np.add.reduceat(part.scored & (activations > fire_above), starts) > 0
    rng = np.random.default_rng([seed, 61])
    ends = np.minimum(starts + PIECE, part.table.offsets[part.table.flat_windows[starts] + 1])
    places: list[NDArray[np.int64]] = []
    weights: list[float] = []
    for kind in (fires, ~fires):
        chosen = rng.permutation(np.flatnonzero(kind))[:EACH]
        places += [np.arange(int(starts[i]), int(ends[i])) for i in chosen]
        weights += [kind.sum() / len(chosen)] * len(chosen)
    return Sample(places, np.array(weights))


def judge_results(
    bench: Bench, judge: Judge, simulator: Simulator, exhibits: Sequence[Exhibit], progress: Progress
) -> dict[str, Any]:
    """The part ``judge`` of the result: how good a judge is as a simulator and as an explainer."""
    test = bench.parts["test"]
    listener = Listener(simulator, test)
    real = {e: bench.activations["test"][:, e.unit.number] for e in exhibits}
    samples = {e: draw_sample(test, real[e], bench.firing_level(e), bench.seed) for e in exhibits}
    heard: dict[Exhibit, dict[str, float]] = {}
    for done, exhibit in enumerate(exhibits):
        progress(f"{judge.name} simulates the truth and decoys of {exhibit.name}", done / len(exhibits))
        heard[exhibit] = {
            kind: listener.r(said.sentence, samples[exhibit], real[exhibit]) for kind, said in told(exhibit).items()
        }
    perfect = [_by_truth(e, test, samples[e], real[e]) for e in exhibits]
    as_simulator = simulator_result(heard, bench.seed) | {
        "r_perfect": _rounded(float(np.mean(perfect))),
        "unscored": dict(listener.unscored),
    }
    listener = Listener(simulator, test)
    voice = _voice(bench, judge, simulator)
    said: dict[Exhibit, str] = {}
    reasons: Counter[str] = Counter()
    for done, exhibit in enumerate(exhibits):
        progress(f"{judge.name} explains {exhibit.name}", done / len(exhibits))
        prose = voice.explain(exhibit.unit, bench.of(exhibit, "fit"), bench.of(exhibit, "choose"))
        if prose.unscored is None:
            said[exhibit] = prose.text
        else:
            reasons[prose.unscored] += 1
    own = {e: listener.r(text, samples[e], real[e]) for e, text in said.items()}
    other = {e: listener.r(said[rival], samples[e], real[e]) for e, rival in _rivals(list(said)).items()}
    as_explainer = explainer_result(said, own, other, {e: heard[e][TRUTH] for e in said}, bench.seed)
    return {
        "judge": judge.name,
        "prompts": list(voice.prompts),
        "simulator": {"name": simulator.name} | as_simulator,
        "explainer": as_explainer | {"unscored": dict(reasons + listener.unscored)},
    }


def simulator_result(heard: Mapping[Exhibit, Mapping[str, float]], seed: int) -> dict[str, Any]:
    """What r by exhibit and candidate says of a simulator; a candidate without an answer is left out and counted."""
    scored = {e: {kind: r for kind, r in own.items() if np.isfinite(r)} for e, own in heard.items()}
    pairs = [
        (e, kind, own[TRUTH] > r)
        for e, own in scored.items()
        if TRUTH in own
        for kind, r in own.items()
        if kind != TRUTH
    ]
    shares = [float(np.mean([beaten for e, _, beaten in pairs if e is one])) for one in {e: 0 for e, _, _ in pairs}]
    kinds = dict.fromkeys(kind for _, kind, _ in pairs)
    return {
        "units": len(heard),
        **mean_entry("r", [own[TRUTH] for own in scored.values() if TRUTH in own], seed),
        **mean_entry("r_null", [own[ANOTHER] for own in scored.values() if ANOTHER in own], seed),
        "pairs": len(pairs),
        "beaten": sum(beaten for *_, beaten in pairs),
        **mean_entry("truth_above_decoys", shares, seed),
        "by_decoy": {
            kind: {"beaten": sum(own), "pairs": len(own)}
            for kind in kinds
            if (own := [beaten for _, name, beaten in pairs if name == kind])
        },
        "units_unscored": len(heard) - len(shares),
    }


def explainer_result(
    said: Mapping[Exhibit, str],
    own: Mapping[Exhibit, float],
    other: Mapping[Exhibit, float],
    truth: Mapping[Exhibit, float],
    seed: int,
) -> dict[str, Any]:
    """What r of sentences that a judge wrote, of those that it wrote of other units, and of the truth say of it."""
    usable = [e for e in said if np.isfinite([own[e], truth[e], other.get(e, np.nan)]).all()]
    return {
        "units": len(usable),
        **mean_entry("r", [own[e] for e in usable], seed),
        **mean_entry("r_truth", [truth[e] for e in usable], seed),
        **mean_entry("above_truth", [own[e] - truth[e] for e in usable], seed),
        **mean_entry("r_null", [other[e] for e in usable], seed),
        **mean_entry("above_null", [own[e] - other[e] for e in usable], seed),
        "sentences": [
            {"unit": e.name, "truth": e.told.sentence, "said": text}
            | {"r": _rounded(own[e]), "r_truth": _rounded(truth[e])}
            for e, text in said.items()
        ],
    }


def _voice(bench: Bench, judge: Judge, simulator: Simulator) -> Voice:
    fit, choose, test = (bench.parts[name] for name in PARTS)
    material = Material(fit, choose, test, bench.splits)
    return Voice(PROSE, FROM_TEXTS, bench.gallery.subject, judge, simulator, material, bench.seed)


def _rivals(exhibits: Sequence[Exhibit]) -> dict[Exhibit, Exhibit]:
    """For each exhibit the next one of which there is a sentence; nothing where there is one only."""
    return dict(zip(exhibits, [*exhibits[1:], *exhibits[:1]], strict=True)) if len(exhibits) > 1 else {}


def _by_truth(exhibit: Exhibit, part: Part, sample: Sample, real: Floats) -> float:
    """r of a simulator that makes no mistake: it runs what was planted."""
    said = by_truth(exhibit)(part)
    places = np.concatenate(sample.places)
    weights = np.repeat(sample.weights, [len(place) for place in sample.places])
    inside = part.scored[places]
    return weighted_r(said[places][inside], real[places][inside], weights[inside])


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
