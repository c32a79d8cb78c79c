"""Directions held still, against raw hooks: what goes of the gap, and what happens to other concepts' words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId
from assay.findings.carried import quiet
from assay.model import Subject
from assay.model.reading import encode
from assay.steer.bench import Bench
from assay.steer.methods import make
from assay.steer.request import SteerRequest
from assay.steer.scoring import Words
from assay.steer.studies import silence
from assay.steer.treatment import Pushes
from steer.warm import warm

LAYER = 0
LOADED = ("My love, our home is full of", "Dear friend, the light of our family is", "In her dream the garden had some")


@torch.inference_mode()
def odds(subject: Subject, text: str, words: Words, hold: tuple[np.ndarray, float] | None) -> float:
    """Log odds of the next word, the residual of the layer held along a unit vector but at the first token."""

    def hook(_: Any, __: Any, out: Any) -> Any:
        h = (out if isinstance(out, torch.Tensor) else out[0]).clone()
        if hold is not None:
            unit, mean = torch.from_numpy(hold[0]).to(h), hold[1]
            for at in range(1, h.shape[1]):
                h[0, at] += (mean - h[0, at] @ unit) * unit
        return h if isinstance(out, torch.Tensor) else (h, *out[1:])

    handle = subject.model.get_submodule(f"model.layers.{LAYER}").register_forward_hook(hook)
    try:
        [ids] = encode(subject, [text])
        last = subject.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
    finally:
        handle.remove()
    return float(last[words[0]].logsumexp(0) - last[words[1]].logsumexp(0))


def test_what_goes_and_what_else_is_that_of_raw_hooks(ladder: Subject) -> None:
    behaviour = warm(loaded=LOADED)
    request = SteerRequest(
        model="ladder-2-0", effort="smoke", experiment="silence", methods=("mean_diff",), layers=(LAYER,)
    )
    bench = Bench(ladder, behaviour, request, quiet)
    found = silence.run(bench)
    one, every = found.results
    assert (one["where"], every["where"]) == ("one layer", "all layers")
    made = make("mean_diff", bench.kit, LAYER)
    assert isinstance(made, Pushes)
    unit = made.pushes[0].vector.astype(np.float64)
    unit /= np.linalg.norm(unit)
    site = SiteId(LAYER, "resid_post")
    rows = [ladder.activations(torch.tensor([list(ids)]), None, [site])[site][0, 1:] for ids in bench.neutral.measure]
    mean = float(np.mean([row.double().mean(0).numpy() for row in rows], axis=0) @ unit)
    words = bench.to_report.scored.words[0]
    for name, texts in (("loaded", LOADED), ("neutral", behaviour.prompts)):
        expected = np.mean([odds(ladder, text, words, (unit, mean)) for text in texts])
        assert one[name] == pytest.approx(expected, abs=1e-4)
    plain = [np.mean([odds(ladder, text, words, None) for text in texts]) for texts in (LOADED, behaviour.prompts)]
    assert one["silenced"] == pytest.approx(1 - (one["loaded"] - one["neutral"]) / (plain[0] - plain[1]), abs=1e-3)
    assert len(bench.off_target) > 2
    for name, other in bench.off_target.items():
        rises = [odds(ladder, text, other, (unit, mean)) - odds(ladder, text, other, None) for text in LOADED]
        aside = one["off_target"][name]
        assert aside["rise"] == pytest.approx(np.mean(rises), abs=1e-4)
        assert aside["lo"] <= aside["hi"]
        assert every["off_target"][name]["rise"] != aside["rise"]
    [_, table] = found.tables
    assert table.columns[1:] == tuple(bench.off_target)
    assert [row[0] for row in table.rows] == ["mean_diff, layer 0, one layer", "mean_diff, layer 0, all layers"]
