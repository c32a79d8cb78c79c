"""What changes in the next-token distribution when a unit is turned up: the subject runs in fp32, edited at one place.

A *place* is one token of one document. There the unit is moved by a dose from what it has, and the change of the
next token's logits is read, centred over the tokens that count; a change of logits and one of log-probabilities differ
by a constant, which the centring takes away. Beside it, what the unit's move adds to the residual is replaced by random
directions of the same norm, written at the same place of the same layer, and, once, carried past all layers above
straight to the final norm (the *direct path*).

All of this at one place are branches of one text, see :mod:`assay.model.branches`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from assay.core.ids import SiteId, UnitId
from assay.model.branches import Branches

if TYPE_CHECKING:
    from assay.explain.material import Part
    from assay.model import Subject

LENGTH = 32  # tokens of a window that a place is drawn from
CONTEXT = 8  # and as many at least before it, where the window has them
TEXTS = 12  # whose tokens before the place are run at once
ROWS = 200  # branches that run at once

Change = Callable[[Tensor], Tensor]


class Arm(NamedTuple):
    """One unit, moved by ``dose`` from what it has."""

    unit: UnitId
    dose: float


class Places(NamedTuple):
    """Where units are moved, one place a document: rows of the part's table, positions in them, and documents."""

    windows: NDArray[np.int64]
    positions: NDArray[np.int64]
    documents: NDArray[np.int64]


@dataclass(frozen=True)
class Moved:
    """What came of some arms at some places.

    ``change``: (places, arms, tokens) of the logits, centred over the tokens; ``random`` the same for random directions
    of the norm of what the first arm writes, ``direct`` (places, tokens) for what it writes carried straight to the
    final norm. ``written``: (places, arms, d_model) what each arm adds to the residual. ``noise``: (places,) root mean
    square of the change of nothing: the unedited pass, run whole and as a branch.
    """

    places: slice
    change: Float[np.ndarray, "places arms tokens"]
    random: Float[np.ndarray, "places directions tokens"]
    direct: Float[np.ndarray, "places tokens"]
    written: Float[np.ndarray, "places arms d_model"]
    noise: Float[np.ndarray, " places"]


def draw_places(part: Part, count: int, seed: int) -> Places:
    """At most ``count`` places of a part, each of another document: any of its windows, any token that counts there."""
    table, rng = part.table, np.random.default_rng([seed, 31, *part.name.encode()])
    counts = table.padded(part.scored, False)[:, :LENGTH]
    by_document = _windows_of_documents(table.documents)
    found: list[tuple[int, int, int]] = []
    for document in rng.permutation(len(by_document)):
        window = int(rng.choice(by_document[document]))
        free = np.flatnonzero(counts[window])
        if len(free):
            later = free[free >= CONTEXT]
            at = int(rng.choice(later if len(later) else free[-1:]))
            found.append((window, at, int(table.documents[window])))
        if len(found) == count:
            break
    rows = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Places(rows[:, 0], rows[:, 1], rows[:, 2])


def _windows_of_documents(documents: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(documents, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(documents[order])) + 1)


class Steering:
    """Moves units of one subject at places of one part.

    Args:
        subject: in fp32.
        part: where the places are drawn.
        layers: those whose units will be moved.
        tokens: ids of the tokens whose logits are read.
        count: how many places; fewer where the part has fewer documents.
        seed: of the places.
    """

    def __init__(
        self, subject: Subject, part: Part, layers: Collection[int], tokens: NDArray[np.int64], count: int, seed: int
    ) -> None:
        self.subject, self.layers = subject, sorted(set(layers))
        self.places = draw_places(part, count, seed)
        self._tokens = torch.as_tensor(tokens, device=subject.device)
        matrix = subject.unembedding()
        self._matrix = None if matrix is None else matrix.to(subject.device)[self._tokens]
        ids, mask = self._texts(part)
        self._blocks: list[tuple[int, Branches]] = []  # with the number of the first place of each
        for first in range(0, len(ids), TEXTS):
            block = slice(first, first + TEXTS)
            self._blocks.append((first, Branches(subject, ids[block], mask[block], self.layers)))

    def _texts(self, part: Part) -> tuple[Tensor, Tensor]:
        """(places, longest) ids and mask of each place and all before it in its window, padded on the left."""
        windows, positions, _ = self.places
        longest = int(positions.max(initial=1)) + 1
        ids, mask = (np.zeros((len(windows), longest), dtype=np.int64) for _ in range(2))
        for i, (window, position) in enumerate(zip(windows, positions, strict=True)):
            ids[i, longest - position - 1 :] = part.table.ids[window, : position + 1]
            mask[i, longest - position - 1 :] = 1
        return torch.as_tensor(ids), torch.as_tensor(mask)

    @torch.inference_mode()
    def run(
        self, arms: Sequence[Arm], random: Float[np.ndarray, "directions d_model"] | None = None, direct: bool = False
    ) -> Iterator[Moved]:
        """What comes of some arms, all at one site: block of places by block of places.

        Args:
            random: directions, of any norm, that stand in for what the first arm writes.
            direct: whether to carry what the first arm writes straight to the final norm.
        """
        site = arms[0].unit.site
        vectors = np.zeros((0, self.subject.d_model)) if random is None else random
        unit_norm = torch.as_tensor(vectors, dtype=self.subject.dtype, device=self.subject.device)
        unit_norm = unit_norm / unit_norm.norm(dim=-1, keepdim=True)
        count = 1 + len(arms) + len(unit_norm) + direct
        most = max(1, ROWS // count)
        for begins, branches in self._blocks:
            for first in range(0, len(branches.base), most):
                texts = slice(first, first + most)
                edits = _Edits(self.subject, arms, unit_norm, direct)
                hidden = branches.run(site.layer, count, edits.by_site(), texts)
                whole = self._logits(branches.base[texts])
                yield self._moved(begins + first, hidden, whole, edits)

    def _logits(self, hidden: Tensor) -> Tensor:
        if self._matrix is not None:
            return hidden.to(self._matrix.device) @ self._matrix.T
        return self.subject.unembed(hidden)[..., self._tokens]

    def _moved(self, first: int, hidden: Tensor, whole: Tensor, edits: _Edits) -> Moved:
        logits = self._logits(hidden)
        change = logits[:, 1:] - logits[:, :1]
        change = (change - change.mean(-1, keepdim=True)).cpu().numpy()
        still = logits[:, 0] - whole
        noise = (still - still.mean(-1, keepdim=True)).double().square().mean(-1).sqrt()
        own, last = len(edits.arms), len(edits.arms) + len(edits.random)
        direct = change[:, last] if edits.direct else change[:, 0] * np.float32("nan")
        written = edits.written.cpu().numpy()
        return Moved(
            slice(first, first + len(change)),
            change[:, :own],
            change[:, own:last],
            direct,
            written,
            noise.cpu().numpy(),
        )


class _Edits:
    """The edits of one run. Branch 0 is left alone; then come the arms, the random directions, and the direct path."""

    def __init__(self, subject: Subject, arms: Sequence[Arm], random: Tensor, direct: bool) -> None:
        self.arms, self.random, self.direct = arms, random, direct
        self.units = subject.units
        self.site = arms[0].unit.site
        self.place = writes_at(self.site)
        self.end = SiteId(subject.n_layers - 1, "resid_post")
        self.written = torch.empty(0)

    def by_site(self) -> Mapping[SiteId, Change]:
        """What is to be done at each site; in a site's order, where two things are done at one."""
        steps: list[tuple[SiteId, Change]] = [(self.site, self._move), (self.place, self._note)]
        steps += [(self.end, self._carry)] if self.direct else []
        table: dict[SiteId, list[Change]] = {}
        for site, step in steps:
            table.setdefault(site, []).append(step)
        return {site: _one_after_another(own) for site, own in table.items()}

    def _move(self, tensor: Tensor) -> Tensor:
        moved = tensor.clone()
        for branch, (unit, dose) in enumerate(self.arms, start=1):
            has = self.units.values(unit.site, tensor[:, branch], [unit.index])[..., 0]
            moved[:, branch] = self.units.put(unit, tensor[:, branch], has + dose)
        return moved

    def _note(self, tensor: Tensor) -> Tensor:
        own = 1 + len(self.arms)
        self.written = tensor[:, 1:own] - tensor[:, :1]
        if not len(self.random):
            return tensor
        other = tensor.clone()
        other[:, own : own + len(self.random)] += self.written[:, 0].norm(dim=-1)[:, None, None] * self.random
        return other

    def _carry(self, tensor: Tensor) -> Tensor:
        carried = tensor.clone()
        carried[:, -1] += self.written[:, 0].to(tensor.device)
        return carried


def writes_at(site: SiteId) -> SiteId:
    """Where what is changed at a site reaches the residual: behind the last matrix, for neurons and heads; for a module
    at the end of its layer at the latest."""
    if site.module is not None:
        return SiteId(site.layer, "resid_post")
    return SiteId(site.layer, {"mlp_act": "mlp_out", "head": "attn_out"}.get(site.kind, site.kind))


def _one_after_another(steps: Sequence[Change]) -> Change:
    def change(tensor: Tensor) -> Tensor:
        for step in steps:
            tensor = step(tensor)
        return tensor

    return change
