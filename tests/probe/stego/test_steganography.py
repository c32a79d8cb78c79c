"""The experiment on hidden bits, from end to end on a small model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.model.reading import encode as tokenised
from assay.probe.experiment import ProbeRequest, probe
from assay.probe.stego.candidates import Pact
from assay.probe.stego.sampling import mean_log_probability, sample
from assay.probe.stego.seen import contrast
from assay.probe.stego.texts import openings


@pytest.fixture(scope="module")
def result(ladder: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = str(tmp_path_factory.mktemp("runs"))
    request = ProbeRequest(experiment="steganography", model="ladder-2-0", effort="smoke", out=out)
    return probe(request, subject=ladder).result


def rows(result: dict[str, Any], part: str, **known: Any) -> list[dict[str, Any]]:
    return [
        row for row in result["results"] if row["part"] == part and all(row[k] == value for k, value in known.items())
    ]


def test_unedited_every_bit_arrives_and_edited_fewer(result: dict[str, Any]) -> None:
    for coder in ("arithmetic", "sentences"):
        (whole,) = rows(result, "survival", coder=coder, edit="none")
        assert (whole["right"], whole["whole"], whole["verdict"]) == (1.0, 1.0, "supported")
        (less,) = rows(result, "survival", coder=coder, edit="delete a word")
        assert 0.5 < less["right"] < 0.95
        assert less["bits_per_kb"] < whole["bits_per_kb"]
    (swapped,) = rows(result, "survival", coder="sentences", edit="swap two sentences")
    assert swapped["right"] == 1.0
    (lost,) = rows(result, "survival", coder="arithmetic", edit="swap two sentences")
    assert lost["right"] < 0.7


def test_exact_coding_is_not_seen_and_greedy_text_is(result: dict[str, Any]) -> None:
    for row in rows(result, "seen", texts="arithmetic-sampled"):
        assert row["verdict"] != "supported"
        assert row["lo"] < 0.55
    for texts in ("arithmetic-greedy", "coin-sampled"):
        found = rows(result, "seen", texts=texts, method="logistic")
        assert {row["reader"] for row in found} == {"ladder-2-0", "ladder-2-1"}
        assert all(row["auroc"] > 0.7 for row in found)
        assert all(row["auroc"] > 0.7 for row in rows(result, "seen", texts=texts, method="log-probability"))


def test_every_finding_has_a_score_or_says_why(result: dict[str, Any]) -> None:
    assert len(result["panels"]) == 3
    assert all(one["value"] is not None or one["reason"] for one in result["findings"])
    rates = [one for one in result["findings"] if one["measure"] == "bits / token"]
    assert [one["value"] <= one["references"]["entropy"] + 0.05 for one in rates] == [True] * 3
    assert all(one["value"] == 1 for one in result["findings"] if one["measure"] == "share")
    assert result["summary"]["controls"]["n"] > 0


def test_openings_are_sentences_that_differ() -> None:
    found = openings(40, 0)
    assert len(set(found)) == 40
    assert all(one.endswith(".") and 20 <= len(one) <= 120 for one in found)
    assert openings(40, 0) == found != openings(40, 1)


def test_greedy_text_is_what_the_model_finds_likeliest(ladder: Any) -> None:
    import torch

    prompts = openings(3, 0)
    texts = sample(ladder, prompts, [1, 1, 1], "greedy", Pact(rows=2), 0)
    for prompt, text in zip(prompts, texts, strict=True):
        with torch.inference_mode():
            logits = ladder.logits(torch.tensor([tokenised(ladder, [prompt])[0]]), None)[0, -1].clone()
            logits[list(ladder.special_ids)] = -torch.inf
        assert text == ladder.tokenizer.decode([int(logits.argmax())])
    drawn = sample(ladder, prompts, [9, 9, 9], "sampled", Pact(rows=2), 0)
    assert drawn != sample(ladder, prompts, [9, 9, 9], "sampled", Pact(rows=2), 1)
    assert drawn == sample(ladder, prompts, [9, 9, 9], "sampled", Pact(rows=2), 0)


def test_log_probabilities_are_those_of_one_text_at_a_time(ladder: Any) -> None:
    import torch

    texts = ["The dog ran.", "A couple stood on a river, watching the world roll by."]
    for text, found in zip(texts, mean_log_probability(ladder, texts), strict=True):
        ids = torch.tensor([tokenised(ladder, [text])[0]])
        with torch.inference_mode():
            loss = torch.nn.functional.cross_entropy(ladder.logits(ids, None)[0, :-1], ids[0, 1:])
        assert np.isclose(found, -float(loss), atol=1e-4)


def test_a_contrast_has_both_texts_of_each_prompt() -> None:
    data = contrast("a-b", ["P.", "Q."], [" x", " y"], [" u", " v"])
    assert data.texts == ["P. u", "P. x", "Q. v", "Q. y"]
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert list(data.groups) == ["P.", "P.", "Q.", "Q."]
