"""Many edits of one place in a text at the price of one token each: what comes before it is run once.

A *branch* is a copy of a text's last token. It attends to the tokens before it, whose keys and values an unedited pass
has kept, and to itself, as in decoding; branches don't see each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.ids import SiteId
from assay.model.hooks import Edit
from assay.model.partial import check_edits, starting_at

if TYPE_CHECKING:
    from assay.model.subject import Subject


class Branches:
    """The last tokens of some texts, from which branches go on.

    Args:
        subject: the model; its dtype is that of every pass.
        ids, mask: (texts, seq) as a :class:`Subject` takes them, at least two tokens a text, padded on the left.
        layers: those at which branches will begin.

    Attributes:
        base: (texts, d_out) what the head is given at the last token of each text when nothing is edited.
    """

    @torch.inference_mode()
    def __init__(
        self, subject: Subject, ids: Int[Tensor, "texts seq"], mask: Int[Tensor, "texts seq"], layers: Collection[int]
    ) -> None:
        from transformers import DynamicCache

        self.subject = subject
        sites = {layer: SiteId(layer, "resid_pre") for layer in layers}
        past: Any = DynamicCache()  # told of no configuration, it keeps all of a sliding window's tokens
        self._mask = mask.to(subject.device)
        with subject.capture(list(sites.values())) as got:
            hidden = subject._run({"input_ids": ids.to(subject.device)}, self._mask, past)
        self.base = hidden[:, -1]
        self._start = {layer: got[site][:, -1].to(subject.device) for layer, site in sites.items()}
        self._past = [(layer.keys[..., :-1, :], layer.values[..., :-1, :]) for layer in past.layers]

    @torch.inference_mode()
    def run(
        self, layer: int, count: int, edits: Mapping[SiteId, Edit], texts: slice = slice(None)
    ) -> Float[Tensor, "texts count d_out"]:
        """What the head is given at each of ``count`` branches of each text, with these edits in force.

        An edit gets the site's tensor as (texts, count, width), its first axis only those of ``texts``, and returns
        a new one. Equal, up to the order of sums, to full passes with the edit at the last token alone.

        Raises:
            KeyError: a layer that was not named when this was made.
            UsageError: an edit below ``layer``, or one that gives another shape.
        """
        subject = self.subject
        check_edits(list(edits), layer, subject.n_layers)
        start = self._start[layer][texts].repeat_interleave(count, 0)[:, None]
        mask = self._mask[texts].repeat_interleave(count, 0)
        past = self._expanded(layer, count, texts)
        with ExitStack() as stack:
            stack.enter_context(starting_at(subject._stack, layer, start, subject._row.tuples))
            for site, fn in edits.items():
                stack.enter_context(subject.edit(site, _by_text(fn, count)))
            hidden = subject._run(subject._stand_in(start), mask, past)
        return hidden.unflatten(0, (-1, count)).squeeze(2)

    def _expanded(self, layer: int, count: int, texts: slice) -> object:
        """A cache of its own for each branch; of layers that are not run it has the length alone."""
        from transformers import DynamicCache

        empty = self._mask.new_zeros(1, 1, self._mask.shape[1] - 1, 1)
        pairs = [
            (empty, empty) if i < layer else tuple(part[texts].repeat_interleave(count, 0) for part in pair)
            for i, pair in enumerate(self._past)
        ]
        return DynamicCache(pairs)


def _by_text(fn: Edit, count: int) -> Callable[[Tensor], Tensor]:
    def edit(tensor: Tensor) -> Tensor:
        return fn(tensor.squeeze(1).unflatten(0, (-1, count))).flatten(0, 1)[:, None]

    return edit
