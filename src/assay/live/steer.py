"""What the model says next when a unit is changed, beside what random directions of the same norm do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import UsageError
from assay.live.change import KINDS, Change, Passes, directions
from assay.live.going_on import continuations
from assay.live.params import Params
from assay.live.reading import read_text
from assay.live.server import Progress
from assay.live.shelf import Held
from assay.model.fingerprint import describe
from assay.stats import jensen_shannon

if TYPE_CHECKING:
    from assay.model import Subject

TOKENS, MOST_TOKENS = 24, 256
DIRECTIONS, MOST_DIRECTIONS = 8, 64
SHOWN = 12

Floats = NDArray[np.float64]


def steer(held: Held, params: Params, progress: Progress) -> dict[str, Any]:
    """See docs/live.md.

    Raises:
        UsageError: no such unit, no text or too much of it, not exactly one way to change the unit.
    """
    unit, table = held.unit(params), read_text(held.subject, params)
    kind = params.one_of(KINDS)
    amount, seed = params.number(kind), params.whole("seed", 0, 0, 2**31)
    count = params.whole("tokens", TOKENS, 0, MOST_TOKENS)
    drawn = params.whole("directions", DIRECTIONS, 1, MOST_DIRECTIONS)
    progress("making a copy of the model in fp32")
    subject = held.precise
    if table.n_tokens + count > subject.context_length:
        room = f"{subject.name} takes {subject.context_length}"
        raise UsageError(f"{table.n_tokens} tokens of text and {count} more are too many: {room}; ask for fewer")
    ids = torch.as_tensor(table.flat_ids[None].astype(np.int64), device=subject.device)
    progress("changing the unit")
    passes = Passes(Change(subject, unit, kind, amount), ids)
    vectors = directions(subject, unit, drawn, seed)
    progress("changing what it writes to random directions")
    random = _log_shares(subject, passes.random(vectors))
    before, after = _log_shares(subject, passes.unedited), _log_shares(subject, passes.edited)
    padded = passes.padded()
    noise = None if padded is None else float(jensen_shannon(before, _log_shares(subject, padded)))
    said = continuations(passes, vectors[0], count, progress) if count else {}
    texts = subject.token_texts()
    return {
        "unit": str(unit),
        "subject": describe(held.subject),
        "dtype": str(subject.dtype).removeprefix("torch."),
        "why": subject.reason,
        "edit": {"kind": kind, "amount": amount},
        "directions": drawn,
        "seed": seed,
        "tokens": _tokens(passes, texts),
        **_changes(before, after, random, texts),
        "divergence": _divergence(before, after, random) | {"noise": noise},
        "continuations": {name: one.to_json(subject) for name, one in said.items()},
    }


def _log_shares(subject: Subject, hidden: Tensor) -> Floats:
    """(..., vocabulary) log-probabilities of the next token, in nats."""
    return torch.log_softmax(subject.unembed(hidden).double(), -1).cpu().numpy()


def _tokens(passes: Passes, texts: list[str]) -> list[dict[str, Any]]:
    written = passes.written
    norms = written.added.norm(dim=-1).tolist()
    rows = zip(passes.ids[0].tolist(), written.before.tolist(), written.after.tolist(), norms, strict=True)
    return [
        {"id": token, "text": texts[token], "before": before, "after": after, "written": norm}
        for token, before, after, norm in rows
    ]


def _changes(before: Floats, after: Floats, random: Floats, texts: list[str]) -> dict[str, Any]:
    """The tokens whose probability changes most, and the most that any token's does under a random direction."""
    own, was = np.exp(after) - np.exp(before), np.exp(before)
    order = np.argsort(own, kind="stable")

    def row(i: int) -> dict[str, Any]:
        shares = {"before": float(was[i]), "after": float(was[i] + own[i]), "change": float(own[i])}
        return {"id": i, "text": texts[i] if i < len(texts) else "", **shares}

    others = np.exp(random) - was
    null = {"rise": others.max(1), "fall": others.min(1)}
    return {
        "rise": [row(int(i)) for i in order[::-1][:SHOWN] if own[i] > 0],
        "fall": [row(int(i)) for i in order[:SHOWN] if own[i] < 0],
        "change_null": {
            "rise": {"mean": float(null["rise"].mean()), "max": float(null["rise"].max())},
            "fall": {"mean": float(null["fall"].mean()), "max": float(null["fall"].min())},
        },
    }


def _divergence(before: Floats, after: Floats, random: Floats) -> dict[str, Any]:
    draws = jensen_shannon(np.broadcast_to(before, random.shape), random)
    null = {"mean": float(draws.mean()), "max": float(draws.max()), "draws": draws.tolist()}
    return {"nats": float(jensen_shannon(before, after)), "null": null}
