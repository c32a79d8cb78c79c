"""The verdict rule, case by case."""

from __future__ import annotations

import pytest

from assay.introspect.verdicts import VERDICTS, Facts, Thresholds, decide
from assay.stats import Interval

LIMITS = Thresholds()
NONE, SOME = Interval(0.0, -0.1, 0.1), Interval(0.5, 0.3, 0.7)
STILL, HALF, FOLLOWS = Interval(0.01, -0.02, 0.04), Interval(0.3, 0.2, 0.4), Interval(0.8, 0.7, 0.9)
LEARNT = Facts(SOME, SOME, SOME, SOME, True, 0.5, STILL, STILL, 0.02, 0.4, None, 0.0, 2000)


@pytest.mark.parametrize(
    ("word", "facts"),
    [
        ("reads", LEARNT._replace(relative=FOLLOWS, slope=Interval(0.4, 0.3, 0.5))),
        ("undecided", LEARNT._replace(relative=FOLLOWS, slope=Interval(0.4, 0.3, 0.5), control=0.6)),
        ("undecided", LEARNT._replace(relative=FOLLOWS, slope=Interval(0.4, 0.3, 0.5), control=0.35)),
        ("undecided", LEARNT._replace(relative=HALF)),
        ("unreadable", LEARNT._replace(relative=FOLLOWS, optimum_r2=0.09)),
        ("recomputes", LEARNT),
        ("recomputes", LEARNT._replace(gain=0.5)),
        ("recomputes or infers", LEARNT._replace(sibling=False)),
        ("infers from text", LEARNT._replace(over_text=NONE)),
        ("recomputes or infers", LEARNT._replace(over_text=NONE, sibling=False)),
        ("undertrained", LEARNT._replace(over_text=NONE, gain=0.06)),
        ("undertrained", LEARNT._replace(over_text=NONE, gain=None)),
        ("undertrained", LEARNT._replace(over_text=NONE, steps=999)),
        ("infers from text", LEARNT._replace(over_text=NONE, steps=999, by_heart=True)),
        ("fails", LEARNT._replace(bits=NONE, over_text=NONE, ranks=NONE)),
        ("fails", LEARNT._replace(over_shuffled=NONE, over_text=NONE, ranks=NONE)),
        ("infers from text", LEARNT._replace(bits=NONE, over_text=NONE)),  # sure of itself, and not without reason
        ("infers from text", LEARNT._replace(over_text=NONE, ranks=NONE)),
        ("fails", LEARNT._replace(over_text=None)),
        ("undertrained", LEARNT._replace(bits=NONE, ranks=NONE, gain=0.2)),
        ("undertrained", LEARNT._replace(bits=NONE, over_text=NONE, ranks=NONE, began=False)),
        ("undecided", LEARNT._replace(relative=Interval(0.6, -0.1, 1.3))),
    ],
)
def test_each_case(word: str, facts: Facts) -> None:
    found = decide(facts, LIMITS)
    assert found.word == word
    assert word in VERDICTS
    assert found.reason


def test_reasons_give_the_numbers_that_decided() -> None:
    assert "R² 0.09" in decide(LEARNT._replace(optimum_r2=0.09), LIMITS).reason
    assert decide(LEARNT._replace(over_text=NONE, steps=999), LIMITS).reason.endswith("999 steps")
    follows = LEARNT._replace(relative=FOLLOWS, slope=Interval(0.4, 0.3, 0.5), control=0.6)
    assert decide(follows, LIMITS).reason.endswith("slope 0.400, control patches 0.600")
    alike = decide(follows._replace(optimum_slope=0.45, optimum_control=0.5), LIMITS).reason
    assert alike.endswith("the best linear reader's 0.450 and 0.500, so that none can be told from this neuron's")
    assert decide(follows._replace(optimum_control=0.1), LIMITS).reason.endswith("best linear reader's 0.400 and 0.100")
    nothing = LEARNT._replace(bits=NONE, ranks=NONE, gain=0.2)
    assert "+0.20 bits over the last doubling" in decide(nothing, LIMITS).reason
    assert "0.50 [0.30 0.70] bits over whoever knows the text alone" in decide(LEARNT, LIMITS).reason
