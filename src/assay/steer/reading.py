"""Texts that a model reads again and again under treatments; what lies below a treatment is read once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId
from assay.model.reading import Rows, in_batches

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.steer.treatment import Treatment

AT_ONCE = 512  # places that are unembedded together

Ids = Sequence[int]


class Said(NamedTuple):
    """Some tokens of some texts, text after text: log probability of each, (n,), and of every token in its place, (n,
    vocab), where that is asked for. ``rows``: (n,) the text of each."""

    came: Float[Tensor, " n"]
    every: Float[Tensor, "n vocab"] | None
    rows: Int64[NDArray[np.int64], " n"]


class Texts:
    """Some texts, as ids, in batches that stay the same, so that differences are those of treatments alone.

    Args:
        subject: in fp32, as effects are measured.
        ids: of each text.
        ends: from which token on each text counts as generated; nowhere if left out.
    """

    def __init__(self, subject: Subject, ids: Sequence[Ids], ends: Sequence[int] | None = None) -> None:
        self.subject, self.ids, self.ends = subject, ids, ends
        self.batches: list[Rows] = list(in_batches(subject, [tuple(row) for row in ids]))
        self._at: dict[int, list[Tensor]] = {}

    def prepare(self, layers: Collection[int]) -> None:
        """Read the texts up to these layers, in one pass."""
        missing = sorted({layer for layer in layers if layer not in self._at})
        if not missing:
            return
        sites = {layer: SiteId(layer, "resid_pre") for layer in missing}
        for layer in missing:
            self._at[layer] = []
        for batch in self.batches:
            got = self.subject.activations(batch.ids, batch.mask, list(sites.values()))
            for layer, site in sites.items():
                self._at[layer].append(got[site])

    @torch.inference_mode()
    def hidden(self, treatment: Treatment | None = None, dose: float = 0.0) -> Iterator[tuple[Rows, Tensor]]:
        """What the head is given at every token, (batch, seq, d_out), batch by batch, with the treatment in force."""
        if treatment is None:
            for batch in self.batches:
                yield batch, self.subject.hidden(batch.ids, batch.mask)
            return
        start = treatment.start
        if start:
            self.prepare([start])
        with treatment.applied(self.subject, dose):
            for number, batch in enumerate(self.batches):
                with self._generated(batch):
                    if start:
                        hidden = self.subject.forward_from(start, self._at[start][number], batch.mask)
                    else:
                        hidden = self.subject.hidden(batch.ids, batch.mask)
                yield batch, hidden

    def _generated(self, batch: Rows) -> AbstractContextManager[None]:
        if self.ends is None:
            return nullcontext()
        ends = torch.tensor([self.ends[row] for row in batch.rows], device=self.subject.device)
        return self.subject.prompts_end(ends, torch.from_numpy(batch.rows).to(self.subject.device))

    @torch.inference_mode()
    def said(
        self,
        places: Sequence[Sequence[int]],
        treatment: Treatment | None = None,
        dose: float = 0.0,
        every: bool = False,
    ) -> Said:
        """How likely the tokens at some places of each text are, after what stands before them.

        Args:
            places: of each text, none of them 0.
            every: whether to give the log probabilities of all tokens that could stand there.
        """
        nothing = torch.zeros(0, device=self.subject.device)
        came: dict[int, Tensor] = {}
        whole: dict[int, Tensor] = {}
        for batch, hidden in self.hidden(treatment, dose):
            own = [places[row] for row in batch.rows]
            at = torch.tensor([p for row in own for p in row], dtype=torch.long)
            place = torch.repeat_interleave(torch.arange(len(own)), torch.tensor([len(row) for row in own]))
            stood, ids = hidden[place, at - 1], batch.ids[place, at].to(hidden.device)
            likely: list[Tensor] = []
            kept: list[Tensor] = []
            for first in range(0, len(at), AT_ONCE):
                part = self.subject.unembed(stood[first : first + AT_ONCE]).float().log_softmax(-1)
                likely.append(part.gather(1, ids[first : first + AT_ONCE, None])[:, 0])
                kept += [part] if every else []
            sizes = [len(row) for row in own]
            if likely:
                came |= dict(zip(batch.rows.tolist(), torch.cat(likely).split(sizes), strict=True))
            if kept:
                whole |= dict(zip(batch.rows.tolist(), torch.cat(kept).split(sizes), strict=True))
        rows = np.repeat(np.arange(len(places)), [len(row) for row in places])
        order = range(len(places))
        return Said(
            torch.cat([nothing, *(came[row] for row in order if row in came)]),
            torch.cat([whole[row] for row in order if row in whole]) if every and whole else None,
            rows,
        )
