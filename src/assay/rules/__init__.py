"""Readable, executable explanations of units, and the lookups they must beat."""

from assay.rules.learn import RuleLearner
from assay.rules.lookup import Lookup, LookupLearner
from assay.rules.rule import Condition, Rule, RuleList
from assay.rules.search import LearnOptions
from assay.rules.view import View

__all__ = ["Condition", "LearnOptions", "Lookup", "LookupLearner", "Rule", "RuleLearner", "RuleList", "View"]
