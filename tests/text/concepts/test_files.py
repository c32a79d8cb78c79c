import csv
import json

import pytest

from assay.errors import CorpusError, UnknownName, UsageError
from assay.text.concepts import Item, load_concept


def write_csv(path, *rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def write_jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["cities", "gender", "arithmetic"])
def test_every_field_makes_the_round_trip(name, tmp_path):
    data = load_concept(name)
    paths = [
        write_csv(tmp_path / "a.csv", Item._fields, *data.items),
        write_jsonl(tmp_path / "a.jsonl", *(item._asdict() for item in data.items)),
    ]
    for path in paths:
        read = load_concept(path)
        assert read.items == data.items
        assert read.sha256 == data.sha256
        assert read.name == "a"
        assert (read.ask, read.answers) == ("", ("", ""))


def test_only_what_is_needed_and_columns_that_are_not(tmp_path):
    path = write_csv(
        tmp_path / "a.csv",
        [" label ", "note", "text", "group"],
        ["1", "x", 'one, "two"\nlines', "g"],
        [" 0", "", "b", 7],
    )
    assert load_concept(path).items == (Item('one, "two"\nlines', 1, "g"), Item("b", 0, "7"))
    path = write_jsonl(
        tmp_path / "b.jsonl",
        {"text": "a", "label": 1, "group": 3, "pair": None, "level": 2},
        {"text": "b", "label": "0", "group": "h", "extra": [1]},
    )
    assert load_concept(path).items == (Item("a", 1, "3", level=2), Item("b", 0, "h"))


def test_byte_order_mark_and_empty_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("\ufefftext,label,group\r\n\r\né,1,g\r\nb,0,h\r\n".encode())
    assert load_concept(str(path)).texts == ["é", "b"]


def test_another_column_of_groups(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["text", "label", "city"], ["a b", 1, "Rome"], ["c", 0, "Oslo"])
    assert load_concept(path, group="city").groups.tolist() == ["Rome", "Oslo"]
    assert load_concept(path, group="text").groups.tolist() == ["a b", "c"]
    with pytest.raises(
        CorpusError, match=r"line 2: no column 'group' .*\('text' if no two rows.* 'text', 'label', 'city'"
    ):
        load_concept(path)


def test_repeated_rows_are_dropped_and_counted(tmp_path):
    path = write_csv(
        tmp_path / "a.csv", ["text", "label", "group"], ["a b", 1, "g"], ["a  b ", 1, "g"], ["c", 0, "g"], ["c", 0, "g"]
    )
    data = load_concept(path)
    assert data.texts == ["a b", "c"]
    assert data.source == "the file a.csv; 2 rows that stood there before were dropped"


BAD = [
    ("text,group\na,g\n", "line 2: no column 'label'; there are 'text', 'group'"),
    ("label,group\n1,g\n", "line 2: no column 'text'"),
    ("text,label,group\na,1,g\nb,yes,g\n", "line 3: the label must be 0 or 1. Got 'yes' instead"),
    ("text,label,group\na,1.0,g\n", "line 2: the label must be 0 or 1. Got '1.0' instead"),
    ("text,label,group\na,,g\n", "line 2: the label must be 0 or 1. Got '' instead"),
    ("text,label,group\na,1,g\nb,1,h\n", "all 2 texts have the label 1; a concept needs both"),
    ("text,label,group\n,1,g\n", "line 2: an empty text"),
    ('text,label,group\n"x\ny",1,g\n" \t",0,g\n', "line 4: an empty text"),
    ("text,label,group\na,1,\n", "line 2: an empty 'group'; name the row's group"),
    ("text,label,group\na,1,g\na ,0,g\n", "line 3: the text of .* line 2 again, with the other label"),
    ("text,label,group\na,1,g\na,1,h\nb,0,h\n", "line 3: the text of .* line 2 again, in another group"),
    ("text,label,group,pair\na,1,g,p\nb,0,g,p\na,1,g,q\nc,0,g,q\n", "line 4: the text of .* again, in another pair"),
    ("text,label,group,pair\na,1,g,p\nb,0,h,p\n", "line 2: the pair 'p' stands in two groups"),
    (
        "text,label,group,pair\na,1,g,p\nb,0,g,\n",
        "line 2: a pair is two texts, .* Got 1 texts with labels 1 in the pair",
    ),
    ("text,label,group,pair\na,1,g,p\nb,1,g,p\nc,0,g,\n", "Got 2 texts with labels 1 1 in the pair 'p'"),
    ("text,label,group,pair\na,1,g,p\nb,0,g,p\nc,0,g,p\n", "Got 3 texts with labels 1 0 0 in the pair 'p'"),
    ("text,label,group,level\na,1,g,hard\n", "line 2: the level must be a whole number from 0. Got 'hard' instead"),
    ("text,label,group,level\na,1,g,-1\n", "line 2: the level must be a whole number"),
    ("text,label,group\na,b,1,g\n", "line 2: 4 values for 3 columns; put text with commas in quotes"),
    ("text,label,text\na,1,g\n", "line 1: two columns have one name"),
    ('text,label,group\n"a"b,1,g\n', "line 2: not CSV that can be read"),
    ("text,label,group\n", "no rows in it"),
    ("", "no rows in it"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_bad_csv_is_one_clear_line(content, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=message) as caught:
        load_concept(str(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', "line 2: not JSON that can be read"),
        ("[1]", "line 2: must be an object with text, label and group. Got list instead"),
        ('{"label": 1, "group": "g"}', "line 2: no column 'text'"),
        ('{"text": 5, "label": 1, "group": "g"}', "line 2: the text must be a string. Got int instead"),
        ('{"text": "a", "label": true, "group": "g"}', "the label must be 0 or 1. Got True instead"),
        ('{"text": "a", "label": 1.0, "group": "g"}', r"the label must be 0 or 1. Got 1\.0 instead"),
        ('{"text": "a", "label": null, "group": "g"}', "the label must be 0 or 1. Got None instead"),
        ('{"text": "a", "label": -1, "group": "g"}', "the label must be 0 or 1. Got -1 instead"),
        ('{"text": "a", "label": 1, "group": null}', "line 2: an empty 'group'"),
        ('{"text": "a", "label": 1, "group": ["g"]}', "'group' must be a string or a whole number. Got list instead"),
        ('{"text": "a", "label": 1, "group": "g", "level": 1.5}', "'level' must be a string or a whole number"),
        ('{"text": "\\ud800", "label": 1, "group": "g"}', "half a surrogate pair"),
    ],
)
def test_bad_jsonl_is_one_clear_line(line, message, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine", "label": 0, "group": "f"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=message) as caught:
        load_concept(str(path))
    assert "\n" not in str(caught.value)


def test_files_and_names_that_are_not_there(tmp_path):
    write_csv(tmp_path / "facts.csv", ["text"])
    with pytest.raises(UnknownName, match=r"unknown concept data .*fact\.csv'; did you mean .*facts\.csv'") as caught:
        load_concept(str(tmp_path / "fact.csv"))
    assert caught.value.suggestion == str(tmp_path / "facts.csv")
    with pytest.raises(UnknownName, match="unknown concept data 'city'; did you mean 'cities'"):
        load_concept("city")
    with pytest.raises(UnknownName, match=r"or a \.csv or \.jsonl file with text, label and group"):
        load_concept("qqqq")
    with pytest.raises(UnknownName, match=r"nowhere/a\.csv"):
        load_concept(str(tmp_path / "nowhere" / "a.csv"))


def test_text_that_is_not_utf_8(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label,group\n\xe9,1,g\n")
    with pytest.raises(CorpusError, match="invalid UTF-8 at byte 17"):
        load_concept(str(path))


def test_bundled_sets_have_their_own_groups():
    with pytest.raises(UsageError, match=r"the groups of cities come with it; leave group out\. Got 'text'"):
        load_concept("cities", group="text")
