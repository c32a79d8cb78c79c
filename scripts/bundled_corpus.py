"""Make the bundled corpus: text that the default model writes at temperature 1.

    python scripts/bundled_corpus.py --work DIR            write DIR/raw.jsonl, resumable
    python scripts/bundled_corpus.py --work DIR --pack     clean it into src/assay/text/bundled.jsonl.xz

Each document has its own random stream, seeded by SEED and its index, so what it says does not depend
on when it was scheduled (up to the rounding of bf16 matrix products). Rows of one batch are slots: a
finished document leaves and the next moves in; prompts are fed token by token like everything else.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from assay.model.default import default_model_dir

SEED = 20261121
SLOTS = 128
MOST_NEW = 288
TARGET = Path(__file__).parents[1] / "src/assay/text/bundled.jsonl.xz"


class Job(NamedTuple):
    index: int
    kind: int
    topic: str
    opening: str  # what the document starts with, for the kinds that are continued as plain text
    prompt: list[int]


def jobs(tokenizer) -> list[Job]:
    spec = tomllib.loads((Path(__file__).parent / "bundled_prompts.toml").read_text(encoding="utf-8"))
    rows = []
    for t, topic in enumerate(spec["topics"]):
        for k, kind in enumerate(spec["kinds"]):
            text = kind.format(topic=topic)
            raw = text.startswith("raw:")
            opening = text[4:].rstrip(" ") if raw else ""
            ask = opening if raw else f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
            rows.append(Job(t * len(spec["kinds"]) + k, k, topic, opening, tokenizer(ask).input_ids))
    order = np.random.default_rng(SEED).permutation(len(rows))
    return [rows[i] for i in order]


class Decoder:
    """One step for all slots, each at its own position, over a preallocated grouped-query cache."""

    def __init__(self, model, slots: int, length: int) -> None:
        self.model, c = model, model.config
        shape = (c.num_hidden_layers, slots, c.num_key_value_heads, length, c.head_dim)
        self.keys, self.values = (torch.zeros(shape, dtype=model.dtype) for _ in range(2))
        self.rows = torch.arange(slots)

    def step(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        core, c = self.model.model, self.model.config
        reach = int(positions.max()) + 1
        mask = (torch.arange(reach)[None] <= positions[:, None])[:, None, None]
        hidden = core.embed_tokens(tokens)[:, None]
        cos, sin = core.rotary_emb(hidden, positions[:, None])
        for i, layer in enumerate(core.layers):
            attention, x = layer.self_attn, layer.input_layernorm(hidden)
            split = (len(tokens), 1, -1, c.head_dim)
            q, k, v = (p(x).view(split).transpose(1, 2) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
            q, k = apply_rotary_pos_emb(q, k, cos, sin)
            self.keys[i][self.rows, :, positions] = k[:, :, 0]
            self.values[i][self.rows, :, positions] = v[:, :, 0]
            # a key-value head's queries share it: fold them into the query axis
            q = q.view(len(tokens), c.num_key_value_heads, -1, c.head_dim)
            out = functional.scaled_dot_product_attention(
                q, self.keys[i, :, :, :reach], self.values[i, :, :, :reach], attn_mask=mask
            )
            hidden = hidden + attention.o_proj(out.reshape(len(tokens), 1, -1))
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        return self.model.lm_head(core.norm(hidden))[:, 0]


def write(work: Path, limit: int | None) -> None:
    directory = default_model_dir(print)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).eval()
    path = work / "raw.jsonl"
    done = {json.loads(line)["index"] for line in path.open(encoding="utf-8")} if path.exists() else set()
    queue = [j for j in jobs(tokenizer)[:limit] if j.index not in done]
    slots = min(SLOTS, len(queue))
    decoder = Decoder(model, slots, max(len(j.prompt) for j in queue) + MOST_NEW)
    current: list[Job | None] = [None] * slots
    drawn: list[list[int]] = [[] for _ in range(slots)]
    chance = np.zeros((slots, MOST_NEW))
    positions, tokens = torch.zeros(slots, dtype=torch.long), torch.zeros(slots, dtype=torch.long)
    start, count, finished = time.time(), 0, 0

    def move_in(slot: int) -> None:
        job = current[slot] = queue.pop() if queue else None
        drawn[slot], positions[slot] = [], 0
        if job:
            chance[slot] = np.random.default_rng([SEED, job.index]).random(MOST_NEW)
            tokens[slot] = job.prompt[0]

    for slot in range(slots):
        move_in(slot)
    with path.open("a", encoding="utf-8") as sink, torch.inference_mode():
        while any(current):
            logits = decoder.step(tokens, positions).float()
            cumulative = torch.softmax(logits, -1).cumsum(-1)
            u = torch.tensor([chance[s][len(drawn[s])] for s in range(slots)]).float()[:, None] * cumulative[:, -1:]
            choice = torch.searchsorted(cumulative, u)[:, 0].clamp_max(logits.shape[1] - 1).tolist()
            for s, job in enumerate(current):
                if job is None:
                    continue
                at = int(positions[s]) + 1
                positions[s] = at
                if at < len(job.prompt):
                    tokens[s] = job.prompt[at]
                    continue
                count += 1
                ended = choice[s] in (0, tokenizer.bos_token_id, tokenizer.eos_token_id)
                if not ended:
                    drawn[s].append(choice[s])
                    tokens[s] = choice[s]
                if ended or len(drawn[s]) == MOST_NEW:
                    text = job.opening + tokenizer.decode(drawn[s])
                    row = {"index": job.index, "kind": job.kind, "family": job.topic, "text": text, "ended": ended}
                    sink.write(json.dumps(row, ensure_ascii=False) + "\n")
                    finished += 1
                    move_in(s)
                    if finished % 100 == 0:
                        sink.flush()
                        rate = count / (time.time() - start)
                        print(
                            f"{finished} documents, {count} tokens, {rate:.0f} tok/s, {len(queue)} waiting", flush=True
                        )


def shingles(text: str) -> set[int]:
    words = re.findall(r"\w+", text.lower())
    return {hash(tuple(words[i : i + 5])) for i in range(len(words) - 4)}


def pack(work: Path) -> None:
    """Drop what is too short, loops, or shares over half of its five-word shingles with an earlier document."""
    rows = sorted((json.loads(line) for line in (work / "raw.jsonl").open(encoding="utf-8")), key=lambda r: r["index"])
    seen: dict[int, list[int]] = {}
    sizes: list[int] = []
    kept, dropped = [], {"short": 0, "loop": 0, "duplicate": 0, "broken": 0}
    for row in rows:
        text = row["text"].strip()
        mine, words = shingles(text), len(re.findall(r"\w+", text))
        if "\ufffd" in text:
            dropped["broken"] += 1
        elif words < 12:
            dropped["short"] += 1
        elif len(mine) < 0.4 * (words - 4):
            dropped["loop"] += 1
        else:
            shared: dict[int, int] = {}
            for shingle in mine:
                for other in seen.get(shingle, ()):
                    shared[other] = shared.get(other, 0) + 1
            if any(n > 0.5 * min(len(mine), sizes[o]) for o, n in shared.items()):
                dropped["duplicate"] += 1
                continue
            for shingle in mine:
                seen.setdefault(shingle, []).append(len(kept))
            sizes.append(len(mine))
            kept.append({"id": f"{row['family']}/{row['kind']}", "family": row["family"], "text": text})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    TARGET.write_bytes(lzma.compress(lines.encode(), preset=9 | lzma.PRESET_EXTREME))
    sentences = {s for row in kept for s in re.split(r"(?<=[.!?])\s+|\n+", row["text"]) if len(s.split()) >= 4}
    tokenizer = AutoTokenizer.from_pretrained(default_model_dir())
    count = sum(len(ids) for ids in tokenizer([row["text"] for row in kept]).input_ids)
    print(f"kept {len(kept)} documents, dropped {dropped}, {count} tokens, {len(sentences)} distinct sentences,")
    print(f"{TARGET.stat().st_size / 1e6:.2f} MB packed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="directory for raw.jsonl")
    parser.add_argument("--pack", action="store_true", help="clean and compress what has been written")
    parser.add_argument("--limit", type=int, help="only the first N documents")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    pack(options.work) if options.pack else write(options.work, options.limit)
