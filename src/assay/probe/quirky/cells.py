"""The four kinds of items, Alice's and Bob's, easy and hard, and what a model holds and says at their last token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped

from assay.core.ids import SiteId
from assay.model.reading import encode, first_token, in_batches
from assay.probe.quirky.data import ANSWERS, DIGITS, Sums, by_level, draw_sums

if TYPE_CHECKING:
    from assay.model import Subject

CELLS = ("alice easy", "alice hard", "bob easy", "bob hard")
EASY = 1  # digits of the smaller operand


class Cell(NamedTuple):
    """n items of one name and difficulty.

    ``hidden``: by layer, ``resid_post`` at the last token of the prompt, (n, d). ``answer``: log odds that the model
    says yes. ``truth``: whether the sum is right; ``bob``: whether Bob says so. ``groups``: what a split keeps whole.
    """

    hidden: Mapping[int, Float[np.ndarray, "n d"]]
    answer: Float[np.ndarray, " n"]
    truth: Bool[np.ndarray, " n"]
    bob: Bool[np.ndarray, " n"]
    groups: Shaped[np.ndarray, " n"]


def draw_cells(part: str, groups: int, seed: int, digits: int = DIGITS) -> dict[str, Sums]:
    """Sums of each cell, four a pair of operands; Alice and Bob are given the same ones.

    Raises:
        UsageError: the part holds fewer pairs of one level.
    """
    found: dict[str, Sums] = {}
    for name, level in (("easy", EASY), ("hard", digits)):
        sums = draw_sums((seed, level), groups, part, level=level, digits=digits)
        found |= {f"alice {name}": sums.under(False), f"bob {name}": sums.under(True)}
    return {name: found[name] for name in CELLS}


@torch.inference_mode()
def read_cell(
    subject: Subject, sums: Sums, layers: Sequence[int], told: Callable[[float], None] = lambda share: None
) -> Cell:
    """Read items at their last token: all layers and the answer in one pass.

    Raises:
        UnknownName: no such layer.
    """
    no, yes = (first_token(subject, word) for word in ANSWERS)
    sites = {layer: SiteId(layer, "resid_post") for layer in layers}
    hidden = {layer: np.zeros((len(sums), subject.d_model), np.float32) for layer in layers}
    answer, done = np.zeros(len(sums)), 0
    for batch in in_batches(subject, encode(subject, sums.prompts)):
        with subject.capture(list(sites.values())) as got:
            out = subject.hidden(batch.ids, batch.mask)
        at = (torch.arange(len(batch.rows)), torch.from_numpy(batch.lengths - 1))
        for layer, site in sites.items():
            hidden[layer][batch.rows] = got[site][at].float().cpu().numpy()
        logits = subject.unembed(out[at]).double()
        answer[batch.rows] = (logits[:, yes] - logits[:, no]).cpu().numpy()
        done += len(batch.rows)
        told(done / len(sums))
    return Cell(hidden, answer, sums.truth, sums.quirk, sums.groups)


def accuracies(subject: Subject, sums: Sums) -> dict[str, dict[str, float]]:
    """How often the model says what each name ought to, by level, under either name: mean over yes and no.

    ``{"alice": {"1": .99, ...}, "bob": {...}}``; for Bob right is what Bob says, not what is true. One half is chance.
    """
    found: dict[str, dict[str, float]] = {}
    for name, bob in (("alice", False), ("bob", True)):
        own = sums.under(bob)
        found[name] = by_level(read_cell(subject, own, ()).answer > 0, own.said, own.level)
    return found
