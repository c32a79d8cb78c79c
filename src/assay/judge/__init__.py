"""Judges: language models that write sentences and say numbers, with their prompts and parsers."""

from assay.judge.base import NUMBERS, Answer, Judge, Message, Sampling, Unscored
from assay.judge.local import LocalJudge
from assay.judge.parse import parse_sentence
from assay.judge.prompts import EXPLAIN, SIMULATE, Prompt, load_prompt
from assay.judge.simulate import BLANK, Simulator, expected_number

__all__ = [
    "BLANK",
    "EXPLAIN",
    "NUMBERS",
    "SIMULATE",
    "Answer",
    "Judge",
    "LocalJudge",
    "Message",
    "Prompt",
    "Sampling",
    "Simulator",
    "Unscored",
    "expected_number",
    "load_prompt",
    "parse_sentence",
]
