"""Models spread over RAM and disk: the numbers of the plain model, bit for bit."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.core.ids import SiteId, UnitId
from assay.errors import StorageError, UsageError
from assay.model import Subject, changes, load
from assay.model.large import is_spread
from assay.testing import check_subject
from model.tiny_models import CONFIGS, tiny, tiny_model, tiny_tokenizer, token_batch


@pytest.fixture
def spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Subject]:
    """Loads a tiny model of an architecture with a share of its weights in RAM, the others on disk."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))

    def loaded(name: str, share: float, **more: Any) -> Subject:
        directory = tmp_path / name
        model = tiny_model(name)
        model.save_pretrained(directory)
        tiny_tokenizer().save_pretrained(directory)
        size = sum(weight.numel() * 4 for weight in model.parameters())
        return load(directory, **{"dtype": "fp32", "device": "auto", "max_memory": {"cpu": int(size * share)}, **more})

    return loaded


@pytest.mark.parametrize("name", CONFIGS)
def test_every_site_is_that_of_the_plain_model(name: str, spread: Callable[..., Subject]) -> None:
    subject, plain = spread(name, 0.75), tiny(name)
    assert {"cpu", "disk"} == set(subject.model.hf_device_map.values())
    assert (subject.device.type, subject.dtype) == ("cpu", torch.float32)
    assert subject.fingerprint == plain.fingerprint
    ids, mask = token_batch("left")
    found, truth = (one.activations(ids, mask, one.sites()) for one in (subject, plain))
    assert all(torch.equal(found[site], truth[site]) for site in plain.sites())
    assert torch.equal(subject.logits(ids, mask), plain.logits(ids, mask))
    some = torch.tensor([5, 2])
    assert torch.equal(subject.unembed(subject.hidden(ids, mask), some), subject.logits(ids, mask)[..., some])
    for unit in (UnitId(SiteId(2, "mlp_act"), 7), UnitId(SiteId(0, "mlp_act"), 7)):
        assert torch.equal(subject.write_vector(unit), plain.write_vector(unit))


def test_what_fits_is_said_to_be_in_memory() -> None:
    assert load("ladder-2-0", "fp32", "auto").reason.endswith("auto: asked for, all of it in RAM")


def test_it_conforms_also_when_nothing_is_in_memory(spread: Callable[..., Subject]) -> None:
    subject = spread("llama", 0.0)
    assert set(subject.model.hf_device_map.values()) == {"disk"}
    assert all(weight.is_meta for weight in subject.model.parameters())
    check_subject(subject)
    assert subject.fingerprint == tiny("llama").fingerprint


def test_edits_and_partial_passes_act(spread: Callable[..., Subject]) -> None:
    subject, plain = spread("gemma2", 0.75), tiny("gemma2")
    ids, mask = token_batch("right")
    start = plain.activations(ids, mask, [SiteId(1, "resid_pre")])[SiteId(1, "resid_pre")]
    for kind in ("resid_pre", "head", "resid_mid", "mlp_act", "mlp_out"):
        site = SiteId(2, kind)
        with subject.edit(site, lambda t: t * 2), plain.edit(site, lambda t: t * 2):
            changed = subject.forward_from(1, start, mask)
            assert torch.equal(changed, plain.forward_from(1, start, mask))
        assert not torch.equal(changed, plain.hidden(ids, mask))


def test_edited_passes_of_a_spread_model_are_whole(
    spread: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights come and go, so no copies of them in bf16 are kept."""
    monkeypatch.setattr(changes, "computes_bf16", lambda device: True)
    subject, plain = spread("llama", 0.75), tiny("llama")
    assert (changes.arithmetic(subject), changes.arithmetic(plain)) == (
        "fp32",
        "fp32, changes through weights in bf16",
    )
    ids, mask = token_batch("right")
    made = changes.Changes(subject)
    with made.unedited():
        subject.hidden(ids, mask)
    with subject.edit(SiteId(0, "mlp_act"), lambda t: t * 2):
        with made.edited():
            found = subject.hidden(ids, mask)
        assert torch.equal(found, subject.hidden(ids, mask))


def test_another_dtype_is_loaded_once_more(spread: Callable[..., Subject]) -> None:
    low = spread("llama", 0.75, dtype="bf16", max_memory={"cpu": 20_000})
    high = low.with_dtype(torch.float32)
    assert is_spread(high.model)
    ids, mask = token_batch("right")
    plain = tiny("llama")
    assert torch.equal(high.hidden(ids, mask), plain.hidden(ids, mask))
    assert torch.equal(low.hidden(ids, mask), plain.with_dtype(torch.bfloat16).hidden(ids, mask))
    assert high.with_dtype(torch.float32) is high


def test_the_reason_says_where_it_is_and_nothing_else_is_printed(
    spread: Callable[..., Subject], capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    subject = spread("llama", 0.75, progress=said.append)
    capfd.readouterr()
    assert subject.reason == "fp32: asked for; auto: asked for, 3 parts in RAM, 4 parts on disk"
    assert [line.partition(" ")[0] for line in said] == ["loading", "loaded"]
    assert said[1].endswith(f"({subject.reason})")
    spread("gpt2", 0.75)
    assert "meta device" not in capfd.readouterr().err


def test_what_was_written_goes_with_the_model(spread: Callable[..., Subject], tmp_path: Path) -> None:
    subject = spread("llama", 0.75)
    assert len(list((tmp_path / "cache/offload").iterdir())) == 1
    del subject
    gc.collect()
    assert list((tmp_path / "cache/offload").iterdir()) == []


def test_a_model_that_fits_is_a_plain_one(spread: Callable[..., Subject]) -> None:
    subject = spread("llama", 1.0, max_memory=None)
    assert not is_spread(subject.model)
    assert subject.with_dtype(torch.bfloat16).dtype == torch.bfloat16


def test_a_spread_model_that_came_as_an_object_can_not_be_converted(spread: Callable[..., Subject]) -> None:
    given = Subject.from_hf(spread("llama", 0.75).model, tiny_tokenizer(), name="given")
    with pytest.raises(UsageError, match="given is spread over devices and can't be converted; load it in that dtype"):
        given.with_dtype(torch.bfloat16)


def test_without_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "accelerate" else find(name))
    with pytest.raises(UsageError, match=r"needs accelerate, .*; run pip install 'assay\[large\]'"):
        load(device="auto")


def test_what_can_not_be_asked_for(spread: Callable[..., Subject], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="max_memory goes with device 'auto' only"):
        spread("llama", 1.0, device="cpu")
    (tmp_path / "cache").write_text("")
    with pytest.raises(StorageError, match=r"can't write the cache .*offload"):
        spread("llama", 0.75)
