"""Texts that a model reads again and again under treatments; what lies below a treatment is read once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId
from assay.model.fronts import begin
from assay.model.past import Past, go_on, go_on_with, nothing
from assay.model.reading import Rows, in_batches

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.steer.treatment import Treatment

AT_ONCE = 512  # places that are unembedded together
_WORTH = 4  # tokens from which on what is shared is read once

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
        unasked: so many first tokens of every text are not asked about. What of them is the same in all texts is read
            once a pass, and stands in no batch.
    """

    def __init__(
        self, subject: Subject, ids: Sequence[Ids], ends: Sequence[int] | None = None, unasked: int = 0
    ) -> None:
        self.subject, self.ids, self.ends = subject, ids, ends
        shared = min(unasked, begin(ids)) if len(ids) > 1 else 0
        self.front: Ids = tuple(ids[0][:shared]) if shared >= _WORTH else ()
        self.batches: list[Rows] = list(in_batches(subject, [tuple(row[len(self.front) :]) for row in ids]))
        self._at: dict[int, list[Tensor]] = {}
        self._front_at: dict[int, Tensor] = {}

    def prepare(self, layers: Collection[int]) -> None:
        """Read the texts up to these layers, in one pass."""
        missing = sorted({layer for layer in layers if layer not in self._at})
        if not missing:
            return
        sites = {layer: SiteId(layer, "resid_pre") for layer in missing}
        for layer in missing:
            self._at[layer] = []
        begins = len(self.front)
        for batch in self.batches:
            front = torch.tensor([self.front], dtype=torch.long).expand(len(batch.rows), begins)
            ids, mask = torch.cat([front, batch.ids], 1), torch.cat([torch.ones_like(front), batch.mask], 1)
            got = self.subject.activations(ids, mask, list(sites.values()))
            for layer, site in sites.items():
                self._at[layer].append(got[site][:, begins:])
                self._front_at[layer] = got[site][:1, :begins]

    def repeated(self, times: int, start: int) -> Texts:
        """All of the texts as many times, time after time, for as many treatments that start at one layer; what lies
        below is not read anew. Not for texts with a front, which each treatment would change in its own way."""
        assert not self.front
        self.prepare([start] if start else [])
        other, count = copy(self), len(self.ids)
        other.ids = list(self.ids) * times
        other.ends = None if self.ends is None else list(self.ends) * times
        other.batches = [
            Rows(
                np.concatenate([batch.rows + count * time for time in range(times)]),
                batch.ids.repeat(times, 1),
                batch.mask.repeat(times, 1),
                np.tile(batch.lengths, times),
            )
            for batch in self.batches
        ]
        other._at = {start: [hidden.repeat(times, 1, 1) for hidden in self._at[start]]} if start else {}
        return other

    @torch.inference_mode()
    def hidden(self, treatment: Treatment | None = None, dose: float = 0.0) -> Iterator[tuple[Rows, Tensor]]:
        """What the head is given at every token behind ``front``, (batch, seq, d_out), batch by batch, with the
        treatment in force."""
        start = 0 if treatment is None else treatment.start
        if start:
            self.prepare([start])
        with nullcontext() if treatment is None else treatment.applied(self.subject, dose):
            past = self._begun(start) if self.front else None
            for number, batch in enumerate(self.batches):
                with self._generated(batch.rows):
                    hidden = self._behind(past, start, number, batch)
                yield batch, hidden

    def _begun(self, start: int) -> Past:
        """What has been read of the front under a treatment that starts at a layer."""
        none = nothing(self.subject, 1)
        with self._generated(np.zeros(1, np.int64)):
            if start:
                return go_on(self.subject, none, self._front_at[start], start)[1].from_layer(start)
            return go_on_with(self.subject, none, torch.tensor([self.front]))[1]

    def _behind(self, past: Past | None, start: int, number: int, batch: Rows) -> Tensor:
        if past is None:
            if start:
                return self.subject.forward_from(start, self._at[start][number], batch.mask)
            return self.subject.hidden(batch.ids, batch.mask)
        past = past.repeated(len(batch.rows))
        if start:
            return go_on(self.subject, past, self._at[start][number], start, batch.mask)[0]
        return go_on_with(self.subject, past, batch.ids, mask=batch.mask)[0]

    def _generated(self, rows: Int64[NDArray[np.int64], " b"]) -> AbstractContextManager[None]:
        if self.ends is None:
            return nullcontext()
        ends = torch.tensor([self.ends[row] for row in rows], device=self.subject.device)
        return self.subject.prompts_end(ends, torch.from_numpy(rows).to(self.subject.device))

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
            places: of each text, none of them 0, nor in or right behind what is not asked about.
            every: whether to give the log probabilities of all tokens that could stand there.
        """
        no = torch.zeros(0, device=self.subject.device)
        came: dict[int, Tensor] = {}
        whole: dict[int, Tensor] = {}
        for batch, hidden in self.hidden(treatment, dose):
            own = [places[row] for row in batch.rows]
            at = torch.tensor([p - len(self.front) for row in own for p in row], dtype=torch.long)
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
            torch.cat([no, *(came[row] for row in order if row in came)]),
            torch.cat([whole[row] for row in order if row in whole]) if every and whole else None,
            rows,
        )
