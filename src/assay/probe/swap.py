"""Whether a model follows the concept part of another prompt's residual: swaps, and their success."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.probe.prompts import PromptPairs
from assay.stats.bootstrap import Estimate, document_index, document_sums, document_weights

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.probe.erasers.eraser import Eraser

Swap = Callable[[Tensor, Tensor], Tensor]
"""Takes the residual that the pass would have and the other prompt's, both (..., d); returns what it is to have."""

SMALLEST_GAP = 1e-3  # nats; two prompts that tell an answer less apart than this say nothing of it but rounding


@dataclass(frozen=True, eq=False)
class PairReading:
    """What a model makes of both prompts of n pairs, unedited; axis 1 is the label. Made by :func:`read_pairs`.

    ``residual``: (n, 2, s, d_model) the ``resid_post`` of ``layer``, 0 at padding. ``final``: (n, 2, d_out) what the
    head is given at the last token. Both in the model's dtype, without gradient.
    """

    pairs: PromptPairs
    layer: int
    residual: Float[Tensor, "n 2 s d_model"]
    final: Float[Tensor, "n 2 d_out"]

    def select(self, rows: Shaped[NDArray[Any], " m"]) -> PairReading:
        """The pairs of these rows (indices, which may repeat, or a boolean mask), in the order given."""
        places = torch.from_numpy(np.arange(len(self.pairs))[rows])
        return PairReading(self.pairs.select(rows), self.layer, self.residual[places], self.final[places])

    def to(self, dtype: torch.dtype) -> PairReading:
        """The same in another dtype."""
        return PairReading(self.pairs, self.layer, self.residual.to(dtype), self.final.to(dtype))


@torch.no_grad()
def read_pairs(
    subject: Subject, layers: Collection[int], pairs: PromptPairs, told: Callable[[float], None] = lambda share: None
) -> dict[int, PairReading]:
    """Read all prompts once, for every layer that swaps are to be made at.

    Raises:
        UnknownName: no such layer.
    """
    sites = [SiteId(layer, "resid_post") for layer in layers]
    shape = (len(pairs), 2, pairs.ids.shape[2], subject.d_model)
    found = {site: torch.zeros(shape, dtype=subject.dtype, device=subject.device) for site in sites}
    final = torch.zeros(len(pairs), 2, subject.d_out, dtype=subject.dtype, device=subject.device)
    done = 0
    for rows in pairs.batches():
        length = int(pairs.lengths[rows[0]])
        ids = torch.from_numpy(pairs.ids[rows, :, :length]).flatten(0, 1)
        places = torch.from_numpy(rows)
        with subject.capture(sites) as got:
            final[places] = subject.hidden(ids)[:, -1].unflatten(0, (-1, 2))
        for site in sites:
            found[site][places, :, :length] = got[site].to(subject.device).unflatten(0, (-1, 2))
        done += len(rows)
        told(done / len(pairs))
    return {site.layer: PairReading(pairs, site.layer, found[site], final) for site in sites}


def swapped(
    subject: Subject, reading: PairReading, rows: Int64[NDArray[np.int64], " m"], swap: Swap
) -> Float[Tensor, "m 2 d_out"]:
    """What the head is given at the last token of both prompts of some pairs, each with the other's part swapped in.

    ``[:, 0]`` are the runs of the prompts of label 0. ``swap`` acts at all positions from the first at which the
    prompts differ. The layers up to the site are not run. Prompts of unequal length are padded at the right and need
    no mask: what stands behind the last token can't reach it. Gradients flow to what ``swap`` takes them to.
    """
    pairs, device = reading.pairs, reading.residual.device
    lengths = torch.from_numpy(pairs.lengths[rows]).to(device).repeat_interleave(2)
    first = torch.from_numpy(pairs.first[rows]).to(device).repeat_interleave(2)
    length = int(lengths.max())
    both = reading.residual[torch.from_numpy(rows), :, :length]
    into, source = both.flatten(0, 1), both.flip(1).flatten(0, 1)
    differs = (torch.arange(length, device=device) >= first[:, None])[..., None]
    hidden = finished(subject, reading.layer, torch.where(differs, swap(into, source), into))
    return hidden[torch.arange(len(hidden), device=device), lengths - 1].unflatten(0, (-1, 2))


def finished(
    subject: Subject, layer: int, residual: Float[Tensor, "batch seq d_model"]
) -> Float[Tensor, "batch seq d_out"]:
    """What the head is given when this is the ``resid_post`` of a layer; the layers up to it are not run."""
    if layer + 1 < subject.n_layers:
        return subject.forward_from(layer + 1, residual)
    with subject.edit(SiteId(layer, "resid_post"), lambda _: residual):
        return subject.forward_from(layer, residual)


class SwapResult(NamedTuple):
    """How far runs follow what was swapped in; both are 0 where nothing changed and 1 where the output is the source's.

    ``per_pair``: (n, 2) success of the run into the prompt of label 0 (from 1), and of label 1; NaN where the model
    gives both answers the same probability after either prompt. ``success``: their mean. ``shift``: the share of the
    distance in log odds of the answers that is covered, all pairs together, Σ covered / Σ distance, not clipped, so
    that what only stirs the output has 0 on average. Both with resamples of the groups.
    """

    per_pair: Float[NDArray[np.float64], "n 2"]
    success: Estimate
    shift: Estimate


@torch.inference_mode()
def swap_success(
    subject: Subject, reading: PairReading, eraser: Eraser, *, replicates: int = 2000, seed: int = 0
) -> SwapResult:
    """Put the part that an eraser takes out of one prompt's residual into the run of the other, and see which it is.

    Each prompt in turn is the *input* x and the other the *source* y. The run of x has ``e(x) + y - e(y)`` as its
    residual from the first differing position on. For the answers of both labels, with lp the log-probability at the
    last token, the share of the way from x to y is

        clip((lp(run) - lp(x)) / (lp(y) - lp(x)), 0, 1)

    and success the mean of the two: 0 where nothing is erased, so that the run is x, and 1 where everything is, so that
    it is y. An answer that goes beyond the source's counts as there. It is the 1 - mean over {correct, wrong} of
    clip((lp_start - lp_run) / (lp_start - lp_worst), 0, 1) of Roger 2022, what is missing on the way: as the run is to
    follow the source, ``start`` is the source's own output and ``worst`` that of the input, unedited.

    Clipping makes the mean positive for whatever stirs the output: hold it against random directions of equal rank, or
    see ``shift``. An answer that the two prompts tell apart by less than ``SMALLEST_GAP`` is left out.

    Raises:
        UsageError: no pair whose answers the model tells apart.
    """
    results = np.zeros((len(reading.pairs), 2, 2))
    unedited = answer_log_probs(subject, reading)
    for rows in reading.pairs.batches():
        hidden = swapped(subject, reading, rows, eraser.swap)
        results[rows] = _answers_of(subject, reading.pairs.select(rows), hidden)
    goal = unedited[:, ::-1]
    per_pair = _success(unedited, results, goal)
    scored = ~np.isnan(per_pair)
    if not scored.any():
        raise UsageError(f"{subject.name} gives the answers of every pair the same probability after both prompts")
    index, count = document_index(reading.pairs.groups.astype(str))
    weights = document_weights(count, replicates, seed)
    success = document_sums([np.where(scored, per_pair, 0.0).sum(1), scored.sum(1)], index, count)
    shift = document_sums([_covered(unedited, results), _covered(unedited, goal)], index, count)
    return SwapResult(per_pair, _ratio(success, weights), _ratio(shift, weights))


@torch.no_grad()
def answer_log_probs(subject: Subject, reading: PairReading) -> Float[NDArray[np.float64], "n 2 2"]:
    """Log-probability (nats) of the answers of labels 0 and 1 (axis 2) after the prompts of labels 0 and 1 (axis 1)."""
    found = np.zeros((len(reading.pairs), 2, 2))
    for rows in reading.pairs.batches():
        found[rows] = _answers_of(subject, reading.pairs.select(rows), reading.final[torch.from_numpy(rows)])
    return found


def _answers_of(subject: Subject, pairs: PromptPairs, hidden: Tensor) -> NDArray[np.float64]:
    logits = subject.unembed(hidden).double()
    answers = torch.from_numpy(pairs.answers).to(logits.device)[:, None].expand(-1, 2, -1)
    return (logits.gather(-1, answers) - logits.logsumexp(-1, keepdim=True)).cpu().numpy()


def _success(start: NDArray[np.float64], result: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) mean over the answers of the share of the way, each within 0 and 1; NaN where there is no way to go."""
    far = np.abs(goal - start) >= SMALLEST_GAP
    shares = np.clip((result - start) / np.where(far, goal - start, 1.0), 0.0, 1.0)
    counted = far.sum(-1)
    return np.where(counted > 0, (shares * far).sum(-1) / np.maximum(counted, 1), np.nan)


def _covered(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) by how much the log odds of the right answer of the source rise, both runs of a pair together."""
    change = end - start
    odds = change[..., 1] - change[..., 0]
    return odds[:, 0] - odds[:, 1]


def _ratio(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    """The first column over the second, (groups, 2), of all groups and of each resample."""
    part, whole = np.concatenate([sums.sum(0, keepdims=True), weights @ sums]).T
    with np.errstate(divide="ignore", invalid="ignore"):
        value, *replicates = np.where(whole != 0, part / whole, np.nan)
    return Estimate(float(value), np.array(replicates))
