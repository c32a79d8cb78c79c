from __future__ import annotations

import io
import sys

import pytest

from assay.errors import CorpusError
from assay.text import Document, load_corpus


@pytest.fixture
def piped(monkeypatch):
    def pipe(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        told = []
        return load_corpus("-", told.append), told

    return pipe


def test_lines_of_json(piped):
    corpus, told = piped(b'\xef\xbb\xbf\n{"text": "a", "id": "x", "family": "f"}\n\n{"text": "b"}')
    assert corpus.name == "stdin"
    assert corpus.documents == (Document("x", "a", "f"), Document("4", "b", "4"))
    assert "standard input is JSON, 4 lines" in told


def test_lines_of_json_after_a_byte_order_mark(piped):
    corpus, _ = piped(b'\xef\xbb\xbf{"text": "a"}\n')
    assert corpus.documents == (Document("1", "a", "1"),)


@pytest.mark.parametrize(
    "data", [b"one\ftwo", b'{"txt": 1}\ftwo', b"[1, 2]\n\ftwo", b'"text"\ftwo', b'{"text": 1\ftwo']
)
def test_anything_else_is_plain_text(piped, data):
    corpus, told = piped(data)
    assert [d.text for d in corpus.documents] == [part.decode() for part in data.split(b"\f")]
    assert corpus.documents[1].id == "standard input:1"
    assert f"standard input is plain text, {len(data)} bytes" in told


def test_long_plain_text_is_cut_as_in_a_file(piped, tmp_path):
    text = "".join(f"{i} " + "word " * 150 + "end.\n\n" for i in range(60))
    (tmp_path / "a.txt").write_text(text)
    corpus, _ = piped(text.encode())
    assert [d.text for d in corpus.documents] == [d.text for d in load_corpus(str(tmp_path / "a.txt")).documents]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"text": "a"}\nplain words\n', "standard input line 2: not JSON"),
        (b'{"text": "a"}\n{"body": "b"}\n', "standard input line 2: no 'text'; its keys are 'body'"),
        (b"one\n\xe9two", r"standard input: invalid UTF-8 at byte 4 \(0xe9\)"),
        (b'\n\n{"text": "\xe9"}', r"standard input: invalid UTF-8 at byte 12 \(0xe9\)"),
        (b"", "-: no text in it"),
        (b" \n", "-: no text in it"),
    ],
)
def test_bad_input_is_one_line(piped, data, message):
    with pytest.raises(CorpusError, match=message):
        piped(data)
