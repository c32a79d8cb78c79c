"""Two runs side by side: what makes them comparable, how far their scores differ, and whose verdict changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.verdict_words import VERDICTS
from assay.stats.bootstrap import Interval, independent_difference
from assay.stats.strata import mean_over_units, trained_minus_twin
from assay.store.claims import Scores, measures, scores
from assay.view.opened import Opened

_SPLITS = "documents to fit, choose and test"
FEWEST = 20  # units below which no interval over units is given
_DRAWS = 12_000_000  # units drawn for the intervals of a page, about
_MOST, _LEAST = 2_000, 300  # resamples


class Sameness(NamedTuple):
    """One thing that two runs have in common or not."""

    what: str
    same: bool
    a: str
    b: str


class Joined(NamedTuple):
    """The units that an explainer explained in both runs, with one measure of each; NaN where it has no value."""

    units: list[str]
    layers: NDArray[np.int64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    verdicts_a: list[str]
    verdicts_b: list[str]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(units,) which have a value in both."""
        return np.isfinite(self.a) & np.isfinite(self.b)


@lru_cache(maxsize=8)
def scores_of(opened: Opened, explainer: str, measure: str) -> Scores:
    """One measure of an explainer's claims in a run, kept for the next page that asks for it."""
    return scores(opened.run, opened.index.path, explainer, measure)


def joined(one: Scores, other: Scores) -> Joined:
    """The units of both, in the order of the first."""
    place = {unit: at for at, unit in enumerate(other.units)}
    pairs = [(at, place[unit]) for at, unit in enumerate(one.units) if unit in place]
    left, right = np.array([at for at, _ in pairs], np.int64), np.array([at for _, at in pairs], np.int64)
    return Joined(
        [one.units[at] for at, _ in pairs],
        one.layers[left],
        one.values[left],
        other.values[right],
        [one.verdicts[at] for at, _ in pairs],
        [other.verdicts[at] for _, at in pairs],
    )


def mean_difference(pair: Joined) -> dict[str, Any]:
    """Mean of B minus A over the units that have both scores; the interval is over these, drawn again in pairs."""
    kept = pair.scored
    differences = pair.b[kept] - pair.a[kept]
    found = resampled(differences)
    return {
        "units": len(differences),
        "left_out": int((~kept).sum()),
        "mean_a": _mean(pair.a[kept]),
        "mean_b": _mean(pair.b[kept]),
        **_bounds(found),
        "higher": int((differences > 0).sum()),
        "lower": int((differences < 0).sum()),
    }


def resampled(values: NDArray[np.float64], draws: int = _DRAWS) -> Interval:
    """A mean over units with its interval, from fewer resamples the more units there are; none of a few units."""
    if len(values) < FEWEST:
        return Interval(_mean(values), float("nan"), float("nan"))
    replicates = int(np.clip(draws // len(values), _LEAST, _MOST))
    return mean_over_units(values, replicates=replicates, seed=0)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _bounds(found: Interval) -> dict[str, float | None]:
    return {name: _known(float(value)) for name, value in zip(("difference", "lo", "hi"), found, strict=True)}


def changed(pair: Joined) -> dict[str, Any]:
    """How many units have which verdict in A and which in B."""
    counts = Counter(zip(pair.verdicts_a, pair.verdicts_b, strict=True))
    names = [name for name in VERDICTS if any(name in both for both in counts)]
    rows = [{"verdict": a, "counts": {b: counts[a, b] for b in names}} for a in names]
    return {"names": names, "rows": rows, "changed": sum(n for (a, b), n in counts.items() if a != b)}


def by_layer(one: Scores, other: Scores) -> list[dict[str, Any]]:
    """Mean score by layer in both runs, and the difference.

    The units of the two are drawn again apart, since those of other weights are other units: the interval is made of
    both sides' intervals as independent errors.
    """
    shared = np.intersect1d(one.layers, other.layers)
    return [_layer(int(layer), one, other, _DRAWS // len(shared)) for layer in shared]


def _layer(layer: int, one: Scores, other: Scores, draws: int) -> dict[str, Any]:
    sides = [side.values[(side.layers == layer) & np.isfinite(side.values)] for side in (one, other)]
    means = [resampled(values, draws) for values in sides]
    gap = independent_difference(means[1], means[0])
    return {
        "layer": layer,
        "units_a": len(sides[0]),
        "units_b": len(sides[1]),
        "mean_a": _mean(sides[0]) if len(sides[0]) else None,
        "mean_b": _mean(sides[1]) if len(sides[1]) else None,
        **_bounds(gap),
    }


@lru_cache(maxsize=8)
def by_kind(one: Opened, other: Opened) -> list[dict[str, Any]]:
    """B minus A for r of the rules of all units, of those that one token carries, and of the others.

    Nothing where a run does not say how much of each unit one token carries.
    """
    from assay.explain.whole.compare import scored_units

    if not all("token_single" in measures(side.index.path, "rules") for side in (one, other)):
        return []
    a, b = scored_units(one.run), scored_units(other.run)
    replicates = int(np.clip(_DRAWS // max(len(a.r), len(b.r), 1), _LEAST, _MOST))
    return [
        {
            "stratum": row.stratum,
            "units_a": row.n_twin,
            "units_b": row.n_trained,
            "mean_a": _known(row.twin),
            "mean_b": _known(row.trained),
            **_bounds(row.difference if min(row.n_trained, row.n_twin) >= FEWEST else _without(row.difference)),
        }
        for row in trained_minus_twin(b.r, a.r, b.single, a.single, replicates=replicates)
    ]


def _without(found: Interval) -> Interval:
    """The same without bounds."""
    return Interval(found.value, float("nan"), float("nan"))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def sameness(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Sameness]:
    """What the specs of two runs say of model, text and settings."""
    rows = (
        ("weights", ("subject", "fingerprint"), ("subject", "name")),
        ("numerics", ("subject", "dtype"), ("subject", "dtype")),
        ("text", ("corpus", "sha256"), ("corpus", "name")),
        (_SPLITS, ("corpus", "splits_sha256"), ("corpus", "splits_sha256")),
        ("tokens", ("corpus", "tokens"), ("corpus", "tokens")),
        ("seed", ("resolved", "seed"), ("resolved", "seed")),
        ("most rules", ("resolved", "rules"), ("resolved", "rules")),
        ("calibration", ("resolved", "calibration"), ("resolved", "calibration")),
        ("commit", ("git", "commit"), ("git", "commit")),
    )
    return [
        Sameness(what, _at(a, by) == _at(b, by) and _at(a, by) is not None, _shown(_at(a, says)), _shown(_at(b, says)))
        for what, by, says in rows
        if _at(a, by) is not None or _at(b, by) is not None
    ]


def _at(spec: Mapping[str, Any], path: tuple[str, str]) -> Any:
    return (spec.get(path[0]) or {}).get(path[1])


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{number:,} to {name}" for name, number in value.items())
    text = "not said" if value is None else str(value)
    return text[:12] if len(text) in (40, 64) and text.isalnum() else text


def conclusion(rows: Sequence[Sameness], twin: bool) -> str:
    """What a difference between the two runs would mean, in plain sentences."""
    same = {row.what: row.same for row in rows}
    documents, told = same.get(_SPLITS, False), ("weights", "text", _SPLITS, "tokens", "commit")
    others = [row.what for row in rows if not row.same and row.what not in told]
    also = f" They differ in {', '.join(others)} as well." if others else ""
    if not same.get("weights", False):
        who = "B is the trained model and A its randomised twin" if twin else "The two runs are of different weights"
        text = "on the same documents" if documents else "on other documents, so that a difference may be the text’s"
        return f"{who}: a unit of one has nothing to do with its namesake in the other. Compare by layer, {text}.{also}"
    if documents:
        return f"The same units on the same documents: a difference is one of the explanations.{also}"
    whose = "the same text split otherwise" if same.get("text", False) else "another text"
    return (
        f"The same units on other documents ({whose}): a difference may come from the documents as well as from the "
        f"explanations, and a unit’s own interval says how much the documents of one run leave open.{also}"
    )
