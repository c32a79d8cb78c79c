"""What the explainers are called, and which of them say what."""

from __future__ import annotations

from collections.abc import Mapping

SELF, PROSE, SAID = "self", "prose", "said"  # by the subject, by another judge, by whoever brought the sentence
EXPLAINERS = ("rules", SELF, PROSE, "lookup")
SIMULATED = (SELF, PROSE, SAID)  # explainers whose predictions a judge makes, on a sample of the tokens
WRITTEN = "written"  # the explainer's name of rules that a person brought
OUTPUT_TOKENS, OUTPUT_RULES = "output_tokens", "output_rules"  # and of what a unit writes: no activation is explained
OUTPUTS = (OUTPUT_TOKENS, OUTPUT_RULES)
# Stored with every claim. Who says something else of the same data needs a new one: a golden test sees to it.
VERSIONS: Mapping[str, int] = {
    **{"rules": 2, SELF: 1, PROSE: 1, SAID: 1, "lookup": 1, WRITTEN: 1},
    **{OUTPUT_TOKENS: 1, OUTPUT_RULES: 1},
}
