"""A behaviour of one's own, from a file: every field arrives, and what is wrong is one line that says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.errors import UnknownName, UsageError
from assay.text.behaviours import Behaviour, load_behaviour, read_behaviour, stems

OWN: dict[str, Any] = {
    "about": "the text is warm, not dry",
    "pairs": [["My dear aunt.", "The aunt in question."], ["A warm welcome.", "A form to fill in."]],
    "prompts": ["The house was", "On Monday we"],
    "actadd": ["Warm hearts", "Cold reports"],
    "arithmetic": ["warm", "cold"],
    "instruction": "Write with a warm heart.",
    "more": ["love", "home", "friend"],
    "less": ["number", "office", "column"],
}


def toml(fields: dict[str, Any]) -> str:
    """JSON's strings and lists are TOML's."""
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in fields.items())


def own(path: Path, **changed: Any) -> Behaviour:
    fields = {key: value for key, value in (OWN | changed).items() if value is not None}
    path.write_text(toml(fields), encoding="utf-8")
    return load_behaviour(str(path))


def test_every_field_arrives(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "loaded": ["My love"],
        "classified": [["So warm.", "So dry."]],
        "pattern": r"\bdear\b",
        "style": "chat",
        "of": "replies",
        "choices": [[" with roses", " with paper"], [" sang", " filed"]],
    }
    found = own(tmp_path / "warm.toml", **more)
    for key, value in (OWN | more).items():
        kept = getattr(found, key)
        told = [list(one) if isinstance(one, tuple) else one for one in kept] if isinstance(kept, tuple) else kept
        assert told == value, key
    assert (found.name, found.source) == ("warm", "the file warm.toml")


def test_what_may_be_left_out_has_its_usual_value(tmp_path: Path) -> None:
    found = own(tmp_path / "warm.toml")
    assert (found.style, found.of, found.pattern) == ("text", "text", "")
    assert found.choices == found.loaded == found.classified == ()
    chosen = own(tmp_path / "chosen.toml", more=None, less=None, choices=[[" roses", " paper"], [" sang", " filed"]])
    assert (chosen.more, chosen.less) == ((), ())


def test_the_hash_is_of_every_field(tmp_path: Path) -> None:
    one = own(tmp_path / "warm.toml")
    assert one.sha256 == own(tmp_path / "warm.toml").sha256
    others: list[dict[str, Any]] = [
        {"name": "warmer"},
        {"prompts": one.prompts[::-1]},
        {"pairs": one.pairs[::-1]},
        {"more": one.less, "less": one.more},
        {"pattern": "x"},
        {"instruction": "Be so warm."},
        {"loaded": ("My love",)},
        {"about": "it is warm"},
    ]
    assert len({one.sha256, *(replace(one, **changed).sha256 for changed in others)}) == 1 + len(others)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"promts": ["a"]}, "unknown key of the concept warm 'promts'; did you mean 'prompts'?"),
    ({"name": "warm"}, "unknown key of the concept warm 'name'; did you mean 'more'?"),
    ({"pairs": None, "about": None}, "the concept warm lacks about, pairs"),
    ({"pairs": []}, "the concept warm has no pairs, so there is nothing to learn from; give some"),
    ({"pairs": [["a", "b", "c"]]}, "pairs of the concept warm must be a list of lists of two texts"),
    ({"pairs": ["a", "b"]}, "pairs of the concept warm must be a list of lists of two texts"),
    ({"pairs": [["a", 1]]}, "pairs of the concept warm must be a list of lists of two texts"),
    ({"pairs": "ab"}, "pairs of the concept warm must be a list of lists of two texts"),
    ({"classified": [["a"]]}, "classified of the concept warm must be a list of lists of two texts"),
    ({"actadd": ["a"]}, "actadd of the concept warm must be two texts"),
    ({"arithmetic": "warm"}, "arithmetic of the concept warm must be two texts"),
    ({"more": "love"}, "more of the concept warm must be a list of texts"),
    ({"prompts": ["a", 2]}, "prompts of the concept warm must be a list of texts"),
    ({"loaded": [["a"]]}, "loaded of the concept warm must be a list of texts"),
    ({"about": 3}, "about of the concept warm must be a text. Got 3."),
    ({"pattern": ["a"]}, "pattern of the concept warm must be a text. Got ['a']."),
    ({"pattern": "(a"}, "the pattern of the concept warm is no regular expression: missing ), unterminated subpattern"),
    ({"style": "poem"}, "style of the concept warm must be text or chat. Got 'poem'."),
    ({"of": "answers"}, "of of the concept warm must be text or replies or requests. Got 'answers'."),
    ({"prompts": ["The house", "  "]}, "a text of the concept warm is empty; give one, or leave it out"),
    ({"pairs": [["", "b"]]}, "a text of the concept warm is empty; give one, or leave it out"),
    ({"choices": [[" a", " b"]]}, "the concept warm has 1 choices and 2 prompts; give as many"),
    ({"more": None}, "the concept warm needs words to score by, in 'more' and 'less', or 'choices'"),
    ({"less": []}, "the concept warm needs words to score by, in 'more' and 'less', or 'choices'"),
]


@pytest.mark.parametrize(("changed", "message"), WRONG, ids=lambda value: "" if isinstance(value, str) else str(value))
def test_what_is_wrong_is_said_on_one_line(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        own(tmp_path / "warm.toml", **changed)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "shared"),
    [
        ({"more": ["welcome", "home", "friend"]}, "welcome"),  # in a pair
        ({"less": ["number", "welcoming", "column"]}, "welcoming"),  # by its stem
        ({"more": ["home", "Hearts"]}, "Hearts"),  # in a short prompt, and the instruction
        ({"less": ["COLD", "number"]}, "COLD"),  # one of two words
        ({"more": ["writing", "home"]}, "writing"),  # the instruction
        ({"choices": [[" a welcome", " x"], [" y", " z"]]}, "welcom"),
        ({"choices": [[" questions", " x"], [" y", " reported"]]}, "question, report"),
    ],
)
def test_words_that_are_learnt_from_and_scored_are_refused(
    tmp_path: Path, changed: dict[str, Any], shared: str
) -> None:
    with pytest.raises(UsageError) as error:
        own(tmp_path / "warm.toml", **changed)
    assert str(error.value) == (
        f"the concept warm is learnt from and scored by the same words: {shared}; take them out of one of both"
    )


def test_short_words_of_choices_may_be_shared_and_prompts_may_say_anything(tmp_path: Path) -> None:
    own(tmp_path / "warm.toml", choices=[[" a form in", " the dear"], [" to fill", " my"]])
    own(tmp_path / "warm.toml", prompts=["My love is at home", "The number"])
    assert stems(["Loved loving", "cities city"]) == {"love", "citi"}


def test_files_that_can_not_be_read_are_one_line(tmp_path: Path) -> None:
    broken, bytes_ = tmp_path / "broken.toml", tmp_path / "bytes.toml"
    broken.write_text("about = [", encoding="utf-8")
    bytes_.write_bytes(b'about = "\xff"')
    (tmp_path / "folder.toml").mkdir()
    for name, message in (
        ("no.toml", f"can't read {tmp_path / 'no.toml'}: No such file or directory"),
        ("folder.toml", f"can't read {tmp_path / 'folder.toml'}: Is a directory"),
        ("broken.toml", f"{broken} is no TOML: "),
        ("bytes.toml", f"{bytes_} is no TOML: "),
    ):
        with pytest.raises(UsageError) as error:
            load_behaviour(str(tmp_path / name))
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)
    with pytest.raises(UnknownName) as unknown:
        load_behaviour(str(tmp_path / "warm.json"))
    assert str(unknown.value).endswith("(a concept to steer to is one of these names, or a .toml file)")
    assert "\n" not in str(unknown.value)


def test_a_behaviour_of_the_package_can_be_read_back_from_its_own_fields() -> None:
    one = load_behaviour("sentiment")
    fields = {key: [list(v) if isinstance(v, tuple) else v for v in value] if isinstance(value, tuple) else value
              for key, value in vars(one).items() if key not in ("name", "source", "sha256")}  # fmt: skip
    assert read_behaviour("sentiment", fields) == one


def test_prompts_that_stand_there_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        own(tmp_path / "warm.toml", prompts=["The house was", "The house was"])


@pytest.mark.parametrize("changed", [{"classified": [["", "b"]]}, {"choices": [["", " b"], [" c", " d"]]}], ids=str)
def test_other_texts_that_are_empty_are_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is empty"):
        own(tmp_path / "warm.toml", **changed)


def test_a_home_of_nobody_is_one_line() -> None:
    with pytest.raises(UsageError):
        load_behaviour("~nobody-of-this-name/warm.toml")
