"""Readable, executable explanations of units, and the lookups they must beat.

Names are imported when they are first used: to predict from a rule takes no compiler, to learn one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.doors import lazy_door

if TYPE_CHECKING:
    from assay.rules.learn import LearnOptions as LearnOptions
    from assay.rules.learn import RuleLearner as RuleLearner
    from assay.rules.lookup import Lookup as Lookup
    from assay.rules.lookup_learner import LookupLearner as LookupLearner
    from assay.rules.rule import Condition as Condition
    from assay.rules.rule import Rule as Rule
    from assay.rules.rule import RuleList as RuleList
    from assay.rules.view import View as View

_PLACES = {
    "Condition": "rule",
    "LearnOptions": "learn",
    "Lookup": "lookup",
    "LookupLearner": "lookup_learner",
    "Rule": "rule",
    "RuleLearner": "learn",
    "RuleList": "rule",
    "View": "view",
}

__all__ = ["Condition", "LearnOptions", "Lookup", "LookupLearner", "Rule", "RuleLearner", "RuleList", "View"]
__getattr__ = lazy_door(__name__, _PLACES)
