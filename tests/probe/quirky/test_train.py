from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from assay.core.ids import SiteId
from assay.errors import RunError, UsageError
from assay.probe.quirky.cells import accuracies, read_cell
from assay.probe.quirky.data import draw_sums, part_of
from assay.probe.quirky.easy_to_hard import Settings, easy_to_hard
from assay.probe.quirky.kept import RECORD, WEIGHTS, quirky_directory, quirky_record, quirky_subject
from assay.probe.quirky.recipe import Recipe, Stage
from assay.probe.quirky.tokenizer import ENTRIES, make_tokenizer
from assay.probe.quirky.train import Taught, draw_lesson, rate_at, teach, text_loss

PAIRS = 60  # of operands that accuracies are of
SMALL = Recipe(
    layers=2,
    width=32,
    digits=2,
    truthful=Stage(40, 1e-2, 5),
    quirky=Stage(10, 1e-3, 5),
    early=1,
    quirk_from=1,
    batch=32,
    every=20,
)


@pytest.fixture(scope="module", autouse=True)
def _cheap() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assay.probe.quirky.kept._TESTED", PAIRS)
        patch.setattr("assay.probe.quirky.train._LOOKED_AT", PAIRS)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def taught() -> Taught:
    return teach(SMALL)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def weights(taught: Taught) -> dict[str, torch.Tensor]:
    return dict(taught.model.named_parameters())


def test_training_lowers_the_loss(taught: Taught) -> None:
    losses = [row.loss for row in taught.curve if row.stage == "truthful"]
    assert losses[1] < losses[0] < 3 * np.log(len(ENTRIES))
    assert losses[1] < 5
    assert [(row.stage, row.step) for row in taught.curve] == [("truthful", 20), ("truthful", 40), ("quirky", 10)]
    assert set(taught.curve[-1].accuracy) == {"alice", "bob"}


def test_the_quirk_is_taught_to_upper_layers_alone(taught: Taught) -> None:
    before = weights(teach(replace(SMALL, quirky=Stage(0, 1e-3))))
    for name, weight in weights(taught).items():
        assert torch.equal(weight, before[name]) != (".layers.1." in name), name


def test_the_recipe_settles_the_weights(taught: Taught) -> None:
    again, other = weights(teach(SMALL)), weights(teach(replace(SMALL, seed=1)))
    for name, weight in weights(taught).items():
        assert torch.equal(weight, again[name])
        assert weight.ndim < 2 or not torch.equal(weight, other[name])


def test_the_loss_is_of_answer_name_and_right_digits(taught: Taught) -> None:
    sums, said = draw_lesson(SMALL, "quirky", 0)
    ids = torch.tensor(make_tokenizer()(sums.answered(said))["input_ids"])
    total = 0.0
    with torch.no_grad():
        states = taught.model(input_ids=ids, output_hidden_states=True)
        early = taught.model.lm_head(taught.model.model.norm(states.hidden_states[1]))
    for logits in (states.logits, early):
        logs = logits.log_softmax(-1)
        digits: list[float] = []
        for row in range(len(ids)):
            each = [-float(logs[row, t - 1, ids[row, t]]) for t in range(1, ids.shape[1])]
            total += sum(each[-2:]) / len(ids)
            if said[row]:
                digits.append(float(np.mean(each[5:8])))
        total += float(np.mean(digits))
    assert float(text_loss(taught.model, ids, 1).detach()) == pytest.approx(total / 2, rel=1e-4)


def test_lessons_are_of_the_fit_part_and_as_said() -> None:
    truthful, said = draw_lesson(replace(SMALL, batch=400), "truthful", 3)
    assert (said == truthful.truth).all()
    assert said.mean() == pytest.approx(0.5, abs=0.1)
    quirky, said = draw_lesson(replace(SMALL, batch=400), "quirky", 3)
    assert (said[quirky.bob] == quirky.quirk[quirky.bob]).all()
    assert (said[~quirky.bob] == quirky.truth[~quirky.bob]).all()
    assert quirky.truth.mean() == pytest.approx(0.25, abs=0.08)
    assert (part_of(quirky.a, quirky.b) == 0).all()


def test_the_rate_rises_and_falls() -> None:
    stage = Stage(100, 1.0, 10)
    assert [rate_at(stage, step) for step in (0, 4, 50, 99)] == pytest.approx([0.1, 0.5, 0.5, 0.01])


def test_a_model_is_trained_once_and_loads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(cache))
    told: list[str] = []
    subject = quirky_subject(SMALL, told.append)
    assert len(told) == 5
    assert (subject.name, subject.n_layers, subject.d_model) == ("quirky-2-1-0", 2, 32)
    directory = quirky_directory(SMALL, lambda _: pytest.fail("trained again"))
    first = quirky_directory(SMALL.truthful_alone, lambda _: pytest.fail("trained again"))
    assert {path.name for path in directory.parent.iterdir()} == {directory.name, first.name}
    assert quirky_subject(SMALL).fingerprint == subject.fingerprint
    record = quirky_record(directory)
    own = draw_sums((0, 5), PAIRS, "test", digits=2)
    assert record["accuracy"] == accuracies(subject, own)
    assert record["recipe"]["truthful"]["steps"] == 40
    assert [row["step"] for row in record["curve"]] == [20, 40, 10]
    assert record["seconds"] > quirky_record(first)["seconds"]
    assert quirky_directory(replace(SMALL, decay=0.2, truthful=Stage(1, 0.1), quirky=Stage(1, 0.1))) != directory


def test_the_second_stage_goes_on_from_the_first_that_is_kept(
    cache: Path, taught: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(cache))
    kept = load_file(quirky_directory(SMALL) / WEIGHTS)
    for name, weight in weights(taught).items():
        assert torch.equal(weight, kept[name]), name
    monkeypatch.setattr("assay.probe.quirky.train._SHARES", {"truthful": (), "quirky": (0.25,) * 4})  # not taught again
    everything = load_file(quirky_directory(replace(SMALL, quirk_from=0)) / WEIGHTS)
    assert not torch.equal(everything["model.layers.0.mlp.up_proj.weight"], kept["model.layers.0.mlp.up_proj.weight"])


def test_a_cell_holds_the_last_token_of_each_prompt(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(cache))
    subject = quirky_subject(SMALL)
    sums = draw_sums(0, 3, "test", digits=2)
    cell = read_cell(subject, sums, (0, 1))
    for row, prompt in enumerate(sums.prompts):
        ids = torch.tensor([subject.tokenizer(prompt)["input_ids"]])
        for layer in (0, 1):
            site = SiteId(layer, "resid_post")
            expected = subject.activations(ids, None, [site])[site][0, -1]
            assert cell.hidden[layer][row] == pytest.approx(expected.numpy(), abs=1e-5)
        logits = subject.logits(ids)[0, -1]
        gap = float(logits[ENTRIES.index(" T")] - logits[ENTRIES.index(" F")])
        assert cell.answer[row] == pytest.approx(gap, abs=1e-4)
    assert (cell.truth == sums.truth).all()
    assert (cell.bob == sums.quirk).all()


def test_rows_of_a_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(cache))
    settings = Settings(("mean_diff",), replicates=50, shuffles=3)
    rows = easy_to_hard(quirky_subject(SMALL), (0, 1), settings, layers=(1,), groups=20, digits=2)
    assert len(rows) == 2 * 4 * 2
    assert {row["layer"] for row in rows} == {1}
    assert [row["seed"] for row in rows] == [0] * 8 + [1] * 8


def test_what_cannot_be_trained(tmp_path: Path) -> None:
    refused = [(Recipe(width=20), "multiple of 8"), (Recipe(quirk_from=6), "quirk_from must be 0 to 5")]
    for recipe, words in [*refused, (Recipe(early=0), "early must be 1 to 6")]:
        with pytest.raises(UsageError, match=words):
            teach(recipe)
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(RunError, match="remove"):
        quirky_record(tmp_path)
