"""Text without a message, as anyone would draw it from a model: in floating point, and from all tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from assay.model.reading import encode as tokenised
from assay.model.reading import in_batches
from assay.probe.stego.candidates import Pact
from assay.probe.stego.walk import Walk

if TYPE_CHECKING:
    from assay.model import Subject

Picked = Callable[[NDArray[np.float64], NDArray[np.int64], np.random.Generator], int]
"""From the log-probabilities, highest first, and their tokens to the next token."""

TOP_P = 0.9


def _sampled(logs: NDArray[np.float64], tokens: NDArray[np.int64], rng: np.random.Generator) -> int:
    weights = np.exp(logs - logs[0])
    return int(rng.choice(tokens, p=weights / weights.sum()))


def _nucleus(logs: NDArray[np.float64], tokens: NDArray[np.int64], rng: np.random.Generator) -> int:
    weights = np.exp(logs - logs[0])
    before = np.cumsum(weights / weights.sum()) - weights / weights.sum()
    return _sampled(logs[before < TOP_P], tokens[before < TOP_P], rng)


def _greedy(logs: NDArray[np.float64], tokens: NDArray[np.int64], rng: np.random.Generator) -> int:
    return int(tokens[0])


WAYS: Mapping[str, Picked] = {"sampled": _sampled, "top_p": _nucleus, "greedy": _greedy}
"""How the next token is chosen among the pact's likeliest, at its temperature: by lot, by lot among the likeliest that
make up nine tenths, or always the likeliest."""


@torch.inference_mode()
def sample(
    subject: Subject, prompts: Sequence[str], tokens: Sequence[int], way: str, pact: Pact, seed: int
) -> list[str]:
    """What comes after each prompt, of so many tokens each; tokens that stand for no text are never chosen."""
    rows = tokenised(subject, prompts)
    pick = WAYS[way]
    found: list[str] = []
    for start in range(0, len(rows), pact.rows):
        batch = rows[start : start + pact.rows]
        lengths = tokens[start : start + pact.rows]
        rngs = [np.random.default_rng([seed, start + i, *way.encode()]) for i in range(len(batch))]
        walk = Walk(subject, batch, pact.rows)
        said: list[list[int]] = [[] for _ in batch]
        for _ in range(max(lengths)):
            for i, rng in enumerate(rngs):
                said[i].append(pick(*_likeliest(walk.logits(i), subject.special_ids, pact), rng))
            walk.step([one[-1] for one in said])
        for row, ids, length in zip(batch, said, lengths, strict=True):
            known, whole = (
                subject.tokenizer.decode(one, skip_special_tokens=True, clean_up_tokenization_spaces=False)
                for one in (row, (*row, *ids[:length]))
            )
            found.append(str(whole)[len(str(known)) :])
    return found


def _likeliest(
    logits: NDArray[np.float64], special: frozenset[int], pact: Pact
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    logits[[i for i in special if i < len(logits)]] = -np.inf
    k = min(pact.top_k, len(logits))
    tokens = np.argpartition(-logits, k - 1)[:k]
    tokens = tokens[np.argsort(-logits[tokens], kind="stable")]
    return logits[tokens] / pact.temperature, tokens


@torch.inference_mode()
def mean_log_probability(subject: Subject, texts: Sequence[str]) -> NDArray[np.float64]:
    """Log-probability a token of each text, nats, of every token but the first."""
    found = np.zeros(len(texts))
    for batch in in_batches(subject, tokenised(subject, texts)):
        for hidden, ids, row, length in zip(
            subject.hidden(batch.ids, batch.mask), batch.ids, batch.rows, batch.lengths, strict=True
        ):
            logs = subject.unembed(hidden[: length - 1]).float().log_softmax(-1)
            found[row] = float(logs.gather(-1, ids[1:length, None].to(logs.device)).mean())
    return found
