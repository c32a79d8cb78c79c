"""Sentences about numbers: which of two is larger, and sums of graded difficulty."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from assay.text.concepts.data import ConceptData, Item
from assay.text.concepts.drawn import picked, shuffled
from assay.text.concepts.facts import ANSWERS, ASK

COMPARED = (21, 99)
APART = 10  # two numbers that are compared differ by at most this
SUMS = 200  # of each level
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ONES = "one two three four five six seven eight nine".split()


def comparisons() -> ConceptData:
    """As in "Fifty-one is larger than forty-two", each pair of numbers in both orders."""
    return _compared("comparisons", "larger", lambda first, second: first > second)


def smaller() -> ConceptData:
    """As in "Fifty-one is smaller than forty-two": the pairs of :func:`comparisons`, labels flipped."""
    return _compared("smaller", "smaller", lambda first, second: first < second)


def arithmetic() -> ConceptData:
    """As in "12 + 7 = 19.", true and false, of four levels."""
    items: list[Item] = []
    for level, known in _sums().items():
        for first, second in known:
            group = f"{first} + {second}"
            right = first + second
            for result in (right, right + _error(first, second)):
                items.append(Item(f"{group} = {result}.", int(result == right), group, group, "sum", level=level))
    source = (
        "written for assay: sums drawn by hash, 200 of each level (1: of a number of up to two digits and one of one, "
        "no carry; 2: of two digits each, no carry; 3: of two digits each, with a carry; 4: of three digits each, with "
        "two carries or more); false results are 1, 2 or 10 off"
    )
    return ConceptData("arithmetic", tuple(items), "the sum is right", source, ASK, ANSWERS)


def in_words(number: int) -> str:
    """A whole number of two digits, 20 or above, as a word."""
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones - 1]}" if ones else "")


def carries(first: int, second: int) -> int:
    """How often one is carried in adding two numbers by hand."""
    count = held = 0
    while first or second:
        held = int(first % 10 + second % 10 + held >= 10)
        count += held
        first, second = first // 10, second // 10
    return count


def _compared(name: str, word: str, holds: Callable[[int, int], bool]) -> ConceptData:
    low, high = COMPARED
    items: list[Item] = []
    for small in range(low, high + 1):
        for large in range(small + 1, min(small + APART, high) + 1):
            group = f"{small} and {large}"
            for first, second in ((large, small), (small, large)):
                text = f"{in_words(first).capitalize()} is {word} than {in_words(second)}."
                items.append(Item(text, int(holds(first, second)), group, group, word))
    source = (
        f"written for assay: all pairs of numbers from {low} to {high} that differ by {APART} or less, in both orders, "
        f"so that the first number alone tells the label only near {low} and {high}"
    )
    return ConceptData(name, tuple(items), "the sentence is true", source, ASK, ANSWERS)


def _sums() -> Mapping[int, list[tuple[int, int]]]:
    """Operands by level; of two sums that differ in the order of their operands one is kept."""
    ones, tens, hundreds = range(1, 10), range(10, 100), shuffled(range(100, 1000), "hundreds")[:150]
    return {
        1: _drawn([(a, b) for a in range(1, 100) for b in ones if a >= b and not carries(a, b)], 1),
        2: _drawn([(a, b) for a in tens for b in tens if a >= b and not carries(a, b)], 2),
        3: _drawn([(a, b) for a in tens for b in tens if a >= b and carries(a, b)], 3),
        4: _drawn([(a, b) for a in hundreds for b in hundreds if a >= b and carries(a, b) > 1], 4),
    }


def _drawn(sums: list[tuple[int, int]], level: int) -> list[tuple[int, int]]:
    """SUMS of them, half with the larger number second."""
    chosen = shuffled(sums, "sums", level)[:SUMS]
    return [(b, a) if i % 2 else (a, b) for i, (a, b) in enumerate(chosen)]


def _error(first: int, second: int) -> int:
    """How far the false result is off; it stays above the larger number."""
    known = [error for error in (-10, -2, -1, 1, 2, 10) if first + second + error > max(first, second)]
    return picked(known, "error", first, second)
