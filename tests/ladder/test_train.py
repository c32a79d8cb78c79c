from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from assay.errors import RunError, UsageError
from assay.ladder.experiment import LadderRequest, train_ladder
from assay.ladder.loss import measure
from assay.ladder.model import Shape, fresh_model, register_attention
from assay.ladder.recipe import Recipe
from assay.ladder.shipped import Trained, read_trained
from assay.ladder.tokenizer import windows_of
from assay.model import load, validate
from assay.text import load_corpus, split
from ladder.small import TOKENS, request, train_small

TESTS = Path(__file__).parents[1]


def outcome(trained: Trained) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Everything that a training leaves, but for what it took."""
    files = {path.name: path.read_bytes() for path in trained.directory.iterdir() if path.name != "training.json"}
    record = dict(trained.record)
    record["curve"] = [{**row, "seconds": None} for row in record["curve"]]
    return files, {**record, "seconds": None}


def test_a_small_model_beats_the_unigram(family: list[Trained]) -> None:
    for trained in family:
        test = trained.record["test"]
        assert test["below"]["unigram"][1] > 0.02
        assert test["below"]["reinit"][1] > 0.2
        curve = trained.record["curve"]
        assert curve[0]["choose"] == pytest.approx(np.log(400), abs=0.05)
        assert trained.record["kept"] == min(curve, key=lambda row: row["choose"])["tokens"]
        assert curve[-1]["tokens"] >= TOKENS > curve[-2]["tokens"]


def test_the_stored_losses_are_what_measuring_gives(family: list[Trained], corpus: Path) -> None:
    trained = family[0]
    subject = load(trained.directory, dtype="fp32", device="cpu")
    test = split(load_corpus(str(corpus)), seed=0).test
    found = measure(subject.model, windows_of(test, subject.tokenizer, 256))
    stored = trained.record["test"]
    assert found.nats == pytest.approx(stored["document_nats"]["model"], abs=2e-3)
    assert found.tokens.tolist() == stored["document_tokens"]
    assert found.interval() == pytest.approx(stored["loss"]["model"], abs=2e-4)


def test_what_is_measured_is_the_models_own_loss(family: list[Trained]) -> None:
    subject = load(family[0].directory, dtype="fp32", device="cpu")
    documents = load_corpus("bundled").documents[:2]
    found = measure(subject.model, windows_of(documents, subject.tokenizer, 256))
    for i, document in enumerate(documents):
        ids = subject.tokenizer(document.text, return_tensors="pt")["input_ids"][0]
        nats = 0.0
        for window in ids.split(255):
            whole = torch.cat([torch.zeros(1, dtype=torch.long), window])[None]
            nats += float(subject.model(input_ids=whole, labels=whole).loss) * len(window)
        assert found.nats[i] == pytest.approx(nats, rel=1e-5)


def test_a_directory_loads_like_any_model(family: list[Trained]) -> None:
    subject = load(family[0].directory)
    validate(subject)
    assert (subject.n_layers, subject.d_model, subject.n_heads, subject.vocab_size) == (1, 32, 4, 400)
    assert subject.context_length == 512
    assert sum(w.numel() for w in subject.model.parameters()) == family[0].record["parameters"]


def test_seeds_differ(family: list[Trained]) -> None:
    one, other = (load_file(trained.directory / "model.safetensors") for trained in family)
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert not torch.equal(weight, other[name]), name
    first, second = (fresh_model(Shape(2, 32, 400), seed) for seed in (0, 1))
    assert not torch.equal(first.lm_head.weight, second.lm_head.weight)


def test_weights_depend_on_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = fresh_model(Shape(2, 32, 400), 7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    other = fresh_model(Shape(2, 32, 400), 7)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert sum(w.numel() for w in one.parameters()) == Shape(2, 32, 400).parameters


def test_attention_of_the_training_is_that_of_the_model() -> None:
    shape = Shape(2, 48, 400)
    own, usual = fresh_model(shape, 0, register_attention()), fresh_model(shape, 0)
    ids = torch.arange(3 * 40).reshape(3, 40) % 400
    grads = []
    for model in (own, usual):
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(3)
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        grads.append([weight.grad for weight in model.parameters()])
    with torch.no_grad():
        assert torch.allclose(own(input_ids=ids).logits, usual(input_ids=ids).logits, atol=1e-5)
    for mine, other in zip(*grads, strict=True):
        assert torch.allclose(mine, other, atol=1e-5, rtol=1e-4)


def test_killed_and_resumed_it_is_the_same_bit_for_bit(family: list[Trained], corpus: Path, tmp_path: Path) -> None:
    """Killed while the tokenizer is made, before and between checkpoints, and at the very end."""
    lines = ["2", "6", "7", "5", "8"]
    script = [sys.executable, str(TESTS / "ladder/killing.py"), str(tmp_path / "out"), str(corpus), *lines]
    env_path = ":".join([str(TESTS), *filter(None, sys.path)])
    done = subprocess.run(
        script, capture_output=True, text=True, check=True, env={"PYTHONPATH": env_path, "OMP_NUM_THREADS": "1"}
    )
    assert json.loads(done.stdout) == [signal.SIGKILL] * len(lines), done.stderr
    assert (tmp_path / "out" / ".ladder-1-0.partial" / "checkpoint.safetensors").is_file()
    [resumed] = train_small(tmp_path / "out", corpus)
    assert outcome(resumed) == outcome(family[0])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"ladder-1-0", "tokenizer"}


def test_what_is_there_is_not_trained_again(family: list[Trained], corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(family[0].directory.parent, out)
    said: list[str] = []
    [found] = train_small(out, corpus, progress=said.append)
    assert "ladder-1-0 is there already" in said
    assert found.record == family[0].record
    with pytest.raises(UsageError, match="ladder-1-0 holds a model of other settings"):
        train_small(out, corpus, tokens=TOKENS * 2)


def test_other_text_or_damage_is_refused(
    family: list[Trained], corpus: Path, tmp_path: Path, refused: Callable[..., None]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(family[0].directory.parent, out)
    other = tmp_path / "other.jsonl"
    other.write_text(corpus.read_text(encoding="utf-8").replace("the", "The"), encoding="utf-8")
    refused(UsageError, "holds a tokenizer of other text", out, other)
    (out / "tokenizer" / "made_of.json").unlink()
    refused(RunError, "holds no tokenizer of a family", out, corpus)
    shutil.rmtree(out)
    (out / "ladder-1-0").mkdir(parents=True)
    refused(UsageError, "ladder-1-0 is there and holds no model of a family", out, corpus)
    with pytest.raises(RunError, match=r"training\.json can't be read; remove"):
        read_trained(out)


def test_a_damaged_or_foreign_checkpoint_is_refused(corpus: Path, tmp_path: Path, refused: Callable[..., None]) -> None:
    def stop(line: str) -> None:
        if " tokens, fit" in line:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train_small(out, corpus, progress=stop)
    with pytest.raises(UsageError, match=r"beginnings of a training with other settings \(every, tokens\)"):
        train_small(out, corpus, tokens=TOKENS // 2)
    path = out / ".ladder-1-0.partial" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(RunError, "checkpoint.safetensors is damaged; remove", out, corpus)


@pytest.fixture
def refused() -> Callable[..., None]:
    def check(kind: type[Exception], message: str, out: Path, corpus: Path) -> None:
        with pytest.raises(kind, match=message):
            train_small(out, corpus)

    return check


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ()}, "needs a number of layers and a seed"),
        ({"layers": (0,)}, "needs 1 layer or more. Got 0 instead"),
        ({"seeds": (-1,)}, "a seed must be 0 or more"),
        ({"width": 30}, "width must be a multiple of 8"),
        ({"tokens": 2000}, "needs 2,048 tokens, one step, or more"),
        ({"vocabulary": 100}, "needs 258 entries or more"),
        ({"products": "fp16"}, "bf16 or fp32. Got 'fp16' instead"),
        ({"corpus": "nowhere.txt"}, "unknown corpus"),
    ],
)
def test_what_can_not_be_trained_leaves_nothing(
    change: dict[str, Any], message: str, corpus: Path, tmp_path: Path
) -> None:
    asked = {**vars(request(tmp_path / "out", corpus)), **change}
    with pytest.raises(UsageError, match=message):
        train_ladder(LadderRequest(**asked), lambda _: None)
    assert not (tmp_path / "out").exists()


def test_the_learning_rate_rises_and_then_falls_to_nothing() -> None:
    recipe = Recipe(Shape(2), 0)
    rates = np.array([recipe.rate_at(step) for step in range(recipe.steps)])
    top = int(rates.argmax())
    assert rates[top] == pytest.approx(recipe.rate)
    assert top == pytest.approx(recipe.warmup * recipe.steps, abs=2)
    assert (np.diff(rates[:top]) > 0).all()
    assert (np.diff(rates[top + 1 :]) < 0).all()
    assert 0 < rates[-1] < 1e-3 * recipe.rate
