"""The lab on the default model, once, on little text: what the planted models can't show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import assay
from assay.core.ids import UnitId
from assay.explain.experiment import ExplainRequest, explain
from assay.explain.verdicts import recompute
from assay.store import open_run
from assay.text import load_corpus
from assay.text.corpus import BUNDLED
from explain.bench import planted_text


def test_two_neurons_of_the_default_model(tmp_path: Path) -> None:
    subject = assay.load("smollm2-135m")
    corpus = load_corpus("bundled") if BUNDLED.is_file() else planted_text(documents=600)
    request = ExplainRequest(units="L10.mlp_act:random2", tokens=12_000, behaviour=False, out=str(tmp_path))
    found = explain(request, subject=subject, corpus=corpus)
    entries = found.result["units"]
    assert [entry["explainer"] for entry in entries] == ["rules", "lookup"] * 2
    for entry in entries:
        unit = UnitId.parse(entry["unit"])
        assert str(unit.site) == "L10.mlp_act"
        assert 0 <= unit.index < 1536
        assert -0.2 < entry["r"] < 1
        assert entry["references"]["bigram_full"] > 0.05
        assert entry["rank_of"] == 1536
        assert entry["verdict"] in ("predicts", "refuted", "undecided")
        assert len(entry["rules"]) >= 1
    assert max(entry["r"] for entry in entries) > 0.05
    assert found.result["summary"]["dtype"] == str(subject.dtype).removeprefix("torch.")
    run = open_run(found.run_path)
    assert all(row.stored == row.recomputed for row in recompute(run))
    test = run.tensors("test")
    predicted, real = (test[name][0][test["scored"] == 1] for name in ("predictions", "activations"))
    assert np.corrcoef(predicted, real)[0, 1] == pytest.approx(entries[0]["r"], abs=1e-5)
