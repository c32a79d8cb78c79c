"""Does a score see what is wrong? The truth against every decoy, and labels missing or too many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from assay.explain.material import Progress
from assay.selftest.bench import Bench
from assay.selftest.candidates import EXTRA, MISSING, TRUTH, candidates
from assay.selftest.scores import SCORES, Examiner, Kind, applies
from assay.stats import Calibration, Estimate, Interval, document_weights
from assay.testing import Exhibit

LEAST_SHARE = 0.25  # of the truth's score that must be lost when half of the labels are wrong: r loses .29 of it
LEAST_FALL = 0.1  # and in all: a score that puts the truth at .2 says little even if it falls
CHANGES = {"missing": MISSING, "extra": EXTRA}
FEWEST = 10  # units from which on a mean over them gets an interval
FAILURES = 5  # that are named

Table = Mapping[Exhibit, Mapping[str, Mapping[str, Estimate]]]
"""By exhibit, candidate and score."""


class Pair(NamedTuple):
    """The truth beside one decoy: their scores, and the bounds of the difference, paired; NaN where there are none."""

    exhibit: Exhibit
    decoy: str
    truth: float
    other: float
    lo: float
    hi: float

    @property
    def beaten(self) -> bool:
        """Whether the truth scores higher."""
        return self.truth > self.other


class Examined(NamedTuple):
    """By exhibit and candidate: every score on the test split, and the line and the threshold it was settled with."""

    scores: Table
    lines: Mapping[Exhibit, Mapping[str, tuple[Calibration, float | None]]]


def examine_all(bench: Bench, examiner: Examiner, exhibits: Sequence[Exhibit], progress: Progress) -> Examined:
    """Settle and score every candidate of every exhibit."""
    table: dict[Exhibit, Mapping[str, Mapping[str, Estimate]]] = {}
    lines: dict[Exhibit, Mapping[str, tuple[Calibration, float | None]]] = {}
    for done, exhibit in enumerate(exhibits):
        progress(f"scoring what is said of {exhibit.name}", done / len(exhibits))
        settled = {name: bench.settle(exhibit, said) for name, said in candidates(exhibit, bench.seed).items()}
        table[exhibit] = examiner.examine(exhibit, settled)
        lines[exhibit] = {name: (one.line, one.threshold) for name, one in settled.items()}
    return Examined(table, lines)


def score_results(table: Table, seed: int) -> dict[str, dict[str, Any]]:
    """The part ``scores`` of the result. A score passes on the units of the family "rules"."""
    families = list(dict.fromkeys(exhibit.family for exhibit in table))
    found: dict[str, dict[str, Any]] = {}
    for name, kind in SCORES.items():
        by_family = {family: _result(name, kind, _of(table, family, kind), seed) for family in families}
        row = by_family.pop("rules")
        row["passes"] = row["truth_beats_decoys"] and all(_sees(row, name) for name in CHANGES)
        found[name] = {"primary": kind.primary, "ours": kind.ours} | row | {"elsewhere": by_family}
    return found


def _sees(row: Mapping[str, Any], change: str) -> bool:
    """Whether a score falls enough when labels are changed so."""
    share, fall = row[f"{change}_share"], row[f"{change}_drop"]
    return share is not None and share >= LEAST_SHARE and fall >= LEAST_FALL


def _of(table: Table, family: str, kind: Kind) -> Table:
    return {e: scored for e, scored in table.items() if e.family == family and applies(kind, e)}


def _result(name: str, kind: Kind, table: Table, seed: int) -> dict[str, Any]:
    pairs, unscored = _pairs(name, table)
    beaten = [pair for pair in pairs if pair.beaten]
    truths = [value for scored in table.values() if np.isfinite(value := _value(scored, TRUTH, name))]
    drops: dict[str, float | None] = {}
    for change, corrupted in CHANGES.items():
        falls = _falls(name, table, corrupted)
        drops |= mean_entry(f"{change}_drop", [fall for fall, _ in falls], seed)
        drops |= mean_entry(f"{change}_share", [share for _, share in falls], seed)
    return {
        "truth_beats_decoys": bool(pairs) and len(beaten) == len(pairs),
        "pairs": len(pairs),
        "beaten": len(beaten),
        "clearly": sum(pair.lo > 0 for pair in pairs) if kind.ours else None,
        "unscored": unscored,
        "units": len(table),
        **mean_entry("truth", truths, seed),
        **drops,
        "failures": [_failure(pair) for pair in sorted(set(pairs) - set(beaten), key=_gap)[:FAILURES]],
    }


def _gap(pair: Pair) -> float:
    return pair.truth - pair.other


def _failure(pair: Pair) -> dict[str, Any]:
    return {"unit": pair.exhibit.name, "decoy": pair.decoy, "truth": pair.truth, "decoy_score": pair.other}


def _value(scored: Mapping[str, Mapping[str, Estimate]], candidate: str, name: str) -> float:
    estimate = scored.get(candidate, {}).get(name)
    return float("nan") if estimate is None else estimate.value


def _pairs(name: str, table: Table) -> tuple[list[Pair], int]:
    """The truth beside every decoy, where both have a score, and how often one has none."""
    pairs: list[Pair] = []
    unscored = 0
    for exhibit, scored in table.items():
        for decoy in (kind for kind in exhibit.decoys if kind in scored):
            truth, other = _value(scored, TRUTH, name), _value(scored, decoy, name)
            if np.isnan(truth) or np.isnan(other):
                unscored += 1
                continue
            above = scored[TRUTH][name].replicates - scored[decoy][name].replicates
            bounds = Estimate(truth - other, above).interval()
            pairs.append(Pair(exhibit, decoy, truth, other, bounds.lo, bounds.hi))
    return pairs, unscored


def _falls(name: str, table: Table, corrupted: str) -> list[tuple[float, float]]:
    """By how much each exhibit's score falls when the truth's labels are changed, and which share of it that is."""
    falls: list[tuple[float, float]] = []
    for scored in table.values():
        truth, other = _value(scored, TRUTH, name), _value(scored, corrupted, name)
        if np.isfinite(truth) and np.isfinite(other) and truth:
            falls.append((truth - other, (truth - other) / abs(truth)))
    return falls


def mean_entry(name: str, values: Sequence[float], seed: int) -> dict[str, float | None]:
    """A mean over units and its bounds, from units drawn again, as they stand in the result."""
    mean = mean_over(values, seed)
    parts = {name: mean.value, f"{name}_lo": mean.lo, f"{name}_hi": mean.hi}
    return {key: None if np.isnan(value) else round(float(value), 4) for key, value in parts.items()}


def mean_over(values: Sequence[float], seed: int) -> Interval:
    """A mean over units; without bounds where they are few, NaN where there are none."""
    if not values:
        return Interval(np.nan, np.nan, np.nan)
    array = np.array(values)
    if len(array) < FEWEST:
        return Interval(float(array.mean()), np.nan, np.nan)
    drawn = document_weights(len(array), 1000, seed) @ array / len(array)
    return Estimate(float(array.mean()), drawn).interval()
