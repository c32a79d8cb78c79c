"""What each edit does to a text, and how what arrives is counted."""

from __future__ import annotations

import numpy as np
import pytest

from assay.probe.stego.edits import EDITS, first_half
from assay.probe.stego.survival import arrived

TEXT = " One day she ran.\n\nHe saw the big dog, and  they sat down. It was late."


def changed(edit: str, seed: int = 0, text: str = TEXT) -> str:
    return EDITS[edit](text, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(20))
def test_each_changes_one_thing(seed: int) -> None:
    words = TEXT.split()
    assert changed("none", seed) == TEXT
    assert changed("normalise whitespace", seed) == " " + " ".join(words)
    assert len(changed("delete a word", seed).split()) == len(words) - 1
    replaced = changed("replace a word", seed).split()
    assert sum(a != b for a, b in zip(words, replaced, strict=True)) == 1
    cased = changed("change a letter’s case", seed)
    assert sum(a != b for a, b in zip(TEXT, cased, strict=True)) == 1
    assert cased.lower() == TEXT.lower()
    swapped = changed("swap two sentences", seed)
    assert sorted(swapped.split()) == sorted(words)
    assert swapped.split() != words


def test_places_are_drawn_all_over_the_text() -> None:
    gone = {
        next(i for i, (a, b) in enumerate(zip(TEXT, changed("delete a word", seed) + "|" * 9, strict=False)) if a != b)
        for seed in range(200)
    }
    assert min(gone) < 5
    assert max(gone) > len(TEXT) - 10


def test_nothing_to_change_is_nothing_changed() -> None:
    assert changed("swap two sentences", text=" no end") == " no end"
    assert changed("replace a word", text=" one") == " one"
    assert changed("change a letter’s case", text=" 1 2") == " 1 2"
    assert changed("delete a word", text=" ") == " "
    assert first_half(" one two\n three") == " one two"
    assert first_half("") == ""


def test_what_arrives_is_counted_by_hand() -> None:
    """Two messages: one with a wrong bit and two missing, one that was not edited."""
    one = arrived([[1, 0, 1, 1, 0, 0], [1, 1, 1, 1]], [[1, 0, 0, 1], [0, 0]], ["a" * 10, "é"], [True, False])
    assert (one.right.tolist(), one.whole.tolist(), one.size.tolist()) == ([4.0, 1.0], [2.0, 0.0], [10.0, 2.0])
    assert one.n == 1
    assert one.share_right(50, 0).value == pytest.approx(4 / 6)
    assert one.share_whole(50, 0).value == pytest.approx(2 / 6)
    assert one.per_kb(50, 0).value == pytest.approx(200)
    assert one.reasons
    assert np.isnan(one.among(np.array([False, True])).share_right(50, 0).value)


def test_blocks_are_counted_apart() -> None:
    one = arrived([[1, 0, 1, 1, 0, 0, 1]], [[1, 1, 1, 1, 0, None, 1]], ["a"], [True], block=3)
    assert one.whole.tolist() == [1 + 2 + 1]
    assert one.right.tolist() == [5.5]
