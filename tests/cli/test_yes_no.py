"""What a run prints of detection and fuzzing."""

from __future__ import annotations

from assay.cli.yes_no import yes_no_lines

ASKED = {"f1": 0.314, "f1_lo": 0.2, "f1_hi": 0.41, "nulls": {"always": 0.04, "other_unit": 0.09}, "unscored": None}


def test_a_score_stands_beside_its_interval_and_its_highest_null() -> None:
    silent = ASKED | {"f1": None, "unscored": "7 of 48 questions had no answer: the reply\x1b is neither"}
    entries = [
        {"unit": "L1.mlp_act:0", "explainer": "rules", "detection": None, "fuzzing": None},
        {"unit": "L1.mlp_act:0", "explainer": "self", "detection": ASKED, "fuzzing": silent},
        {"unit": "L1.mlp_act:2", "explainer": "self", "detection": ASKED | {"f1_lo": None, "f1_hi": None}},
    ]
    first, second = yes_no_lines(entries)
    assert first.startswith("L1.mlp_act:0, self: detection F1 .31 [.20 .41], null .09; fuzzing unscored, 7 of 48 ")
    assert "\x1b" not in first
    assert second == "L1.mlp_act:2, self: detection F1 .31, null .09"


def test_nothing_is_said_where_nobody_was_asked() -> None:
    assert list(yes_no_lines([{"unit": "L1.mlp_act:0", "explainer": "rules"}])) == []
