"""From a run's stored arrays to its verdicts. No model is needed, here or later: the same arrays, the same verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.names import OUTPUTS, SIMULATED
from assay.explain.output_verdicts import judge_outputs
from assay.referee import (
    BehaviourCheck,
    CheckInput,
    CheckVerdict,
    ClaimVerdict,
    Judgement,
    behaviour_check,
    combine,
    judge_check,
    prediction_check,
    unscored_check,
)
from assay.store import Run

Arrays = Mapping[str, NDArray[Any]]
ARMS = ("prediction", "mean", "other_unit", "shuffled", "noise_equal_r")


@dataclass(frozen=True)
class Judged:
    """Every claim's evidence that decides, by claim id, and the verdicts that follow.

    ``documents``: by check, on how many documents each claim was tested.
    """

    prediction_inputs: Mapping[int, CheckInput]
    behaviours: Mapping[int, BehaviourCheck]
    documents: Mapping[str, Mapping[int, int]]
    prediction: Judgement[int]
    behaviour: Judgement[int] | None
    overall: Mapping[int, ClaimVerdict]

    def check(self, claim: int, name: str) -> CheckVerdict | None:
        """The verdict of one check on a claim or a control; None where it was not run."""
        judgement = self.prediction if name == "prediction" else self.behaviour
        if judgement is None:
            return None
        return judgement.claims.get(claim) or judgement.controls.get(claim)


def judge(
    claims: Sequence[Mapping[str, Any]],
    units: Sequence[Mapping[str, Any]],
    test: Arrays,
    behaviour: Arrays | None,
    seed: int,
) -> Judged:
    """Judge all claims of a run about what makes units fire by the referee's rule.

    What keeps a unit's activations from carrying a verdict (too few firings, ten documents with half the variance)
    keeps both checks of its claims undecided: the behaviour's excerpts come from the same documents.

    Args:
        claims: rows of the claims table, ``claim`` counting from 0.
        units: rows of the units table; the targets stand in the order of ``test["activations"]``.
        test: the arrays of ``tensors/test.safetensors``.
        behaviour: those of ``tensors/behaviour.safetensors``, None where it was not run.
        seed: of the resamples and of the shuffled null.
    """
    claims = [row for row in claims if row.get("explainer") not in OUTPUTS]
    targets = [row for row in units if row["role"] == "target"]
    place = {row["unit"]: i for i, row in enumerate(targets)}
    inputs: dict[int, CheckInput] = {}
    behaviours: dict[int, BehaviourCheck] = {}
    tested_on: dict[str, dict[int, int]] = {"prediction": {}, "behaviour": {}}
    for row in claims:
        claim, unit = int(row["claim"]), place[row["unit"]]
        wanted, answered = _tokens(row, test)
        tested_on["prediction"][claim] = len(np.unique(test["documents"][answered]))
        if not answered.any():
            inputs[claim] = unscored_check(json.loads(row["rules"]).get("unscored") or "nothing was predicted")
            continue
        inputs[claim] = prediction_check(
            test["predictions"][claim][answered],
            test["activations"][unit][answered],
            test["documents"][answered],
            float(targets[unit]["q99"]),
            test["other_unit"][claim][answered],
            unscored=int(wanted.sum() - answered.sum()),
            seed=seed,
        )
        if behaviour is not None and not np.isnan(behaviour["J"][claim]).all():
            drawn = behaviour["weights"][claim] > 0
            found = behaviour_check(
                dict(zip(ARMS, behaviour["J"][claim][:, drawn], strict=True)),
                behaviour["documents"][claim][drawn],
                behaviour["weights"][claim][drawn],
                behaviour["floor"][claim][drawn],
                seed=seed,
            )
            reasons = tuple(dict.fromkeys(inputs[claim].reasons + found.check.reasons))
            behaviours[claim] = found._replace(check=replace(found.check, reasons=reasons))
            tested_on["behaviour"][claim] = len(np.unique(behaviour["documents"][claim][drawn]))
    controls = {int(row["claim"]) for row in claims if row["role"] == "control"}
    prediction = _judge(inputs, controls)
    measured = {claim: check.check for claim, check in behaviours.items()}
    by_behaviour = _judge(measured, controls) if measured else None
    overall = {
        claim: combine(
            "explanation",
            {
                "prediction": prediction.claims[claim],
                "behaviour": by_behaviour.claims.get(claim) if by_behaviour else None,
            },
        )
        for claim in prediction.claims
    }
    return Judged(inputs, behaviours, tested_on, prediction, by_behaviour, overall)


def _tokens(row: Mapping[str, Any], test: Arrays) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The tokens (n,) that a claim is to be scored on, and those of them of which something was said."""
    wanted = test["scored"].astype(bool)
    if row.get("explainer") in SIMULATED and "sampled" in test:
        wanted = wanted & test["sampled"].astype(bool)
    claim = int(row["claim"])
    return wanted, wanted & np.isfinite(test["predictions"][claim]) & np.isfinite(test["other_unit"][claim])


def _judge(inputs: Mapping[int, CheckInput], controls: set[int]) -> Judgement[int]:
    return judge_check(
        {claim: check for claim, check in inputs.items() if claim not in controls},
        {claim: check for claim, check in inputs.items() if claim in controls},
    )


class Recomputed(NamedTuple):
    """A claim's verdict as stored and as the stored arrays give it now."""

    claim: int
    unit: str
    explainer: str
    stored: str
    recomputed: str


def recompute(run: Run) -> list[Recomputed]:
    """Every claim's verdict again, from the arrays that the run stored.

    Raises:
        RunError: a file of the run is missing or damaged.
    """
    claims, units = run.rows("claims"), run.rows("units")
    behaviour = run.tensors("behaviour") if run.has("tensors/behaviour.safetensors") else None
    seed = int(run.spec["resolved"]["seed"])
    overall = dict(judge(claims, units, run.tensors("test"), behaviour, seed).overall)
    if run.has("tensors/outputs.safetensors"):
        overall |= judge_outputs(claims, run.tensors("outputs"), seed).overall
    stored = {row["claim"]: row["verdict"] for row in run.rows("evidence") if row["check"] == "claim"}
    return [
        Recomputed(row["claim"], row["unit"], row["explainer"], stored[row["claim"]], str(verdict.verdict))
        for row in claims
        if (verdict := overall.get(row["claim"])) is not None
    ]
