"""From what is asked for to the voices of a run: each with its judge, and a simulator that the judge can serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from assay.core.ids import UnitId
from assay.errors import UsageError
from assay.explain.manner import FROM_TEXTS, FROM_WORDS
from assay.explain.material import Material, Progress
from assay.explain.names import PROSE, SAID, SELF
from assay.explain.request import ExplainRequest
from assay.explain.voice import Voice
from assay.judge import (
    SIMULATE,
    AllAtOnce,
    Judge,
    LocalJudge,
    NumberJudge,
    Simulator,
    TokenByToken,
    Written,
    load_prompt,
)
from assay.judge.choose import find_judge

if TYPE_CHECKING:
    from assay.model import Subject

_FROM_LOGITS = {kind.name: kind for kind in (AllAtOnce, TokenByToken)}


def choose_judges(request: ExplainRequest, given: Judge | None, progress: Progress) -> dict[str, Judge]:
    """By explainer the judge that is not the subject, found before anything else is loaded.

    Raises:
        UsageError: "prose" without a judge, a judge that can't be had, or that can't do what is asked of it.
    """
    asked = [name for name in (PROSE, SAID) if name in request.explainers or (name == SAID and request.said)]
    if given is None and request.judge is None:
        if PROSE in asked:
            raise UsageError(
                "the explainer 'prose' needs --judge: the URL of an endpoint, a .toml file, or a model; "
                "'self' is the model under study as its own judge"
            )
        return {}

    if (judge := given) is None:
        how = request.device, request.trust_remote_code, request.max_judge_calls
        judge = find_judge(request.judge or "", *how, progress)
    make_simulator(request.simulator, judge)
    return dict.fromkeys(asked or [SELF], judge)


def speak(
    request: ExplainRequest, judges: Mapping[str, Judge], subject: Subject, material: Material
) -> dict[str, Voice]:
    """The voices of a run by explainer. ``--simulator`` is that of "prose" where there is one, else that of "self"."""
    wanted = [name for name in (SELF, PROSE) if name in request.explainers] + ([SAID] if request.said else [])
    brought = {UnitId.parse(unit): sentence for unit, sentence in request.said.items()}
    voices: dict[str, Voice] = {}
    for name in wanted:
        judge = judges.get(name) or LocalJudge(subject)
        manner = FROM_TEXTS if name in judges and name != SELF else FROM_WORDS
        asked = request.simulator if name != SELF or wanted == [SELF] else None
        simulator, given = make_simulator(asked, judge), brought if name == SAID else None
        voices[name] = Voice(name, manner, subject, judge, simulator, material, request.seed, given)
    return voices


def make_simulator(name: str | None, judge: Judge) -> Simulator:
    """The simulator of that name, by default the best that the judge can serve.

    Raises:
        UsageError: one that reads logits, of a judge that returns text only.
    """
    if name == Written.name or (name is None and not isinstance(judge, NumberJudge)):
        return Written(judge)
    if not isinstance(judge, NumberJudge):
        raise UsageError(f"--simulator {name} reads logits, and {judge.name} returns text only; take {Written.name!r}")
    return _FROM_LOGITS[name or AllAtOnce.name](judge, load_prompt(*SIMULATE))
