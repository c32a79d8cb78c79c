"""A small recording: a tiny model of random weights on a few documents. Also what test_kill.py runs in a child."""

from __future__ import annotations

import numpy as np
import torch

from assay.record import RecordRequest, record_sites
from assay.text import Corpus, Document
from model.tiny_models import tiny

REQUEST = {"model": "tiny", "sites": "mlp_act,L1.mlp_out", "tokens": 5500, "corpus": "letters", "block_layers": 1}


def letters(documents=20, seed=0):
    """Documents of random words of the tiny tokenizer's letters."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(documents):
        sizes = rng.integers(1, 7, int(rng.integers(40, 160)))
        text = " ".join("".join(rng.choice(list("abcdefghinorte"), size)) for size in sizes)
        found.append(Document(f"document {i}", text, f"document {i}"))
    return Corpus("letters", tuple(found), f"{seed:064d}")


def record_small(out, every=60.0, dtype=torch.bfloat16, subject=None, corpus=None, **changes):
    request = RecordRequest(out=str(out), **(REQUEST | changes))
    return record_sites(request, subject=subject or tiny("llama", dtype), corpus=corpus or letters(), every=every)
