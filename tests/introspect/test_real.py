"""On models that were trained: the smoke run as a user types it, and kept against full passes of the default model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.cli.app import run as run_cli
from assay.core.ids import SiteId, UnitId
from assay.introspect.kept import keep, padded
from assay.introspect.neurons import measured
from assay.introspect.reporter import reporter
from assay.introspect.sentences import gather
from assay.introspect.wording import wording
from assay.model import load
from assay.text import load_corpus
from introspect.test_experiment import BASELINES, CELL


def test_the_smoke_run_on_a_ladder_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["report", "--model", "ladder-2-0", "--effort", "smoke", "--out", str(tmp_path), "--json"]
    assert run_cli(command) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(result) >= {"cells", "k_star", "summary"}
    assert [cell["layer"] for cell in result["cells"]] == [0, 0, 0, 0, 1, 1, 1, 1]
    for cell in result["cells"]:
        assert set(cell) >= CELL
        assert set(cell["baselines"]) == BASELINES
        assert cell["verdict"] not in ("recomputes or infers",)  # its sibling is the ladder's other seed
        assert cell["digit_mass"] > 0.8
        if cell["layers_left"] == 0:
            assert cell["causal_slope"] == 0.0
    natural = [cell for cell in result["cells"] if cell["regime"] == "nat"]
    assert all(abs(cell["baselines"]["shuffled"]) < 0.15 for cell in natural)
    assert max(cell["baselines"]["probe_after"] for cell in natural) > 0.5


@torch.no_grad()
def test_kept_and_full_passes_of_the_default_model_agree_to_a_ten_thousandth() -> None:
    """In fp32, at a low, a middle and the last layer, patched."""
    subject = load(dtype="fp32")
    worded = wording(subject.tokenizer, "Q", 1, subject.name)
    assert subject.tokenizer.decode(worded.questions[0]) == " A"
    text, _, _ = gather(subject, load_corpus("bundled"), worded.stop, (16, 2, 2), 0)
    layers = [5, 20, 29]
    found = keep(subject, text, worded.questions, [layer + 1 for layer in layers], layers)
    change = torch.linspace(-20, 20, len(text))[:, None]
    ids, mask = padded([row + worded.questions[0] for row in text.ids])
    at = ids.shape[1] - 1 - worded.length
    for layer in layers:
        unit = UnitId(SiteId(layer, "mlp_act"), 7)
        neuron = measured(unit, "random", found.values[layer][:, 7], 1.0)
        with reporter(subject, [neuron], worded, "above", 4, 0) as asked:
            logits = torch.cat(
                [subject.unembed(asked.hidden(batch, change[batch.rows]))[:, 0] for batch in found.batches]
            )
        rows = torch.cat([batch.rows for batch in found.batches])

        def patched(tensor: torch.Tensor) -> torch.Tensor:
            added = torch.zeros_like(tensor)
            added[:, at, 7] = change[:, 0]
            return tensor + added

        with subject.edit(unit.site, patched):
            whole = subject.logits(ids, mask)[:, -1]
        assert (logits[rows.argsort()] - whole).abs().max() < 1e-4
