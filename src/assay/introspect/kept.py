"""One pass over sentences and questions; all that training and testing need of the layers below is kept from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.ids import SiteId
from assay.introspect.sentences import Sentences
from assay.model.past import Past, go_on_with, read

if TYPE_CHECKING:
    from assay.model import Subject

BATCH = 16


@dataclass(frozen=True, eq=False)
class Batch:
    """Some sentences of one split, as the subject has read them.

    ``rows``: (b,) their places in the split. ``ids``: (b, seq), padded on the left. ``past``: keys and values of
    every sentence, full stop included. ``stop``: for each layer where reporters begin its ``resid_pre`` at the full
    stop, (b, d_model); the number of layers stands for the residual before the final norm. ``asked``: the same at the
    tokens of each question, (b, units, tokens, d_model); no tokens where nothing is asked.
    """

    rows: Int[Tensor, " b"]
    ids: Int[Tensor, "b seq"]
    past: Past
    stop: dict[int, Float[Tensor, "b d_model"]]
    asked: dict[int, Float[Tensor, "b units tokens d_model"]]

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self, most: int) -> list[Batch]:
        """The same sentences in batches of at most so many."""
        if most >= len(self):
            return [self]
        return [self._part(first, first + most) for first in range(0, len(self), most)]

    def _part(self, first: int, last: int) -> Batch:
        stop, asked = (
            {layer: tensor[first:last] for layer, tensor in found.items()} for found in (self.stop, self.asked)
        )
        return Batch(self.rows[first:last], self.ids[first:last], self.past.texts(first, last), stop, asked)


@dataclass(frozen=True, eq=False)
class Kept:
    """The batches of a split, and what stood at the full stop of each sentence, in the order of the sentences.

    There may be more sentences than are in batches: probes and scales are learnt on all. ``values``: for each layer
    whose neurons are asked about (n, neurons). ``before``: what those neurons are computed from, the residual that
    the MLP reads, (n, d_model). ``stops``: the ``resid_pre`` of every layer from the lowest kept, (n, d_model).
    """

    batches: tuple[Batch, ...]
    values: dict[int, Float[np.ndarray, "n neurons"]]
    before: dict[int, Float[np.ndarray, "n d_model"]]
    stops: dict[int, Float[np.ndarray, "n d_model"]]

    def first(self, count: int) -> tuple[Batch, ...]:
        """The batches of the first ``count`` sentences, one of the ``blocks`` it was made with."""
        return tuple(batch for batch in self.batches if int(batch.rows.max()) < count)


@torch.no_grad()
def keep(
    subject: Subject,
    sentences: Sentences,
    questions: Sequence[Sequence[int]],
    layers: Sequence[int],
    neurons: Sequence[int] = (),
    *,
    taught: int | None = None,
    blocks: Sequence[int] = (),
    below: bool = False,
    told: Callable[[float], None] = lambda share: None,
) -> Kept:
    """Read every sentence, and every question after it, once; batches are of sentences of like length.

    Args:
        layers: those at which reporters begin.
        neurons: layers whose neurons' values are kept.
        taught: how many sentences, from the first, are kept in batches; all if None.
        blocks: numbers of sentences; no batch has sentences on both sides of one of them, see :meth:`Kept.first`.
        below: keep the keys and values of the layers under the lowest of ``layers``, too.
    """
    taught = len(sentences) if taught is None else taught
    acts = {layer: SiteId(layer, "mlp_act") for layer in neurons}
    mids = {layer: SiteId(layer, "resid_pre" if subject.parallel else "resid_mid") for layer in neurons}
    upwards = range(min(layers), subject.n_layers + 1)
    count, width = len(sentences), subject.d_model
    values = {layer: np.zeros((count, subject.width(site)), np.float32) for layer, site in acts.items()}
    before = {layer: np.zeros((count, width), np.float32) for layer in neurons}
    stops = {layer: np.zeros((count, width), np.float32) for layer in upwards}
    batches: list[Batch] = []
    done = 0
    for rows in _grouped(sentences, (*blocks, taught)):
        with subject.capture({*acts.values(), *mids.values()}) as got:
            ids, mask = padded([sentences.ids[i] for i in rows])
            past, stop = read(subject, ids, mask, upwards)
        for layer in neurons:
            values[layer][rows] = _array(got[acts[layer]][:, -1])
            before[layer][rows] = _array(got[mids[layer]][:, -1])
        for layer in upwards:
            stops[layer][rows] = _array(stop[layer])
        if max(rows) < taught:
            asked = _asked(subject, past, questions, layers)
            kept = past if below else past.from_layer(min(layers))
            batches.append(Batch(torch.tensor(rows), ids, kept, {layer: stop[layer] for layer in layers}, asked))
        done += len(rows)
        told(done / count)
    return Kept(tuple(batches), values, before, stops)


def _asked(
    subject: Subject, past: Past, questions: Sequence[Sequence[int]], layers: Sequence[int]
) -> dict[int, Float[Tensor, "b units tokens d_model"]]:
    """The residual of each question's tokens, read after every sentence."""
    ids, texts, count = torch.tensor([list(question) for question in questions]), len(past.mask), len(questions)
    if not ids.shape[1]:
        empty = torch.zeros(texts, count, 0, subject.d_model, dtype=subject.dtype, device=subject.device)
        return dict.fromkeys(layers, empty)
    _, _, after = go_on_with(subject, past.repeated(count), ids.repeat(texts, 1), layers)
    return {layer: residual.unflatten(0, (-1, count)) for layer, residual in after.items()}


def _array(tensor: Tensor) -> Float[np.ndarray, "b width"]:
    return tensor.float().cpu().numpy()


def _grouped(sentences: Sentences, blocks: Sequence[int]) -> Iterator[list[int]]:
    """Sentences of like length together, block by block."""
    borders = sorted({0, *(size for size in blocks if size < len(sentences)), len(sentences)})
    for first, last in pairwise(borders):
        order = sorted(range(first, last), key=lambda i: len(sentences.ids[i]))
        for start in range(0, len(order), BATCH):
            yield order[start : start + BATCH]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "b seq"], Int[Tensor, "b seq"]]:
    """Ids and mask of token rows, padded on the left."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask
