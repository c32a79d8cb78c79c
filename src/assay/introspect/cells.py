"""One cell: what one reporter says of one neuron, beside every baseline and control, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.introspect.evidence import Evidence, Said
from assay.introspect.regimes import INT
from assay.introspect.scores import Answered, Slopes, bits, mean_of, number, numbers, r2_of, spearman_of
from assay.introspect.verdicts import UNREADABLE, Facts, Thresholds, decide, plateau
from assay.stats import Estimate

BASELINES = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")
TEXT = ("word", "tfidf", "other_model")  # baselines that know the text alone


def cells_of(found: Evidence, regimes: Sequence[str], size: int, limits: Thresholds) -> list[dict[str, Any]]:
    """The cells of a group of neurons, regime by regime; ``size``: the number of sentences they were taught on."""
    rows: list[dict[str, Any]] = []
    for regime in regimes:
        for unit, neuron in enumerate(found.neurons):
            said = found.heard.get((regime, size))
            taught = said is not None and not np.isnan(said.choose_bits[unit])
            about = {"unit": str(neuron.unit), "stratum": neuron.stratum, "regime": regime}
            rows.append(about | (cell if taught else skipped)(found, unit, regime, size, limits))
    return rows


def cell(found: Evidence, unit: int, regime: str, size: int, limits: Thresholds) -> dict[str, Any]:
    """The numbers of one cell, but for what it is of."""
    heard = found.heard[regime, size]
    own = found.answered(heard.logs[regime][:, :, unit], regime, unit)
    score = mean_of(bits(own), own.documents)
    patched = regime if regime in INT else "int"
    slopes = _slopes(found, heard, patched, unit)
    best, best_r2 = found.best(patched, unit)
    relative, slope = slopes.relative(best), slopes.slope()
    if heard.controls is None:
        raise ValueError("a cell needs control patches")
    control = _strongest(heard.controls[unit], limits)
    optimal_control = _optimal_control(found, patched, unit, limits)
    over_text, baselines = _baselines(found, own, unit, regime)
    shuffled = _paired(found, own, found.told.get("shuffled"), unit) if regime == "nat" else None
    gain = _gain(found, unit, regime, size)
    facts = Facts(
        score.interval(),
        None if over_text is None else over_text.interval(),
        None if shuffled is None else shuffled.interval(),
        _ranks(found, own, unit, regime).interval(),
        found.sibling,
        best_r2,
        slope.interval(),
        relative.interval(),
        control,
        best.slope().value,
        optimal_control,
        gain,
        heard.steps,
        heard.by_heart,
        found.blocked or any(spearman_of(a).interval().lo > 0 for a in found.answers(heard, unit)),
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
        "optimal_specificity": None if optimal_control is None else number(optimal_control),
        "gain": None if gain is None else number(gain),
        **_drift(found, own, heard, unit, regime),
        "steps": facts.steps,
        "by_heart": facts.by_heart,
        "plateau": plateau(facts, limits),
        "tests": {name: _tested(found, heard, name, unit, limits) for name in heard.logs},
        "sizes": {str(n): _bits_at(found, r, n, unit) for r, n in found.heard if r == regime},
        "calibration": _calibration(own),
        "dose": _dose(found, heard, unit),
        "verdict": said.word,
        "reason": said.reason,
    }


def elsewhere(cell: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a cell on other text: its scores there, beside the text's and the probe's."""
    names = [f"{name}{end}" for name in ("bits", "spearman", "relative_slope") for end in ("", "_lo", "_hi")]
    own = {name: cell[name] for name in (*names, "optimal_r2", "specificity", "n", "verdict")}
    return own | {name: cell["baselines"][name] for name in ("text", "shuffled", "probe_before", "probe_after")}


def skipped(found: Evidence, unit: int, regime: str, size: int, limits: Thresholds) -> dict[str, Any]:
    """A cell that was not taught, since not even the best linear reader sees these patches."""
    best, best_r2 = found.best(regime if regime in INT else "int", unit)
    names = ("bits", "spearman", "r2", "over_text", "gap_closed", "causal_slope", "relative_slope")
    row: dict[str, Any] = {f"{name}{end}": None for name in names for end in ("", "_lo", "_hi")}
    row |= dict.fromkeys(("digit_mass", "specificity", "gain", "drift_r", "bits_own"))
    row |= _as_baselines({"probe_after": found.bits_of(found.probe[regime][:, :, unit], regime, unit)})
    row |= {**numbers(best.slope(), "optimal_slope"), "optimal_r2": number(best_r2), "drift": 0.0, "n": 0, "steps": 0}
    control = _optimal_control(found, regime if regime in INT else "int", unit, limits)
    row |= {"optimal_specificity": None if control is None else number(control)}
    row |= {"plateau": False, "by_heart": False, "tests": {}, "sizes": {}, "calibration": [], "dose": {}}
    return row | {
        "verdict": UNREADABLE,
        "reason": "the best linear reader can't see these patches on the choose split; not taught",
    }


def _strongest(slopes: Float[np.ndarray, " controls"], limits: Thresholds) -> float:
    """What so many of the control slopes, without their sign, stay below."""
    return float(np.quantile(np.abs(slopes), limits.control))


def _optimal_control(found: Evidence, regime: str, unit: int, limits: Thresholds) -> float | None:
    """The same of the best linear reader; None in runs of earlier versions."""
    own = found.optimum_controls.get(regime)
    return None if own is None else _strongest(own[unit], limits)


def _drift(found: Evidence, own: Answered, heard: Said, unit: int, regime: str) -> dict[str, float | None]:
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


def _slopes(found: Evidence, heard: Said, regime: str, unit: int) -> Slopes:
    own = found.answered(heard.logs[regime][:, :, unit], regime, unit)
    return Slopes.of(own.expected, own.right, own.sentences, own.documents)


def _paired(found: Evidence, own: Answered, logs: Float[np.ndarray, "n units 10"] | None, unit: int) -> Estimate | None:
    """Bits of the reporter less those of somebody else, on the same sentences."""
    if logs is None:
        return None
    return mean_of(bits(own) - bits(_others(own, logs, unit)), own.documents)


def _ranks(found: Evidence, own: Answered, unit: int, regime: str) -> Estimate:
    """Rank correlation of answers with what is right, less that of a reporter that was taught shuffled numbers."""
    ranks = spearman_of(own)
    if regime != "nat" or "shuffled" not in found.told:
        return ranks
    null = spearman_of(_others(own, found.told["shuffled"], unit))
    return Estimate(ranks.value - abs(null.value), ranks.replicates - np.abs(null.replicates))


def _others(own: Answered, logs: Float[np.ndarray, "n units 10"], unit: int) -> Answered:
    return Answered(logs[:, unit].astype(np.float64), own.right, own.sentences, own.documents)


def _baselines(found: Evidence, own: Answered, unit: int, regime: str) -> tuple[Estimate | None, dict[str, Any]]:
    """The gap to the text baseline that is beaten least, and the bits of every baseline.

    "text" is the best of those that read words, chosen on the choose split.
    """
    if regime != "nat":
        probe = found.bits_of(found.probe[regime][:, :, unit], regime, unit)
        return None, _as_baselines({"probe_after": probe})
    names = [name for name in BASELINES if name in found.told]
    known = {"text": found.told[found.text[unit]]} | {name: found.told[name] for name in names}
    scores = {name: found.bits_of(logs[None, :, unit], "nat", unit) for name, logs in known.items()}
    gaps = [_paired(found, own, found.told[name], unit) for name in TEXT if name in found.told]
    return min((gap for gap in gaps if gap), key=lambda gap: gap.interval().lo), _as_baselines(scores)


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
        text = bits(_others(own, found.told[found.text[unit]], unit))
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
    return dict(numbers(found.bits_of(found.heard[regime, size].logs[regime][:, :, unit], regime, unit), "bits"))


def _tested(found: Evidence, heard: Said, regime: str, unit: int, limits: Thresholds) -> dict[str, float | None]:
    """Bits and R² in a regime that need not be the one taught; where patches were drawn twice what the best linear
    reader sees of them, and the slope relative to its own if it sees them."""
    own = found.answered(heard.logs[regime][:, :, unit], regime, unit)
    row = dict(numbers(mean_of(bits(own), own.documents), "bits"))
    row |= numbers(r2_of(own.expected, own.right, own.documents), "r2")
    if regime in found.optimum and len(found.put_in[regime]) > 1:
        best, best_r2 = found.best(regime, unit)
        row["optimal_r2"] = number(best_r2)
        if best_r2 >= limits.readable:
            row |= numbers(_slopes(found, heard, regime, unit).relative(best), "relative_slope")
    return row


def _calibration(own: Answered) -> list[float | None]:
    """For each right digit the mean of the expected one, as shown, 1 to 10."""
    places = [own.right == digit for digit in range(10)]
    return [number(own.expected[place].mean() + 1) if place.any() else None for place in places]


def _dose(found: Evidence, heard: Said, unit: int) -> dict[str, list[float | None]]:
    """For each scale of patches the mean of the expected digit at each digit that was put in, as shown, 1 to 10."""
    return {
        regime: _calibration(found.answered(heard.logs[regime][:, :, unit], regime, unit))
        for regime in heard.logs
        if regime in INT
    }
