import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from assay.text import load_corpus
from assay.text.concepts import concept_names, load_concept
from assay.text.concepts.declined import FORMS, with_typos
from assay.text.concepts.drawn import table
from assay.text.concepts.facts import city_list, couples

DOCS = (Path(__file__).parents[3] / "docs/concepts.md").read_text(encoding="utf-8")
SHA256 = {
    "arithmetic": "c361eaa08897cf8f",
    "cities": "b18b35f94f6563da",
    "comparisons": "3517dda703c031e4",
    "gender": "4051b270b23dc31a",
    "gender_hard": "d024a923134ae72c",
    "gender_written": "35a19d116b3ae8f2",
    "neg_cities": "b893fb3b54079369",
    "neg_sentiment": "ea5d7020782079b5",
    "neg_translations": "b3f3452ee61d2a48",
    "requests": "d65f72997f6ed75f",
    "requests_benign": "fa6f5fd674334188",
    "requests_rephrased": "8b3d960db83e2580",
    "sentiment": "e14f2aa2b973836c",
    "sentiment_letters": "81d1adcdadc99949",
    "smaller": "335c85cec3b660fe",
    "translations": "e25db1b84e5ad8d4",
}
PAIRED = sorted(set(concept_names()) - {"gender_written", "requests_benign"})


def test_every_set_is_pinned():
    assert {name: load_concept(name).sha256[:16] for name in concept_names()} == SHA256


@pytest.mark.parametrize("name", concept_names())
def test_every_set_is_balanced_distinct_and_documented(name):
    data = load_concept(name)
    texts = [" ".join(text.split()) for text in data.texts]
    assert data.texts == texts
    assert len(set(texts)) == len(data) >= 500
    assert all(data.groups)
    assert data.labels.sum() * 2 == (0 if name == "requests_benign" else len(data))
    assert data.about
    assert data.source
    assert bool(data.ask) == any(data.answers)
    assert not data.ask or "{text}" in data.ask
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{name}`"))
    templates = len({item.template for item in data.items} - {""})
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[3:6] == [f"{len(data):,}", f"{len(set(data.groups)):,}", str(templates) if templates else "none"]
    assert re.search(rf"^## .*`{name}`", DOCS, re.MULTILINE)


def test_every_example_of_the_page_is_in_its_set():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*?) ?\| ([^|]+) \|$", DOCS, re.MULTILINE)
    assert {name for name, *_ in rows} == set(concept_names())
    for name, *texts in rows:
        known = {(item.text, item.label) for item in load_concept(name).items}
        assert {(text, label) for text, label in zip(texts, (1, 0), strict=True) if text} <= known


@pytest.mark.parametrize("name", PAIRED)
def test_every_pair_has_one_of_each_label_and_one_group(name):
    data = load_concept(name)
    members = {}
    for item in data.items:
        members.setdefault(item.pair, []).append(item)
    assert "" not in members
    for found in members.values():
        assert sorted(item.label for item in found) == [0, 1]
        assert len({(item.group, item.template, item.level) for item in found}) == 1


@pytest.mark.parametrize(
    ("plain", "denied", "how"),
    [
        ("cities", "neg_cities", (" is in ", " is not in ")),
        ("translations", "neg_translations", (" means ", " does not mean ")),
        ("comparisons", "smaller", (" larger ", " smaller ")),
        ("sentiment", "neg_sentiment", None),
    ],
)
def test_denials_are_the_same_items_flipped(plain, denied, how):
    first, second = load_concept(plain), load_concept(denied)
    assert first.groups.tolist() == second.groups.tolist()
    assert first.pairs.tolist() == second.pairs.tolist()
    assert (first.labels + second.labels == 1).all()
    for text, other in zip(first.texts, second.texts, strict=True):
        assert other != text
        assert (other.replace("not ", "") if how is None else text.replace(*how)) == (text if how is None else other)


def test_wrong_facts_are_wrong_and_balanced_within_every_group():
    for name, pattern in (
        ("cities", r"The city of (.*) is in (.*)\."),
        ("translations", r"The (\w+ word '.*') means '(.*)'\."),
    ):
        data = load_concept(name)
        said = [re.fullmatch(pattern, text).groups() for text in data.texts]
        right = {thing: value for (thing, value), label in zip(said, data.labels, strict=True) if label}
        assert len(right) == len(data) // 2
        for (thing, value), label in zip(said, data.labels, strict=True):
            assert (right[thing] == value) == label
        for group in set(data.groups):
            rows = np.flatnonzero(data.groups == group)
            sides = [sorted(said[i][1] for i in rows if data.labels[i] == label) for label in (0, 1)]
            assert sides[0] == sides[1]
            assert len(rows) in (4, 6)


def test_no_city_is_put_where_there_may_be_a_namesake():
    kin = {city.name: city.kin for city in city_list()}
    of_country = {city.country: city.kin for city in city_list()}
    assert len(kin) == len(city_list()) >= 200
    for item in load_concept("cities").items:
        if not item.label:
            there = of_country[item.text.partition(" is in ")[2][:-1]]
            assert (kin[item.pair], there) not in {
                ("english", "english"),
                ("european", "english"),
                ("iberian", "iberian"),
            }
            assert (kin[item.pair], there) != ("iberian", "english")


def test_couples_can_exchange_their_values_or_there_are_none():
    def made(values):
        return couples(range(len(values)), list(values), [{value} for value in values], "x")

    assert sorted(i for couple in made("AABC") for i in couple) == [0, 1, 2, 3]
    assert all("AABC"[first] != "AABC"[second] for first, second in made("AABC"))
    assert [len(couple) for couple in made("ABC")] == [3]
    with pytest.raises(ValueError, match="nothing left for"):
        made("AAA")
    with pytest.raises(ValueError, match="nothing left for"):
        made("AAAB")
    with pytest.raises(ValueError, match="no couple for"):
        made("AAB")


def test_numbers_in_words_are_compared_rightly():
    tens = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
    ones = dict(zip("one two three four five six seven eight nine".split(), range(1, 10), strict=True))

    def value(word):
        first, _, second = word.lower().partition("-")
        return tens[first] + ones.get(second, 0)

    for item in load_concept("comparisons").items:
        first, second = item.text[:-1].split(" is larger than ")
        assert item.label == (value(first) > value(second))
        assert 1 <= abs(value(first) - value(second)) <= 10
        assert sorted((value(first), value(second))) == [int(part) for part in item.group.split(" and ")]


def test_sums_are_right_where_they_say_so_and_as_hard_as_they_say():
    data = load_concept("arithmetic")
    assert Counter(data.levels.tolist()) == {1: 400, 2: 400, 3: 400, 4: 400}

    def digits(number):
        return sum(map(int, str(number)))

    for item in data.items:
        first, second, result = map(int, re.fullmatch(r"(\d+) \+ (\d+) = (\d+)\.", item.text).groups())
        assert item.label == (first + second == result)
        assert item.label or abs(first + second - result) in (1, 2, 10)
        assert result > max(first, second)
        carries = (digits(first) + digits(second) - digits(first + second)) // 9
        lengths = sorted((len(str(first)), len(str(second))))
        level = {1: lengths[0] == 1 and not carries, 2: lengths == [2, 2] and not carries}
        level |= {3: lengths == [2, 2] and carries >= 1, 4: lengths == [3, 3] and carries >= 2}
        assert [key for key, holds in level.items() if holds] == [item.level]
    operands = [tuple(sorted(map(int, group.split(" + ")))) for group in dict.fromkeys(data.groups)]
    assert len(set(operands)) == len(operands)


def test_loaded_words_stand_in_one_pair_of_one_set():
    words = [word for name in ("sentiment.tsv", "letters.tsv") for _, *pair in table(name) for word in pair]
    assert len(set(words)) == len(words)
    near = Counter(word[:5] for word in words if word not in ("competent", "incompetent"))
    assert [stem for stem, count in near.items() if count > 1] == []
    for name in ("sentiment", "sentiment_letters"):
        data = load_concept(name)
        for first, second in zip(data.items[::2], data.items[1::2], strict=True):
            changed = [(a, b) for a, b in zip(first.text.split(), second.text.split(), strict=True) if a != b]
            assert len(changed) == 1
            assert [word.strip(".,") for word in changed[0]] == first.group.split("/")
    assert not {item.template for item in load_concept("sentiment").items} & {
        item.template for item in load_concept("sentiment_letters").items
    }


def test_prompts_of_a_pair_differ_in_the_name_and_end_before_the_pronoun():
    for name in ("gender", "gender_hard"):
        data = load_concept(name)
        for first, second in zip(data.items[::2], data.items[1::2], strict=True):
            changed = [(a, b) for a, b in zip(first.text.split(), second.text.split(), strict=True) if a != b]
            assert ["/".join(word.strip(".,") for word in words) for words in changed] == [first.group]
            assert (first.label, first.answer, second.label, second.answer) == (1, " she", 0, " he")
            assert not re.search(r"\b(she|he|her|his|him)\b", first.text)
    easy, hard = (load_concept(name) for name in ("gender", "gender_hard"))
    assert len({item.template for item in easy.items}) >= 8
    assert len({item.template for item in hard.items if not item.template.startswith("role")}) >= 6
    assert set(easy.groups) < set(hard.groups)
    names = [name for pair in table("names.tsv") for name in pair]
    assert len(set(names)) == len(names)


def test_written_prompts_are_followed_by_their_answer_in_their_document():
    data = load_concept("gender_written")
    texts = {document.id: " ".join(document.text.split()) for document in load_corpus("bundled").documents}
    for item in data.items:
        assert item.text + item.answer in texts[item.group]
        assert item.answer == (" she" if item.label else " he")
        assert 5 <= len(item.text.split()) <= 40
        assert item.level in (1, 2)
    assert max(Counter(data.groups.tolist()).values()) == 2


def test_a_topic_of_requests_has_words_of_its_own():
    rows = table("requests.tsv")
    for topic, *phrases in rows:
        for phrase in phrases:
            assert re.search(rf"\b{re.escape(topic)}", phrase)
            assert not phrase.endswith((".", "?"))
        for other, *theirs in rows:
            assert other == topic or not any(re.search(rf"\b{re.escape(topic)}", phrase) for phrase in theirs)
    data = load_concept("requests")
    assert data.labels.sum() >= 300
    assert Counter(item.template for item in data.items).keys() == FORMS.keys()
    lengths = [np.mean([len(item.text) for item in data.items if item.label == label]) for label in (0, 1)]
    assert abs(lengths[0] - lengths[1]) < 3


def test_rephrased_requests_have_the_same_topics_and_say_the_same():
    plain, rephrased, benign = (load_concept(f"requests{end}") for end in ("", "_rephrased", "_benign"))
    assert set(plain.groups) == set(rephrased.groups)
    assert not set(plain.texts) & set(rephrased.texts) | set(plain.texts) & set(benign.texts)
    phrases = {
        (topic, label): phrase
        for topic, *pair in table("requests.tsv")
        for phrase, label in zip(pair, (1, 0), strict=True)
    }
    for item in rephrased.items:
        phrase = phrases[item.group, item.label]
        if item.template == "json":
            assert phrase in json.loads(item.text)["question"]
        elif item.template != "typos":
            assert phrase.lower() in item.text.lower()
    assert len(benign) >= 1500
    assert not benign.labels.any()


def test_typos_change_places_inside_of_words():
    for item in load_concept("requests").items:
        words = re.findall("[A-Za-z]+", item.text)
        for word, other in zip(words, re.findall("[A-Za-z]+", with_typos(item.text)), strict=True):
            assert sorted(word) == sorted(other)
            assert word[0] == other[0]
            assert word == other or sum(a != b for a, b in zip(word, other, strict=True)) == 2
    changed = [with_typos(item.text) != item.text for item in load_concept("requests").items]
    assert np.mean(changed) > 0.7


def test_selecting_keeps_order_and_what_is_said_of_the_set():
    data = load_concept("gender")
    some = data.select(np.array([3, 0, 7]))
    assert some.items == (data.items[3], data.items[0], data.items[7])
    assert (some.name, some.about) == (data.name, data.about)
    assert data.select(data.labels == 1).labels.all()
    assert data.select(np.arange(len(data))).sha256 == data.sha256 != some.sha256
    assert data.describe()["of_label_1"] == 700
    with pytest.raises(ValueError, match="read-only"):
        data.labels[0] = 5
