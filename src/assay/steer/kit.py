"""What methods make their treatments of: the activations of contrast pairs, and how long the residual is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.errors import UnknownName
from assay.model.reading import POSITIONS, in_batches
from assay.steer.script import Read, Script
from assay.steer.treatment import Before, Push, Pushes

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.text.behaviours import Behaviour

_SKIPPED = 4  # tokens at the beginning of a window, of which the first can be hundreds of times as long as others


class Kit:
    """One behaviour of one model, to learn it from.

    Args:
        script: of the behaviour, for the model in fp32.
        neutral: windows of text, ids, to measure the length of the residual on.
        others: pieces of text that mean nothing here, to stand in the place of instructions.
        position: at which tokens of a text activations are read: their ``mean``, or the ``last``.
        where: at which tokens vectors are added.
        pad: whether the shorter of two prompts at the front is made as long as the other, with spaces.
        steps: of a finetune, as a share of the usual number.
        seed: of everything that is drawn.
    """

    def __init__(
        self,
        script: Script,
        neutral: Sequence[Sequence[int]],
        others: Sequence[str] = (),
        *,
        position: str = "mean",
        where: str = "all",
        pad: bool = True,
        steps: float = 1.0,
        seed: int = 0,
    ) -> None:
        if position not in POSITIONS:
            raise UnknownName("position", position, POSITIONS)
        self.script, self.others, self.position, self.where = script, others, position, where
        self.pad, self.steps, self.seed = pad, steps, seed
        self._neutral = [Read(tuple(ids), 0) for ids in neutral]
        self._lengths: dict[int, float] = {}
        self._pairs: dict[SiteId, NDArray[np.float32]] = {}

    @property
    def subject(self) -> Subject:
        return self.script.subject

    @property
    def behaviour(self) -> Behaviour:
        return self.script.behaviour

    def length(self, layer: int) -> float:
        """Median length of the ``resid_post`` of a layer over neutral text, the first tokens of windows left out."""
        self.measure([layer])
        return self._lengths[layer]

    def measure(self, layers: Collection[int]) -> None:
        """Measure the length at all these layers in one pass."""
        missing = [layer for layer in dict.fromkeys(layers) if layer not in self._lengths]
        if not missing:
            return
        sites = {layer: SiteId(layer, "resid_post") for layer in missing}
        found: dict[int, list[NDArray[np.float64]]] = {layer: [] for layer in missing}
        for batch in in_batches(self.subject, [one.ids for one in self._neutral]):
            got = _activations(self.subject, batch.ids, batch.mask, list(sites.values()))
            keep = batch.mask.numpy() > 0
            keep[:, :_SKIPPED] = False
            for layer, site in sites.items():
                found[layer].append(np.linalg.norm(got[site][keep].astype(np.float64), axis=-1))
        self._lengths |= {layer: float(np.median(np.concatenate(parts))) for layer, parts in found.items()}

    def pairs(self, site: SiteId) -> Float[NDArray[np.float32], "two_n width"]:
        """Activations of the pairs, a row a text: those with the behaviour first, then the others in the same order."""
        self.read([site])
        return self._pairs[site]

    def read(self, sites: Collection[SiteId]) -> None:
        """Read the pairs at all these sites in one pass."""
        missing = [site for site in dict.fromkeys(sites) if site not in self._pairs]
        if missing:
            texts = [pair[side] for side in (0, 1) for pair in self.behaviour.pairs]
            self._pairs |= self.means(self.script.read(texts), missing)

    def means(
        self,
        texts: Sequence[Read],
        sites: Sequence[SiteId],
        position: str | None = None,
        subject: Subject | None = None,
    ) -> dict[SiteId, NDArray[np.float32]]:
        """What stands at sites at the tokens of each text, (n, width): their mean, or the last.

        The first token of all is left out of the mean: models park attention there, on a residual that says nothing.
        ``position`` and ``subject`` are the kit's own if they are left out.
        """
        subject = subject or self.subject
        found = {site: np.zeros((len(texts), subject.width(site)), np.float32) for site in sites}
        for batch in in_batches(subject, [one.ids for one in texts]):
            got = _activations(subject, batch.ids, batch.mask, sites)
            for place, row in enumerate(batch.rows.tolist()):
                last = int(batch.lengths[place])
                first = last - 1 if (position or self.position) == "last" else min(max(texts[row].begins, 1), last - 1)
                for site in sites:
                    found[site][row] = got[site][place, first:last].mean(0)
        return found

    def push(self, layer: int, vector: Float[NDArray[np.floating], "*front width"]) -> Pushes:
        """What points along a vector at the ``resid_post`` of a layer: a dose of 1 adds the median length there.

        Of a vector for each of the first tokens the root of the mean square length is that, over those that are not 0.
        """
        vector = np.asarray(vector, np.float64)
        lengths = np.linalg.norm(vector, axis=-1)
        size = float(np.sqrt(np.mean(lengths[lengths > 0] ** 2))) if (lengths > 0).any() else 1.0
        added = (vector * (self.length(layer) / size)).astype(np.float32)
        return Pushes((Push(SiteId(layer, "resid_post"), added),), self.where)

    def meaningless(self, examples: int = 0) -> tuple[Before, ...]:
        """Neutral pieces of text in the place of an instruction, or of as many examples."""
        if not examples:
            return tuple(Before(text) for text in self.others)
        count = len(self.others)
        return tuple(Before("", tuple(self.others[(i + j) % count] for j in range(examples))) for i in range(count))


@torch.inference_mode()
def _activations(
    subject: Subject, ids: torch.Tensor, mask: torch.Tensor, sites: Sequence[SiteId]
) -> dict[SiteId, NDArray[np.float32]]:
    return {site: got.float().cpu().numpy() for site, got in subject.activations(ids, mask, sites).items()}
