"""A LoRA finetune (Hu et al. 2021) on the same texts that vectors are made of: the other old remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.errors import UsageError
from assay.fit.lora import adapters
from assay.model.reading import in_batches
from assay.steer.kit import Kit
from assay.steer.treatment import Tuned
from assay.text.behaviours import REQUESTS

RANK, STEPS, BATCH, RATE = 4, 40, 8, 1e-3


def make(kit: Kit, layer: int, name: str) -> Tuned:
    """Train on the texts with the behaviour, next token by next token; what the weights changed by is the treatment.

    Adapters of rank 4 beside every matrix, Adam at 1e-3, 40 steps of 8 texts. Its rival learns the other text of each
    pair in the same way: that any finetune on such texts changes what is scored is not the behaviour's doing.

    Raises:
        UsageError: the behaviour has no replies to learn.
    """
    if kit.behaviour.of == REQUESTS:
        raise UsageError(f"the concept {kit.behaviour.name} has requests and no replies, so none can be learnt")
    return Tuned(_learnt(kit, 0), 0, Tuned(_learnt(kit, 1), 0))


def _learnt(kit: Kit, side: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Updates after training on that text of each pair."""
    subject = kit.subject
    texts = kit.script.read([pair[side] for pair in kit.behaviour.pairs])
    rng = np.random.default_rng([kit.seed, 79])
    with adapters(subject, range(subject.n_layers), RANK, kit.seed) as added:
        optimizer = torch.optim.AdamW(list(added.parameters.values()), RATE, weight_decay=0.0)
        for _ in range(max(2, round(STEPS * kit.steps))):
            chosen = rng.choice(len(texts), min(BATCH, len(texts)), replace=False)
            optimizer.zero_grad()
            batch = next(in_batches(subject, [texts[i].ids for i in chosen], 1 << 30))
            begins = [texts[chosen[row]].begins for row in batch.rows]
            _loss(subject, batch.ids, batch.mask, begins).backward()
            optimizer.step()
        return {path: _update(module) for path, module in subject.model.named_modules() if hasattr(module, "lora_A")}


def _loss(subject: Any, ids: Tensor, mask: Tensor, begins: list[int]) -> Tensor:
    logits = subject.logits(ids, mask)[:, :-1]
    learnt = mask[:, 1:].bool().clone()
    for row, first in enumerate(begins):
        learnt[row, : max(first - 1, 0)] = False
    return torch.nn.functional.cross_entropy(
        logits[learnt.to(logits.device)].float(), ids[:, 1:][learnt].to(logits.device)
    )


@torch.no_grad()
def _update(module: Any) -> tuple[Tensor, Tensor]:
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    return (b * module.scaling["default"]).float().cpu().clone(), a.float().cpu().clone()
