"""Checks, nulls and the verdict rule."""

from assay.referee.checks import (
    BEHAVIOUR_VERSION,
    PREDICTION_VERSION,
    BehaviourCheck,
    behaviour_check,
    prediction_check,
    shuffled,
    unscored_check,
)
from assay.referee.combine import REQUIRED, ClaimVerdict, combine
from assay.referee.effect import EFFECT_VERSION, EffectCheck, effect_check, exceeded_by_few
from assay.referee.verdict import (
    LEVEL,
    MARGIN,
    CheckInput,
    CheckVerdict,
    ControlSummary,
    Judgement,
    Verdict,
    judge_check,
)

__all__ = [
    "BEHAVIOUR_VERSION",
    "EFFECT_VERSION",
    "LEVEL",
    "MARGIN",
    "PREDICTION_VERSION",
    "REQUIRED",
    "BehaviourCheck",
    "CheckInput",
    "CheckVerdict",
    "ClaimVerdict",
    "ControlSummary",
    "EffectCheck",
    "Judgement",
    "Verdict",
    "behaviour_check",
    "combine",
    "effect_check",
    "exceeded_by_few",
    "judge_check",
    "prediction_check",
    "shuffled",
    "unscored_check",
]
