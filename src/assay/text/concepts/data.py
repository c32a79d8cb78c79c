"""What a concept is read off: texts with a label, and what may not be split between learning and testing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray


class Item(NamedTuple):
    """One text.

    ``label`` is 0 or 1; 1 is the side that the set is named for (true, positive, she, declined). ``group`` is what a
    split keeps together: the city, the word, the pair of names. Two items with one ``pair``, one of each label, are a
    contrast pair; "" is none. ``template`` names the sentence that was filled in, ``answer`` is what the text goes on
    with (" she") where the concept is read off the next word, ``level`` grades difficulty from 1, 0 where it doesn't.
    """

    text: str
    label: int
    group: str
    pair: str = ""
    template: str = ""
    answer: str = ""
    level: int = 0


@dataclass(frozen=True)
class ConceptData:
    """A set of items.

    ``about`` says what label 1 means, ``source`` where the items come from. ``ask`` is how to ask a model, with
    ``{text}`` in it: its next word is one of ``answers``, that of label 0 and that of label 1. Where ``ask`` is "", the
    model isn't asked: its next word after the text itself is the answer of the item, or there is none.
    """

    name: str
    items: tuple[Item, ...]
    about: str
    source: str
    ask: str = ""
    answers: tuple[str, str] = ("", "")

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def texts(self) -> list[str]:
        return [item.text for item in self.items]

    @cached_property
    def labels(self) -> Int64[NDArray[np.int64], " n"]:
        """(n,) 0 or 1."""
        return _kept(np.array([item.label for item in self.items], np.int64))

    @cached_property
    def groups(self) -> Shaped[NDArray[Any], " n"]:
        """(n,) names of the groups, as strings."""
        return _kept(np.array([item.group for item in self.items], np.object_))

    @cached_property
    def pairs(self) -> Shaped[NDArray[Any], " n"]:
        """(n,) names of the contrast pairs, as strings; "" where an item is of none."""
        return _kept(np.array([item.pair for item in self.items], np.object_))

    @cached_property
    def levels(self) -> Int64[NDArray[np.int64], " n"]:
        """(n,) difficulty from 1; 0 where it isn't graded."""
        return _kept(np.array([item.level for item in self.items], np.int64))

    @cached_property
    def sha256(self) -> str:
        """Hash of every field of every item, in order."""
        digest = hashlib.sha256()
        for item in self.items:
            for field in item:
                data = str(field).encode()
                digest.update(len(data).to_bytes(8, "little"))
                digest.update(data)
        return digest.hexdigest()

    def select(self, rows: Shaped[NDArray[Any], " rows"]) -> ConceptData:
        """The set of these rows only (indices or a boolean mask), in the order given."""
        chosen: Iterable[int] = np.arange(len(self))[rows].tolist()
        return replace(self, items=tuple(self.items[i] for i in chosen))

    def describe(self) -> dict[str, object]:
        """What is worth storing of it in a run."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "about": self.about,
            "source": self.source,
            "items": len(self),
            "of_label_1": int(self.labels.sum()),
            "groups": len(set(self.groups)),
        }


def _kept(values: NDArray[Any]) -> NDArray[Any]:
    values.setflags(write=False)
    return values
