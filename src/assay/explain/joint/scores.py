"""From stored losses to scores. No model is needed, here or later: the same arrays, the same scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.explain.evidence import number
from assay.explain.joint.arms import MEAN, NOISE, NULLS, PREDICTION, ZERO
from assay.explain.joint.stored import FILE, Arrays, Stored
from assay.referee.checks import NOISE_MULTIPLE
from assay.stats import Estimate, Interval, document_weights, interval, ratio_score, too_few_documents
from assay.store import Run

VERSION = 1
MEASURES = ("loss", "kl")
REPLICATES = 2000
SILENT = "the explainer says nothing of any of these units"


def joint_entries(stored: Stored, seed: int) -> list[dict[str, Any]]:
    """The rows of ``joint`` in the JSON result: one a site, share and explainer.

    ``loss_recovered`` is (L(mean) - L(prediction)) / (L(mean) - L(unedited)), and so is ``recovered_from_zero`` with
    the units at 0 in place of their means; ``mean_ablation`` and ``zero_ablation`` are the rises of the loss in nats
    a token. ``above_nulls`` is how far ``loss_recovered`` lies above the best of the nulls, ``over_noise`` above the
    benchmark, ``above`` above each other explainer, paired. ``kl`` holds the same of the divergence from the unedited
    distribution. ``held_at_mean`` counts the units of which the explainer says nothing. What the effect of the mean
    can't carry has no score, and ``unscored`` says why.
    """
    entries: list[dict[str, Any]] = []
    for site, names in json.loads(stored.metadata["arms"]).items():
        own = {name.removeprefix(f"{site}."): a for name, a in stored.arrays.items() if name.startswith(f"{site}.")}
        pairs = [(name.split(".")[0], name.split(".")[1]) for name in names]
        weights = document_weights(len(own["documents"]), REPLICATES, seed)
        for i, explainer in enumerate(dict.fromkeys(name for name, _ in pairs if name)):
            for k in range(len(own["shares"])):
                rises = {pair: own["effects"][a, :, k] for a, pair in enumerate(pairs)}
                entries.append(_entry(SiteId.parse(site), explainer, own, rises, weights, i, k))
    return sorted(entries, key=lambda entry: (entry["layer"], entry["site"], entry["share"]))


def _entry(
    site: SiteId,
    explainer: str,
    own: Arrays,
    rises: Mapping[tuple[str, str], NDArray[np.float64]],
    weights: NDArray[np.float64],
    which: int,
    share: int,
) -> dict[str, Any]:
    tokens = own["tokens"]
    silent = SILENT if own["held"][which, share] == own["counts"][share] else None
    by_measure = {
        name: _recovered(
            {arm: both[i] for (who, arm), both in rises.items() if who in ("", explainer)},
            {who: both[i] for (who, arm), both in rises.items() if arm == PREDICTION and who != explainer},
            own["floor"][i],
            tokens,
            weights,
            silent,
        )
        for i, name in enumerate(MEASURES)
    }
    loss = by_measure["loss"]
    return {
        "layer": site.layer,
        "site": str(site),
        "share": float(own["shares"][share]),
        "units": int(own["counts"][share]),
        "explainer": explainer,
        "loss_recovered": loss.pop("recovered"),
        **loss,
        "unedited_loss": float(own["unedited"].sum() / tokens.sum()),
        "kl": by_measure["kl"],
        "held_at_mean": int(own["held"][which, share]),
        "tokens": int(tokens.sum()),
        "documents": len(own["documents"]),
    }


def _recovered(
    arms: Mapping[str, NDArray[np.float64]],
    others: Mapping[str, NDArray[np.float64]],
    floor: NDArray[np.float64],
    tokens: NDArray[np.float64],
    weights: NDArray[np.float64],
    silent: str | None,
) -> dict[str, Any]:
    """One measure of one explainer at one share: everything that is made of the sums by document."""
    found: dict[str, Any] = {}
    for arm in (MEAN, ZERO):
        rise = _a_token(arms[arm], tokens, weights)
        found |= {f"{arm}_ablation{end}": number(x) for end, x in zip(("", "_lo", "_hi"), rise, strict=True)}
    reason = silent or why_unscored(arms[MEAN], floor, tokens, weights)
    estimates = {arm: _share_kept(rise, arms[MEAN], weights) for arm, rise in arms.items() if arm not in (MEAN, ZERO)}
    own = estimates[PREDICTION]
    nulls = {MEAN: Estimate(0.0, np.zeros(len(weights)))} | {arm: estimates[arm] for arm in NULLS if arm in estimates}
    best = Estimate(
        max(null.value for null in nulls.values()), np.max([null.replicates for null in nulls.values()], axis=0)
    )
    from_zero = _share_kept(arms[PREDICTION], arms[ZERO], weights)
    zero_unscored = reason or why_unscored(arms[ZERO], floor, tokens, weights)
    few = bool(too_few_documents(len(tokens)))
    shown = {
        **_named("recovered", None if reason else own.interval(), few, bare=True),
        "nulls": {name: None if reason else number(null.value) for name, null in nulls.items()},
        NOISE: number(estimates[NOISE].value) if NOISE in estimates and not reason else None,
        "above_nulls": _triple(None if reason else _minus(own, best), few),
        "above": {
            name: _triple(None if reason else _minus(own, _share_kept(rise, arms[MEAN], weights)), few)
            for name, rise in others.items()
        },
        "over_noise": _triple(None if reason or NOISE not in estimates else _minus(own, estimates[NOISE]), few),
        **_named("recovered_from_zero", None if zero_unscored else from_zero.interval(), few),
    }
    return shown | found | {"unscored": reason, "reason": "; ".join(too_few_documents(len(tokens)))}


def why_unscored(
    effect: NDArray[np.float64], floor: NDArray[np.float64], tokens: NDArray[np.float64], weights: NDArray[np.float64]
) -> str | None:
    """Why nothing can be measured against an ablation's effect, (d,) by document; None where it can."""
    if not abs(effect.sum()) > NOISE_MULTIPLE * floor.sum():
        return f"the effect of the ablation is under {NOISE_MULTIPLE} times the numerical noise"
    cost = _a_token(effect, tokens, weights)
    if not cost.lo > 0:
        which = "the interval of its cost touches 0" if cost.hi >= 0 else "the model does better with it"
        return f"the ablation costs nothing that is beyond chance: {which}"
    return None


def _a_token(effect: NDArray[np.float64], tokens: NDArray[np.float64], weights: NDArray[np.float64]) -> Interval:
    """Nats a token, over resamples of the documents."""
    return interval(float(effect.sum() / tokens.sum()), (weights @ effect) / (weights @ tokens))


def _share_kept(arm: NDArray[np.float64], whole: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    """1 - the effect of an arm / the effect of the whole ablation."""
    return ratio_score(arm, whole, np.arange(len(arm)), np.ones(len(arm)), weights)


def _minus(one: Estimate, other: Estimate) -> Interval:
    return interval(one.value - other.value, one.replicates - other.replicates)


def _named(name: str, found: Interval | None, few: bool, bare: bool = False) -> dict[str, float | None]:
    """Value and bounds by key; no bounds from few documents."""
    value, lo, hi = _triple(found, few) or (None, None, None)
    ends = ("lo", "hi") if bare else (f"{name}_lo", f"{name}_hi")
    return {name: value, ends[0]: lo, ends[1]: hi}


def _triple(found: Interval | None, few: bool) -> list[float | None] | None:
    if found is None:
        return None
    return [number(found.value), *([None, None] if few else map(number, found[1:]))]


def joint_rows(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table ``joint``: a row an entry and measure."""
    rows: list[dict[str, Any]] = []
    for entry in entries:
        same = {key: entry[key] for key in ("layer", "site", "share", "units", "explainer", "held_at_mean", "tokens")}
        for measure in MEASURES:
            own = entry if measure == "loss" else entry["kl"]
            value = own["loss_recovered" if measure == "loss" else "recovered"]
            above = own["above_nulls"] or (None, None, None)
            rows.append(
                same
                | {"documents": entry["documents"], "measure": measure, "value": value, "lo": own["lo"]}
                | {"hi": own["hi"], "nulls": json.dumps(own["nulls"]), NOISE: own[NOISE]}
                | dict(zip(("d", "d_lo", "d_hi"), above, strict=True))
                | {key: own[key] for key in ("recovered_from_zero", "mean_ablation", "zero_ablation")}
                | {"reason": own["reason"], "unscored": own["unscored"], "version": VERSION}
            )
    return rows


def recompute_joint(run: Run) -> list[dict[str, Any]]:
    """The rows of ``joint`` again, from the losses that the run stored.

    Raises:
        RunError: the run has none, or the file is damaged.
    """
    stored = Stored(run.tensors(FILE), run.tensor_metadata(FILE))
    return joint_entries(stored, int(run.spec["resolved"]["seed"]))
