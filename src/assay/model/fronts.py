"""What prompts begin with alike, such as the message of a system, read once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from assay.model.past import Past, go_on_with, nothing

if TYPE_CHECKING:
    from assay.model.subject import Subject

Ids = Sequence[int]

_WORTH = 0.8  # share of the tokens up to which reading in two passes is cheaper


class Fronts(NamedTuple):
    """``ids``: first tokens of each group; ``of``: the group of each prompt; ``first``: the first prompt of each group;
    ``rest``: how many tokens of every prompt are left to read."""

    ids: list[tuple[int, ...]]
    of: list[int]
    first: list[int]
    rest: int


def begin(texts: Sequence[Ids]) -> int:
    """How many tokens all the texts begin with alike."""
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*texts, strict=False)))


def fronts_of(prompts: Sequence[Ids], alike: Sequence[int]) -> Fronts | None:
    """What the prompts of each group begin with; None where reading it once would save next to nothing.

    As many tokens are left to read of every prompt, so that padding stands before everything and nowhere between.
    """
    groups: dict[int, list[int]] = {}
    for row, group in enumerate(alike):
        groups.setdefault(group, []).append(row)
    lengths = [len(prompt) for prompt in prompts]
    rest = 1
    for rows in groups.values():
        rest = max(rest, max(lengths[row] for row in rows) - begin([prompts[row] for row in rows]))
    if rest >= min(lengths):
        return None
    longest = [max(rows, key=lengths.__getitem__) for rows in groups.values()]
    ids = [tuple(prompts[row][: lengths[row] - rest]) for row in longest]
    if len(prompts) * rest + len(ids) * max(map(len, ids)) > _WORTH * len(prompts) * max(lengths):
        return None
    place = {group: i for i, group in enumerate(groups)}
    return Fronts(ids, [place[group] for group in alike], [rows[0] for rows in groups.values()], rest)


def read_fronts(
    subject: Subject, fronts: Fronts, mask: Int[Tensor, "prompts seq"], rows: Int[Tensor, " prompts"]
) -> Past:
    """What has been read of every prompt up to its rest, padded on the left as in ``mask``, of the whole prompts.

    ``rows``: numbers of the prompts, as edits are told of them.
    """
    width, device = max(map(len, fronts.ids)), mask.device
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in fronts.ids], device=device)
    real = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in fronts.ids], device=device)
    with subject.prompts_end(mask.sum(1)[fronts.first], rows[fronts.first]):
        _, past, _ = go_on_with(subject, nothing(subject, len(ids)), ids, mask=real)
    return past.before(torch.tensor(fronts.of, device=device), mask[:, : -fronts.rest])
