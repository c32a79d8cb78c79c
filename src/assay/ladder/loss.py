"""What a model's next-token predictions cost, document by document."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch.nn import functional

from assay.stats import Interval, document_weights, interval
from assay.text import TokenTable, batches

BATCH = 2048  # tokens in a forward pass that no gradient follows


class Losses(NamedTuple):
    """Negative log likelihood in nats, summed over the tokens of each document, and their number: (d,) each."""

    nats: Float64[NDArray[np.float64], " d"]
    tokens: Float64[NDArray[np.float64], " d"]

    @property
    def mean(self) -> float:
        """Nats a token, every token counting once."""
        return float(self.nats.sum() / self.tokens.sum())

    def interval(self, seed: int = 0) -> Interval:
        """:attr:`mean` with the 95 % interval from documents drawn again."""
        weights = document_weights(len(self.tokens), seed=seed)
        return interval(self.mean, (weights @ self.nats) / (weights @ self.tokens))


@torch.no_grad()
def measure(model: Any, table: TokenTable, end: int = 0, products: torch.dtype | None = None) -> Losses:
    """The losses of a ``LlamaForCausalLM`` on windows that have ``end`` put before them.

    Every token of the table is predicted, the first of a window from ``end`` alone. ``products`` is the dtype of matrix
    products under autocast; None takes the model's own.
    """
    count = int(table.documents.max()) + 1
    nats, tokens = np.zeros(count), np.zeros(count)
    device = model.device
    for batch in batches(table, BATCH):
        ids = torch.from_numpy(np.pad(batch.ids, ((0, 0), (1, 0)), constant_values=end)).to(device)
        with torch.autocast(device.type, products, enabled=products is not None):
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        each = functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        real = batch.mask.astype(np.float64)
        of_window = each.double().cpu().numpy().reshape(real.shape) * real
        np.add.at(nats, table.documents[batch.rows], of_window.sum(1))
        np.add.at(tokens, table.documents[batch.rows], real.sum(1))
    seen = tokens > 0
    return Losses(nats[seen], tokens[seen])
