from __future__ import annotations

import pytest

from assay.errors import UnknownName
from assay.referee import CheckVerdict, Verdict, combine


def _check(name: str | None) -> CheckVerdict | None:
    if name is None:
        return None
    return CheckVerdict(Verdict(name), 0.1, 0.05, 0.15, 0.01, 0.99, "shuffled", f"because of {name}")


@pytest.mark.parametrize(
    ("prediction", "behaviour", "expected"),
    [
        ("supported", "supported", "supported"),
        ("supported", "undecided", "predicts"),
        ("supported", None, "predicts"),
        ("supported", "refuted", "refuted"),
        ("supported", "void", "void"),
        ("undecided", "supported", "undecided"),
        ("undecided", "undecided", "undecided"),
        ("undecided", None, "undecided"),
        ("undecided", "refuted", "refuted"),
        ("undecided", "void", "void"),
        ("refuted", "supported", "refuted"),
        ("refuted", "undecided", "refuted"),
        ("refuted", None, "refuted"),
        ("refuted", "void", "void"),
        ("void", "supported", "void"),
        ("void", "refuted", "void"),
        ("void", None, "void"),
        (None, "supported", "undecided"),
        (None, "refuted", "refuted"),
        (None, None, "undecided"),
    ],
)
def test_an_explanation_needs_prediction_and_behaviour(
    prediction: str | None, behaviour: str | None, expected: str
) -> None:
    found = combine("explanation", {"prediction": _check(prediction), "behaviour": _check(behaviour)})
    assert found.verdict == expected
    assert found.reason
    assert "\n" not in found.reason


@pytest.mark.parametrize(
    ("prediction", "behaviour", "reason"),
    [
        ("supported", "supported", "prediction and behaviour beat their nulls"),
        ("supported", None, "prediction is supported; behaviour was not run"),
        ("supported", "undecided", "prediction is supported; behaviour is undecided: because of undecided"),
        ("supported", "refuted", "behaviour: because of refuted"),
        ("undecided", None, "prediction is undecided: because of undecided"),
        (None, None, "prediction was not run"),
    ],
)
def test_the_reason_names_the_check_that_decided(prediction: str | None, behaviour: str | None, reason: str) -> None:
    found = combine("explanation", {"prediction": _check(prediction), "behaviour": _check(behaviour)})
    assert found.reason == reason


def test_a_check_that_is_not_required_does_not_count() -> None:
    checks = {"prediction": _check("supported"), "behaviour": _check("supported"), "description": _check("void")}
    assert combine("explanation", checks).verdict is Verdict.SUPPORTED
    assert combine("explanation", {"prediction": _check("supported")}).verdict is Verdict.PREDICTS


def test_an_unknown_kind_of_claim_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'explanation'"):
        combine("explanations", {})
