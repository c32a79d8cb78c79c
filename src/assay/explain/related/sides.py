"""The two sides of a unit: what it drives, and what drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.explain.material import Progress
from assay.explain.related import weights as by_weights
from assay.explain.related.ablation import Ablations, Change, Moved, Null
from assay.explain.related.agreement import agreement
from assay.explain.related.attribution import PROBES, attribute
from assay.explain.related.nulls import nulls
from assay.explain.related.relations import choose, effects, in_sds, measure, relation
from assay.explain.related.survey import Around, survey
from assay.explain.related.text import Text
from assay.explain.related.weights import LEVEL, Weights

if TYPE_CHECKING:
    from assay.model import Subject

_KINDS = {"mlp_act": "neurons", "head": "heads"}


class Sides:
    """One unit's surroundings.

    Args:
        subject: in fp32.
        fit: text to choose on.
        report: text to report from, of other documents.
        k: units of each kind on each side.
    """

    def __init__(
        self, subject: Subject, unit: UnitId, fit: Text, report: Text, k: int, seed: int, progress: Progress
    ) -> None:
        self.subject, self.unit, self.k, self.seed, self.progress = subject, unit, k, seed, progress
        self.fit, self.report = fit, report
        self.around = Around.of(subject, unit)
        self.found = survey(subject, fit, unit, self.around, progress)
        self._on_fit, self._on_report = (Ablations(subject, text, self.found, progress) for text in (fit, report))
        self._derived = 0.0

    @property
    def passes(self) -> float:
        """Layers that were run, backwards ones included, over those of one whole pass over one half of the tokens."""
        layers = self._on_fit.layers_run + self._on_report.layers_run + self._derived
        return 1 + layers / self.subject.n_layers

    def downstream(self) -> dict[str, Any]:
        """What the unit drives."""
        unit, behind = self.unit, self.around.behind
        if not behind:
            return self._nothing(
                f"no neuron and no head comes after {unit}: what is written in the last layer goes to the logits alone"
            )
        weights = by_weights.downstream(self.subject, unit, self.around, self.found, self.seed)
        sds = {site: self.found.sds[site].numpy() for site in behind}
        chosen_on, _ = self._on_fit.downstream(unit, behind, {})
        first = effects(chosen_on, self.fit.n_scored, sds)
        chosen = choose(weights, first, self.k)
        beside = nulls(self.subject, unit, self.seed)
        changes, null = self._on_report.downstream(unit, behind, beside)
        relations = [
            self._relation(other, reasons, changes[other.site].take(other.number), weights, self._nulls(null, other))
            for other, reasons in chosen.items()
        ]
        neurons = {site: values for site, values in first.items() if site.kind == "mlp_act"}
        ones = {site: np.array(self.found.unit_sd) for site in behind}
        return {
            **self._candidates(behind, neurons),
            "note": None if relations else f"{unit} moves nothing: its write vector is zero",
            "by_weights": _told(weights),
            "null_effects": self._null_extremes(null),
            "relations": relations,
            "agreement": agreement(weights, changes, self.report.tokens_by_document, sds, ones, True, self.seed),
        }

    def upstream(self) -> dict[str, Any]:
        """What drives the unit."""
        unit, before = self.unit, self.around.before
        if not before:
            return self._nothing(f"no neuron and no head comes before {unit}")
        if self.found.unit_sd == 0:
            return self._nothing(f"the norm of what {unit} writes never varies, so nothing can be seen to move it")
        weights = by_weights.upstream(self.subject, unit, self.around, self.found, self.seed)
        sources = {site: self.found.sds[site].numpy() for site in before}
        one = {site: np.array(self.found.unit_sd) for site in before}
        estimated = attribute(self.subject, self.fit, unit, before, self.found, self.seed, self.progress)
        self._derived = (1 + PROBES) * (unit.site.layer + 1)
        first = effects(estimated, self.fit.n_scored, one)
        chosen = choose(weights, first, self.k)
        random = self._random(chosen)
        moved = self._on_report.upstream(unit, [*chosen, *random])
        rows = [
            self._relation(other, ["random"], moved[other].change, weights, self._beside(moved[other]), first)
            for other in random
        ]
        null: dict[str, float] = {}
        for other, row in zip(random, rows, strict=True):
            null[other.site.kind] = max(null.get(other.site.kind, 0.0), row["effect"])
        relations = [
            self._relation(
                other,
                reasons,
                moved[other].change,
                weights,
                _own_kind(null, other) | self._beside(moved[other]),
                first,
            )
            for other, reasons in chosen.items()
        ]
        neurons = {site: values for site, values in first.items() if site.kind == "mlp_act"}
        return {
            **self._candidates(before, neurons),
            "note": None if relations else f"nothing that comes before {unit} moves it",
            "by_weights": _told(weights),
            "null_effects": {f"other_{_KINDS[kind]}": value for kind, value in null.items()},
            "relations": relations,
            "random": rows,
            "agreement": agreement(weights, estimated, self.fit.tokens_by_document, one, sources, False, self.seed),
        }

    def _relation(
        self,
        other: UnitId,
        reasons: Sequence[str],
        change: Change,
        weights: Weights | None,
        nulls: Mapping[str, float],
        first: Mapping[SiteId, NDArray[np.float64]] | None = None,
    ) -> dict[str, Any]:
        """Upstream where ``first``, the estimates to first order, are given; else downstream."""
        sd = float(self.found.sds[other.site][other.number])
        source, reader = (self.found.unit_sd, sd) if first is None else (sd, self.found.unit_sd)
        measured = measure(change, self.report.tokens_by_document, source, reader, self.seed)
        estimate = None if first is None else float(first[other.site][other.number])
        return relation(other, reasons, measured, nulls, weights, estimate)

    def _beside(self, moved: Moved) -> dict[str, float]:
        """What the same ablation does to the other units of the unit's site: more than to 95 of 100 of them."""
        sds = self.found.sds[self.unit.site].numpy()
        others = in_sds(np.sqrt(moved.beside / self.report.n_scored), sds)[sds > 0]
        return {"other_readers": float(np.quantile(others, LEVEL))} if others.size else {}

    def _nulls(self, found: Sequence[Null], other: UnitId) -> dict[str, float]:
        """The greatest effect on one unit that each kind of null had."""
        sd = float(self.found.sds[other.site][other.number])
        best: dict[str, float] = {}
        for null in found:
            root = float(np.sqrt(null.square[other.site][other.number] / self.report.n_scored))
            best[null.kind] = max(best.get(null.kind, 0.0), root / sd if sd else 0.0)
        return best

    def _null_extremes(self, found: Sequence[Null]) -> dict[str, float]:
        """By kind of null, the greatest effect on any neuron, on average over the nulls of the kind."""
        extremes: dict[str, list[float]] = {}
        for null in found:
            neurons = {site: square for site, square in null.square.items() if site.kind == "mlp_act"}
            tops: list[float] = []
            for site, square in neurons.items():
                sd = self.found.sds[site].numpy()
                alive = sd > 0
                tops.append(float(np.max(np.sqrt(square[alive] / self.report.n_scored) / sd[alive], initial=0.0)))
            extremes.setdefault(null.kind, []).append(max(tops, default=0.0))
        return {kind: float(np.mean(values)) for kind, values in extremes.items()}

    def _random(self, chosen: Mapping[UnitId, Sequence[str]]) -> list[UnitId]:
        """Up to ``k`` neurons and ``k`` heads that were not chosen, of the layers of some that were."""
        rng = np.random.default_rng([self.seed, 15])
        drawn: list[UnitId] = []
        for kind in _KINDS:
            own = [unit.site for unit in chosen if unit.site.kind == kind]
            for at in rng.permutation(len(own))[: self.k]:
                alive = np.flatnonzero(self.found.sds[own[at]].numpy() > 0).tolist()
                free = [unit for i in alive if (unit := UnitId(own[at], i)) not in chosen and unit not in drawn]
                if free:
                    drawn.append(free[int(rng.integers(len(free)))])
        return drawn

    def _candidates(self, sites: Sequence[SiteId], neurons: Mapping[SiteId, NDArray[np.float64]]) -> dict[str, Any]:
        effect = np.concatenate([np.zeros(0), *neurons.values()])
        quantiles = np.quantile(effect, (0.5, 0.99, 0.999)).tolist() if effect.size else [None] * 3
        heads = sum(self.subject.n_heads for site in sites if site.kind == "head")
        return {
            "candidates": {"neurons": effect.size, "heads": heads},
            "effects": dict(zip(("median", "q99", "q999"), quantiles, strict=True)),
        }

    def _nothing(self, note: str) -> dict[str, Any]:
        return {
            **self._candidates([], {}),
            "note": note,
            "by_weights": None,
            "null_effects": {},
            "relations": [],
            "agreement": [],
        }


def _own_kind(null: Mapping[str, float], unit: UnitId) -> dict[str, float]:
    """Neurons are set beside neurons, heads beside heads."""
    kind = unit.site.kind
    return {f"other_{_KINDS[kind]}": null[kind]} if kind in null else {}


def _told(weights: Weights | None) -> dict[str, Any] | None:
    """What the strongest of all reach: with random vectors (95 of 100 draws are below), and other units (median)."""
    if weights is None:
        return None
    others = float(np.median(weights.others)) if weights.others.size else None
    return {"inputs": list(weights.names), "level": LEVEL, "null_best": weights.null_best, "others_best": others}
