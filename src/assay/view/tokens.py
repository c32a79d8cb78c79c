"""The tokens of an excerpt as HTML: the innermost loop of a page, of thousands of rounds, and so written out here."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from assay.draw.heat import ShadedToken


def shaded(tokens: Iterable[ShadedToken]) -> Markup:
    """An ``<i>`` a token: its shades as classes, its numbers as ``data-r`` (real) and ``data-p`` (predicted).

    The token looked at can be focused; from there the arrow keys lead on.
    """
    return Markup("".join(map(_one, tokens)))


def _one(token: ShadedToken) -> str:
    text, shades, real, predicted, looked_at = token
    classes = f"{shades} k" if looked_at else shades
    parts = f' class="{escape(classes)}"' if classes else ""
    if looked_at:
        parts += ' tabindex="0"'
    if real:
        parts += f' data-r="{escape(real)}"'
    if predicted:
        parts += f' data-p="{escape(predicted)}"'
    return f"<i{parts}>{escape(text)}</i>"
