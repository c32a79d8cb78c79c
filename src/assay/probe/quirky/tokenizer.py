"""The tokenizer of the quirky model: a token for each digit, sign, name and answer."""

from __future__ import annotations

from typing import Any

from assay.probe.quirky.data import ANSWERS, NAMES

END, UNKNOWN = "<end>", "<unknown>"
ENTRIES = (END, UNKNOWN, *"0123456789", "+", "=", " ->", *ANSWERS, *NAMES)


def make_tokenizer() -> Any:
    """A ``transformers.PreTrainedTokenizerFast`` of :data:`ENTRIES`, made in code.

    Prompts and answers come back as they were; of other text what has no entry becomes :data:`UNKNOWN`, a letter each.
    Nothing is put in front or behind. :data:`END`, id 0, is what to pad with.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({entry: i for i, entry in enumerate(ENTRIES)}, unk_token=UNKNOWN))
    words = "|".join(entry for entry in ENTRIES if len(entry) > 1)
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{words}|[\s\S]"), behavior="isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
