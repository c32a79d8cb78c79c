"""The test split answers: one pass that meets activations and predictions, then the behaviour runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.explain.behaviour import Behaviour, Divergences
from assay.explain.claims import Claim, executed, plain_r
from assay.explain.material import Part, Progress
from assay.explain.names import SIMULATED
from assay.explain.verdicts import ARMS
from assay.explain.voice import Voice
from assay.record import stream
from assay.referee import shuffled
from assay.stats.correlation import CONSTANT

if TYPE_CHECKING:
    from assay.model import Subject

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Tested:
    """What the test split said.

    ``activations``: (targets, n) in flat order. ``predictions``, ``other_unit``: (claims, n), calibrated; NaN where a
    judge was not asked. ``rank``: by claim, the place of its unit when all units of the site are ordered by their r
    with the prediction, from 1; None where that r is not defined: a constant prediction or activation. ``sampled``:
    (n,) the pieces that simulated claims are scored on, None where there are no such claims.
    """

    activations: Floats
    predictions: Floats
    other_unit: Floats
    rank: tuple[int | None, ...]
    seconds_forward: float
    sampled: NDArray[np.bool_] | None = None

    def tokens(self, claim: int, explainer: str, scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(n,) the tokens that a claim is scored on: all that count, or those of the sample with an answer."""
        if explainer not in SIMULATED or self.sampled is None:
            return scored
        return scored & self.sampled & np.isfinite(self.predictions[claim]) & np.isfinite(self.other_unit[claim])


def tested_arrays(part: Part, tested: Tested) -> dict[str, NDArray[Any]]:
    """What a run stores of a part: its text by number, activations and predictions."""
    return {
        "ids": part.table.flat_ids.astype(np.int32),
        "documents": part.table.flat_documents.astype(np.int32),
        "windows": part.table.flat_windows.astype(np.int32),
        "positions": part.table.flat_positions.astype(np.int32),
        "activations": tested.activations,
        "predictions": tested.predictions,
        "other_unit": tested.other_unit,
        "scored": part.scored.astype(np.uint8),
    }


def run_test_pass(
    subject: Subject,
    part: Part,
    targets: Sequence[UnitId],
    claims: Sequence[Claim],
    progress: Progress,
    voices: Mapping[str, Voice] | None = None,
) -> Tested:
    """Predict every claim on the test split, record its unit, and rank the unit among all of its site.

    Args:
        voices: by explainer, who makes the predictions of simulated claims.
    """
    predictions, rivals = _predict(part, claims, voices or {}, progress)
    sites = sorted({unit.site for unit in targets})
    sampled = next((voice.sampled for voice in (voices or {}).values()), None)
    of_site = _by_site(claims)
    everyone = {site: subject.units.at(site) for site in sites}
    place = {site: {index: i for i, index in enumerate(units)} for site, units in everyone.items()}
    sums = {key: _SiteSums(place[key[0]], [claims[i] for i in own]) for key, own in of_site.items()}
    counted = {key: part.scored for key in of_site}
    if sampled is not None:
        answered = {key: np.isfinite(predictions[own]).all(0) for key, own in of_site.items() if key[1]}
        counted |= {key: part.scored & sampled & where for key, where in answered.items()}
    activations = np.zeros((len(targets), part.table.n_tokens), dtype=np.float32)
    done, seconds = 0, 0.0
    names = [document.id for document in part.documents]
    for block in stream(subject, part.table, sites, columns=everyone, document_ids=names):
        for i, unit in enumerate(targets):
            activations[i, block.flat] = block.activations[unit.site][:, place[unit.site][unit.index]]
        for key, own in of_site.items():
            keep = counted[key][block.flat]
            sums[key].update(block.activations[key[0]][keep], predictions[own][:, block.flat[keep]])
        done, seconds = done + len(block.flat), seconds + block.seconds
        progress("testing on unseen documents", done / part.table.n_tokens)
    rank = {i: place for key, own in of_site.items() for i, place in zip(own, sums[key].ranks(), strict=True)}
    return Tested(activations, predictions, rivals, tuple(rank.get(i) for i in range(len(claims))), seconds, sampled)


def _by_site(claims: Sequence[Claim]) -> dict[tuple[SiteId, str], list[int]]:
    """Numbers of the claims that predict, by site and by the voice that simulates them, "" where none does."""
    groups: dict[tuple[SiteId, str], list[int]] = {}
    for i, claim in enumerate(claims):
        if claim.unscored is None:
            voice = claim.explainer if claim.explainer in SIMULATED else ""
            groups.setdefault((claim.unit.site, voice), []).append(i)
    return groups


def _predict(
    part: Part, claims: Sequence[Claim], voices: Mapping[str, Voice], progress: Progress
) -> tuple[Floats, Floats]:
    """Predictions of the claims and of their rivals, (claims, n) each; NaN throughout for a claim without any."""
    own, rivals = (np.full((len(claims), part.table.n_tokens), np.nan, dtype=np.float32) for _ in range(2))
    for i, claim in enumerate(claims):
        if claim.unscored is not None:
            continue
        if (voice := voices.get(claim.explainer)) is not None:
            progress(f"simulating what was said of {claim.unit}", i / len(claims))
            own[i], rivals[i] = voice.predictions(claim)
        else:
            own[i] = _line(claim.calibration(executed(claim.explanation, part.full_view)))
            rivals[i] = _line(claim.rival_calibration(executed(claim.rival, part.full_view)))
    return own, rivals


def _line(values: NDArray[np.float64]) -> Floats:
    return values.astype(np.float32)


class _SiteSums:
    """Streaming correlations of a site's claims with all of its units; ``place`` is where each has its column."""

    def __init__(self, place: Mapping[int | str, int], claims: Sequence[Claim]) -> None:
        self.place, self.claims, self.n = place, claims, 0
        width = len(place)
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
        if not self.n:
            return [None] * len(self.claims)
        covariance = self.px / self.n - np.outer(self.p, self.x) / self.n**2
        x_sd, p_sd = self._sd(self.x, self.xx), self._sd(self.p, self.pp)
        relative = covariance / np.where(x_sd > 0, x_sd, np.inf)
        places: list[int | None] = []
        for claim, row, spread in zip(self.claims, relative, p_sd, strict=True):
            own = self.place[claim.unit.index]
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
    voices: Mapping[str, Voice] | None = None,
) -> dict[str, NDArray[Any]]:
    """The arrays of ``tensors/behaviour.safetensors``: J of every arm of every claim, in fp32.

    Args:
        subject: in fp32.
        tested: simulated claims' predictions in it are completed by the excerpts of their units.
        means: by unit, its mean on the fit split: the arm that every score is measured against.
        voices: by explainer, who makes the predictions of simulated claims.
    """
    runs = Behaviour(subject, part, {unit.site.layer for unit in targets}, seed, progress)
    found: dict[int, tuple[Divergences, dict[str, str]]] = {}
    for place, unit in enumerate(targets):
        progress(f"replacing {unit} by its predictions", place / len(targets))
        real, keep = tested.activations[place], part.scored
        arms: dict[str, Floats] = {"mean": np.full_like(real, means[unit])}
        own = [i for i, claim in enumerate(claims) if claim.unit == unit and claim.unscored is None]
        for i in own:
            if (voice := (voices or {}).get(claims[i].explainer)) is not None:
                excerpts = voice.predictions(claims[i], runs.excerpts(real).tolist(), runs.size.length)
                tested.predictions[i], tested.other_unit[i] = excerpts
            arms[f"{i}.prediction"] = tested.predictions[i]
            if claims[i].role == "claim":
                scored_on = tested.tokens(i, claims[i].explainer, keep)
                r = plain_r(tested.predictions[i][scored_on], real[scored_on])
                arms[f"{i}.other_unit"] = tested.other_unit[i]
                arms[f"{i}.shuffled"] = _shuffled(
                    tested.predictions[i], keep & np.isfinite(tested.predictions[i]), seed
                )
                arms[f"{i}.noise_equal_r"] = noisy(real, keep, r, seed)
        result = runs.run(unit, real, arms)
        for i in own:
            # a control has its rival in common with the claim of the same explainer: one run of that arm serves both
            twins = [k for k in own if claims[k].role == "claim" and claims[k].explainer == claims[i].explainer]
            names = {arm: f"{i}.{arm}" for arm in ARMS} | {"mean": "mean"}
            names |= {"other_unit": f"{twins[0]}.other_unit"} if twins else {}
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
    size = max((len(result.windows) for result, _ in found.values()), default=1)
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
