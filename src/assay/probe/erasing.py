"""Where erasers are fitted, applied and attacked: rows of a data set at layers, split by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model.reading import encode, in_batches
from assay.probe.attacks import ATTACKS, Attacked, run_attacks
from assay.probe.attacks.arena import FOLDS
from assay.probe.bench import Bench
from assay.probe.erasers import make_fitter
from assay.probe.erasers.cde import STEPS, CdeFitter
from assay.probe.erasers.eraser import Eraser
from assay.probe.grounds import SHARES
from assay.probe.prompts import PromptPairs, prompt_pairs
from assay.probe.swap import PairReading, finished, read_pairs, swap_success
from assay.stats.bootstrap import Estimate
from assay.text import load_corpus, split
from assay.text.concepts import ConceptData, split_concept
from assay.text.statements import statements

NEUTRAL = "neutral text"
_SENTENCES = 48  # of neutral text
_RESAMPLED = 0.8  # of the groups to fit on, that each seed takes
CDE = "cde"


class Rows(NamedTuple):
    """Activations, labels and groups, a row a place that is read."""

    x: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[Any]

    def of(self, groups: Sequence[str]) -> Rows:
        """The rows of some groups."""
        kept = np.isin(self.groups.astype(str), list(groups))
        return Rows(self.x[kept], self.labels[kept], self.groups[kept])


class Workplace:
    """One data set at some layers, its groups split for fitting and attacking.

    Where the data are pairs of prompts that a model goes on with by different words, rows are all places from the first
    at which the prompts of a pair differ, and erasers can be swapped; else a row is an item.

    Attributes:
        fit, test: names of groups.
        notes: what a reader must know.
    """

    def __init__(self, bench: Bench, data: ConceptData, layers: Sequence[int], rank: int) -> None:
        self.bench, self.data, self.rank = bench, data, rank
        splits = split_concept(data, bench.seed, SHARES)
        self.fit = sorted({str(group) for group in data.groups[splits.fit]})
        self.test = sorted({str(group) for group in data.groups[splits.test]})
        most = bench.subject.d_model - 1
        if rank > most:
            raise UsageError(
                f"--rank must be 1 to {most}, one less than the width of {bench.subject.name}. Got {rank}."
            )
        if len(self.test) < FOLDS:
            raise UsageError(
                f"{data.name} has {len(self.test)} groups to attack, and attacks need {FOLDS}; give more "
                "groups, or more --items"
            )
        self.notes: list[str] = []
        self.pairs: PromptPairs | None = None
        self.readings: Mapping[int, PairReading] = {}
        if any(item.answer for item in data.items) and any(item.pair for item in data.items):
            if bench.position != "last":
                raise UsageError(
                    f"{data.name} has pairs of prompts, which are read at every place from the first that differs; "
                    f"leave out --position {bench.position}"
                )
            self.pairs, dropped = prompt_pairs(data, bench.exact)
            bench.progress(f"reading {len(self.pairs):,} pairs of prompts")
            self.readings = read_pairs(bench.exact, layers, self.pairs)
            self.notes.append(
                f"Rows are all places from the first at which the prompts of a pair differ; {dropped}. Erasers are "
                f"fitted on {_RESAMPLED:.0%} of the groups for it, drawn anew for each seed."
            )
        else:
            bench.read([data.name], layers)
            self.notes.append("Rows are items. Without pairs of prompts and their answers nothing can be swapped.")
        self._base: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}

    @property
    def told_fit(self) -> str:
        """How much there is to fit on."""
        return f"{len(self.fit):,} groups of {self.data.name}"

    @property
    def told_test(self) -> str:
        """How much there is to attack."""
        return f"{len(self.test):,} others"

    def rows(self, layer: int) -> Rows:
        """All rows at a layer."""
        if self.pairs is None:
            return Rows(self.bench.acts(self.data.name, layer).astype(np.float64), self.data.labels, self.data.groups)
        return rows_of(self.readings[layer])

    def drawn(self, seed: int) -> list[str]:
        """The groups that erasers of a seed are fitted on."""
        count = max(2, round(_RESAMPLED * len(self.fit)))
        return sorted(np.random.default_rng([self.bench.seed, seed]).permutation(self.fit)[:count].tolist())

    def fitted(self, method: str, layer: int, seed: int) -> Eraser:
        """An eraser of one method, fitted on the groups of the seed."""
        groups = self.drawn(seed)
        if self.pairs is None:
            return self._from_rows(method, self.rows(layer).of(groups), seed)
        return self.fit_on(method, layer, self.reading(layer, groups), seed)

    def fit_on(self, method: str, layer: int, reading: PairReading, seed: int) -> Eraser:
        """An eraser of one method, fitted on some pairs of prompts at a layer."""
        if method != CDE:
            return self._from_rows(method, rows_of(reading), seed)
        steps = max(10, round(STEPS * self.bench.size.steps))
        return CdeFitter(self.bench.subject, self.rank, steps=steps, seed=seed).fit(reading).eraser

    def _from_rows(self, method: str, own: Rows, seed: int) -> Eraser:
        if method == CDE:
            raise UsageError(
                f"cde needs pairs of prompts with an answer each, and {self.data.name} has none; use gender"
            )
        return make_fitter(method, own.x.shape[1], 1, seed=seed, rank=self.rank).update(own.x, own.labels).eraser

    def reading(self, layer: int, groups: Sequence[str]) -> PairReading:
        """The pairs of some groups."""
        assert self.pairs is not None
        return self.readings[layer].select(np.isin(self.pairs.groups.astype(str), list(groups)))

    def swapped(self, layer: int, eraser: Eraser) -> Estimate | None:
        """How far the output follows, on groups that nothing was fitted on; None where nothing can be swapped."""
        if self.pairs is None:
            return None
        size = self.bench.size.replicates
        return swap_success(self.bench.exact, self.reading(layer, self.test), eraser, replicates=size).success

    def attacked(
        self, layer: int, eraser: Eraser | None, names: Sequence[str] | None, seed: int
    ) -> Mapping[str, Attacked]:
        """What attacks find in the rows of the test groups after the eraser, or without one."""
        own = self.rows(layer).of(self.test)
        x = own.x if eraser is None else eraser(own.x)
        return run_attacks(x, own.labels, own.groups, names=names or ATTACKS, seed=seed)

    @torch.inference_mode()
    def kl(self, layer: int, eraser: Eraser) -> float:
        """Mean KL divergence, in nats, of the next token on neutral text, from the run erased at every token."""
        total, count = 0.0, 0
        subject = self.bench.exact
        for mask, residual, final in self._unedited(layer):
            hidden = finished(subject, layer, eraser(residual))
            kept = mask.bool()
            before = torch.log_softmax(subject.unembed(final[kept]), -1)
            after = torch.log_softmax(subject.unembed(hidden[kept]), -1)
            total += float((before.exp() * (before - after)).sum())
            count += int(kept.sum())
        return total / count

    def _unedited(self, layer: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Batches of neutral sentences as the model reads them: mask, residual, and what the head is given."""
        if layer not in self._base:
            subject, site = self.bench.exact, SiteId(layer, "resid_post")
            batches: list[tuple[Tensor, Tensor, Tensor]] = []
            for batch in in_batches(subject, encode(subject, neutral_sentences(_SENTENCES))):
                with subject.capture([site]) as got:
                    final = subject.hidden(batch.ids, batch.mask)
                batches.append((batch.mask.to(final.device), got[site], final))
            self._base = {layer: batches}
        return self._base[layer]


def rows_of(reading: PairReading) -> Rows:
    """Both prompts of each pair, a row a place from the first at which they differ."""
    pairs, residual = reading.pairs, reading.residual.double().cpu().numpy()
    places = np.arange(residual.shape[2])
    read = (places >= pairs.first[:, None]) & (places < pairs.lengths[:, None])
    kept = np.broadcast_to(read[:, None], residual.shape[:3])
    labels = np.broadcast_to(np.array([0, 1])[None, :, None], residual.shape[:3])
    groups = np.broadcast_to(pairs.groups[:, None, None], residual.shape[:3])
    return Rows(residual[kept], labels[kept].astype(np.int64), groups[kept])


def neutral_sentences(count: int) -> list[str]:
    """So many sentences of the bundled corpus, of its test documents, in their order, of different documents."""
    found = statements(split(load_corpus("bundled"), 0).test, (8, 24))
    by_document = {one.document: one.text for one in found}
    return list(by_document.values())[:count]


def workplace(bench: Bench, name: str, layers: Sequence[int], rank: int) -> Workplace:
    """The place for one data set by name."""
    return Workplace(bench, bench.data(name), layers, rank)
