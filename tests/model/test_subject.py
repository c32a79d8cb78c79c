"""What a subject says of itself; copies in another dtype; models that are refused."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GemmaConfig,
    LlamaForSequenceClassification,
    LlamaModel,
)

from assay.core.ids import SiteId
from assay.errors import ActivationError, UnsupportedModel, UsageError
from assay.model import SITE_MAPS, Subject
from assay.model.hooks import Switchboard
from model.tiny_models import (
    CONFIGS,
    LAYERS,
    PARALLEL,
    VARIANTS,
    VOCAB,
    count_hooks,
    tiny,
    tiny_model,
    tiny_tokenizer,
    token_batch,
)


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes(name: str) -> None:
    subject = tiny(name)
    assert subject.architecture == VARIANTS.get(name, name)
    assert (subject.n_layers, subject.d_model, subject.n_heads, subject.vocab_size) == (LAYERS, 32, 4, VOCAB)
    assert (subject.dtype, subject.device.type) == (torch.float32, "cpu")
    assert subject.attention == SITE_MAPS[subject.architecture].attention
    assert len(subject.sites()) == LAYERS * (6 if name in PARALLEL else 7)
    assert subject.special_ids == {0, 1}
    assert subject.reason == "fp32 and cpu: as the model came"


def test_every_row_is_tested() -> None:
    assert set(SITE_MAPS) == {VARIANTS.get(name, name) for name in CONFIGS}


@pytest.mark.parametrize("config", [BloomConfig, GemmaConfig])
def test_other_architectures_are_refused_by_name(config: Any) -> None:
    small = config(vocab_size=VOCAB, hidden_size=32, n_layer=1, num_hidden_layers=1, n_head=2, num_attention_heads=2)
    small.pad_token_id = None
    model = AutoModelForCausalLM.from_config(small)
    with pytest.raises(UnsupportedModel, match=f"architecture '{small.model_type}' is not supported; supported: llama"):
        Subject.from_hf(model, tiny_tokenizer())


def test_models_without_a_language_head_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="a LlamaModel has no module 'model'"):
        Subject.from_hf(LlamaModel(CONFIGS["llama"]()), tiny_tokenizer())
    with pytest.raises(UnsupportedModel, match="LlamaForSequenceClassification"):
        Subject.from_hf(LlamaForSequenceClassification(CONFIGS["llama"]()), tiny_tokenizer())


class _Doubling(nn.Module):
    """A norm after the MLP that the site map of Llama knows nothing of."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        for name, child in layer.named_children():
            setattr(self, name, child)

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self.layer(*args, **kwargs) * 2


def test_a_layer_that_does_more_than_its_map_says_is_refused() -> None:
    model = tiny_model("llama")
    model.model.layers[1] = _Doubling(model.model.layers[1])
    with pytest.raises(UnsupportedModel, match=r"the sites of layer 1 do not add up to L1.resid_post"):
        Subject.from_hf(model, tiny_tokenizer())


def test_a_head_that_does_more_is_refused() -> None:
    model = tiny_model("llama")
    model.register_forward_hook(lambda module, args, output: output.__setitem__("logits", output.logits * 2) or output)
    with pytest.raises(UnsupportedModel, match="its own forward pass gives other logits"):
        Subject.from_hf(model, tiny_tokenizer())


def test_edits_that_do_not_act_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Switchboard, "edit", lambda self, site, fn: nullcontext())
    with pytest.raises(UnsupportedModel, match=r"an edit at L1.resid_pre changes nothing"):
        Subject.from_hf(tiny_model("gpt2"), tiny_tokenizer())


def test_a_partial_pass_that_differs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.model.subject.starting_at", lambda *_: nullcontext())
    with pytest.raises(UnsupportedModel, match="a pass started at layer 1 differs from the full pass"):
        Subject.from_hf(tiny_model("gpt2"), tiny_tokenizer())


def test_hooks_that_stay_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Switchboard, "_tidy", lambda self, site: None)
    with pytest.raises(UnsupportedModel, match="hooks are left after the blocks that made them"):
        Subject.from_hf(tiny_model("gpt2"), tiny_tokenizer())


def test_nan_weights_are_refused() -> None:
    model = tiny_model("qwen2")
    model.model.layers[1].mlp.down_proj.weight[3, 4] = float("nan")
    with pytest.raises(ActivationError, match="NaN or infinite logits on a tiny input; try dtype fp32"):
        Subject.from_hf(model, tiny_tokenizer(), name="broken")


def test_dead_matrices_are_no_reason_to_refuse() -> None:
    model = tiny_model("llama")
    model.model.layers[1].mlp.down_proj.weight.zero_()
    model.model.layers[1].self_attn.o_proj.weight.zero_()
    subject = Subject.from_hf(model, tiny_tokenizer())
    assert subject.writes_nothing(SiteId(1, "mlp_act"))
    assert not subject.writes_nothing(SiteId(0, "mlp_act"))


def test_a_model_in_training_is_put_in_eval_mode_and_frozen() -> None:
    model = tiny_model("gpt2").train().requires_grad_(True)
    subject = Subject.from_hf(model, tiny_tokenizer())
    ids, mask = token_batch("right")
    assert torch.equal(subject.hidden(ids, mask), subject.hidden(ids, mask))
    assert not any(weight.requires_grad for weight in model.parameters())


def test_validation_leaves_no_hook() -> None:
    assert count_hooks(Subject.from_hf(tiny_model("olmo2"), tiny_tokenizer())) == 0


def test_eager_attention_is_named_and_causal() -> None:
    model = tiny_model("llama")
    model.set_attn_implementation("eager")
    subject = Subject.from_hf(model, tiny_tokenizer())
    ids, _ = token_batch("none")
    assert subject.attention == "eager"
    torch.testing.assert_close(subject.hidden(ids), tiny("llama").hidden(ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_copy_in_another_dtype(name: str) -> None:
    low = tiny(name, torch.bfloat16)
    high = low.with_dtype(torch.float32)
    assert (low.dtype, high.dtype) == (torch.bfloat16, torch.float32)
    assert high.reason == "fp32: effects are measured in fp32; cpu: as before"
    for (name_low, at_low), (name_high, at_high) in zip(
        low.model.named_parameters(), high.model.named_parameters(), strict=True
    ):
        assert name_low == name_high
        assert torch.equal(at_low.float(), at_high)
    for (name_low, at_low), at_high in zip(low.model.named_buffers(), high.model.buffers(), strict=True):
        if name_low.endswith("embed_scale"):
            assert torch.equal(at_high, torch.tensor(32**0.5))
            continue
        assert at_low.dtype == at_high.dtype
        assert at_low is not at_high
    ids, mask = token_batch("right")
    near = (high.hidden(ids, mask) - low.hidden(ids, mask).float())[mask.bool()].abs().mean()
    assert 0 < near < 0.05
    assert torch.equal(high.with_dtype(torch.bfloat16).hidden(ids, mask), low.hidden(ids, mask))


def test_copy_keeps_ties_and_stands_alone() -> None:
    low = tiny("llama", torch.bfloat16)
    high = low.with_dtype(torch.float32)
    assert high.model.lm_head.weight is high.model.model.embed_tokens.weight
    site = SiteId(0, "mlp_act")
    ids = torch.tensor([[4, 9]])
    plain = low.hidden(ids)
    with high.edit(site, torch.zeros_like):
        assert torch.equal(low.hidden(ids), plain)
    assert low.with_dtype(torch.bfloat16) is low


def test_copy_inside_a_block_is_refused() -> None:
    subject = tiny("llama")
    with subject.edit(SiteId(0, "head"), torch.clone), pytest.raises(UsageError, match="call it outside"):
        subject.with_dtype(torch.bfloat16)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_sharing_subject_has_the_very_same_weights_and_modules_of_its_own(name: str) -> None:
    first = tiny(name)
    ids, mask = token_batch("right")
    second = first.sharing()
    for kind in ("named_parameters", "named_buffers"):
        own, others = (dict(getattr(subject.model, kind)()) for subject in (first, second))
        assert list(own) == list(others)
        assert all(own[part] is others[part] for part in own)
    assert not set(map(id, first.model.modules())) & set(map(id, second.model.modules()))
    plain = first.hidden(ids, mask)
    with first.edit(SiteId(0, "mlp_act"), torch.zeros_like):
        assert not torch.equal(first.hidden(ids, mask), plain)
        assert torch.equal(second.hidden(ids, mask), plain)
        with pytest.raises(UsageError, match="sharing was called inside a capture or edit block"):
            first.sharing()
    assert count_hooks(second) == 0


def test_fingerprint_depends_on_every_weight_and_on_dtype() -> None:
    first, again = (Subject.from_hf(tiny_model("gpt2"), tiny_tokenizer()) for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert len(first.fingerprint) == 64
    model = tiny_model("gpt2")
    model.transformer.h[2].mlp.c_proj.bias[5] += 1e-6
    assert Subject.from_hf(model, tiny_tokenizer()).fingerprint != first.fingerprint
    assert first.with_dtype(torch.bfloat16).fingerprint != first.fingerprint


def test_fingerprint_of_a_large_model_is_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.model import fingerprint

    def both() -> tuple[str, str]:
        model = tiny_model("gpt2")
        before = fingerprint.fingerprint("gpt2", model)
        model.transformer.wte.weight[0, 0] += 1
        return before, fingerprint.fingerprint("gpt2", model)

    whole = both()
    monkeypatch.setattr(fingerprint, "_WHOLE_BYTES", 100)
    monkeypatch.setattr(fingerprint, "_SAMPLE", 16)
    sampled = both()
    assert len({*whole, *sampled}) == 4


def test_token_texts() -> None:
    texts = tiny("llama").token_texts()
    tokenizer: Any = tiny_tokenizer()
    assert len(texts) == VOCAB
    assert texts[:4] == ["<s>", "</s>", "a", "b"]
    assert texts[tokenizer.convert_tokens_to_ids("Ġthe")] == " the"
    assert texts[tokenizer.convert_tokens_to_ids("Ã©")] == "é"
    assert texts[tokenizer.convert_tokens_to_ids("Ã")] == "\N{REPLACEMENT CHARACTER}"
    assert texts[len(tokenizer) :] == [""] * (VOCAB - len(tokenizer))
    assert len(tokenizer) < VOCAB


def test_token_texts_keep_a_leading_space_that_the_decoder_strips() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from assay.model.vocabulary import token_texts

    words = ["<unk>", "▁a", "▁the", "re"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert fast.decode([2]) == "the"
    assert token_texts(fast, 4) == ["<unk>", " a", " the", "re"]


def test_repr_names_the_essentials() -> None:
    assert repr(tiny("qwen3")) == "Subject('tiny qwen3', qwen3, 3 layers, fp32 on cpu)"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CONFIGS)
def test_on_cuda(name: str, dtype: torch.dtype) -> None:
    on_cpu = tiny(name, dtype)
    subject = Subject.from_hf(tiny_model(name, dtype).to("cuda"), tiny_tokenizer())
    ids, mask = token_batch("left")
    real = mask.bool()
    full = subject.hidden(ids, mask)
    apart = (full.cpu() - on_cpu.hidden(ids, mask))[real].abs().max()
    assert apart < (1e-3 if dtype == torch.float32 else 0.3)
    for layer in range(LAYERS):
        site = SiteId(layer, "resid_pre")
        assert torch.equal(subject.forward_from(layer, subject.activations(ids, mask, [site])[site], mask), full)
