from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from assay.core.ids import SiteId
from assay.errors import UnknownName, UsageError
from assay.model import Subject, load, twin
from assay.model.twins import KINDS, TwinName
from model.tiny_models import CONFIGS, tiny, tiny_model, tiny_tokenizer, token_batch


@cache
def tiny_twin(name: str, kind: str) -> Subject:
    return twin(tiny(name), kind, 3)


def weights(subject: Subject) -> dict[str, Tensor]:
    return dict(subject.model.named_parameters())


def embeddings(subject: Subject) -> set[int]:
    found = {id(m.weight) for m in subject.model.modules() if isinstance(m, nn.Embedding)}
    return found | {id(subject.model.get_output_embeddings().weight)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_has_twins(name: str, kind: str) -> None:
    """That pass the checks made at load: see validate."""
    subject, made = tiny(name), tiny_twin(name, kind)
    assert made.name == f"tiny {name}~{kind}-3"
    assert made.fingerprint != subject.fingerprint
    assert (made.dtype, made.device, made.tokenizer) == (subject.dtype, subject.device, subject.tokenizer)
    assert made.model.config.to_dict() == subject.model.config.to_dict()
    ids, mask = token_batch("right")
    site = SiteId(1, "mlp_act")
    old, new = (s.activations(ids, mask, [site])[site][0].flatten() for s in (subject, made))
    assert abs(float(torch.corrcoef(torch.stack([old, new]))[0, 1])) < 0.6


@pytest.mark.parametrize("name", CONFIGS)
def test_shuffling_keeps_every_entry_and_moves_most(name: str) -> None:
    subject, made = tiny(name), tiny_twin(name, "shuffled")
    kept = embeddings(subject)
    drawn = 0
    for path, weight in weights(subject).items():
        new = weights(made)[path]
        assert (new.shape, new.dtype) == (weight.shape, weight.dtype)
        if weight.ndim < 2 or id(weight) in kept:
            assert torch.equal(new, weight), path
            continue
        drawn += 1
        assert torch.equal(new.flatten().sort().values, weight.flatten().sort().values), path
        assert (new == weight).double().mean() < 0.05, path
        assert not torch.equal(new.sum(0), weight.sum(0)), path
    assert drawn >= 3 * 4


@pytest.mark.parametrize("name", CONFIGS)
def test_reinit_keeps_mean_and_variance(name: str) -> None:
    """Within five standard errors: sd / sqrt(n) of the mean, sd / sqrt(2 n) of the standard deviation."""
    subject, made = tiny(name), tiny_twin(name, "reinit")
    kept = embeddings(subject)
    for path, weight in weights(subject).items():
        new = weights(made)[path].double()
        if weight.ndim < 2 or id(weight) in kept:
            assert torch.equal(new, weight.double()), path
            continue
        mean, sd, n = float(weight.double().mean()), float(weight.double().std()), weight.numel()
        assert abs(float(new.mean()) - mean) < 5 * sd / n**0.5, path
        assert abs(float(new.std()) - sd) < 5 * sd / (2 * n) ** 0.5, path


def test_reinit_is_gaussian_whatever_the_weights_were() -> None:
    model = tiny_model("llama")
    matrix = model.model.layers[1].mlp.up_proj.weight
    matrix.copy_((matrix > 0) * 2.0 + 5)
    new = weights(twin(Subject.from_hf(model, tiny_tokenizer(), name="m"), "reinit"))[
        "model.layers.1.mlp.up_proj.weight"
    ].double()
    z = ((new - matrix.mean()) / matrix.std()).flatten()
    n = z.numel()
    assert abs(float((z**3).mean())) < 5 * (15 / n) ** 0.5
    assert abs(float((z**4).mean()) - 3) < 5 * (96 / n) ** 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox"])
def test_embeddings_too(name: str, kind: str) -> None:
    subject = tiny(name)
    made = twin(subject, kind, keep_embeddings=False)
    assert made.name == f"tiny {name}~{kind}-0+embeddings"
    for path, weight in weights(subject).items():
        assert torch.equal(weights(made)[path], weight) == (weight.ndim < 2), path
    inner, outer = (made.model.get_input_embeddings().weight, made.model.get_output_embeddings().weight)
    assert (inner is outer) == bool(subject.model.config.tie_word_embeddings)


@pytest.mark.parametrize("keep", [True, False])
def test_tied_embeddings_stay_tied(keep: bool) -> None:
    assert tiny("llama").model.config.tie_word_embeddings
    model = twin(tiny("llama"), "shuffled", keep_embeddings=keep).model
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


@pytest.mark.parametrize("kind", KINDS)
def test_the_original_is_untouched_and_shares_nothing(kind: str) -> None:
    subject = Subject.from_hf(tiny_model("qwen2"), tiny_tokenizer(), name="m")
    before = {path: weight.clone() for path, weight in weights(subject).items()}
    made = twin(subject, kind)
    ids, mask = token_batch("right")
    made.logits(ids, mask)
    assert all(torch.equal(weight, before[path]) for path, weight in weights(subject).items())
    places = {weight.data_ptr() for weight in weights(subject).values()}
    assert places.isdisjoint(weight.data_ptr() for weight in weights(made).values())
    assert not any(weight.requires_grad for weight in weights(made).values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_and_it_alone(kind: str) -> None:
    subject = tiny("llama")
    state = torch.get_rng_state()
    first = twin(subject, kind, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(100)
    assert twin(subject, kind, 1).fingerprint == first.fingerprint
    prints = {first.fingerprint, twin(subject, kind, 2).fingerprint, subject.fingerprint}
    assert len(prints) == 3
    shapes: dict[Any, list[Tensor]] = {}
    for path, weight in weights(first).items():
        if weight.ndim == 2 and "layers" in path:
            shapes.setdefault(weight.shape, []).append(weight)
    for same in shapes.values():
        assert all(not torch.equal(same[0], other) for other in same[1:])


def test_a_twin_in_fp32_is_the_twin() -> None:
    subject = tiny("llama", torch.bfloat16)
    made = twin(subject, "shuffled")
    path = "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(weights(made)[path].flatten().sort().values, weights(subject)[path].flatten().sort().values)
    full = made.with_dtype(torch.float32)
    assert full.name == made.name
    for path, weight in weights(made).items():
        assert torch.equal(weights(full)[path], weight.float())


def test_a_twin_is_refused_where_it_can_not_be_made() -> None:
    subject = tiny("llama")
    with pytest.raises(UnknownName, match="unknown twin 'shufled'; did you mean 'shuffled'"):
        twin(subject, "shufled")
    with subject.capture([SiteId(0, "mlp_act")]), pytest.raises(UsageError, match="inside a capture or edit block"):
        twin(subject, "reinit")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("smollm2-135m~shuffled", TwinName("smollm2-135m", "shuffled", 0, True)),
        ("owner/name@v1~reinit-3", TwinName("owner/name@v1", "reinit", 3, True)),
        ("~/models/a~reinit-3+embeddings", TwinName("~/models/a", "reinit", 3, False)),
        ("a~reinit-1~shuffled-2", TwinName("a~reinit-1", "shuffled", 2, True)),
        ("smollm2-135m", None),
        ("~/models/a", None),
        ("a~b/c", None),
    ],
)
def test_names(name: str, parts: TwinName | None) -> None:
    assert TwinName.parse(name) == parts
    if parts:
        assert TwinName.parse(str(parts)) == parts


def test_a_name_of_another_kind_is_guessed() -> None:
    with pytest.raises(UnknownName, match=r"unknown twin 'reinitialised'; did you mean 'reinit'\? \(in 'm~reinit"):
        load("m~reinitialised")


def test_load_makes_the_twin(tmp_path: Path) -> None:
    directory = tmp_path / "tiny"
    model = tiny_model("llama")
    model.save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    told: list[str] = []
    original, made = load(directory), load(f"{directory}~reinit-7", progress=told.append)
    assert made.name == f"{directory}~reinit-7"
    assert made.fingerprint == twin(original, "reinit", 7).fingerprint != original.fingerprint
    assert f"drawing the weights of {directory}~reinit-7 anew" in told
    assert load(f"{directory}~shuffled+embeddings").name == f"{directory}~shuffled-0+embeddings"


def test_a_directory_of_such_a_name_is_that_directory(tmp_path: Path) -> None:
    directory = tmp_path / "tiny~shuffled"
    tiny_model("llama").save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    assert load(directory).name == str(directory)
    assert load(f"{directory}~shuffled").name == f"{directory}~shuffled-0"
