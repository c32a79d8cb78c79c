"""The references that rules must beat: a value for each token, or for each pair of tokens, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import ArrayLike

from assay.errors import UsageError
from assay.rules import reading
from assay.rules.phrases import quoted
from assay.rules.rule import HEADER_BITS, VALUE_BITS, VOCABULARY
from assay.rules.view import View

if TYPE_CHECKING:
    from assay.draw.token_heat import TokenHeat


@dataclass(frozen=True)
class Lookup:
    """A table from the token's text, or from the pair (previous token, token), to a value; ``base`` elsewhere.

    ``entries`` maps a text, or a pair of texts, to the value that stands in the place of the base; a pair comes
    before its token.
    """

    entries: dict[str | tuple[str, str], float]
    base: float
    vocabulary: int
    kind: str = field(default="lookup", init=False)

    def predict(self, view: View) -> Float32[np.ndarray, " tokens"]:
        """Predicted activation at every token of the view: (tokens,)."""
        token, previous = view.keys("token"), view.keys("previous token")
        table = np.array([self.entries.get(name, self.base) for name in token.names], dtype=np.float32)
        out = table[token.ids]
        index = {name: i for i, name in enumerate(token.names)}
        size = len(token.names)
        pairs = {
            index[key[0]] * size + index[key[1]]: value
            for key, value in self.entries.items()
            if isinstance(key, tuple) and key[0] in index and key[1] in index
        }
        if pairs:
            known = np.sort(np.fromiter(pairs, dtype=np.int64))
            values = np.array([pairs[int(code)] for code in known], dtype=np.float32)
            code = previous.ids * size + token.ids
            at = np.searchsorted(known, code).clip(max=len(known) - 1)
            hit = known[at] == code
            out[hit] = values[at[hit]]
        return out

    @property
    def bits(self) -> float:
        """Description length: every entry costs its token or tokens at log2(vocabulary), and its value."""
        name = math.log2(self.vocabulary)
        return HEADER_BITS + sum(1 + VALUE_BITS + name * (2 if isinstance(key, tuple) else 1) for key in self.entries)

    def lines(self) -> list[str]:
        """One line an entry, strongest first."""
        ranked = sorted(self.entries.items(), key=lambda item: -abs(item[1] - self.base))
        return [f"{value:+.3g} on {_shown(key)}" for key, value in ranked]

    def sentence(self, most: int = 6) -> str:
        """The table's strongest entries as one sentence."""
        ranked = sorted(self.entries.items(), key=lambda item: -abs(item[1] - self.base))
        if not ranked:
            return f"It is always {self.base:.2g}."
        shown = [f"{value:+.2g} on {_shown(key)}" for key, value in ranked[:most]]
        if len(ranked) > most:
            shown.append(f"so on for {len(ranked) - most} more")
        return f"It is {', '.join(shown[:-1])}{' and ' if len(shown) > 1 else ''}{shown[-1]}."

    def on(self, tokens: Sequence[str], real: ArrayLike | None = None) -> TokenHeat:
        """What this predicts on a stretch of text, as a notebook shows it: the tokens shaded by the prediction.

        Args:
            tokens: their texts, as the subject's tokenizer divides it; ``" Monday"`` is not ``"Monday"``.
            real: (n,) what the unit did there, for the upper half of each token.

        Raises:
            ValueError: tokens and activations are not of one length.
        """
        from assay.rules.notebook import on_tokens

        return on_tokens(self, tokens, real)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.rules.notebook import lookup_html

        return lookup_html(self)

    def to_json(self) -> dict[str, Any]:
        """As plain data; :meth:`from_json` reads it back."""
        rows = [[list(key) if isinstance(key, tuple) else key, value] for key, value in self.entries.items()]
        return {"kind": "lookup", "base": self.base, "vocabulary": self.vocabulary, "entries": rows}

    @classmethod
    def from_json(cls, data: str | Mapping[str, Any]) -> Lookup:
        """Read what :meth:`to_json` wrote, or what a person wrote in the same form: text of JSON, or its contents.

        Raises:
            UsageError: not JSON, a key that is missing, a value of the wrong type, an entry that occurs twice.
            UnknownName: a key that does not exist.
        """
        table = reading.table(
            reading.parsed(data, "a lookup"), "a lookup", ("entries",), ("kind", "base", "vocabulary")
        )
        reading.of_kind(table, "lookup")
        entries: dict[str | tuple[str, str], float] = {}
        for i, row in enumerate(reading.array(table["entries"], "'entries'"), start=1):
            with reading.at(f"entry {i}"):
                key, value = _entry(row)
                if key in entries:
                    raise UsageError(f"{key!r} has a value already")
                entries[key] = value
        base = reading.number(table.get("base", 0.0), "'base'")
        return cls(entries, base, reading.vocabulary_size(table.get("vocabulary", VOCABULARY)))


def _entry(row: object) -> tuple[str | tuple[str, str], float]:
    form = "an entry must be [token, value] or [[previous token, token], value]"
    pair = reading.array(row, "an entry")
    if len(pair) != 2:
        raise UsageError(f"{form}, got {len(pair)} parts")
    value = reading.number(pair[1], "the value")
    if isinstance(pair[0], str):
        return pair[0], value
    texts = reading.strings(pair[0], "the key")
    if len(texts) != 2:
        raise UsageError(f"{form}; its key has {len(texts)} parts")
    return (texts[0], texts[1]), value


def _shown(key: str | tuple[str, str]) -> str:
    return quoted(key) if isinstance(key, str) else f"{quoted(key[1])} after {quoted(key[0])}"
