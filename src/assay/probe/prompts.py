"""Pairs of prompts that are aligned token by token and differ in a few of them: what a swap of directions works on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.model.reading import encode, first_token

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.text.concepts import ConceptData, Item

NO_PARTNER = "have not one prompt of each label"
LENGTHS = "differ in their number of tokens"
NO_ANSWER = "have no answer for a label"
SAME_ANSWER = "have answers that begin with the same token"
SAME_PROMPT = "are one prompt twice"


@dataclass(frozen=True, eq=False)
class PromptPairs:
    """n pairs; axis 1 of ``ids`` and ``answers`` is the label, 0 or 1.

    ``ids``: (n, 2, s) tokens, padded at the right with 0. ``lengths``: (n,) tokens of each of the two prompts.
    ``first``: (n,) the first position at which they differ. ``answers``: (n, 2) the first token of what each goes on
    with, such as " he" and " she". ``groups``: what may not be split over train and test. ``templates``: their names.
    """

    ids: Int64[NDArray[np.int64], "n 2 s"]
    lengths: Int64[NDArray[np.int64], " n"]
    first: Int64[NDArray[np.int64], " n"]
    answers: Int64[NDArray[np.int64], "n 2"]
    groups: Shaped[NDArray[Any], " n"]
    templates: Shaped[NDArray[Any], " n"]

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, rows: Shaped[NDArray[Any], " m"]) -> PromptPairs:
        """The pairs of these rows (indices, which may repeat, or a boolean mask), in the order given."""
        parts = (self.lengths, self.first, self.answers, self.groups, self.templates)
        return PromptPairs(self.ids[rows], *(part[rows] for part in parts))

    def batches(self, tokens: int = 1536) -> Iterator[Int64[NDArray[np.int64], " b"]]:
        """All rows once, in batches of prompts of one length with at most this many tokens, but at least one pair."""
        for length in np.unique(self.lengths):
            rows = np.flatnonzero(self.lengths == length)
            step = max(1, tokens // int(2 * length))
            for start in range(0, len(rows), step):
                yield rows[start : start + step]


class Dropped(NamedTuple):
    """How many pairs were left out, by the reason."""

    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.items())
        return f"{self.total:,} pairs left out" + (f": {reasons}" if reasons else "")


class _Pair(NamedTuple):
    """The tokens of the two prompts, by label, and of their answers."""

    prompts: tuple[tuple[int, ...], tuple[int, ...]]
    answers: tuple[int, int]
    item: Item


def prompt_pairs(data: ConceptData, subject: Subject) -> tuple[PromptPairs, Dropped]:
    """The pairs of a data set that can be patched position by position, and how many can't.

    A pair are the two items, one of each label, that share ``pair``; items without one are passed over. Left out are
    pairs whose prompts differ in their number of tokens, are equal, or whose answers begin with one token. What an item
    goes on with is its ``answer``, else that of the data set for its label.

    Raises:
        UsageError: a text that is empty or longer than the context, a pair over two groups, or no pair that is left.
    """
    by_pair: defaultdict[str, list[Item]] = defaultdict(list)
    for item in data.items:
        if item.pair:
            by_pair[item.pair].append(item)
    if not by_pair:
        raise UsageError(f"{data.name} has no pairs of prompts; give items of both labels the same pair")
    members = [sorted(items, key=lambda item: item.label) for items in by_pair.values()]
    tokens = iter(encode(subject, [item.text for items in members for item in items]))
    kept: list[_Pair] = []
    reasons: Counter[str] = Counter()
    for items in members:
        found = _paired(data, subject, items, [next(tokens) for _ in items])
        if isinstance(found, str):
            reasons[found] += 1
        else:
            kept.append(found)
    dropped = Dropped(dict(reasons))
    if not kept:
        raise UsageError(
            f"{data.name} has no pair of prompts aligned token by token for {subject.name}; {dropped}; leave 'answer' "
            "empty to erase from items"
        )
    return _stacked(kept), dropped


def _paired(data: ConceptData, subject: Subject, items: list[Item], tokens: list[tuple[int, ...]]) -> _Pair | str:
    if [item.label for item in items] != [0, 1]:
        return NO_PARTNER
    negative, positive = items
    if negative.group != positive.group:
        raise UsageError(
            f"the prompts of pair {positive.pair!r} are of groups {negative.group!r} and {positive.group!r}; "
            "a pair must be of one group"
        )
    words = [item.answer or data.answers[item.label] for item in items]
    if not all(words):
        return NO_ANSWER
    answers = (first_token(subject, words[0]), first_token(subject, words[1]))
    if answers[0] == answers[1]:
        return SAME_ANSWER
    if len(tokens[0]) != len(tokens[1]):
        return LENGTHS
    if tokens[0] == tokens[1]:
        return SAME_PROMPT
    return _Pair((tokens[0], tokens[1]), answers, positive)


def _stacked(pairs: list[_Pair]) -> PromptPairs:
    lengths = np.array([len(pair.prompts[0]) for pair in pairs], np.int64)
    ids = np.zeros((len(pairs), 2, int(lengths.max())), np.int64)
    for row, pair in enumerate(pairs):
        ids[row, :, : lengths[row]] = pair.prompts
    first = (ids[:, 0] != ids[:, 1]).argmax(1).astype(np.int64)
    answers = np.array([pair.answers for pair in pairs], np.int64)
    groups = np.array([pair.item.group for pair in pairs], object)
    return PromptPairs(ids, lengths, first, answers, groups, np.array([pair.item.template for pair in pairs], object))
