"""What the made-up languages have in common: a tokenizer over whole words, and drawing by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SPECIAL = ("<|end|>", "<|unknown|>")


def make_tokenizer(vocabulary: Sequence[str], pieces: str) -> Any:
    """A ``transformers.PreTrainedTokenizerFast`` over a vocabulary that begins with :data:`SPECIAL`.

    Args:
        pieces: regular expression of what a text is cut into; what is no token becomes ``<|unknown|>``.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    end, unknown = SPECIAL
    inner = Tokenizer(models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token=unknown))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), behavior="isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=end,
        eos_token=end,
        pad_token=end,
        unk_token=unknown,
        clean_up_tokenization_spaces=False,
    )


def drawn(rng: np.random.Generator, weighted: tuple[tuple[float, str], ...]) -> str:
    """One of the strings, by weight."""
    left = rng.random() * sum(weight for weight, _ in weighted)
    for weight, text in weighted:
        left -= weight
        if left < 0:
            return text
    return weighted[-1][1]
