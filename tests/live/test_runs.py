"""What somebody typed, tested as a stored run; neighbours, whose survey is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.explain.request import ExplainOutcome, ExplainRequest
from assay.live.neighbours import neighbours
from assay.live.runs import explain_unit, score
from assay.live.shelf import Held
from assay.store import open_run
from live.asking import MODEL, UNIT, asking, quiet

RULES = {"rules": [{"when": [{"slot": "form", "any_of": ["he", "the"]}], "value": 2.0}]}


def test_typed_rules_become_a_run_with_a_verdict(held: Held, tmp_path: Path) -> None:
    given: dict[str, Any] = {"model": MODEL, "unit": UNIT, "tokens": 12_000, "out": str(tmp_path)}
    found = score(held, asking("score", **given, rules=RULES), quiet)
    run = open_run(found["id"], tmp_path)
    assert run.path == Path(found["run"])
    assert [entry["explainer"] for entry in found["units"]] == ["rules", "lookup", "written"]
    assert {entry["unit"] for entry in found["units"]} == {UNIT}
    assert all(entry["verdict"] for entry in found["units"])
    assert run.spec["asked"]["written"][UNIT]["vocabulary"] == held.subject.vocab_size
    assert run.spec["asked"]["model"] == MODEL
    assert run.spec["subject"]["fingerprint"] == held.subject.fingerprint


def test_what_is_asked_of_the_lab(held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without running it: the request of each method."""
    requests: list[ExplainRequest] = []

    def explain(request: ExplainRequest, progress: Any, *, subject: Any, corpus: Any) -> ExplainOutcome:
        request.check()
        requests.append(request)
        assert subject is held.subject
        assert corpus.name == "bundled"
        return ExplainOutcome(tmp_path / "run", {"units": [{"unit": UNIT, "n": 1}, {"unit": "L0.mlp_act:7", "n": 2}]})

    monkeypatch.setattr("assay.live.runs.explain", explain)
    given: dict[str, Any] = {"model": MODEL, "unit": UNIT}
    found = explain_unit(held, asking("explain", **given, seed=3, behaviour=True, out="here"), quiet)
    assert found["units"] == [{"unit": UNIT, "n": 1}]
    assert (found["run"], found["id"]) == (str((tmp_path / "run").resolve()), "run")
    score(held, asking("score", **given, sentence=" It fires  on verbs. "), quiet)
    own, said = requests
    assert own == ExplainRequest(
        model=MODEL, units=UNIT, explainers=("rules", "lookup"), tokens=40_000, behaviour=True, seed=3, out="here"
    )
    assert said == ExplainRequest(
        model=MODEL,
        units=UNIT,
        explainers=("rules", "lookup"),
        tokens=40_000,
        behaviour=False,
        said={UNIT: "It fires on verbs."},
    )


@pytest.mark.parametrize("unit", [UNIT, "L0.mlp_act:7"])
def test_neighbours_by_weights_are_of_one_survey(held: Held, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = neighbours(held, asking("neighbours", model=MODEL, unit=unit), quiet)
    assert answer["rows"]
    assert {row["unit"] for row in answer["rows"]} == {unit}
    assert answer["tokens"] > 5_000
    monkeypatch.setattr("assay.live.neighbours.make_wiring", None)
    assert neighbours(held, asking("neighbours", model=MODEL, unit=unit), quiet) == answer
