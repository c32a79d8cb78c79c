"""Texts that are read once and gone on from many times, at the price of what comes after alone.

What a causal model has read is its keys and values. An unedited pass keeps them; tokens that come after attend to them
and to one another, as in decoding, so that gradients, edits and adapters act on those tokens only.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.ids import SiteId
from assay.model.hooks import EarlyExit
from assay.model.partial import check_edits, ending_after, starting_at

if TYPE_CHECKING:
    from assay.model.subject import Subject


@dataclass(frozen=True, eq=False)
class Past:
    """What a model has read of some texts.

    ``pairs``: keys and values of each layer, (texts, heads, seq, d_head). ``mask``: (texts, seq), 1 at real tokens;
    padding is on the left.
    """

    pairs: tuple[tuple[Tensor, Tensor], ...]
    mask: Int[Tensor, "texts seq"]

    def without_last(self) -> Past:
        """The same without the last token."""
        return Past(tuple((k[..., :-1, :], v[..., :-1, :]) for k, v in self.pairs), self.mask[:, :-1])

    def repeated(self, times: int) -> Past:
        """Each text as many times, one after the other."""
        pairs = tuple((k.repeat_interleave(times, 0), v.repeat_interleave(times, 0)) for k, v in self.pairs)
        return Past(pairs, self.mask.repeat_interleave(times, 0))

    def texts(self, first: int, last: int) -> Past:
        """Some of the texts."""
        return Past(tuple((k[first:last], v[first:last]) for k, v in self.pairs), self.mask[first:last])

    def before(self, texts: Int[Tensor, " rows"], mask: Int[Tensor, "rows seq"]) -> Past:
        """For each row the first tokens of one of the texts, none of which is padded on the left: as many as its mask
        has ones, padded on the left."""
        at = (mask.cumsum(1) - 1).clamp(min=0)
        pairs = ((self._first(k, texts, at), self._first(v, texts, at)) for k, v in self.pairs)
        return Past(tuple(pairs), mask)

    @staticmethod
    def _first(part: Tensor, texts: Tensor, at: Tensor) -> Tensor:
        return part.transpose(1, 2)[texts[:, None], at].transpose(1, 2)

    def from_layer(self, layer: int) -> Past:
        """The same without keys and values of the layers below, at which nothing more is to be read."""
        return Past((_unread(self.mask),) * layer + self.pairs[layer:], self.mask)

    def over(self, below: Past, layer: int) -> Past:
        """The layers from ``layer`` on are these, those under it are those of ``below``, of the same tokens."""
        return Past(below.pairs[:layer] + self.pairs[layer:], self.mask)


def read(
    subject: Subject, ids: Int[Tensor, "texts seq"], mask: Int[Tensor, "texts seq"], layers: Collection[int] = ()
) -> tuple[Past, dict[int, Float[Tensor, "texts d_model"]]]:
    """Read texts, padded on the left; also the ``resid_pre`` of their last token at each of ``layers``.

    No gradient is kept. ``layers`` may name the number of layers: that is the residual before the final norm.
    """
    from transformers import DynamicCache

    past: Any = DynamicCache()  # told of no configuration, it keeps all of a sliding window's tokens
    mask = mask.to(subject.device)
    with torch.no_grad(), _residuals(subject, layers) as got:
        subject._run({"input_ids": ids.to(subject.device)}, mask, past)
    last = {layer: got[site][:, -1].clone() for layer, site in _sites(subject, layers).items()}
    return Past(tuple((layer.keys, layer.values) for layer in past.layers), mask), last


def nothing(subject: Subject, texts: int) -> Past:
    """What has been read of texts that are to be read from their first token on."""
    return Past((), torch.zeros(texts, 0, dtype=torch.long, device=subject.device))


def go_on(
    subject: Subject,
    past: Past,
    hidden: Float[Tensor, "texts tokens d_model"],
    start: int = 0,
    mask: Int[Tensor, "texts tokens"] | None = None,
) -> tuple[Float[Tensor, "texts tokens d_out"], Past]:
    """Read more tokens, given as the ``resid_pre`` of layer ``start``; the layers below are not run.

    Returns what the head is given at each of them, and the past with them: of the layers below ``start`` it lacks
    them. Equal, up to the order of sums, to a pass over everything. Edits at ``start`` and above act on these tokens.
    ``mask`` has 1 at those that are real; all are if it is left out.

    Raises:
        UsageError: an edit below ``start``, which could not act, or another dtype.
    """
    check_edits(subject._board.edited, start, subject.n_layers)
    hidden = subject._same_dtype(hidden)
    with starting_at(subject._stack, start, hidden, subject._row.tuples):
        return _go_on(subject, past, subject._stand_in(hidden), hidden.shape[1], mask)


def step(
    subject: Subject, past: Past, hidden: Float[Tensor, "texts tokens d_model"], layer: int
) -> Float[Tensor, "texts tokens d_model"]:
    """The ``resid_pre`` of the next layer at more tokens, given that of ``layer``; edits of this layer act."""
    check_edits(subject._board.edited, layer, layer + 1)
    hidden = subject._same_dtype(hidden)
    begin = starting_at(subject._stack, layer, hidden, subject._row.tuples)
    with begin, ending_after(subject._layers[layer]) as left, suppress(EarlyExit):
        _go_on(subject, past, subject._stand_in(hidden), hidden.shape[1])
    return left[0]


def go_on_with(
    subject: Subject,
    past: Past,
    ids: Int[Tensor, "texts tokens"],
    layers: Collection[int] = (),
    mask: Int[Tensor, "texts tokens"] | None = None,
) -> tuple[Float[Tensor, "texts tokens d_out"], Past, dict[int, Float[Tensor, "texts tokens d_model"]]]:
    """The same with tokens given by their ids; also their ``resid_pre`` at each of ``layers``, as :func:`read` says."""
    with _residuals(subject, layers) as got:
        hidden, after = _go_on(subject, past, {"input_ids": ids.to(subject.device)}, ids.shape[1], mask)
    return hidden, after, {layer: got[site] for layer, site in _sites(subject, layers).items()}


def _go_on(
    subject: Subject, past: Past, inputs: dict[str, Tensor], tokens: int, mask: Tensor | None = None
) -> tuple[Tensor, Past]:
    from transformers import DynamicCache

    cache: Any = DynamicCache(list(past.pairs))
    more = past.mask.new_ones(len(past.mask), tokens) if mask is None else mask.to(past.mask)
    mask = torch.cat([past.mask, more], 1)
    hidden = subject._run(inputs, mask, cache)
    pairs = ((layer.keys, layer.values) if layer.is_initialized else _unread(mask) for layer in cache.layers)
    return hidden, Past(tuple(pairs), mask)


def _unread(mask: Tensor) -> tuple[Tensor, Tensor]:
    """In the place of keys and values of a layer that is not run."""
    empty = mask.new_zeros(1, 1, 1, 1).expand(len(mask), 1, mask.shape[1], 1)
    return empty, empty


def _sites(subject: Subject, layers: Collection[int]) -> dict[int, SiteId]:
    top = subject.n_layers
    return {n: SiteId(n, "resid_pre") if n < top else SiteId(n - 1, "resid_post") for n in layers}


def _residuals(subject: Subject, layers: Collection[int]) -> Any:
    return subject.capture(list(_sites(subject, layers).values())) if layers else nullcontext({})
