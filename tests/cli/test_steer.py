"""``assay steer`` on a small model: its contract, its files, its experiments, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.core.control_vector import load_control_vector
from assay.core.direction import Direction
from assay.core.ids import SiteId
from assay.store import open_run

CONTRACT = {
    *("method", "layer", "dose", "effect", "lo", "hi", "null_hi"),
    *("kl", "perplexity_ratio", "wrong_way", "slope", "verdict"),
}
SMALL = ("--model", "ladder-2-0", "--dtype", "fp32", "--effort", "smoke")
ANIMALS = (
    "boy girl dog cat bird bear rabbit frog mouse duck fox lion horse cow pig sheep goat fish bee ant man woman king "
    "queen baby teacher doctor farmer baker driver clown pirate robot dragon fairy giant witch prince princess soldier"
).split()
PAIRS = [
    ("Tom laughs and claps.", "Tom cries and hides."),
    ("Lily jumps for joy.", "Lily falls and weeps."),
    ("Mom smiles at him.", "Mom shouts at him."),
    ("They played all day.", "They fought all day."),
    ("She won the game.", "She broke her doll."),
    ("He got a gift.", "He dropped a toy."),
]


def concept(path: Path, **changed: Any) -> str:
    """A concept of one's own, written to a file."""
    told = {
        "about": "the text is happy, not sad",
        "actadd": ["Fun", "Crying"],
        "arithmetic": ["laugh", "cry"],
        "instruction": "Everyone laughs and plays.",
        "more": ["happy", "good", "nice", "glad", "proud", "kind"],
        "less": ["bad", "mean", "alone", "dark", "hard", "small"],
        "pairs": PAIRS,
        "prompts": [f"The {name} was very" for name in ANIMALS],
        "loaded": [f"The {name} smiled because it felt so" for name in ANIMALS[:24]],
        **changed,
    }
    path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in told.items()), encoding="utf-8")
    return str(path)


@pytest.fixture
def mood(tmp_path: Path) -> str:
    return concept(tmp_path / "mood.toml")


def test_the_contract_holds_and_the_files_can_be_taken_elsewhere(assay, root: Path, mood: str, tmp_path: Path) -> None:
    place = tmp_path / "mood.gguf"  # which holds no layer 0
    larger = (*SMALL, "--model", "ladder-4-0")
    asked = (
        "--concept",
        mood,
        "--methods",
        "actadd,mean_diff,lat,prompt,random",
        "--layers",
        "1,2",
        "--doses",
        ".1,.4",
    )
    said = assay("steer", *asked, "--export", str(place), *larger, "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out)
    assert [row["method"] for row in result["results"]] == ["actadd", "mean_diff", "lat", "prompt", "random"]
    for row in result["results"]:
        assert set(row) >= CONTRACT
        assert row["lo"] <= row["effect"] <= row["hi"]
        assert row["kl"] >= 0
        assert 0 <= row["wrong_way"] <= 1
        assert row["verdict"] in ("supported", "undecided", "refuted", "void")
        assert (row["layer"], row["dose"]) == (None, None) if row["method"] == "prompt" else row["dose"] in (0.1, 0.4)
    run = open_run("last", root)
    assert (run.id, run.result()) == (result["run"], result)
    assert result["summary"]["setting"]["prompts"] == {"choose": 20, "report": 20}
    shared = {
        (row["layer"], row["dose"]) for row in result["results"] if row["method"] in ("mean_diff", "lat", "random")
    }
    assert result["summary"]["controls"]["n"] == 10 * (2 + len(shared))  # vectors of one length have the same placebos
    best = max(
        (row for row in result["results"] if row["method"] in ("mean_diff", "lat", "random")),
        key=lambda row: row["effect"],
    )
    assert result["summary"]["to_export"]["method"] == best["method"]
    stored = Direction.load(run.file(f"directions/mood.{best['method']}.safetensors"))
    assert stored.site == SiteId(best["layer"], "resid_post")
    taken = load_control_vector(place)
    assert np.array_equal(taken[stored.site].vector, stored.vector)
    # what was taken out does what was measured when it is brought in again, at the dose that is as long
    again = assay(
        "steer", "--concept", mood, "--direction", str(place), "--doses", str(best["dose"]), *larger, "--json"
    )
    assert again.code == 0, again.err
    (row,) = json.loads(again.out)["results"]
    assert (row["method"], row["layer"]) == ("@mood", best["layer"])
    assert row["effect"] == pytest.approx(best["effect"], abs=1e-3)


def test_a_run_is_shown_as_it_was_printed(assay, root: Path, mood: str) -> None:
    printed = assay("steer", "--concept", mood, "--methods", "mean_diff", "--layers", "1", *SMALL)
    assert printed.code == 0, printed.err
    assert assay("show").out == printed.out
    stored = open_run("last", root).result()
    for part in (stored["title"], *(table["title"] for table in stored["tables"])):
        assert part in printed.out
    assert "of 10 placebos that posed as claims" in printed.out
    assert "placebos that posed" in open_run("last", root).file("page.html").read_text("utf-8")
    doses = sorted({one["dose"] for one in stored["continuations"]})
    assert doses == [-0.8, -0.6, -0.5, -0.4, -0.3, -0.2, -0.1, -0.05, 0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8]


def test_what_is_exported_without_a_suffix_is_a_model(assay, root: Path, mood: str, tmp_path: Path) -> None:
    import torch

    import assay as house

    place = tmp_path / "model"
    asked = ("--concept", mood, "--methods", "mean_diff", "--layers", "0", "--export", str(place))
    said = assay("steer", *asked, *SMALL)
    assert said.code == 0, said.err
    stored = Direction.load(open_run("last", root).file("directions/mood.mean_diff.safetensors"))
    subject, baked = house.load("ladder-2-0", "fp32"), house.load(str(place), "fp32")
    ids = torch.tensor([[7, 3, 11, 5]])
    with torch.inference_mode(), subject.edit(stored.site, lambda h: h + torch.tensor(stored.vector)):
        steered = subject.logits(ids)
    with torch.inference_mode():
        assert torch.allclose(baked.logits(ids), steered, atol=1e-4)
        assert not torch.allclose(subject.logits(ids), steered, atol=1e-2)


def test_silencing_reports_every_direction_held_at_one_layer_and_at_all(assay, root: Path, mood: str) -> None:
    asked = ("--experiment", "silence", "--concept", mood, "--methods", "mean_diff,random", "--layers", "0,1")
    said = assay("steer", *asked, *SMALL, "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out)
    assert [(row["method"], row["layer"], row["where"]) for row in result["results"]] == [
        (method, layer, where)
        for method in ("mean_diff", "random")
        for layer in (0, 1)
        for where in ("one layer", "all layers")
    ]
    for row in result["results"]:
        gap = row["loaded"] - row["neutral"]
        assert row["silenced"] == pytest.approx(1 - gap / result["summary"]["gap"], abs=1e-6)


def test_the_trial_by_size_has_a_row_for_every_model(assay, root: Path, mood: str) -> None:
    asked = ("--experiment", "scale", "--concept", mood, "--models", "ladder-2-0,ladder-2-1", "--methods", "mean_diff")
    said = assay("steer", *asked, "--layers", "1", "--effort", "smoke", "--dtype", "fp32", "--json")
    assert said.code == 0, said.err
    rows = json.loads(said.out)["results"]
    assert [row["model"] for row in rows] == ["ladder-2-0", "ladder-2-1"]
    assert rows[0]["effect"] != rows[1]["effect"]
    alone = assay("steer", "--concept", mood, "--methods", "mean_diff", "--layers", "1", *SMALL, "--json")
    assert json.loads(alone.out)["results"][0]["effect"] == pytest.approx(rows[0]["effect"], abs=1e-6)


def test_by_size_takes_a_concept_that_the_ladder_has_the_words_of(assay, root: Path) -> None:
    asked = ("--experiment", "scale", "--models", "ladder-2-0", "--methods", "mean_diff", "--layers", "1")
    said = assay("steer", *asked, "--effort", "smoke", "--dtype", "fp32", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["summary"]["concept"] == "second_person"
    assert min(told["results"][0]["words"]) >= 3
    run = open_run("last", root)
    assert run.spec["asked"]["concept"] == run.spec["resolved"]["concept"] == "second_person"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--concept", "sentimant"), "unknown concept 'sentimant'; did you mean 'sentiment'?"),
        (("--concept", "none.toml"), "can't read none.toml: No such file or directory"),
        (("--methods", "mean_dif"), "unknown method 'mean_dif'; did you mean 'mean_diff'?"),
        (("--methods", ""), "--methods must name one or more, each once. Got none."),
        (("--layers", "1,7"), "ladder-2-0 has layers 0 to 1, and --layers names 7"),
        (("--layers", "x"), "--layers must be numbers from 0, such as 5,20,29. Got 'x' instead."),
        (("--doses", ".4,.1"), "--doses must be numbers above 0, from the lowest to the highest. Got 0.4, 0.1."),
        (("--doses", "nan"), "--doses must be numbers above 0, from the lowest to the highest. Got nan."),
        (("--doses", "1e39", "--methods", "mean_diff"), "a dose of 1e+39 makes what is added at L"),
        (("--doses", "much"), "--doses must be numbers such as .1,.2. Got 'much'."),
        (("--kl-cap", "0"), "--kl-cap must be above 0. Got 0."),
        (("--where", "first"), "unknown position 'first'; known: all, prompt, generated"),
        (("--effort", "huge"), "unknown effort 'huge'"),
        (("--experiment", "silent"), "unknown experiment of assay steer 'silent'; did you mean 'silence'?"),
        (("--experiment", "silence", "--doses", ".1"), "--experiment silence takes no --doses; leave it out"),
        (("--models", "ladder-2-0"), "--models are those of --experiment scale"),
        (("--direction", "no.safetensors"), "can't read no.safetensors"),
        (
            ("--export", "x.pt"),
            "--export must end in .safetensors, .json, .gguf, or in nothing, for a model. Got 'x.pt'.",
        ),
        (("--export", "nowhere/x.gguf"), "--export names a folder that isn't there: nowhere"),
        (("--no-pad", "--methods", "actadd"), "the prompts 'Fun' and 'Crying' have"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    assay, root: Path, mood: str, arguments: tuple[str, ...], message: str
) -> None:
    said = assay("steer", *(() if "--concept" in arguments else ("--concept", mood)), *SMALL, *arguments)
    assert said.code == 2
    lines = [line for line in said.err.splitlines() if line.startswith("assay: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert said.out == ""
    assert not list(root.glob("*steer*"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pairs": []}, "has no pairs, so there is nothing to learn from"),
        ({"more": ["laughing", "good", "nice"]}, "is learnt from and scored by the same words: laughing"),
        ({"more": ["xylophonist", "good", "kind"]}, "2 of the 3 words in 'more' of the concept own are one token"),
        ({"prompts": ["Only"]}, "has 1 prompts; give at least two, better forty"),
        ({"mor": []}, "unknown key of the concept own 'mor'; did you mean 'more'?"),
        ({"pattern": "("}, "is no regular expression"),
        ({"actadd": ["Fun", "Fun"]}, "are the same tokens; give two that differ"),
    ],
)
def test_a_concept_that_cannot_be_used_is_one_line(
    assay, root: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    path = concept(tmp_path / "own.toml", **changed)
    said = assay("steer", "--concept", path, "--methods", "actadd", "--layers", "1", *SMALL)
    assert said.code == 2
    assert message in said.err
    assert not list(root.glob("*steer*"))


def test_a_direction_of_another_model_is_refused(assay, root: Path, mood: str, tmp_path: Path) -> None:
    path = tmp_path / "wide.safetensors"
    Direction(SiteId(1, "resid_post"), np.ones(576, np.float32)).save(path)
    said = assay("steer", "--concept", mood, "--direction", str(path), *SMALL)
    assert said.code == 2
    assert "the direction at L1.resid_post has 576 entries, and ladder-2-0 has 96 there" in said.err
