"""Concept data: texts with labels to find a concept with, in groups that no split may tear. No torch."""

from assay.text.concepts.data import ConceptData, Item
from assay.text.concepts.load import concept_names, load_concept
from assay.text.concepts.splits import SHARES, ConceptSplits, check_apart, split_concept, tear

__all__ = [
    "SHARES",
    "ConceptData",
    "ConceptSplits",
    "Item",
    "check_apart",
    "concept_names",
    "load_concept",
    "split_concept",
    "tear",
]
