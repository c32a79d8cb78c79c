"""One cell: what one reporter says of one neuron, beside every baseline and control, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from assay.introspect.baselines import Told
from assay.introspect.group import Heard
from assay.introspect.neurons import Neuron
from assay.introspect.regimes import INT, Doses
from assay.introspect.scores import Answered, Slopes, bits, mean_of, number, numbers, r2_of, spearman_of
from assay.introspect.verdicts import UNREADABLE, Facts, Thresholds, decide, plateau
from assay.stats import Estimate

BASELINES = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")
TEXT = ("word", "tfidf", "other_model")  # baselines that know the text alone


@dataclass(frozen=True)
class Evidence:
    """What a layer's cells are made from.

    ``right``, ``values``: the natural decile and value of each neuron at each test sentence. ``heard``: by regime and
    number of sentences. ``controls``: reporters that were taught other things: "blind", "shuffled", "other_model".
    ``told``: what baselines say in the natural regime. ``probe``: for each regime the best linear probe after the
    neuron. ``optimum``: for each regime of patches and neuron the slopes and R² of the best linear reader.
    ``blocked``: no later token can see these neurons.
    """

    neurons: Sequence[Neuron]
    right: Int64[NDArray[np.int64], "n units"]
    values: Float[NDArray[np.float32], "n units"]
    documents: Int64[NDArray[np.int64], " n"]
    tests: Mapping[str, Sequence[Doses]]
    heard: Mapping[tuple[str, int], Heard]
    controls: Mapping[str, Float[NDArray[np.float64], "n units 10"]]
    told: Mapping[str, Told]
    text: Sequence[str]
    probe: Mapping[str, Float[NDArray[np.float64], "draws n units 10"]]
    optimum: Mapping[str, Sequence[tuple[Slopes, float]]]
    sibling: bool
    blocked: bool

    def answered(self, logs: Float[np.ndarray, "draws n 10"], regime: str, unit: int) -> Answered:
        """Answers about one unit with what would be right, draw after draw."""
        draws, count, _ = logs.shape
        right = np.concatenate([one.digits[:, unit] for one in self.tests[regime]][:draws])
        return Answered(logs.reshape(-1, 10), right, np.tile(np.arange(count), draws), np.tile(self.documents, draws))


def cell(found: Evidence, unit: int, regime: str, size: int, limits: Thresholds) -> dict[str, Any]:
    """The numbers of one cell, but for what it is of."""
    heard = found.heard[regime, size]
    own = found.answered(heard.logs[regime][:, :, unit], regime, unit)
    score = mean_of(bits(own), own.documents)
    patched = regime if regime in INT else "int"
    slopes = _slopes(found, heard, patched, unit)
    best, best_r2 = found.optimum[patched][unit]
    relative, slope = slopes.relative(best), slopes.slope()
    if heard.controls is None:
        raise ValueError("a cell needs control patches")
    control = float(np.quantile(np.abs(heard.controls[unit]), limits.control))
    over_text, baselines = _baselines(found, own, unit, regime)
    shuffled = _paired(found, own, found.controls.get("shuffled"), unit) if regime == "nat" else None
    gain = _gain(found, unit, regime, size)
    facts = Facts(
        score.interval(),
        None if over_text is None else over_text.interval(),
        None if shuffled is None else shuffled.interval(),
        found.sibling,
        best_r2,
        slope.interval(),
        relative.interval(),
        control,
        gain,
        len(heard.trained.losses),
        heard.trained.by_heart,
        found.blocked or any(spearman_of(a).interval().lo > 0 for a in _all_answers(found, heard, unit)),
    )
    said = decide(facts, limits)
    return {
        **numbers(score, "bits"),
        **numbers(spearman_of(own), "spearman"),
        **numbers(r2_of(own.expected, own.right, own.documents), "r2"),
        "n": len(own.right),
        "digit_mass": number(float(np.exp(own.logs).sum(1).mean())),
        **baselines,
        **_over(over_text),
        **_gap_closed(found, own, unit, regime),
        **numbers(slope, "causal_slope"),
        **numbers(best.slope(), "optimal_slope"),
        "optimal_r2": number(best_r2),
        **numbers(relative, "relative_slope"),
        "specificity": number(control),
        "gain": None if gain is None else number(gain),
        **_drift(found, own, heard, unit, regime),
        "steps": facts.steps,
        "by_heart": facts.by_heart,
        "plateau": plateau(facts, limits),
        "tests": {name: _tested(found, heard, name, unit) for name in heard.logs},
        "sizes": {str(n): _bits_at(found, r, n, unit) for r, n in found.heard if r == regime},
        "calibration": _calibration(own),
        "dose": _dose(found, heard, unit),
        "verdict": said.word,
        "reason": said.reason,
    }


def skipped(found: Evidence, unit: int, regime: str, size: int, limits: Thresholds) -> dict[str, Any]:
    """A cell that was not taught, since not even the best linear reader sees these patches."""
    best, best_r2 = found.optimum[regime if regime in INT else "int"][unit]
    names = ("bits", "spearman", "r2", "over_text", "gap_closed", "causal_slope", "relative_slope")
    row: dict[str, Any] = {f"{name}{end}": None for name in names for end in ("", "_lo", "_hi")}
    row |= dict.fromkeys(("digit_mass", "specificity", "gain", "drift_r", "bits_own"))
    row |= _as_baselines({"probe_after": _bits_of(found, found.probe[regime][:, :, unit], regime, unit)})
    row |= {**numbers(best.slope(), "optimal_slope"), "optimal_r2": number(best_r2), "drift": 0.0, "n": 0, "steps": 0}
    row |= {"plateau": False, "by_heart": False, "tests": {}, "sizes": {}, "calibration": [], "dose": {}}
    return row | {
        "verdict": UNREADABLE,
        "reason": "the best linear reader can't see these patches on the choose split; not taught",
    }


def _all_answers(found: Evidence, heard: Heard, unit: int) -> Iterator[Answered]:
    return (found.answered(logs[:, :, unit], regime, unit) for regime, logs in heard.logs.items())


def _drift(found: Evidence, own: Answered, heard: Heard, unit: int, regime: str) -> dict[str, float | None]:
    """How far training moved the neuron, in its standard deviations, and whether the answer is its value before or now.

    ``bits_own``: bits about the decile of what it does now, where answers are about its natural value.
    """
    if heard.own is None:
        return {"drift": 0.0, "drift_r": 1.0, "bits_own": None}
    neuron, before, now = found.neurons[unit], found.values[:, unit].astype(np.float64), heard.own[:, unit]
    about = replace(own, right=neuron.digits(now)) if regime == "nat" else None
    return {
        "drift": number(np.sqrt(np.square(now - before).mean()) / neuron.sd),
        "drift_r": number(np.corrcoef(before, now)[0, 1]),
        "bits_own": number(float(bits(about).mean())) if about is not None else None,
    }


def _slopes(found: Evidence, heard: Heard, regime: str, unit: int) -> Slopes:
    own = found.answered(heard.logs[regime][:, :, unit], regime, unit)
    return Slopes.of(own.expected, own.right, own.sentences, own.documents)


def _paired(found: Evidence, own: Answered, logs: Float[np.ndarray, "n units 10"] | None, unit: int) -> Estimate | None:
    """Bits of the reporter less those of somebody else, on the same sentences."""
    if logs is None:
        return None
    other = Answered(logs[:, unit], own.right, own.sentences, own.documents)
    return mean_of(bits(own) - bits(other), own.documents)


def _baselines(found: Evidence, own: Answered, unit: int, regime: str) -> tuple[Estimate | None, dict[str, Any]]:
    """The gap to the text baseline that is beaten least, and the bits of every baseline.

    "text" is the best of those that read words, chosen on the choose split.
    """
    if regime != "nat":
        probe = _bits_of(found, found.probe[regime][:, :, unit], regime, unit)
        return None, _as_baselines({"probe_after": probe})
    everything = {**{name: told.test for name, told in found.told.items()}, **found.controls}
    known = {"text": everything[found.text[unit]]} | {
        name: everything[name] for name in BASELINES if name in everything
    }
    scores = {name: _bits_of(found, logs[None, :, unit], "nat", unit) for name, logs in known.items()}
    gaps = [_paired(found, own, everything[name], unit) for name in TEXT if name in everything]
    return min((gap for gap in gaps if gap), key=lambda gap: gap.interval().lo), _as_baselines(scores)


def _bits_of(found: Evidence, logs: Float[np.ndarray, "draws n 10"], regime: str, unit: int) -> Estimate:
    own = found.answered(logs, regime, unit)
    return mean_of(bits(own), own.documents)


def _as_baselines(scores: Mapping[str, Estimate]) -> dict[str, Any]:
    """Bits of every baseline, and the intervals of those that there are."""
    intervals = {name: score.interval() for name, score in scores.items()}
    return {
        "baselines": dict.fromkeys(BASELINES) | {name: number(score.value) for name, score in scores.items()},
        "baseline_intervals": {name: [number(own.lo), number(own.hi)] for name, own in intervals.items()},
    }


def _over(gap: Estimate | None) -> dict[str, float | None]:
    if gap is None:
        return {"over_text": None, "over_text_lo": None, "over_text_hi": None}
    return dict(numbers(gap, "over_text"))


def _gap_closed(found: Evidence, own: Answered, unit: int, regime: str) -> dict[str, float | None]:
    """(self - text) / (probe - text) in bits; null unless the denominator is surely above 0.

    Where the value is patched the text is worth 0 bits by construction.
    """
    probe = found.answered(found.probe[regime][:, :, unit], regime, unit)
    text = np.zeros(len(own.right))
    if regime == "nat":
        best = found.text[unit]
        logs = found.controls[best] if best in found.controls else found.told[best].test
        text = bits(Answered(logs[:, unit], own.right, own.sentences, own.documents))
    below = mean_of(bits(probe) - text, own.documents)
    above = mean_of(bits(own) - text, own.documents)
    if not below.interval().lo > 0:
        return {"gap_closed": None, "gap_closed_lo": None, "gap_closed_hi": None}
    return dict(numbers(Estimate(above.value / below.value, above.replicates / below.replicates), "gap_closed"))


def _gain(found: Evidence, unit: int, regime: str, size: int) -> float | None:
    """Bits gained over the last doubling of the data, on the choose split."""
    before = found.heard.get((regime, size // 2))
    if before is None:
        return None
    now = found.heard[regime, size]
    return float(now.choose_bits[unit] - before.choose_bits[unit])


def _bits_at(found: Evidence, regime: str, size: int, unit: int) -> dict[str, float | None]:
    return dict(numbers(_bits_of(found, found.heard[regime, size].logs[regime][:, :, unit], regime, unit), "bits"))


def _tested(found: Evidence, heard: Heard, regime: str, unit: int) -> dict[str, float | None]:
    """Bits and R² in a regime that need not be the one taught; the relative slope where patches were drawn twice."""
    own = found.answered(heard.logs[regime][:, :, unit], regime, unit)
    row = dict(numbers(mean_of(bits(own), own.documents), "bits"))
    row |= numbers(r2_of(own.expected, own.right, own.documents), "r2")
    if regime in found.optimum and len(found.tests[regime]) > 1:
        best, _ = found.optimum[regime][unit]
        row |= numbers(_slopes(found, heard, regime, unit).relative(best), "relative_slope")
    return row


def _calibration(own: Answered) -> list[float | None]:
    """For each right digit the mean of the expected one, as shown, 1 to 10."""
    places = [own.right == digit for digit in range(10)]
    return [number(own.expected[place].mean() + 1) if place.any() else None for place in places]


def _dose(found: Evidence, heard: Heard, unit: int) -> dict[str, list[float | None]]:
    """For each scale of patches the mean of the expected digit at each digit that was put in, as shown, 1 to 10."""
    return {
        regime: _calibration(found.answered(heard.logs[regime][:, :, unit], regime, unit))
        for regime in heard.logs
        if regime in INT
    }
