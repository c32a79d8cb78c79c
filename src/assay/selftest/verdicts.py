"""The verdict rule on claims whose truth is known: how often it finds what is there, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.explain.behaviour import Behaviour
from assay.explain.claims import upright
from assay.explain.material import Progress
from assay.referee import (
    MARGIN,
    CheckInput,
    ControlSummary,
    Verdict,
    behaviour_check,
    combine,
    judge_check,
    prediction_check,
    shuffled,
)
from assay.rules import RuleList
from assay.selftest.bench import Bench, Floats
from assay.selftest.claims import (
    BEST,
    CONTROL,
    EFFECTS,
    Claimed,
    Population,
    best_claims,
    empty_claims,
    planted_claims,
    rival_of,
)
from assay.stats import Interval, wilson
from assay.testing import Exhibit
from assay.testing.gallery import SITE

SEEN = 0.4  # share of the documents that a run is tested on, and ...
CHOSEN = 0.2  # ... that its rivals are chosen with
TEST = 2  # number of the part on which behaviour is run
PASSED = (Verdict.SUPPORTED, Verdict.PREDICTS)


class Judged(NamedTuple):
    """A claim (see :class:`~assay.selftest.claims.Claimed`) and its verdicts: of the prediction check, and overall
    where behaviour was run as well."""

    unit: str
    kind: str
    effect: float | None
    d: float
    prediction: Verdict
    overall: Verdict | None


def judge_all(
    bench: Bench, runs: int, whole: int, every: int, learnt: Mapping[Exhibit, RuleList], progress: Progress
) -> tuple[list[Judged], list[ControlSummary]]:
    """The claims of several runs, judged, and how each run's controls did.

    Args:
        runs: how many; in the first ``whole`` of them behaviour is run as well, on every ``every``-th exhibit.
        learnt: the best rules of exhibits that no rules describe: claimed in those runs, too.
    """
    population = Population.of(bench)
    found: list[Judged] = []
    controls: list[ControlSummary] = []
    for run in range(runs):
        progress(f"judging claims of known truth, run {run + 1}", run / runs)
        rng = np.random.default_rng([bench.seed, 52, run])
        with_behaviour = run < whole
        seen, chosen = _documents(population, with_behaviour, rng)
        exhibits = [e for i, e in enumerate(bench.gallery.exhibits) if not with_behaviour or i % every == 0]
        rivals = {e: rival_of(population, e, chosen, rng) for e in exhibits}
        claims = [
            claim
            for e in exhibits
            for claim in (
                *planted_claims(population, e, rivals[e], EFFECTS, rng),
                *empty_claims(population, e, rivals[e], bench, rng),
                *(best_claims(population, e, rivals[e], bench, learnt[e]) if with_behaviour and e in learnt else ()),
            )
        ]
        measured = [_prediction(bench, population, claim, rivals[claim.exhibit], seen) for claim in claims]
        effects = _effects(bench, population, claims, rivals, chosen, progress) if with_behaviour else None
        judged, summary = _judged(claims, measured, effects)
        found += judged
        controls.append(summary)
        del claims, measured  # their predictions take more than all else
    return found, controls


def _documents(
    population: Population, split: bool, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which tokens are to test on and to choose with: the splits where behaviour is run, else documents at random."""
    if split:
        return population.part == TEST, population.part == TEST - 1
    names = rng.permutation(np.unique(population.documents))
    tested, chosen = int(SEEN * len(names)), int((SEEN + CHOSEN) * len(names))
    return np.isin(population.documents, names[:tested]), np.isin(population.documents, names[tested:chosen])


def _prediction(
    bench: Bench, population: Population, claim: Claimed, rival: Exhibit, seen: NDArray[np.bool_]
) -> CheckInput:
    return prediction_check(
        claim.predicted[seen],
        population.activations[claim.exhibit][seen],
        population.documents[seen],
        bench.firing_level(claim.exhibit),
        population.said[rival][seen],
        seed=bench.seed,
    )


def _effects(
    bench: Bench,
    population: Population,
    claims: Sequence[Claimed],
    rivals: Mapping[Exhibit, Exhibit],
    chosen: NDArray[np.bool_],
    progress: Progress,
) -> list[CheckInput | None]:
    """The behaviour check of each claim, at the lab's own size; None for exhibits that write nothing."""
    runs = Behaviour(bench.gallery.subject, bench.parts["test"], {SITE.layer}, bench.seed, progress)
    found: list[CheckInput | None] = [None] * len(claims)
    for exhibit, rival in rivals.items():
        progress(f"replacing {exhibit.name} by claims of known truth")
        own = [i for i, claim in enumerate(claims) if claim.exhibit is exhibit]
        if not exhibit.writes:
            continue
        real = bench.activations["test"][:, exhibit.unit.number]

        def arm(predicted: Floats, exhibit: Exhibit = exhibit) -> Floats:
            line = upright(predicted[chosen], population.activations[exhibit][chosen])
            out = np.zeros(len(bench.keep), dtype=np.float32)
            out[bench.keep] = line(predicted[population.part == TEST])
            return out

        arms = {"mean": np.full_like(real, bench.mean[exhibit.unit.number]), "rival": arm(population.said[rival])}
        for i in own:
            arms[f"{i}"] = arm(claims[i].predicted)
            arms[f"{i} shuffled"] = _shuffled(arms[f"{i}"], bench)
        result = runs.run(exhibit.unit, real, arms)
        for i in own:
            j = {name: result.j[at] for name, at in _arms(i).items()}
            check = behaviour_check(j, result.documents, result.weights, result.floor, seed=bench.seed)
            found[i] = check.check
    return found


def _arms(i: int) -> dict[str, str]:
    return {"prediction": f"{i}", "mean": "mean", "other_unit": "rival", "shuffled": f"{i} shuffled"}


def _shuffled(predicted: Floats, bench: Bench) -> Floats:
    out = predicted.copy()
    out[bench.keep] = shuffled(predicted[bench.keep].astype(np.float64), bench.seed)
    return out


def _judged(
    claims: Sequence[Claimed], measured: Sequence[CheckInput], effects: Sequence[CheckInput | None] | None
) -> tuple[list[Judged], ControlSummary]:
    """Verdicts of one run: its controls are no claims."""
    control = {i for i, claim in enumerate(claims) if claim.kind == CONTROL}

    def rule(inputs: Mapping[int, CheckInput]) -> Any:
        own = {i: check for i, check in inputs.items() if i not in control}
        return judge_check(own, {i: check for i, check in inputs.items() if i in control})

    prediction = rule(dict(enumerate(measured)))
    behaviour = rule({i: e for i, e in enumerate(effects) if e is not None}) if effects else None
    out: list[Judged] = []
    for i, claim in enumerate(claims):
        if i in control:
            continue
        first = prediction.claims[i]
        overall = None
        if behaviour is not None:
            checks = {"prediction": first, "behaviour": behaviour.claims.get(i)}
            overall = combine("explanation", checks).verdict
        out.append(Judged(claim.exhibit.name, claim.kind, claim.effect, claim.d, first.verdict, overall))
    return out, prediction.summary


def verdict_results(judged: Sequence[Judged], controls: Sequence[ControlSummary]) -> dict[str, Any]:
    """The part ``verdict`` of the result."""
    planted = [one for one in judged if one.effect is not None]
    empty = [one for one in judged if one.d <= MARGIN]
    whole = [one for one in empty if one.overall is not None]
    passed = wilson(sum(_passes(one) for one in empty), len(empty))
    return {
        "margin": MARGIN,
        "power": [_power([one for one in planted if one.effect == effect], effect) for effect in EFFECTS],
        **_share("false_support", passed),
        "false_support_n": len(empty),
        "false_supported": sum(one.overall is Verdict.SUPPORTED for one in whole),
        "false_supported_n": len(whole),
        "false_by_kind": {
            kind: {"passed": sum(map(_passes, own)), "n": len(own)}
            for kind in dict.fromkeys(one.kind for one in empty)
            if (own := [one for one in empty if one.kind == kind])
        },
        "best_rules": [
            {"unit": one.unit, "d": round(one.d, 4), "prediction": str(one.prediction), "overall": str(one.overall)}
            for one in judged
            if one.kind == BEST
        ],
        "undecided": sum(one.prediction is Verdict.UNDECIDED for one in judged),
        "claims": len(judged),
        "runs": len(controls),
        "void_runs": sum(summary.void for summary in controls),
        "controls_passed": sum(summary.passed for summary in controls),
        "controls": sum(summary.n for summary in controls),
    }


def _passes(one: Judged) -> bool:
    """Whether a claim got as far as its checks allow: supported or "predicts", or the prediction check alone."""
    return one.prediction is Verdict.SUPPORTED if one.overall is None else one.overall in PASSED


def _power(own: Sequence[Judged], effect: float) -> dict[str, Any]:
    """How often claims of one effect pass: the prediction check, and both.

    ``overall`` counts the verdicts where behaviour was run as well.
    """
    whole = [one for one in own if one.overall is not None]
    found = wilson(sum(one.prediction is Verdict.SUPPORTED for one in own), len(own))
    both = wilson(sum(one.overall is Verdict.SUPPORTED for one in whole), len(whole))
    refuted = sum(one.prediction is Verdict.REFUTED for one in own)
    return {
        "effect": effect,
        **_share("power", found),
        "n": len(own),
        "refuted": refuted,
        **_share("both", both),
        "both_n": len(whole),
        "overall": {str(verdict): count for verdict, count in Counter(one.overall for one in whole).items()},
    }


def _share(name: str, interval: Interval) -> dict[str, float | None]:
    parts = {name: interval.value, f"{name}_lo": interval.lo, f"{name}_hi": interval.hi}
    return {key: None if np.isnan(value) else round(float(value), 4) for key, value in parts.items()}
