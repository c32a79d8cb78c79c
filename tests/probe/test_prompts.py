"""Pairs of prompts, token by token."""

from __future__ import annotations

import numpy as np
import pytest

from assay.errors import UsageError
from assay.probe.prompts import prompt_pairs
from assay.text.concepts import Item
from probe.planted_pairs import FEMALE, HE, SHE, TEMPLATES, TOKEN_ID, concept, items, planted_pairs


def pair(she: str, he: str, name: str = "p", answers: tuple[str, str] = (HE, SHE)) -> tuple[Item, Item]:
    return Item(she, 1, "g", name, "t", answers[1]), Item(he, 0, "g", name, "t", answers[0])


def test_tokens_stand_by_label_and_position() -> None:
    pairs = planted_pairs().pairs
    assert len(pairs) == len(FEMALE) * len(TEMPLATES)
    row = int(np.flatnonzero((pairs.groups == "Emma/Frank") & (pairs.templates == "late"))[0])
    words = ["Then", " Frank", " was", " late", " because"]
    assert pairs.ids[row, 0, :5].tolist() == [TOKEN_ID[word] for word in words]
    assert pairs.ids[row, 1, :5].tolist() == [TOKEN_ID[word] for word in [words[0], " Emma", *words[2:]]]
    assert pairs.ids.shape[2] == 8
    assert not pairs.ids[row, :, 5:].any()
    assert {(t, n, f) for t, n, f in zip(pairs.templates, pairs.lengths, pairs.first, strict=True)} == {
        ("late", 5, 1),
        ("home", 4, 0),
        ("long", 8, 4),
    }
    assert (pairs.answers == [TOKEN_ID[HE], TOKEN_ID[SHE]]).all()


def test_rows_are_selected_and_all_stand_in_batches_of_one_length() -> None:
    pairs = planted_pairs().pairs
    twice = pairs.select(np.array([3, 3, 0]))
    assert twice.groups.tolist() == pairs.groups[[3, 3, 0]].tolist()
    assert (twice.ids == pairs.ids[[3, 3, 0]]).all()
    assert len(pairs.select(pairs.templates == "home")) == len(FEMALE)
    batches = list(pairs.batches(tokens=32))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(pairs)))
    assert all(len(set(pairs.lengths[rows])) == 1 for rows in batches)
    assert sorted(map(len, batches)) == [2, 2, 2, 2, 3, 3, 4]
    assert [len(rows) for rows in pairs.batches(tokens=1)] == [1] * len(pairs)


def test_what_can_not_be_aligned_is_left_out_and_counted() -> None:
    given = (
        *pair("Anna was late because", "Boris was late because", "good"),
        *pair("Anna was late because", "Boris Boris was late because", "longer"),
        *pair("Ida was late because", "Ida was late because", "same"),
        *pair("Ida was late because", "Luke was late because", "answer", (SHE, SHE + " said")),
        *pair("Ida was late because", "Luke was late because", "none", ("", SHE)),
        Item("Ida was late", 1, "g", "alone", "t", SHE),
        Item("Ida was late", 1, "g", "", "t", SHE),
    )
    pairs, dropped = prompt_pairs(concept(given), planted_pairs().subject)
    assert pairs.ids[:, :, 0].tolist() == [[TOKEN_ID["Boris"], TOKEN_ID["Anna"]]]
    assert dropped.total == 5
    assert sorted(dropped.counts.values()) == [1] * 5
    assert str(dropped).startswith("5 pairs left out: ")
    assert "1 differ in their number of tokens" in str(dropped)


def test_nothing_left_out_says_so() -> None:
    assert str(prompt_pairs(concept(), planted_pairs().subject)[1]) == "0 pairs left out"


def test_what_is_refused() -> None:
    subject = planted_pairs().subject
    with pytest.raises(UsageError, match="no pairs of prompts; give items of both labels the same pair"):
        prompt_pairs(concept(tuple(item._replace(pair="") for item in items())), subject)
    with pytest.raises(UsageError, match=r"planted has no pair of prompts aligned.*: 1 are one prompt twice"):
        prompt_pairs(concept(pair("Ida was late", "Ida was late")), subject)
    she, he = pair("Ida was late", "Luke was late")
    with pytest.raises(UsageError, match="of groups 'h' and 'g'; a pair must be of one group"):
        prompt_pairs(concept((she, he._replace(group="h"))), subject)
    with pytest.raises(UsageError, match="has 300 tokens and planted pairs takes 256"):
        prompt_pairs(concept(pair("Ida" + " was" * 299, "Luke" + " was" * 299)), subject)
