"""Prompts that go on with " she" or " he"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assay.text.concepts.data import ConceptData, Item
from assay.text.concepts.drawn import table

SHE, HE = " she", " he"

EASY: Mapping[str, str] = {
    "home": "On Friday {} went home early because",
    "keys": "Last night {} could not find the keys, and then",
    "bus": "This morning {} missed the bus because",
    "when": "When {} got home from work,",
    "asked": "I asked {} about the plan, but",
    "late": "Yesterday {} was late for school because",
    "tired": "After the long walk {} was so tired that",
    "dinner": "As soon as {} had finished dinner,",
    "phone": "We called {} this morning, but",
    "doctor": "Today {} went to see a doctor because",
}
HARD: Mapping[str, str] = {
    "station": "After {} had left the house, the rain stopped, the street dried in the sun, and at the corner",
    "neighbours": "While the neighbours were at the lake with their dogs, {} stayed at home with a book because",
    "children": "The children wanted to go to the beach, but {} had to work all day, and in the evening",
    "letter": (
        "In the letter that came last week with a lot of photographs of the mountains, {} wrote that next summer"
    ),
    "parcel": (
        "The parcel for {} came in the morning, and the two tickets that were in it lay on the table all day, until"
    ),
    "friends": "Although the other guests had left long before and the music had stopped, {} did not go home, because",
    "office": "Then {} opened the window. It was cold outside, and the trees had lost their leaves. After a while,",
    "train": "There was one more seat on the train for {}. The doors closed, the lights went on, and at last",
}
ROLES: Mapping[str, str] = {
    "role.smiled": "The {} smiled, and then",
    "role.window": "Every evening the {} sat at the window because",
    "role.rain": "The rain had stopped, the shops were open again, and the {} left the house, but after a few steps",
    "role.late": "Everybody waited for the {}. When the doors opened at last,",
}


def gender() -> ConceptData:
    """As in "This morning Mary missed the bus because", each sentence with a woman's and with a man's first name."""
    items = _filled(table("names.tsv"), EASY)
    source = "written for assay: ten short prompts with each pair of common English first names"
    return ConceptData("gender", tuple(items), "a woman is spoken of, and the next word is she", source)


def gender_hard() -> ConceptData:
    """Clauses about something else between the name and the end, and roles such as mother and father for names."""
    items = [*_filled(table("names.tsv"), HARD), *_filled(table("roles.tsv"), ROLES)]
    source = (
        "written for assay: prompts with clauses about other things, filled with the pairs of names of gender, and "
        "shorter ones filled with pairs of roles"
    )
    return ConceptData("gender_hard", tuple(items), "a woman is spoken of, and the next word is she", source)


def _filled(pairs: Iterable[tuple[str, ...]], templates: Mapping[str, str]) -> list[Item]:
    return [
        Item(sentence.format(word), label, f"{female}/{male}", f"{female}/{male} {template}", template, answer)
        for female, male in pairs
        for template, sentence in templates.items()
        for word, label, answer in ((female, 1, SHE), (male, 0, HE))
    ]
