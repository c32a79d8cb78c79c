"""The text of single tokens."""

from __future__ import annotations

from typing import Any


def token_texts(tokenizer: Any, count: int) -> list[str]:
    """Decoded text of the token ids 0 to ``count - 1``.

    Each is decoded behind a plain letter, which is then cut off, because some tokenizers strip the space that a
    text begins with.
    """
    known = min(count, len(tokenizer))
    letters = tokenizer.encode("a", add_special_tokens=False)
    anchor: str = tokenizer.decode(letters, clean_up_tokenization_spaces=False)
    behind = tokenizer.batch_decode([[*letters, i] for i in range(known)], clean_up_tokenization_spaces=False)
    return [text[len(anchor) :] for text in behind] + [""] * (count - known)
