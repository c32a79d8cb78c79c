"""From the stored arrays of the output claims to their verdicts; no model is needed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.explain.names import OUTPUTS
from assay.referee import (
    CheckVerdict,
    ClaimVerdict,
    EffectCheck,
    Judgement,
    combine,
    effect_check,
    exceeded_by_few,
    judge_check,
)
from assay.stats import Estimate, Interval, document_index, document_weights

Arrays = Mapping[str, NDArray[Any]]
UP, DOWN, HALF = range(3)  # the arms in their stored order
NOTHING_SAID = "nothing is claimed: no token, or no class of tokens, stands out from the others"


@dataclass(frozen=True)
class EffectScores:
    """What was measured of one claim, beside what decides. All r on the scale of the score, but for ``direct_path``.

    ``rise``: nats, promoted less suppressed, at the full dose, and the same for the random directions' strongest.
    ``half``: that at half a dose, as a share of it. ``down``: r with the unit turned down, changes taken with the
    other sign. ``table``, ``lens``: r of the whole table of the fit split, and of the logit lens. ``direct_path``: r,
    at one place, of the change by the direct path with the change. ``effect``: root mean square of the change, nats.
    """

    check: EffectCheck
    documents: int
    rise: Interval
    rise_null: float
    half: float
    down: Interval
    table: float
    lens: float
    direct_path: float
    effect: float
    noise: float


@dataclass(frozen=True)
class JudgedOutputs:
    """Every output claim's scores and verdict, by claim id; controls have no verdict over all."""

    scores: Mapping[int, EffectScores]
    effect: Judgement[int]
    overall: Mapping[int, ClaimVerdict]

    def check(self, claim: int) -> CheckVerdict:
        """The verdict of the effect check on a claim or a control."""
        return self.effect.claims[claim] if claim in self.effect.claims else self.effect.controls[claim]


def judge_outputs(claims: Sequence[Mapping[str, Any]], arrays: Arrays, seed: int) -> JudgedOutputs:
    """Judge the output claims of a run by the referee's rule.

    Args:
        claims: rows of the claims table; those that are not about outputs are passed over.
        arrays: of ``tensors/outputs.safetensors``.
        seed: of the resamples.
    """
    own = [row for row in claims if row["explainer"] in OUTPUTS]
    target = {unit: i for i, unit in enumerate(dict.fromkeys(row["unit"] for row in own))}
    scores = {
        int(row["claim"]): _scores(i, target[row["unit"]], bool(json.loads(row["lines"])), arrays, seed)
        for i, row in enumerate(own)
    }
    controls = {int(row["claim"]) for row in own if row["role"] == "control"}
    judgement = judge_check(
        {i: found.check.check for i, found in scores.items() if i not in controls},
        {i: found.check.check for i, found in scores.items() if i in controls},
    )
    overall = {i: combine("output", {"effect": verdict}) for i, verdict in judgement.claims.items()}
    return JudgedOutputs(scores, judgement, overall)


def _scores(row: int, target: int, says: bool, arrays: Arrays, seed: int) -> EffectScores:
    r, rise, random_rise = arrays["r"][row], arrays["rise"][row], arrays["random_rise"][row]
    effect, noise = arrays["effect"][target], arrays["noise"][target]
    where = document_index(arrays["documents"])
    weights = document_weights(where.n_documents, seed=seed)[:, where.of_token]
    check = effect_check(
        {"up": r[UP], "matched_norm": arrays["random_r"][row], "other_unit": arrays["rival_r"][row]},
        arrays["likeness"][target],
        arrays["documents"],
        effect,
        noise,
        reasons=() if says else (NOTHING_SAID,),
        seed=seed,
    )
    raised, root = float(rise[UP].mean()), check.ceiling.value
    return EffectScores(
        check=check,
        documents=where.n_documents,
        rise=_mean(rise[UP], weights).interval(),
        rise_null=float(exceeded_by_few(random_rise.mean(-1)[None])[0]) if len(random_rise) else math.nan,
        half=float(rise[HALF].mean()) / raised if raised else math.nan,
        down=_over(_mean(-r[DOWN], weights), root),
        table=float(arrays["table_r"][target].mean()) / root,
        lens=float(arrays["lens_r"][target].mean()) / root,
        direct_path=float(arrays["direct_r"][target].mean()),
        effect=float(np.sqrt(np.mean(effect**2))),
        noise=float(np.sqrt(np.mean(noise**2))),
    )


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    return Estimate(float(values.mean()), weights @ values / weights.sum(1))


def _over(estimate: Estimate, root: float) -> Interval:
    return Interval(*(bound / root for bound in estimate.interval()))
