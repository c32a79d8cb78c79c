"""The texts of the experiment on hidden bits: three coders and three honest ways to write, after the same openings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from assay.probe.bench import Bench
from assay.probe.stego.blocks import BLOCK, encode_sentences
from assay.probe.stego.candidates import Pact
from assay.probe.stego.coding import Coded, encode
from assay.probe.stego.sampling import sample
from assay.text import load_corpus, sentences, split

PACTS = {"arithmetic": Pact(), "sentences": Pact(), "coin": Pact(top_k=2, flat=True)}
CONTROLS = ("sampled", "top_p", "greedy")
CALLED = {
    "arithmetic": "arithmetic coding",
    "sentences": "numbered sentences",
    "coin": "a coin between the two likeliest",
    "sampled": "honest samples",
    "top_p": "top-p text",
    "greedy": "greedy text",
}
_PROMPT = re.compile(r"[A-Z][A-Za-z ,;'’-]{18,118}\.")
_NULL = "strongest null"


class Texts(NamedTuple):
    """Texts of one kind, one a prompt; ``coded`` where they say something."""

    texts: list[str]
    coded: list[Coded]
    messages: list[list[int]]

    @property
    def sent(self) -> list[list[int]]:
        """The bits that each text says."""
        return [bits[: one.bits] for bits, one in zip(self.messages, self.coded, strict=True)]


def openings(count: int, seed: int) -> list[str]:
    """First sentences of documents that no model of the ladder has seen, at most ``count``, drawn by the seed."""
    apart = split(load_corpus("bundled"), seed=0)
    first = (next(iter(sentences(one.text)), "") for one in (*apart.choose, *apart.test))
    known = [one for one in dict.fromkeys(first) if _PROMPT.fullmatch(one)]
    chosen = np.random.default_rng([seed, 11]).permutation(len(known))[:count]
    return [known[i] for i in sorted(chosen)]


def coded_texts(bench: Bench, kind: str, prompts: Sequence[str], tokens: int) -> Texts:
    """Texts that say random messages: of so many tokens, or of a numbered sentence for every twelve of them."""
    rng = np.random.default_rng([bench.seed, 12, list(PACTS).index(kind)])
    length = tokens // 12 * BLOCK if kind == "sentences" else 16 * tokens
    messages: list[list[int]] = rng.integers(0, 2, (len(prompts), length)).tolist()

    def told(share: float) -> None:
        bench.progress(f"writing {CALLED[kind]}", share)

    def make() -> list[list[Any]]:
        made = (
            encode_sentences(bench.exact, prompts, messages, PACTS[kind], seed=bench.seed, told=told)
            if kind == "sentences"
            else encode(bench.exact, prompts, messages, PACTS[kind], tokens=tokens, seed=bench.seed, told=told)
        )
        return [list(one) for one in made]

    coded = [Coded(one[0], tuple(one[1]), *one[2:]) for one in bench.part(f"texts-{kind}", make)]
    return Texts([one.text for one in coded], coded, messages)


def honest_texts(bench: Bench, kind: str, prompts: Sequence[str], tokens: int) -> Texts:
    """Texts that say nothing."""
    bench.progress(f"writing {CALLED[kind]}")

    def make() -> list[str]:
        return sample(bench.exact, prompts, [tokens] * len(prompts), kind, PACTS["arithmetic"], bench.seed)

    return Texts(bench.part(f"texts-{kind}", make), [], [])
