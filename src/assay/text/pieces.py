"""Long text cut into pieces of bounded length, at whitespace where there is any."""

from __future__ import annotations

import re

# The first character of a run of whitespace. A run stays with the word after it, because most tokenizers
# write a leading space into the token.
_BORDER = re.compile(r"(?<=\S)\s")


def pieces(text: str, at_most: int) -> list[str]:
    """Cut ``text`` into pieces of at most ``at_most`` characters whose concatenation is the text.

    A piece ends before the last run of whitespace that starts within the limit; text without any is cut at
    the limit.

    Raises:
        ValueError: ``at_most`` is below 1.
    """
    if at_most < 1:
        raise ValueError(f"at_most must be 1 or more. Got {at_most} instead.")
    cut: list[str] = []
    start = 0
    while len(text) - start > at_most:
        end = start + at_most
        for match in _BORDER.finditer(text, start + 1, start + at_most + 1):
            end = match.start()
        cut.append(text[start:end])
        start = end
    if start < len(text):
        cut.append(text[start:])
    return cut
