"""The behaviours of the package: whole, scored by words that stand in nothing that is learnt from, drawn the same."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from assay.errors import UnknownName
from assay.text.behaviours import CHAT, REQUESTS, TEXT, behaviour_names, load_behaviour, stems
from assay.text.behaviours.made import refusal, truth

NAMES = behaviour_names()


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def test_names_are_listed_and_each_has_its_file() -> None:
    written = files("assay.text.behaviours").joinpath("written")
    assert sorted([f"{name}.toml" for name in NAMES if name not in ("refusal", "truth")]) == sorted(
        file.name for file in written.iterdir()
    )
    assert sorted(NAMES) == NAMES
    assert len(set(NAMES)) == len(NAMES) >= 14
    with pytest.raises(UnknownName) as error:
        load_behaviour("sentimnet")
    assert "unknown concept 'sentimnet'; did you mean 'sentiment'?" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_enough_of_everything_and_nothing_twice(name: str) -> None:
    one = load_behaviour(name)
    assert one.name == name
    assert load_behaviour(name) is one
    assert len(one.prompts) >= 40
    assert len(one.pairs) >= 20
    for texts in (one.prompts, one.pairs, one.classified, one.more, one.less, one.loaded):
        assert len(set(texts)) == len(texts)
    assert all(first != second for first, second in (*one.pairs, *one.choices, one.actadd, one.arithmetic))
    assert not {word.lower() for word in one.more} & {word.lower() for word in one.less}
    assert all(text == text.strip() for text in (*one.prompts, *one.loaded, one.instruction, one.about))
    assert re.compile(one.pattern)
    assert one.about[0].islower()
    assert one.style in (TEXT, CHAT)
    assert re.fullmatch(r"[0-9a-f]{64}", one.sha256)


@pytest.mark.parametrize("name", NAMES)
def test_no_word_that_is_scored_stands_in_what_is_learnt_from(name: str) -> None:
    """Neither as it is, nor by its stem."""
    one = load_behaviour(name)
    learnt = [text for pair in one.pairs for text in pair] + [*one.actadd, *one.arithmetic, one.instruction]
    known = {word for text in learnt for word in words(text)}
    scored = {word.lower() for word in (*one.more, *one.less)}
    assert not known & scored
    assert not stems(known) & stems(scored)
    assert one.shared_words() == []
    if one.choices:
        told = {word for pair in one.choices for text in pair for word in words(text) if len(word) > 4}
        pairs = {word for text in [*learnt[:-1]] for word in words(text) if len(word) > 4}
        assert not stems(told) & stems(pairs)
    else:
        assert min(len(one.more), len(one.less)) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_prompts_don_t_say_what_is_scored_and_don_t_stand_in_pairs(name: str) -> None:
    one = load_behaviour(name)
    scored = {word.lower() for word in (*one.more, *one.less)}
    assert not [prompt for prompt in one.prompts if scored & set(words(prompt)) and one.style == TEXT]
    learnt = {text for pair in (*one.pairs, *one.classified) for text in pair}
    assert not learnt & set(one.prompts)
    assert not {text for pair in one.pairs for text in pair} & {text for pair in one.classified for text in pair}


def test_truth_is_scored_at_cities_of_countries_that_it_never_names() -> None:
    one = truth()
    assert one.sha256 == load_behaviour("truth").sha256
    learnt = {word for pair in one.pairs for text in pair for word in words(text) if len(word) > 4}
    for prompt, (right, wrong) in zip(one.prompts, one.choices, strict=True):
        assert prompt.startswith("The city of ")
        assert prompt.endswith(" is in")
        assert right.startswith(" ")
        assert wrong.startswith(" ")
        assert not {word for word in words(right + wrong) if len(word) > 4} & learnt
    facts = {text for pair in one.pairs for text in pair}
    assert not [prompt for prompt in one.prompts if any(text.startswith(prompt) for text in facts)]
    for right, wrong in one.pairs:
        assert right.split(" is in ")[0] == wrong.split(" is in ")[0]


def test_refusal_is_scored_at_harmless_requests_of_other_topics() -> None:
    one = refusal()
    assert one.sha256 == load_behaviour("refusal").sha256
    assert (one.style, one.of) == (CHAT, REQUESTS)
    asked = {text for pair in one.pairs for text in pair}
    assert not asked & {*one.prompts, *one.loaded}
    assert not set(one.prompts) & set(one.loaded)
    assert len(one.loaded) == len(one.prompts)
    for no, yes in one.choices:
        assert re.search(one.pattern, no, re.IGNORECASE)
        assert not re.search(one.pattern, yes, re.IGNORECASE)
