"""Readable, executable explanations of units, and the lookups they must beat."""

from assay.rules.learn import LearnOptions, RuleLearner
from assay.rules.lookup import Lookup
from assay.rules.lookup_learner import LookupLearner
from assay.rules.rule import Condition, Rule, RuleList
from assay.rules.view import View

__all__ = ["Condition", "LearnOptions", "Lookup", "LookupLearner", "Rule", "RuleLearner", "RuleList", "View"]
