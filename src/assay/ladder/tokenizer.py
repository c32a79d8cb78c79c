"""The tokenizer of the family: byte-level BPE, trained on the fit documents alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.text import Document, TokenTable, tokenise

END = "<|endoftext|>"  # begins every window and ends every document
BYTES = 256
_ROW = 256  # tokens in a row of a table whose rows are joined again


def train_tokenizer(documents: Iterable[Document], vocabulary: int, context: int) -> Any:
    """A ``transformers.PreTrainedTokenizerFast`` of ``vocabulary`` entries: :data:`END`, 256 bytes, and merges.

    Digits stay single. Text of any kind comes back as it was. No token is added to a text unless it is asked for;
    :data:`END` is the token to begin with, to end with and to pad with, and has the id 0.

    Raises:
        UsageError: a vocabulary without room for every byte and one merge, or larger than the text can fill.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocabulary < BYTES + 2:
        raise UsageError(f"a vocabulary needs {BYTES + 2} entries or more. Got {vocabulary} instead.")
    inner = Tokenizer(models.BPE())
    cut = [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ]
    inner.pre_tokenizer = pre_tokenizers.Sequence(cut)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator((document.text for document in documents), trainer)
    if inner.get_vocab_size() < vocabulary:
        raise UsageError(
            f"the fit documents give a vocabulary of {inner.get_vocab_size():,} entries at most. "
            f"Got {vocabulary:,} instead; ask for fewer, or give more text."
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def read_tokenizer(directory: Path) -> Any:
    """The tokenizer that was saved in a directory."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory)


def documents_of(documents: tuple[Document, ...], tokenizer: Any) -> list[Int64[NDArray[np.int64], " _"]]:
    """The tokens of each document, without special tokens."""
    table = tokenise(documents, tokenizer, length=_ROW)
    borders = np.flatnonzero(np.diff(table.flat_documents)) + 1
    return np.split(table.flat_ids.astype(np.int64), borders)


def windows_of(documents: tuple[Document, ...], tokenizer: Any, length: int, tokens: int | None = None) -> TokenTable:
    """Windows of one document each, with room for :data:`END` in front: up to ``length`` - 1 tokens.

    Without ``tokens`` they are all there are, else about so many tokens of as many documents as there can be.
    """
    return tokenise(documents, tokenizer, length=length - 1, tokens=tokens)
