"""A model in which one known direction carries the gender of a name, and prompts for it.

Layers 0 and 2 do nothing. At L0 a name's residual has ``NAMED`` on its side of the axis ``named``, beside a part of its
own that nothing reads, in ``OWN`` dimensions: fewer than there are pairs of names, else other directions fit them too.
Layer 1 averages what stands on that axis over all tokens and writes it on the axis ``said`` at each; the head reads
" she" from there and " he" from its opposite. So swaps along ``named`` at L0, and along ``said`` from L1 on, make the
output the other prompt's, and swaps along what is orthogonal change nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from assay.model import Subject
from assay.probe.prompts import PromptPairs, prompt_pairs
from assay.testing.blank import blank_llama
from assay.testing.language import SPECIAL, make_tokenizer
from assay.text.concepts import ConceptData, Item

WIDTH, LAYERS = 32, 3
NAMED, OWN = 2.0, 4
SHE, HE = " she", " he"
FEMALE = ("Anna", "Clara", "Emma", "Grace", "Ida", "Karen")
MALE = ("Boris", "David", "Frank", "Hugo", "John", "Luke")
TEMPLATES = {
    "late": "Then {} was late because",
    "home": "{} went home and",
    "long": "On the way home {} said that then",
}
WORDS = "Then was late because went home and On the way said that then now soon".split()
VOCABULARY = tuple(
    dict.fromkeys((*SPECIAL, *(lead + word for word in (*FEMALE, *MALE, *WORDS) for lead in ("", " ")), SHE, HE))
)
TOKEN_ID = {token: i for i, token in enumerate(VOCABULARY)}


class PlantedPairs(NamedTuple):
    """``named``, ``said``: (d,) the axes, unit vectors."""

    subject: Subject
    pairs: PromptPairs
    named: NDArray[np.float64]
    said: NDArray[np.float64]


def items() -> tuple[Item, ...]:
    """Every template with every pair of names."""
    return tuple(
        Item(text.format(name), label, f"{female}/{male}", f"{female}/{male} {template}", template, answer)
        for female, male in zip(FEMALE, MALE, strict=True)
        for template, text in TEMPLATES.items()
        for name, label, answer in ((female, 1, SHE), (male, 0, HE))
    )


def concept(of: tuple[Item, ...] | None = None) -> ConceptData:
    """They, or other items, as a data set."""
    return ConceptData("planted", items() if of is None else of, "a woman is spoken of", "made up for tests")


@cache
def planted_pairs() -> PlantedPairs:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    named, said, rest = axes[:, 0], axes[:, 1], axes[:, 2:]
    vectors = rng.normal(size=(len(VOCABULARY), WIDTH - 2))
    vectors[[TOKEN_ID[lead + name] for name in (*FEMALE, *MALE) for lead in ("", " ")], OWN:] = 0
    embedding = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * 3) @ rest.T
    for names, side in ((FEMALE, 1.0), (MALE, -1.0)):
        for name in names:
            embedding[[TOKEN_ID[name], TOKEN_ID[" " + name]]] += side * NAMED * named
    head = rng.normal(size=(len(VOCABULARY), WIDTH - 2)) @ rest.T * 0.5
    head[TOKEN_ID[SHE]], head[TOKEN_ID[HE]] = 2 * said, -2 * said
    subject = make_subject(_model(embedding, head, named, said), "planted pairs")
    return PlantedPairs(subject, prompt_pairs(concept(), subject)[0], named, said)


def random_pairs(vocabulary: int, lengths: tuple[int, ...] = (5, 7, 7, 4), seed: int = 0) -> PromptPairs:
    """Pairs of random tokens that differ at position 1 and, but for the last, at one more. Answers are 2 and 3."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), 2, max(lengths)), np.int64)
    for row, length in enumerate(lengths):
        ids[row, :, :length] = rng.integers(4, vocabulary // 2, length)
        ids[row, 1, [1, min(2 + row, 3)][: 1 + (row + 1 < len(lengths))]] += vocabulary // 2 - 1
    groups = np.array([f"g{row // 2}" for row in range(len(lengths))], object)
    answers = np.tile(np.array([2, 3], np.int64), (len(lengths), 1))
    first = np.full(len(lengths), 1, np.int64)
    return PromptPairs(ids, np.array(lengths, np.int64), first, answers, groups, groups)


def make_subject(model: Any, name: str) -> Subject:
    """A model with the tokenizer of these prompts."""
    return Subject.from_hf(model, make_tokenizer(VOCABULARY, r" ?[A-Za-z]+"), name)


def _model(
    embedding: NDArray[np.float64], head: NDArray[np.float64], named: NDArray[np.float64], said: NDArray[np.float64]
) -> Any:
    model = blank_llama(vocabulary=len(VOCABULARY), width=WIDTH, neurons=4, layers=LAYERS, heads=1, rope_base=10_000.0)
    attention = model.model.layers[1].self_attn
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        model.model.embed_tokens.weight.copy_(torch.from_numpy(embedding))
        model.lm_head.weight.copy_(torch.from_numpy(head))
        attention.v_proj.weight[0] = torch.from_numpy(named)
        attention.o_proj.weight[:, 0] = torch.from_numpy(4 * said)
    return model
