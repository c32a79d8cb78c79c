"""Activation addition: what two short prompts differ by, added at the first tokens (Turner et al. 2023)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.model.reading import encode
from assay.steer.kit import Kit
from assay.steer.treatment import Pushes

if TYPE_CHECKING:
    from assay.model import Subject

DOSES = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def make(kit: Kit, layer: int, name: str) -> Pushes:
    """The difference of the behaviour's two prompts. At the first tokens alone higher doses can be borne."""
    return replace(kit.push(layer, difference(kit.subject, kit.behaviour.actadd, layer, kit.pad)), doses=DOSES)


@torch.inference_mode()
def difference(
    subject: Subject, prompts: tuple[str, str], layer: int, pad: bool = True
) -> Float[NDArray[np.float64], "front d_model"]:
    """``resid_post`` of the first prompt less that of the second, token by token.

    The shorter one is made as long as the other with spaces behind it, as published. Where the tokenizer begins texts
    with nothing, a line break is put before both: at the first token of all models park attention, on a residual that
    is hundreds of times as long as others.

    Raises:
        UsageError: prompts of unequal length that are not to be padded, or that don't differ.
    """
    rows = [list(ids) for ids in encode(subject, prompts)]
    if len(rows[0]) != len(rows[1]) and not pad:
        raise UsageError(
            f"the prompts {prompts[0]!r} and {prompts[1]!r} have {len(rows[0])} and {len(rows[1])} tokens; give two of "
            "one length, or let the shorter be padded"
        )
    if not _begins(subject):
        rows = [[*_ids(subject, "\n"), *row] for row in rows]
    space = _ids(subject, " ")[0]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [space] * (longest - len(row)) for row in rows])
    if torch.equal(ids[0], ids[1]):
        raise UsageError(f"the prompts {prompts[0]!r} and {prompts[1]!r} are the same tokens; give two that differ")
    site = SiteId(layer, "resid_post")
    both = subject.activations(ids, None, [site])[site].double().cpu().numpy()
    return both[0] - both[1]


def _begins(subject: Subject) -> bool:
    """Whether the tokenizer puts a token before every text."""
    return len(encode(subject, ["a"])[0]) > len(_ids(subject, "a"))


def _ids(subject: Subject, text: str) -> list[int]:
    return [int(i) for i in subject.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
