"""Which units of a run are exported: all of a small run, and of a large one some of every verdict, r and depth."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from assay.explain.names import OUTPUTS
from assay.store.index import Index
from assay.store.listing import Among, Asked
from assay.view.opened import Opened

_AT_ONCE = 5_000
_KEPT = ("unit", "layer", "claim", "explainer", "text", "r", "verdict")


class ExportIndex(Index):
    """An index of which lists, and the ways from unit to unit, know the exported units only, None for all."""

    def __init__(self, index: Index, units: Sequence[str] | None = None) -> None:
        super().__init__(index.path)
        if units is not None:
            self.among = Among("u.unit IN (SELECT value FROM json_each(?))", [json.dumps(list(units))])

    def beside(self, n: int) -> tuple[str | None, str | None]:
        """The exported units before and behind the one at place ``n``."""
        chosen, given = self.among or ("1", ())
        query = f"SELECT u.unit FROM units u WHERE u.n {{}} ? AND {chosen} ORDER BY u.n {{}} LIMIT 1"
        before, behind = (self._ask(query.format(*way), (n, *given)) for way in (("<", "DESC"), (">", "ASC")))
        return (before[0][0] if before else None), (behind[0][0] if behind else None)

    def rows(self, explainer: str) -> Iterator[dict[str, Any]]:
        """Every exported unit with its claim by an explainer, None where it has none, in the order of the run."""
        start = 0
        while found := self.units(Asked(explainer, start=start, most=_AT_ONCE)).rows:
            yield from ({name: row[name] for name in _KEPT} for row in found)
            start += len(found)

    def peaks(self) -> dict[str, list[str]]:
        """By unit, the tokens on which its exemplars peak, those of most exemplars first."""
        chosen, given = self.among or ("1", ())
        query = f"""SELECT u.unit, p.token FROM peaks p JOIN units u ON u.n = p.unit WHERE {chosen}
            ORDER BY u.n, p.count DESC, p.token"""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for unit, token in self._ask(query, given):
            found[unit].append(token)
        return {unit: list(dict.fromkeys(tokens)) for unit, tokens in found.items()}


class Chosen(NamedTuple):
    """What of one run is exported.

    ``units``: by name, whose predictions can be laid over the unit's texts, the default first; ``claims``: by number,
    the units of all claims about them; ``layers``: those that
    have units; ``lists``: of these units; ``of``: how many units the run has.
    """

    run: str
    lists: ExportIndex
    explainers: list[str]
    units: dict[str, tuple[str, ...]]
    claims: dict[int, str]
    layers: list[int]
    of: int


def choose(opened: Opened, most: int | None) -> Chosen:
    """Choose at most ``most`` units, None for all, and let the run's lists know these only."""
    index = opened.index = ExportIndex(opened.index)
    explainers = index.explainers()
    rows = list(index.rows(explainers[0] if explainers else ""))
    if most is not None and most < len(rows):
        kept = [rows[i] for i in spread(rows, most)]
        index = opened.index = ExportIndex(index, [row["unit"] for row in kept])
    else:
        kept = rows
    claims = {explainer: _claims(index, explainer) for explainer in explainers}
    units = {row["unit"]: _laid_over(claims, row["unit"]) for row in kept}
    numbers = dict(sorted((number, unit) for own in claims.values() for unit, number in own.items()))
    layers = sorted({row["layer"] for row in kept})
    return Chosen(opened.run.id, index, explainers, units, numbers, layers, len(rows))


def _claims(index: ExportIndex, explainer: str) -> dict[str, int]:
    """By unit, the number of the explainer's claim about it."""
    return {row["unit"]: row["claim"] for row in index.rows(explainer) if row["claim"] is not None}


def _laid_over(claims: Mapping[str, Mapping[str, int]], unit: str) -> tuple[str, ...]:
    """The explainers that say when the unit fires, in the order of their claims."""
    found = {name: own[unit] for name, own in claims.items() if unit in own and name not in OUTPUTS}
    return tuple(sorted(found, key=found.__getitem__))


def spread(rows: Sequence[Mapping[str, Any]], most: int) -> list[int]:
    """Places of ``most`` of the rows, in their order: as many of each verdict as there are, or as all the others get.

    Half of a verdict's share is spread evenly over the order of r, both ends with it, and half over that of layers.
    """
    by_verdict: defaultdict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        by_verdict[row["verdict"] or ""].append(i)
    chosen, left = list[int](), most
    groups = sorted(by_verdict.items(), key=lambda pair: (len(pair[1]), pair[0]))
    for done, (_, own) in enumerate(groups):
        quota = min(len(own), left // (len(groups) - done))
        left -= quota
        chosen += _spread_of(rows, own, quota)
    return sorted(chosen)


def _spread_of(rows: Sequence[Mapping[str, Any]], own: Sequence[int], quota: int) -> list[int]:
    def r(i: int) -> float:
        return -2.0 if rows[i]["r"] is None else rows[i]["r"]

    first = _evenly(sorted(own, key=lambda i: (r(i), i)), (quota + 1) // 2)
    rest = sorted(set(own) - set(first), key=lambda i: (rows[i]["layer"], r(i), i))
    return first + _evenly(rest, quota - len(first))


def _evenly(ordered: Sequence[int], count: int) -> list[int]:
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, count).round().astype(int)] if count else []
