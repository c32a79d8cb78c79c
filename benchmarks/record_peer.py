"""What it costs a peer to capture the activations of all MLP neurons: benchmarks/record.py runs it in an environment.

    python record_peer.py transformer_lens|nnsight MODEL_DIRECTORY IDS.npy

``IDS.npy``: (batches, windows, length) token ids. The last line is JSON: the peer's version, and for each batch seconds
of the clock and of the processor, of the trunk alone and of the peer. A peer may run the language model's head too.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

warnings.simplefilter("ignore")  # transformer_lens cannot be imported where warnings are errors

import torch  # noqa: E402
import transformers  # noqa: E402


def transformer_lens(model: Any, tokenizer: Any) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """Capture with TransformerLens's bridge around a Hugging Face model."""
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        model.config._name_or_path, hf_model=model, tokenizer=tokenizer, dtype=torch.bfloat16, device="cpu"
    )
    layers = model.config.num_hidden_layers
    names = {f"blocks.{layer}.mlp.out.hook_in" for layer in range(layers)}
    known = set(bridge.hook_dict)
    if not names <= known:
        names = {f"blocks.{layer}.mlp.hook_post" for layer in range(layers)}

    def capture(ids: torch.Tensor) -> list[torch.Tensor]:
        _, cache = bridge.run_with_cache(ids, names_filter=lambda name: name in names)
        return [cache[name] for name in sorted(names)]

    return capture


def nnsight(model: Any, tokenizer: Any) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """Capture with nnsight's LanguageModel around a Hugging Face model."""
    from nnsight import LanguageModel, save

    lens = LanguageModel(model, tokenizer=tokenizer)

    def capture(ids: torch.Tensor) -> list[torch.Tensor]:
        with lens.trace(ids):
            kept = save([layer.mlp.down_proj.input for layer in lens.model.layers])
        return kept

    return capture


PEERS = {"transformer_lens": (transformer_lens, "transformer-lens"), "nnsight": (nnsight, "nnsight")}


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Of the clock and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def main() -> None:
    """Measure and print."""
    name, directory, path = sys.argv[1:]
    make, package = PEERS[name]
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    batches = [torch.as_tensor(ids) for ids in np.load(path)]
    pairs = []
    with torch.inference_mode():
        trunk = [model.model(ids, use_cache=False) for ids in batches[:1]]
        capture = make(model, tokenizer)
        kept = capture(batches[0])
        wanted = (model.config.num_hidden_layers, (*batches[0].shape, model.config.intermediate_size))
        if (len(kept), tuple(kept[0].shape)) != wanted:
            raise SystemExit(f"{name} gave {len(kept)} tensors of {tuple(kept[0].shape)}, not {wanted}")
        del trunk, kept
        for ids in batches:
            bare = seconds(lambda ids=ids: model.model(ids, use_cache=False))
            captured = seconds(lambda ids=ids: capture(ids))
            pairs.append([bare[0], captured[0], bare[1], captured[1]])
    print(json.dumps({"version": importlib.metadata.version(package), "pairs": pairs}))


if __name__ == "__main__":
    main()
