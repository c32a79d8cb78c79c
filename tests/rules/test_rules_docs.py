"""docs/rules.md names everything a rule may name, and nothing that does not exist."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from assay.rules import RuleList
from assay.rules.classes import class_names, membership, word_lists
from assay.rules.flags import FLAG_NAMES
from assay.rules.rule import CONDITIONS, HEADER_BITS, LISTED, PLACES, VALUE_BITS
from assay.rules.view import BAGS, NEARBY, SLOTS

PAGE = (Path(__file__).parents[2] / "docs/rules.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def first_cells(text: str) -> list[str]:
    return [name.replace(r"\|", "|") for name in re.findall(r"^\| `(.+?)` \| ", text, re.MULTILINE)]


def test_slots_and_bags_are_those_of_the_code() -> None:
    assert first_cells(section("Slots and bags")) == [*SLOTS, *BAGS]


def test_flags_are_those_of_the_code() -> None:
    assert first_cells(section("Flags")) == list(FLAG_NAMES)


def test_classes_are_those_of_the_code() -> None:
    shapes, lists = section("Classes by shape"), section("Classes by word list")
    affixes = re.findall(r"`((?:ends in -|starts with )\w+-?)`", shapes.split("Endings")[1])
    assert [*first_cells(shapes), *affixes, *first_cells(lists)] == list(class_names())


@pytest.mark.parametrize("row", re.findall(r"^\| (`.*) \|$", section("Classes by shape"), re.MULTILINE))
def test_examples_of_shapes_are_right(row: str) -> None:
    name, inside, outside = row.split(" | ")
    column = class_names().index(name.strip("`"))
    for cell, expected in ((inside, 1), (outside, 0)):
        texts = [json.loads(f'"{text}"') for text in re.findall(r'`"(.*?)"`', cell)]
        assert texts
        assert membership(texts)[:, column].tolist() == [expected] * len(texts)


def test_words_shown_are_the_first_of_each_list() -> None:
    rows = dict(re.findall(r"^\| `(.+?)` \| (.*) \|$", section("Classes by word list"), re.MULTILINE))
    for name, words in word_lists().items():
        assert rows[name] == ", ".join(words[:5]) + (" ..." if len(words) > 5 else ""), name


def test_the_example_is_read_and_says_what_the_page_says() -> None:
    code, said = re.search(r"```json\n(.*?)```.*?\n# (It .*?)\n", PAGE, re.DOTALL).groups()  # type: ignore[union-attr]
    assert RuleList.from_json(code).sentence() == said


def test_numbers_are_those_of_the_code() -> None:
    bits = section("Description length")
    assert f"log2({len(PLACES)}) for the place" in bits
    assert f"log2({LISTED}) for its length" in bits
    assert f"{HEADER_BITS:.0f} for the base" in bits
    assert f"{math.log2(CONDITIONS):.0f} for how many conditions, {VALUE_BITS:.0f} for its value" in bits
    assert (CONDITIONS, LISTED, NEARBY) == (4, 12, 8)
