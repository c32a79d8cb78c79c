"""The trial: every method at the layer and dose that were chosen for it, beside its placebos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from assay.core.direction import Direction
from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.findings.carried import keep_directions
from assay.findings.found import Found
from assay.steer.bench import Bench
from assay.steer.exporting import fits
from assay.steer.many import Many
from assay.steer.methods import METHODS, make
from assay.steer.methods.registry import VECTOR
from assay.steer.outcome import outcome
from assay.steer.rater import Rater
from assay.steer.rates import rates
from assay.steer.studies.judged import Judged
from assay.steer.studies.telling import Trialled, file_name, panels, tables, tell, unscored, written_shares
from assay.steer.treatment import Pushes, Treatment, Tuned
from assay.steer.trial import WHOLE, Chosen, choose, measure, write

SHOWN = 4  # prompts whose continuations are shown at every dose


def run(bench: Bench) -> Found:
    """Every method asked for, and every direction of one's own."""
    behaviour = bench.behaviour
    found = Found(
        f"Steering to {behaviour.name}",
        f"Does it do something? {behaviour.about[:1].upper()}{behaviour.about[1:]}.",
        notes=_notes(bench),
        more={"continuations": []},
        posing="placebos",
    )
    names = [*bench.request.asked_methods, *bench.given]
    judged = None if bench.judge is None else Judged(bench, Rater(bench.judge, behaviour, bench.part))
    for step, name in enumerate(names):
        bench.progress(f"{name}: choosing layer and dose", step / len(names))
        try:
            chosen, measured = trial(bench, name)
        except UsageError as error:
            if len(names) == 1:
                raise
            unscored(found, name, str(error))
            continue
        bench.progress(f"{name}: writing", (step + 0.6) / len(names))
        rows = bench.rows[1]
        wrote = bench.part(f"{name}-writes", partial(write, chosen, bench.written, rows, bench.borders, bench.placebos))
        one = outcome(measured, chosen.dose, bench.setting)
        shares = rates(wrote, bench.untreated, bench.setting, one.check.reasons)
        trialled = Trialled(name, chosen, measured["tried"], one, shares, wrote)
        tell(found, bench, trialled)
        if judged is not None and judged.listens:
            judged.tell(found, trialled)
        found.more["continuations"] += bench.part(f"{name}-shown", partial(_shown, bench, name, chosen))
        if (direction := _direction(bench, name, chosen)) is not None:
            bench.kept[name] = direction
    keep_directions(bench.writer, {file_name(bench, name): one for name, one in bench.kept.items()})
    _to_export(bench, found, bench.kept)
    found.panels = panels(found.results)
    untreated = written_shares(bench.untreated, len(bench.rows[1]))
    found.tables = tables(found.results, untreated)
    found.summary |= {"setting": _setting(bench), "untreated": untreated}
    if judged is not None:
        judged.finish(found)
    return found


def trial(bench: Bench, name: str) -> tuple[Chosen, Mapping[str, Any]]:
    """Layer and dose as they were chosen, and what was measured there."""
    arms = _arms(bench, name)

    def measured() -> dict[str, Any]:
        starts = [arm.start for _, arm in arms if arm.start]
        bench.to_choose.scored.prepare(starts)
        bench.to_choose.neutral.prepare(starts)
        chosen = choose(arms, bench.to_choose, bench.request.kl_cap)
        return measure(chosen, bench.to_report, bench.placebos) | {"likewise": bench.placebos.likewise(arms)}

    got = bench.part(name, measured)
    treatment = next(arm for layer, arm in arms if layer == got["layer"])
    return Chosen(treatment, got["layer"], got["dose"], ()), got


def _arms(bench: Bench, name: str) -> list[tuple[int | None, Treatment]]:
    arms: list[tuple[int | None, Treatment]]
    if name in bench.given:
        direction = bench.given[name]
        arms = [(direction.site.layer, bench.own(direction))]
    elif METHODS[name].kind == VECTOR:
        bench.kit.measure(bench.layers)
        if METHODS[name].reads:
            bench.kit.read([SiteId(layer, METHODS[name].reads) for layer in bench.layers])
        arms = [(layer, make(name, bench.kit, layer)) for layer in bench.layers]
    else:
        arms = [(None, make(name, bench.kit, 0))]
    doses = bench.request.doses
    if doses is None:
        return arms
    return [(layer, replace(arm, doses=doses) if isinstance(arm, Pushes | Tuned) else arm) for layer, arm in arms]


def _shown(bench: Bench, name: str, chosen: Chosen) -> list[dict[str, Any]]:
    """The likeliest continuations of some prompts at every dose of both signs."""
    rows, treatment = bench.rows[1][:SHOWN], chosen.treatment
    texts = [bench.behaviour.prompts[row] for row in rows]
    doses = [*(-dose for dose in reversed(treatment.doses) if treatment.signed), 0.0, *(treatment.doses or (WHOLE,))]
    if isinstance(treatment, Pushes):
        many = Many(tuple(treatment.scaled(dose) for dose in doses), len(texts))
        said = bench.written.likeliest(texts * len(doses), many, WHOLE)
    else:
        said = [more for dose in doses for more in bench.written.likeliest(texts, treatment if dose else None, dose)]
    asked = [(dose, text) for dose in doses for text in texts]
    return [
        {"method": name, "layer": chosen.layer, "dose": dose, "prompt": text, "text": more}
        for (dose, text), more in zip(asked, said, strict=True)
    ]


def _direction(bench: Bench, name: str, chosen: Chosen) -> Direction | None:
    """A vector that is added at every token of one layer, so that adding it once is what was measured."""
    treatment = chosen.treatment
    if not isinstance(treatment, Pushes) or len(treatment.pushes) != 1 or treatment.where != "all":
        return None
    (push,), dose = treatment.pushes, chosen.measured_dose
    if push.vector.ndim > 1:
        return None
    about = {"method": name, "concept": bench.behaviour.name, "dose": f"{dose:g}", "model": bench.subject.name}
    about["model_hint"] = bench.subject.architecture
    return Direction(push.site, np.float32(dose) * push.vector, provenance=about)


def _to_export(bench: Bench, found: Found, directions: Mapping[str, Direction]) -> None:
    """Note the direction that did the most on the half that is chosen on, of those that the file can hold."""
    place = bench.request.export
    if place is None:
        return
    effects = {
        row["method"]: row["effect_chosen_on"]
        for row in found.results
        if row["method"] in directions and row["effect_chosen_on"] is not None
    }
    held = {name: effect for name, effect in effects.items() if fits(directions[name], place)}
    best = max(held, key=lambda name: held[name]) if held else None
    found.summary["to_export"] = {"method": best, "place": place}


def _setting(bench: Bench) -> dict[str, Any]:
    scored = bench.to_report.scored
    return {
        "prompts": {"choose": len(bench.rows[0]), "report": len(bench.rows[1])},
        "scored_words": [len(side) for words in scored.words[:1] for side in words],
        "pairs": len(bench.behaviour.pairs),
        "placebos": bench.size.placebos,
        "kl_cap": bench.request.kl_cap,
        "neutral": bench.neutral.hashes,
        "base_log_odds": float(scored.base.mean()),
        "shown_by": bench.shown_by,
        "classifier": None if bench.classifier is None else bench.classifier.describe(),
    }


def _notes(bench: Bench) -> list[str]:
    choosing, reporting = map(len, bench.rows)
    return [
        f"Layer and dose are chosen on {choosing} prompts, under a KL of {bench.request.kl_cap:g} nats on neutral "
        f"text; what is reported is of {reporting} others. The null is what one in twenty of {bench.size.placebos} "
        "placebos exceeds: random directions of the same length at the same place, neutral text in the place of an "
        "instruction, random changes of the same size in the place of a finetune; where a layer was chosen, as many "
        "random directions that chose too, the layer by its highest dose and then the dose; and of a finetune what it "
        "and the same on the other text of each pair do on average. What is written is held against placebos at the "
        "same place alone.",
        "A dose of 1 adds a vector as long as the median residual of its layer (iti: the spread of each head; lora: "
        "the whole finetune). No word that is scored stands in what is learnt from.",
    ]
