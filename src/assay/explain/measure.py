"""The test split answers: one pass that meets activations and predictions, then the behaviour runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.explain.behaviour import Behaviour, Divergences
from assay.explain.claims import Claim, plain_r
from assay.explain.material import Part, Progress
from assay.explain.verdicts import ARMS
from assay.record import stream
from assay.referee import shuffled
from assay.stats.correlation import CONSTANT

if TYPE_CHECKING:
    from assay.model import Subject

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Tested:
    """What the test split said.

    ``activations``: (targets, n) in flat order. ``predictions``, ``other_unit``: (claims, n), calibrated. ``rank``:
    by claim, the place of its unit when all units of the site are ordered by their r with the prediction, from 1;
    None where that r is not defined: a constant prediction or activation.
    """

    activations: Floats
    predictions: Floats
    other_unit: Floats
    rank: tuple[int | None, ...]
    seconds_forward: float


def run_test_pass(
    subject: Subject, part: Part, targets: Sequence[UnitId], claims: Sequence[Claim], progress: Progress
) -> Tested:
    """Predict every claim on the test split, record its unit, and rank the unit among all of its site."""
    views = part.full_view
    predictions = np.stack([_line(c.calibration(c.explanation.predict(views))) for c in claims])
    rivals = np.stack([_line(c.rival_calibration(c.rival.predict(views))) for c in claims])
    sites = sorted({unit.site for unit in targets})
    sums = {site: _SiteSums(subject.width(site), [c for c in claims if c.unit.site == site]) for site in sites}
    of_site = {site: [i for i, c in enumerate(claims) if c.unit.site == site] for site in sites}
    activations = np.zeros((len(targets), part.table.n_tokens), dtype=np.float32)
    done, seconds = 0, 0.0
    names = [document.id for document in part.documents]
    for block in stream(subject, part.table, sites, document_ids=names):
        keep = part.scored[block.flat]
        for i, unit in enumerate(targets):
            activations[i, block.flat] = block.activations[unit.site][:, unit.index]
        for site, values in block.activations.items():
            sums[site].update(values[keep], predictions[of_site[site]][:, block.flat[keep]])
        done, seconds = done + len(block.flat), seconds + block.seconds
        progress("testing on unseen documents", done / part.table.n_tokens)
    rank = {i: place for site in sites for i, place in zip(of_site[site], sums[site].ranks(), strict=True)}
    return Tested(activations, predictions, rivals, tuple(rank[i] for i in range(len(claims))), seconds)


def _line(values: NDArray[np.float64]) -> Floats:
    return values.astype(np.float32)


class _SiteSums:
    """Streaming correlations of a site's claims with all of its units."""

    def __init__(self, width: int, claims: Sequence[Claim]) -> None:
        self.claims, self.n = claims, 0
        self.x, self.xx = np.zeros(width), np.zeros(width)
        self.p, self.pp = np.zeros(len(claims)), np.zeros(len(claims))
        self.px = np.zeros((len(claims), width))

    def update(self, x: Floats, p: Floats) -> None:
        x64, p64 = x.astype(np.float64), p.astype(np.float64)
        self.n += len(x)
        self.x += x64.sum(0)
        self.xx += (x64**2).sum(0)
        self.p += p64.sum(1)
        self.pp += (p64**2).sum(1)
        self.px += p64 @ x64

    def ranks(self) -> list[int | None]:
        """Units of the site whose r with the claim's prediction is above that of its own unit, plus one."""
        covariance = self.px / self.n - np.outer(self.p, self.x) / self.n**2
        x_sd, p_sd = self._sd(self.x, self.xx), self._sd(self.p, self.pp)
        relative = covariance / np.where(x_sd > 0, x_sd, np.inf)
        places: list[int | None] = []
        for claim, row, spread in zip(self.claims, relative, p_sd, strict=True):
            own = claim.unit.index
            defined = spread > 0 and x_sd[own] > 0
            places.append(1 + int((row > row[own]).sum()) if defined else None)
        return places

    def _sd(self, total: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard deviations; 0 where the variance is rounding beside the second moment."""
        second = squares / self.n
        variance = second - (total / self.n) ** 2
        return np.sqrt(np.where(variance > CONSTANT * second, variance, 0))


def run_behaviour(
    subject: Subject,
    part: Part,
    targets: Sequence[UnitId],
    claims: Sequence[Claim],
    tested: Tested,
    means: Mapping[UnitId, float],
    seed: int,
    progress: Progress,
) -> dict[str, NDArray[Any]]:
    """The arrays of ``tensors/behaviour.safetensors``: J of every arm of every claim, in fp32.

    Args:
        subject: in fp32.
        means: by unit, its mean on the fit split: the arm that every score is measured against.
    """
    runs = Behaviour(subject, part, {unit.site.layer for unit in targets}, seed, progress)
    found: dict[int, tuple[Divergences, dict[str, str]]] = {}
    for place, unit in enumerate(targets):
        progress(f"replacing {unit} by its predictions", place / len(targets))
        real, keep = tested.activations[place], part.scored
        arms: dict[str, Floats] = {"mean": np.full_like(real, means[unit])}
        own = [i for i, claim in enumerate(claims) if claim.unit == unit]
        for i in own:
            arms[f"{i}.prediction"] = tested.predictions[i]
            if claims[i].role == "claim":
                arms[f"{i}.other_unit"] = tested.other_unit[i]
                arms[f"{i}.shuffled"] = _shuffled(tested.predictions[i], keep, seed)
                arms[f"{i}.noise_equal_r"] = noisy(real, keep, plain_r(tested.predictions[i][keep], real[keep]), seed)
        result = runs.run(unit, real, arms)
        for i in own:
            # a control has its rival in common with the claim of the same explainer: one run of that arm serves both
            twin = next(k for k in own if claims[k].role == "claim" and claims[k].explainer == claims[i].explainer)
            names = {arm: f"{i}.{arm}" for arm in ARMS} | {"mean": "mean", "other_unit": f"{twin}.other_unit"}
            found[i] = result, names
    return _pack(found, len(claims))


def _shuffled(predicted: Floats, scored: NDArray[np.bool_], seed: int) -> Floats:
    out = predicted.copy()
    out[scored] = shuffled(predicted[scored].astype(np.float64), seed)
    return out


def noisy(real: Floats, scored: NDArray[np.bool_], r: float, seed: int) -> Floats:
    """The true activation plus Gaussian noise, brought back to scale so that it correlates with the truth at ``r``.

    It is what a calibrated prediction of that r looks like when its errors have nothing to do with the text: the
    mean plus ``r**2`` times the deviation plus noise of variance ``r**2 (1 - r**2)`` times the unit's.
    """
    r = min(max(r, 0.0), 1.0)
    mean, sd = float(real[scored].mean()), float(real[scored].std())
    noise = np.random.default_rng([seed, 3]).standard_normal(real.shape)
    return (mean + r**2 * (real - mean) + r * np.sqrt(1 - r**2) * sd * noise).astype(np.float32)


def _pack(found: Mapping[int, tuple[Divergences, dict[str, str]]], n_claims: int) -> dict[str, NDArray[Any]]:
    size = max(len(result.windows) for result, _ in found.values())
    j = np.full((n_claims, len(ARMS), size), np.nan)
    weights, floor = np.zeros((n_claims, size)), np.zeros((n_claims, size))
    documents, windows = (np.full((n_claims, size), -1, dtype=np.int32) for _ in range(2))
    for i, (result, names) in found.items():
        count = len(result.windows)
        for a, arm in enumerate(ARMS):
            if names[arm] in result.j:
                j[i, a, :count] = result.j[names[arm]]
        weights[i, :count], floor[i, :count] = result.weights, result.floor
        documents[i, :count], windows[i, :count] = result.documents, result.windows
    return {"J": j, "documents": documents, "windows": windows, "weights": weights, "floor": floor}
