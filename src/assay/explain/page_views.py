"""What a page shows, as plain records: a run's rows turned into the words, numbers and excerpts of each unit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from assay.draw.heat import Scale, visible
from assay.explain.excerpts import Amount, Excerpt, Group, TestText, draw, exemplars
from assay.explain.names import OUTPUTS
from assay.explain.page_outputs import OutputView, output_view
from assay.explain.page_scores import ScoreRow, score_row
from assay.explain.page_scores import score_text as score_text

Row = Mapping[str, Any]

_MEASURES = {
    "r": ("r", "Pearson correlation over all scored test tokens"),
    "r_pos": ("r, above 0", "of relu(a)"),
    "r_neg": ("r, below 0", "of relu(−a)"),
    "r_context": ("r, context", "after removing each token’s mean: beyond “which token is it”"),
    "r_with_first": ("r, position 0 too", "the attention sink counted in"),
    "f1": ("F1", "of firing, above the fit split’s 99th percentile"),
    "auprc": ("AUPRC", "of firing"),
    "top_and_random": ("top-and-random r", "only for comparison with the literature"),
    "detection_f1": ("F1, detection", "a judge’s yes and no on short texts, at natural frequency"),
    "detection_precision": ("precision, detection", "of its yes, at natural frequency"),
    "detection_accuracy": ("accuracy, detection", "on half firing texts: only for comparison with the literature"),
    "fuzzing_f1": ("F1, fuzzing", "a judge’s yes and no on marked tokens, at natural frequency"),
    "fuzzing_precision": ("precision, fuzzing", "of its yes, at natural frequency"),
    "also_r": ("r, other text", "the same claim on the text of --also"),
    "also_drop": ("drop of r", "on the test split, less on other text"),
    "behaviour": ("behaviour", "share of the unit’s effect on the output that the prediction keeps"),
}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
ARM_ARRAYS = ("J", "weights", "floor")
_ARMS = ("prediction", "mean", "other_unit", "shuffled", "noise_equal_r")
_ARM_NAMES = {
    "prediction": "this prediction",
    "noise_equal_r": "the truth plus noise, at equal r",
    "other_unit": "another unit’s prediction",
    "shuffled": "this prediction, shuffled",
    "mean": "the unit’s mean",
}
_AMOUNTS = (
    (24, Amount(4, 3, 4, 3, 4, before=20, after=9)),
    (96, Amount(3, 2, 3, 2, 2, before=10, after=4)),
    (400, Amount(2, 1, 0, 1, 1, before=9, after=3)),
)
_FEWEST = Amount(1, 0, 0, 0, 0, before=7, after=2)


@runtime_checkable
class ReadableRun(Protocol):
    """What a page reads: a whole run (:class:`assay.store.Run`), or one that is about to be written."""

    @property
    def spec(self) -> dict[str, Any]: ...

    def rows(self, name: str) -> list[dict[str, Any]]: ...

    def tensors(self, name: str) -> dict[str, NDArray[Any]]: ...

    def has(self, name: str) -> bool: ...

    def result(self) -> dict[str, Any]: ...


class Arm(NamedTuple):
    """One replacement of the unit: its divergence in nats, as a share of the mean's, and the width of its bar."""

    name: str
    nats: str
    share: str
    width: float


class ClaimView(NamedTuple):
    """One explanation as shown; ``source`` says who wrote it, if it is a sentence that a judge wrote."""

    explainer: str
    text: str
    source: str
    lines: list[tuple[str, str]]
    bits: str
    verdict: str
    reason: str
    scores: list[ScoreRow]
    arms: list[Arm]
    floor: str
    groups: list[Group]


class UnitView(NamedTuple):
    """One unit as shown; ``claims[0]`` is the one that the table lists. ``outputs``: its output claims."""

    name: str
    facts: list[str]
    full: str
    claims: list[ClaimView]
    strongest: list[Excerpt]
    lowest: list[Excerpt]
    outputs: list[OutputView]


def unit_views(run: ReadableRun) -> list[UnitView]:
    """The target units of a run, in the order of its table."""
    targets = [row for row in run.rows("units") if row["role"] == "target"]
    amount = next((amount for most, amount in _AMOUNTS if len(targets) <= most), _FEWEST)
    test = run.tensors("test")
    texts = {row["id"]: row["text"] for row in run.rows("tokens")}
    text = TestText(test["ids"], test["documents"], test["windows"], test["scored"].astype(bool), texts)
    claims = [
        read_json(row, "rules", "lines")
        for row in run.rows("claims")
        if row["role"] == "claim" and row["explainer"] not in OUTPUTS
    ]
    evidence: dict[int, list[Row]] = {}
    for row in run.rows("evidence"):
        evidence.setdefault(row["claim"], []).append(read_json(row, "nulls", "references"))
    behaviour = run.tensors("behaviour") if run.has("tensors/behaviour.safetensors") else {}
    recorded = run.tensors("exemplars")
    written = run.result().get("outputs") or []
    views: list[UnitView] = []
    for i, target in enumerate(targets):
        real = test["activations"][i]
        scale = Scale.of(real[text.scored])
        own = [claim for claim in claims if claim["unit"] == target["unit"]]
        shown: list[ClaimView] = []
        for place, claim in enumerate(own):
            less = amount if place == 0 else amount._replace(strongest=2, quantiles=0, random=0)
            predicted = test["predictions"][claim["claim"]]
            groups = draw(seen(text, test, predicted), target["unit"], real, predicted, less, scale)
            arms, floor = arms_of({name: behaviour[name][claim["claim"]] for name in ARM_ARRAYS if name in behaviour})
            shown.append(claim_view(claim, evidence.get(claim["claim"], []), arms, floor, groups))
        strongest, lowest = (
            exemplars(texts, recorded[f"{side}_ids"][i], recorded[f"{side}_activations"][i], negative, amount, scale)
            for side, negative in (("top", False), ("bottom", True))
        )
        outputs = [output_view(entry) for entry in written if entry["unit"] == target["unit"]]
        views.append(
            UnitView(target["unit"], facts(target, scale), scale.number(scale.full), shown, strongest, lowest, outputs)
        )
    return views


def seen(text: TestText, test: Mapping[str, NDArray[Any]], predicted: NDArray[np.float32]) -> TestText:
    """The text with the tokens to look at: all that are scored, or, where a judge predicts, those of its sample."""
    answered = np.isfinite(predicted)
    if answered.all():
        return text
    return replace(text, scored=text.scored & answered & test["sampled"].astype(bool))


def facts(unit: Row, scale: Scale) -> list[str]:
    """What a row of the units table says, in words."""
    number = scale.number
    return [
        f"above 0 on {100 * unit['firing_rate']:.3g} % of tokens",
        f"mean {number(unit['mean'])}, sd {number(unit['sd'])}",
        f"from {number(unit['min'])} to {number(unit['max'])}",
        f"1 % below {number(unit['q01'])}, 1 % above {number(unit['q99'])}",
        f"skewness {unit['skew']:.1f}".replace("-", "−"),
    ]


def read_json(row: Row, *names: str) -> dict[str, Any]:
    """The row with these of its values read from JSON."""
    return {**row, **{name: json.loads(row[name]) for name in names}}


def claim_view(claim: Row, evidence: Sequence[Row], arms: list[Arm], floor: str, groups: list[Group]) -> ClaimView:
    """A claim as shown; its rules and lines, and the nulls and references of its evidence, are read already."""
    overall = next((row for row in evidence if row["check"] == "claim"), None)
    said = claim["rules"]
    prompts = said.get("prompts", [])
    return ClaimView(
        claim["explainer"],
        visible(claim["text"]) or "nothing that could be used",
        visible(f"written by {said['judge']} with {', '.join(prompts)}") if prompts else "",
        [_split(visible(line), bool(prompts)) for line in claim["lines"]],
        f"{claim['bits']:,.0f}",
        overall["verdict"] or "undecided" if overall else "undecided",
        visible(overall["reason"]) if overall else "no verdict was recorded",
        [measured(row) for row in evidence if row["check"] != "claim"],
        arms,
        floor,
        groups,
    )


def _split(line: str, prose: bool) -> tuple[str, str]:
    """A rule's line as its value and its condition; a candidate's sentence whole."""
    value, between, when = line.partition(" when ")
    return ("", line) if prose or not between else (value.replace("-", "−", 1), when)


def measured(row: Row) -> ScoreRow:
    """A row of the evidence, its nulls and references read already."""
    gloss = "paired, on this claim’s tokens" if row["measure"].startswith("r_above_") else row["check"]
    name, gloss = _MEASURES.get(row["measure"], (row["measure"].replace("_", " "), gloss))
    return score_row(
        name,
        gloss,
        row["value"],
        row["lo"],
        row["hi"],
        nulls=row["nulls"],
        references=row["references"],
        unscored=row["unscored"] or "",
        on_line=row["measure"] != "rank",
    )


def arms_of(behaviour: Mapping[str, NDArray[Any]]) -> tuple[list[Arm], str]:
    """The replacements of one claim, its own prediction first, and a line about the noise floor.

    ``behaviour``: the claim's rows of the arrays :data:`ARM_ARRAYS`; nothing where its behaviour was not tested.
    """
    if not behaviour or np.isnan(behaviour["J"]).all():
        return [], ""
    drawn = behaviour["weights"] > 0
    weights = behaviour["weights"][drawn]
    means = (behaviour["J"][:, drawn] @ weights / weights.sum()).tolist()
    sums: dict[str, float] = dict(zip(_ARMS, means, strict=True))
    mean, floor = sums["mean"], float(behaviour["floor"][drawn] @ weights / weights.sum())
    arms: list[Arm] = []
    for key, name in _ARM_NAMES.items():
        nats = sums[key]
        if math.isnan(nats):
            continue
        share = nats / mean if mean > 0 else math.nan
        width = 0.0 if math.isnan(share) else round(50 * min(share, 2.0), 1)
        arms.append(Arm(name, _scientific(nats), "–" if math.isnan(share) else f"{100 * share:.0f} %", width))
    times = f"{mean / floor:,.0f} times" if floor > 0 else "above"
    return arms, f"The effect of the mean replacement is {times} the numerical noise ({_scientific(floor)} nats)."


def _scientific(value: float) -> str:
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}" if value else "0"
