"""The page of a run of ``assay steer``: its findings, and what each method writes, dose by dose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from assay.errors import UnknownName
from assay.explain.page_scores import score_text
from assay.store.run import Run
from assay.view.labs.concept import STEER, concept_page
from assay.view.opened import Opened
from assay.view.pages import Ask, Page

Row = Mapping[str, Any]
_UNKNOWN = "not measured"
_OF = "Shown are the likeliest continuations of {count} on which neither layer nor dose was chosen."
_KL = (
    "The trial’s KL is that of other neutral text than the dose was chosen on; at other doses it is that of the text "
    "it was chosen on, and known as far as it was needed to choose. The null was measured in the trial alone."
)


class Dose(NamedTuple):
    """What was written at one dose.

    ``key``: the dose as it stands in an address, ``name`` as it stands on the page. ``effect``: rise of log odds with
    its interval, ``null`` and ``kl``, in nats; None where not measured. ``texts``: in the order of the prompts.
    """

    key: str
    name: str
    dose: float
    effect: float | None
    lo: float | None
    hi: float | None
    null: float | None
    kl: float | None
    says: str
    texts: Sequence[str]


class Writing(NamedTuple):
    """What one method wrote. ``shown``: the dose that is looked at; ``plain``: what the untreated model writes."""

    methods: Sequence[str]
    method: str
    about: str
    note: str
    prompts: Sequence[str]
    plain: Sequence[str]
    shown: Dose
    doses: Sequence[Dose]


def steer_page(opened: Opened, ask: Ask) -> Page:
    """The findings, as of any run with findings; where continuations are stored, those of one method at every dose."""
    page, result = concept_page(opened, ask), opened.run.result()
    if not written_methods(result):
        return page
    return page._replace(template="steer.html", data={**page.data, "writing": writing(result, ask.query)})


def writers(run: Run) -> list[str]:
    """The methods that such a run shows by name, that which is shown first before the others; none of other runs."""
    if run.spec["verb"] != STEER or not written_methods(result := run.result()):
        return []
    first = first_method(result)
    return [first, *(name for name in written_methods(result) if name != first)]


def written_methods(result: Row) -> list[str]:
    """The methods with continuations, in the order of the run."""
    return list(dict.fromkeys(one["method"] for one in result.get("continuations") or ()))


def first_method(result: Row) -> str:
    """The method that is shown where none is asked for: the supported one with the largest effect, else the first."""
    methods = written_methods(result)
    supported = [row for row in result["results"] if row["verdict"] == "supported" and row["method"] in methods]
    return max(supported, key=lambda row: row["effect"])["method"] if supported else methods[0]


def writing(result: Row, query: Mapping[str, str]) -> Writing:
    """What the method that is asked for wrote.

    Raises:
        UnknownName: it wrote nothing, or not at the dose that is asked for.
    """
    methods, method = written_methods(result), query.get("method") or first_method(result)
    if method not in methods:
        raise UnknownName("method", method, methods)
    row = next((one for one in result["results"] if one["method"] == method), {})
    said: dict[float, dict[str, str]] = {}
    for one in result["continuations"]:
        if one["method"] == method:
            said.setdefault(one["dose"], {})[one["prompt"]] = one["text"]
    prompts = list(dict.fromkeys(prompt for texts in said.values() for prompt in texts))
    trial = _trial_dose(row, sorted(said))
    doses = [_dose(row, dose, dose == trial, [said[dose].get(one, "") for one in prompts]) for dose in sorted(said)]
    by_key = {dose.key: dose for dose in doses}
    asked = query.get("dose") or _key(trial)
    if asked not in by_key:
        raise UnknownName("dose", asked, by_key)
    of = _OF.format(count="one prompt" if len(prompts) == 1 else f"{len(prompts)} prompts")
    return Writing(
        methods,
        method,
        _about(row, method, trial),
        f"{of} {_KL}" if row.get("curve") else of,
        prompts,
        [said.get(0, {}).get(prompt, "") for prompt in prompts],
        by_key[asked],
        doses,
    )


def _dose(row: Row, dose: float, trial: bool, texts: Sequence[str]) -> Dose:
    """Numbers of the trial at its dose, else those of the curve."""
    curve = {point["dose"]: point for point in row.get("curve") or ()}
    point = row if trial else curve.get(dose, {})
    effect, lo, hi, kl, null = (point.get(name) for name in ("effect", "lo", "hi", "kl", "null_hi"))
    name = _key(dose).replace("-", "−")
    says = f"Dose {name}: untreated"
    if dose:
        beside = "" if null is None else f", null {score_text(null)}"
        bounds = "" if lo is None or hi is None else f" [{score_text(lo)} {score_text(hi)}]"
        rise, cost = (_UNKNOWN if one is None else score_text(one) for one in (effect, kl))
        says = f"Dose {name}{', the trial’s' if trial and row else ''}: effect {rise}{bounds}{beside}, KL {cost}"
    return Dose(_key(dose), name, dose, effect, lo, hi, null, kl, says, texts)


def _key(dose: float) -> str:
    return f"{dose:.12g}"


def _trial_dose(row: Row, doses: Sequence[float]) -> float:
    """That of the trial; where there is none to choose, or none kept the cap, the lowest was measured in its stead."""
    return row["dose"] if row.get("dose") in doses else min((dose for dose in doses if dose > 0), default=doses[-1])


def _about(row: Row, method: str, trial: float) -> str:
    place = f"{method}, layer {row['layer']}" if row.get("layer") is not None else method
    if not row.get("curve"):
        at = "It has no doses: 1 is the whole of it."
    elif row["dose"] is None:
        at = "No dose kept the KL under its cap, so that the trial is at the lowest."
    else:
        at = f"The trial is at dose {_key(trial)}."
    return f"{place}. {at} The effect is the rise of log odds; all in nats."
