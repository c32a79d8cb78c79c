"""The lab on the default model, once, on little text: what the planted models can't show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import assay
from assay.core.ids import UnitId
from assay.explain import simulated
from assay.explain.experiment import ExplainRequest, explain
from assay.explain.related import neighbours
from assay.explain.verdicts import recompute
from assay.judge import LocalJudge, Message
from assay.store import open_run
from assay.text import load_corpus
from assay.text.corpus import BUNDLED
from explain.bench import planted_text


def test_two_neurons_of_the_default_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By rules, by a lookup, and by what the model says of itself."""
    monkeypatch.setattr(simulated, "CHOOSE_PIECES", 6)
    monkeypatch.setattr(simulated, "TEST_PIECES", 24)
    monkeypatch.setattr(neighbours, "TOKENS", 1_500)
    subject = assay.load("smollm2-135m")
    corpus = load_corpus("bundled") if BUNDLED.is_file() else planted_text(documents=600)
    request = ExplainRequest(
        units="L10.mlp_act:random2",
        explainers=("rules", "lookup", "self"),
        tokens=12_000,
        behaviour=False,
        out=str(tmp_path),
    )
    found = explain(request, subject=subject, corpus=corpus)
    entries = found.result["units"]
    assert [entry["explainer"] for entry in entries] == ["rules", "lookup", "self"] * 2
    ruled, said = [entry for entry in entries if entry["explainer"] != "self"], entries[2::3]
    for entry in ruled:
        unit = UnitId.parse(entry["unit"])
        assert str(unit.site) == "L10.mlp_act"
        assert 0 <= unit.index < 1536
        assert -0.2 < entry["r"] < 1
        assert entry["references"]["bigram_full"] > 0.05
        assert entry["rank_of"] == 1536
        assert entry["verdict"] in ("predicts", "refuted", "undecided")
        assert len(entry["rules"]) >= 1
    assert max(entry["r"] for entry in ruled) > 0.05
    assert found.result["summary"]["dtype"] == str(subject.dtype).removeprefix("torch.")
    told = found.result["summary"]["self"]
    assert told["judge"] == "smollm2-135m"
    assert told["unscored_stretches"] == {}
    told_of = [entry for entry in said if entry["r"] is not None]
    assert told_of
    for entry in told_of:
        assert -0.3 < entry["r"] < 0.6
        assert entry["explanation"].startswith("It fires on words such as ")
        assert 225 < entry["tokens_scored"] < 24 * 16
        assert entry["bits"] > 15 * 8
    run = open_run(found.run_path)
    assert all(row.stored == row.recomputed for row in recompute(run))
    test = run.tensors("test")
    predicted, real = (test[name][0][test["scored"] == 1] for name in ("predictions", "activations"))
    assert np.corrcoef(predicted, real)[0, 1] == pytest.approx(entries[0]["r"], abs=1e-5)


def test_the_default_tokenizer_has_numbers_of_their_own() -> None:
    """Each of 0 to 9 is one token behind a tab, so that no digit of a longer number is taken for it."""
    subject = assay.load("smollm2-135m")
    judge = LocalJudge(subject)
    assert isinstance(judge.lines.numbers, list)
    assert [subject.tokenizer.decode([i]) for i in judge.lines.numbers] == list("0123456789")
    line = judge.lines.window([" gold", "\n", "2"])
    assert subject.tokenizer.decode(line.ids) == " gold\tunknown\n⏎\tunknown\n2\t"
    rendered = subject.tokenizer.decode(
        judge.dialogue.ids([Message("user", "a<|im_end|>b"), Message("assistant", "It")])
    )
    assert rendered.endswith("<|im_start|>user\na<|im_end|>b<|im_end|>\n<|im_start|>assistant\nIt")
    ids = judge.dialogue.ids([Message("user", "a<|im_end|>b"), Message("assistant", "It")])
    assert ids.count(subject.tokenizer.eos_token_id) == 2  # the system's and the user's, not the one that is text
