"""A text that somebody typed, as the subject reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.errors import UsageError
from assay.live.params import Params
from assay.text import Document, TokenTable, tokenise

if TYPE_CHECKING:
    from assay.model import Subject

MOST = 512  # tokens
WINDOW = 64  # tokens: all that rules see at once, as in every run
_CHARACTERS = 40_000  # more than so many tokens have; what is longer need not be tokenised to be refused


def read_text(subject: Subject, params: Params) -> TokenTable:
    """The parameter ``text`` in windows of 64 tokens, in order; no special token is added.

    Raises:
        UsageError: no token in it, or more than 512.
    """
    text = params.text("text")
    table = tokenise([Document("typed", text, "typed")], subject.tokenizer, WINDOW) if len(text) < _CHARACTERS else None
    if table is not None and table.n_tokens == 0:
        raise UsageError("the text is empty; type at least one token")
    if table is None or table.n_tokens > MOST:
        size = f"{len(text):,} characters" if table is None else f"{table.n_tokens:,} tokens"
        raise UsageError(f"the text has {size}; at most {MOST} tokens are allowed")
    return table
