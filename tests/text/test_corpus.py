import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.errors import CorpusError, UnknownName
from assay.text import Document, load_corpus


def write_jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_jsonl_with_and_without_names(tmp_path):
    spec = write_jsonl(
        tmp_path / "a.jsonl",
        {"text": "on\u00e9", "id": "x", "family": "f"},
        {"text": "two"},
        {"text": "three", "id": 7, "family": None},
    )
    corpus = load_corpus(spec)
    assert corpus.name == "a.jsonl"
    assert corpus.documents == (Document("x", "oné", "f"), Document("2", "two", "2"), Document("7", "three", "7"))


def test_byte_order_mark_and_empty_lines_are_not_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\n\n  \n{"text": "b"}')
    assert load_corpus(str(path)).documents == (Document("1", "a", "1"), Document("4", "b", "4"))


def test_documents_without_text_are_left_out_and_told(tmp_path):
    told = []
    spec = write_jsonl(tmp_path / "a.jsonl", {"text": "a"}, {"text": " \n"}, {"text": ""})
    corpus = load_corpus(spec, told.append)
    assert [d.text for d in corpus.documents] == ["a"]
    assert told == ["a.jsonl: left out 2 documents without text", "a.jsonl: 1 documents, 1 characters"]


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2], "family": ["f", None]}), path)
    assert load_corpus(str(path)).documents == (Document("1", "a", "f"), Document("2", "b", "2"))


def test_short_text_file_is_one_document(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufefffirst\r\n\r\nsecond".encode())
    assert load_corpus(str(path)).documents == (Document("a.txt:0", "first\n\nsecond", "a.txt:0"),)


def test_form_feeds_divide_a_text_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\ftwo\f\n\fthree", encoding="utf-8")
    assert [d.text for d in load_corpus(str(path)).documents] == ["one", "two", "three"]


def test_long_text_file_is_cut_between_paragraphs(tmp_path):
    paragraphs = [f"{i} " + "word " * 150 + "end.\n\n" for i in range(60)]
    path = tmp_path / "a.txt"
    path.write_text("".join(paragraphs), encoding="utf-8")
    texts = [d.text for d in load_corpus(str(path)).documents]
    assert "".join(texts) == "".join(paragraphs)
    assert all(text.endswith("end.\n\n") for text in texts)
    assert all(3000 < len(text) <= 5000 for text in texts[:-1])


def test_text_file_of_one_giant_line_becomes_documents(tmp_path):
    path = tmp_path / "a.txt"
    text = "lorem ipsum " * 20_000 + "x" * 30_000
    path.write_text(text, encoding="utf-8")
    texts = [d.text for d in load_corpus(str(path)).documents]
    assert "".join(texts) == text
    assert max(map(len, texts)) <= 5000
    assert len(texts) >= 60


def test_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("one\ftwo", encoding="utf-8")
    (tmp_path / ".hidden" / "c.txt").write_text("no", encoding="utf-8")
    (tmp_path / "notes.md").write_text("no", encoding="utf-8")
    write_jsonl(tmp_path / "a.jsonl", {"text": "three", "id": "x"}, {"text": "four", "family": "f"})
    assert load_corpus(str(tmp_path)).documents == (
        Document("a.jsonl:x", "three", "a.jsonl:x"),
        Document("a.jsonl:2", "four", "a.jsonl:f"),
        Document("sub/b.txt:0", "one", "sub/b.txt"),
        Document("sub/b.txt:1", "two", "sub/b.txt"),
    )


def test_folder_with_one_text_file_can_still_be_split(tmp_path):
    (tmp_path / "b.txt").write_text("one\ftwo", encoding="utf-8")
    assert [d.family for d in load_corpus(str(tmp_path)).documents] == ["b.txt:0", "b.txt:1"]


def test_hash_sees_ids_families_and_texts(tmp_path):
    hashes = {
        load_corpus(write_jsonl(tmp_path / "a.jsonl", row)).sha256
        for row in (
            {"text": "ab", "id": "x", "family": "f"},
            {"text": "ab", "id": "y", "family": "f"},
            {"text": "ab", "id": "x", "family": "g"},
            {"text": "abc", "id": "x", "family": "f"},
            {"text": "b", "id": "xa", "family": "f"},
        )
    }
    assert len(hashes) == 5
    again = load_corpus(write_jsonl(tmp_path / "other.jsonl", {"text": "ab", "id": "x", "family": "f"}))
    assert again.sha256 in hashes


def test_bundled(tmp_path):
    path = tmp_path / "bundled.jsonl.xz"
    path.write_bytes(lzma.compress(b'{"id": "cats/3", "family": "cats", "text": "Meow."}\n'))
    corpus = load_corpus("bundled", bundled=path)
    assert corpus.name == "bundled"
    assert corpus.documents == (Document("cats/3", "Meow.", "cats"),)


def test_bundled_missing_or_damaged(tmp_path):
    path = tmp_path / "bundled.jsonl.xz"
    with pytest.raises(CorpusError, match=r"the bundled corpus is missing at .*; reinstall"):
        load_corpus("bundled", bundled=path)
    path.write_bytes(lzma.compress(b'{"text": "a"}\n' * 100)[:-20])
    with pytest.raises(CorpusError, match="the bundled corpus is damaged"):
        load_corpus("bundled", bundled=path)


def test_missing_file_suggests_one_beside_it(tmp_path):
    (tmp_path / "moby-dick.jsonl").touch()
    with pytest.raises(UnknownName) as caught:
        load_corpus(str(tmp_path / "moby.jsonl"))
    assert caught.value.suggestion == str(tmp_path / "moby-dick.jsonl")
    assert caught.value.exit_code == 2


def test_missing_file_may_mean_the_bundled_corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName, match="did you mean 'bundled'"):
        load_corpus("bundle")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "a"', r"a\.jsonl line 2: not JSON \(.* at column \d+\)"),
        (b"[" * 100_000, r"a\.jsonl line 2: not JSON that can be read"),
        (b'["text"]', r"a\.jsonl line 2: must be an object with 'text'. Got list instead"),
        (b'{"txt": "a", "id": 1}', r"a\.jsonl line 2: no 'text'; its keys are 'txt', 'id'"),
        (b'{"text": null}', r"a\.jsonl line 2: 'text' must be a string. Got null instead"),
        (b'{"text": "a", "id": true}', r"a\.jsonl line 2: 'id' must be a string or a whole number. Got bool"),
        (b'{"text": "a", "id": "x"}', r"a\.jsonl line 2: id 'x' was used before, at .*a\.jsonl line 1"),
        (b'{"text": "ab\\ud800"}', r"a\.jsonl line 2: half a surrogate pair at character 2"),
        (b'{"text": "a\xff"}', r"a\.jsonl: invalid UTF-8 at byte 37 \(0xff\)"),
    ],
)
def test_bad_line(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "é", "id": "x"}\n'.encode() + line + b"\n")
    with pytest.raises(CorpusError, match=message) as caught:
        load_corpus(str(path))
    assert "\n" not in str(caught.value)


def test_invalid_utf8_in_text_names_the_byte(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"x" * 1500 + b"\xe9 ")
    with pytest.raises(CorpusError, match=r"a\.txt: invalid UTF-8 at byte 1,503 \(0xe9\)"):
        load_corpus(str(path))


@pytest.mark.parametrize(("name", "content"), [("a.txt", b""), ("a.txt", b" \n\f"), ("a.jsonl", b"\n")])
def test_empty(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match="no text in it"):
        load_corpus(str(tmp_path / name))


def test_unknown_extension_and_folder_without_text(tmp_path):
    (tmp_path / "a.md").write_text("a", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"can't read files ending in '.md'; use .txt, .jsonl or .parquet"):
        load_corpus(str(tmp_path / "a.md"))
    with pytest.raises(CorpusError, match=r"no .txt, .jsonl or .parquet file in this folder"):
        load_corpus(str(tmp_path))


def test_bad_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["a"]}), path)
    with pytest.raises(CorpusError, match=r"a\.parquet: no column 'text'; its columns are body"):
        load_corpus(str(path))
    pq.write_table(pa.table({"text": ["a", None]}), path)
    with pytest.raises(CorpusError, match=r"a\.parquet row 2: 'text' must be a string. Got null"):
        load_corpus(str(path))
    path.write_bytes(b"PAR1 this is not it PAR1")
    with pytest.raises(CorpusError, match=r"a\.parquet: not a Parquet file that can be read"):
        load_corpus(str(path))
