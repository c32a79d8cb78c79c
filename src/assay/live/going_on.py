"""Greedy continuations: unedited, with a unit changed, and with a random direction in the place of what that writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from assay.live.change import Add, Change, Passes, signed
from assay.live.server import Progress
from assay.model.past import Past, go_on_with, read

if TYPE_CHECKING:
    from assay.model import Subject

WAYS = ("unedited", "edited", "random")
_PROBE = 3  # one more row, beside that of "random"


class Continuation(NamedTuple):
    """Tokens that the model would say, and whether it ended there by itself; the token that ends is left out."""

    ids: list[int]
    ended: bool

    def to_json(self, subject: Subject) -> dict[str, Any]:
        """With its text."""
        text = subject.tokenizer.decode(self.ids, clean_up_tokenization_spaces=False)
        return {"text": text, "ids": self.ids, "ended": self.ended}


@torch.inference_mode()
def continuations(
    passes: Passes, direction: Float[Tensor, " d_model"], count: int, progress: Progress
) -> dict[str, Continuation]:
    """``count`` tokens behind the text in each of the three ways. Every edit is in force at the new tokens, too.

    Each way reads the text by itself; then all go on together, a row each, since a step costs what the weights cost.
    """
    change, subject = passes.change, passes.subject
    along = Add(passes.written.along(direction[None]))
    edits = (nullcontext(), subject.edit(change.site, change), subject.edit(change.place, along))
    pasts: list[Past] = []
    for way, edit in zip(WAYS, edits, strict=True):
        progress(f"reading the text, {way}")
        with edit:
            pasts.append(read(subject, passes.ids, torch.ones_like(passes.ids))[0])
    hidden = torch.stack([passes.unedited, passes.edited, passes.random(direction[None])[0]])
    said: list[list[int]] = [[] for _ in WAYS]
    ended, ends, past = [False] * len(WAYS), _ends(subject), _side_by_side([*pasts, pasts[-1]])
    with _Rows(change, direction).edited():
        for step in range(count):
            tokens: list[int] = subject.unembed(hidden).argmax(-1).tolist()
            for way, token in enumerate(tokens):
                ended[way] = ended[way] or token in ends
                said[way] += [] if ended[way] else [token]
            if all(ended) or step == count - 1:
                break
            progress("continuing the text", (step + 1) / count)
            ids = torch.tensor([*tokens, tokens[-1]])[:, None]
            out, after, _ = go_on_with(subject, past, ids)
            hidden, past = out[:_PROBE, -1], _side_by_side([after.texts(0, _PROBE), after.texts(_PROBE - 1, _PROBE)])
    return {way: Continuation(ids, end) for way, ids, end in zip(WAYS, said, ended, strict=True)}


class _Rows:
    """The edits at new tokens: the first row is left alone, the second changed, the third pushed along a direction.

    The fourth row has the tokens and the past of the third, and the unit changed: as much as that adds to the residual
    there, the third gets along the direction.
    """

    def __init__(self, change: Change, direction: Float[Tensor, " d_model"]) -> None:
        self.change, self.direction = change, direction
        self._before = self._after = torch.empty(0)

    @contextmanager
    def edited(self) -> Iterator[None]:
        """Within the block the edits are in force."""
        subject = self.change.subject
        with subject.edit(self.change.site, self._move), subject.edit(self.change.place, self._push):
            yield

    def _move(self, tensor: Float[Tensor, "4 1 width"]) -> Float[Tensor, "4 1 width"]:
        moved = tensor.clone()
        moved[1], moved[_PROBE] = self.change(tensor[1]), self.change(tensor[_PROBE])
        self._before, self._after = self.change.values(tensor[_PROBE]), self.change.values(moved[_PROBE])
        return moved

    def _push(self, tensor: Float[Tensor, "4 1 d_model"]) -> Float[Tensor, "4 1 d_model"]:
        other = tensor.clone()
        norms = (tensor[_PROBE] - tensor[2]).norm(dim=-1)
        other[2] = tensor[2] + signed(self._before, self._after, norms)[:, None] * self.direction
        return other


def _side_by_side(pasts: Sequence[Past]) -> Past:
    """Pasts of as many tokens as one, a row each."""
    layers = zip(*(past.pairs for past in pasts), strict=True)
    pairs = tuple((torch.cat([k for k, _ in layer]), torch.cat([v for _, v in layer])) for layer in layers)
    return Past(pairs, torch.cat([past.mask for past in pasts]))


def _ends(subject: Subject) -> set[int]:
    given = getattr(subject.model.generation_config, "eos_token_id", None)
    ends = [*(given if isinstance(given, list) else [given]), subject.tokenizer.eos_token_id]
    return {int(i) for i in ends if i is not None}
