"""Datasets on the hub: with an opener of our own, with datasets on local files, and against a hub on a local port."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.errors import CorpusError, DownloadError, UnknownName, UsageError
from assay.text import load_corpus
from assay.text.corpus import CHARACTERS, FEWEST
from assay.text.hub import HubSpec, Stream, open_hub
from text.tiny_hub import SHA, Hub, Repository, serving

datasets = pytest.importorskip("datasets")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("hf:a/b", HubSpec("a/b", None, None, "train", "text")),
        ("hf:squad", HubSpec("squad", None, None, "train", "text")),
        ("hf:a-1/b.c_d:20231101.en", HubSpec("a-1/b.c_d", "20231101.en", None, "train", "text")),
        ("hf:a/b@refs/convert/parquet", HubSpec("a/b", None, "refs/convert/parquet", "train", "text")),
        ("hf:a/b#test", HubSpec("a/b", None, None, "test", "text")),
        ("hf:a/b:c@v1#test.body.text", HubSpec("a/b", "c", "v1", "test", "body.text")),
    ],
)
def test_the_parts_of_a_spec(text: str, spec: HubSpec) -> None:
    assert HubSpec.parse(text) == spec
    assert HubSpec.parse(spec.named("v7")) == spec._replace(revision="v7")


@pytest.mark.parametrize("text", ["hf:", "hf:a/b/c", "hf:a b", "hf:a/b#", "hf:a/b#train.", "hf:a/b:", "hf:a/b@#train"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not of the form hf:OWNER/NAME\[:CONFIG\]"):
        load_corpus(text)


Rows = Iterator[dict[str, Any]]


def opener(rows: Callable[[], Rows], total: int | None = None) -> Callable[[HubSpec], Any]:
    @contextmanager
    def opened(spec: HubSpec) -> Iterator[Stream]:
        yield Stream(rows(), SHA, total)

    return opened


def endless(length: int, drawn: list[int]) -> Rows:
    while True:
        drawn.append(len(drawn))
        yield {"text": f"{len(drawn)} ".ljust(length, "x")}


@pytest.mark.parametrize("length", [40, 400, 4_000, 400_000])
def test_no_more_is_read_than_needed(length: int) -> None:
    """Of long documents a hundred, of short ones as many as give 8 characters a token."""
    drawn: list[int] = []
    corpus = load_corpus("hf:a/b", tokens=5_000, opener=opener(lambda: endless(length, drawn)))
    needed = 5_000 * CHARACTERS
    assert len(drawn) == len(corpus.documents) == max(FEWEST, needed // length)
    assert [d.text for d in corpus.documents[:2]] == ["1 ".ljust(length, "x"), "2 ".ljust(length, "x")]
    assert [d.id for d in corpus.documents[:2]] == [d.family for d in corpus.documents[:2]] == ["1", "2"]


def test_name_and_source_say_what_was_read() -> None:
    corpus = load_corpus("hf:a/b:c@main#test.body", tokens=10, opener=opener(lambda: iter([{"body": "x" * 9}] * 30)))
    assert corpus.name == f"hf:a/b:c@{SHA[:12]}#test.body"
    assert dict(corpus.source) == {
        "dataset": "a/b",
        "config": "c",
        "revision": SHA,
        "split": "test",
        "column": "body",
        "rows": 30,
        "characters": 270,
        "whole": True,
    }
    assert json.dumps(dict(corpus.source))


def test_files_have_no_source(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert dict(load_corpus(str(tmp_path / "a.txt")).source) == {}


def test_blank_rows_count_for_nothing() -> None:
    rows = [{"text": " " * 1000}, {"text": "x" * 80}] * 200
    corpus = load_corpus("hf:a/b", tokens=1000, opener=opener(lambda: iter(rows)))
    assert len(corpus.documents) == FEWEST
    assert corpus.source["rows"] == 2 * FEWEST


def test_a_stream_that_breaks_gives_nothing() -> None:
    def rows() -> Rows:
        yield from ({"text": "x" * 100} for _ in range(1234))
        raise EOFError("Compressed file ended before the end-of-stream marker was reached\nmore")

    with pytest.raises(
        DownloadError,
        match=r"a/b: the stream broke off after 1,234 documents \(Compr.* reached\); none of them is used",
    ) as caught:
        load_corpus("hf:a/b", opener=opener(rows))
    assert "\n" not in str(caught.value)


def test_a_stream_that_ends_before_its_last_row_gives_nothing() -> None:
    with pytest.raises(CorpusError, match=r"the stream of split 'train' ended after 30 of 31 rows"):
        load_corpus("hf:a/b", opener=opener(lambda: iter([{"text": "x" * 90_000}] * 30), total=31))
    assert len(load_corpus("hf:a/b", opener=opener(lambda: iter([{"text": "x" * 90_000}] * 30), total=30)).documents)


def test_a_stream_without_text_enough_says_what_there_was() -> None:
    rows = [{"text": "éé"}] * 3
    with pytest.raises(
        CorpusError, match=r"ended after 3 documents with 6 characters, too few for 13 tokens; ask for fewer tokens"
    ):
        load_corpus("hf:a/b", tokens=13, opener=opener(lambda: iter(rows)))
    assert len(load_corpus("hf:a/b", tokens=12, opener=opener(lambda: iter(rows))).documents) == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "row 2: column 'text' must hold text. Got null instead"),
        ([1], "row 2: column 'text' must hold text. Got list"),
        ("ab\ud800", "row 2: half a surrogate pair at character 2"),
    ],
)
def test_a_row_without_text(value: Any, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_corpus("hf:a/b", opener=opener(lambda: iter([{"text": "a" * 900}, {"text": value}])), tokens=100)


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(UnknownName, match=r"unknown column 'text'; known: body, title \(of a/b; write #train.COLUMN\)"):
        load_corpus("hf:a/b", opener=opener(lambda: iter([{"body": "x", "title": "y"}])))


def test_datasets_streams_of_local_files(tmp_path) -> None:
    """What the library gives is what we read."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"row {i} " + "x" * 100, "n": i}) + "\n" for i in range(500)))

    def rows() -> Rows:
        return iter(datasets.load_dataset("json", data_files=str(path), streaming=True, split="train"))

    corpus = load_corpus("hf:a/b", tokens=1000, opener=opener(rows))
    assert [d.text[:6] for d in corpus.documents[:2]] == ["row 0 ", "row 1 "]
    assert len(corpus.documents) == 1000 * CHARACTERS // 80


def test_without_datasets_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"needs the package 'datasets' .*; pip install 'assay\[datasets\]'"):
        load_corpus("hf:a/b")


def jsonl(count: int) -> bytes:
    return b"".join(json.dumps({"text": f"row {i} " + "word " * 20, "n": i}).encode() + b"\n" for i in range(count))


def parquet(count: int) -> bytes:
    file = io.BytesIO()
    table = pa.table({"text": [f"row {i} " + "word " * 20 for i in range(count)], "n": list(range(count))})
    pq.write_table(table, file, row_group_size=100)
    return file.getvalue()


def card(count: int) -> bytes:
    return f"---\ndataset_info:\n  splits:\n  - name: train\n    num_examples: {count}\n---\n".encode()


CONFIGS = (
    b"---\nconfigs:\n- config_name: one\n  data_files: one.jsonl\n- config_name: two\n  data_files: two.jsonl\n---\n"
)
REPOSITORIES = {
    "a/lines": Repository({"train.jsonl": jsonl(500), "test.jsonl": jsonl(20)}),
    "a/columns": Repository({"data/train-00000-of-00001.parquet": parquet(500), "README.md": card(500)}),
    "a/short": Repository({"data/train-00000-of-00001.parquet": parquet(500), "README.md": card(600)}),
    "a/gated": Repository({"train.jsonl": jsonl(5)}, gated=True),
    "a/code": Repository({"code.py": b"raise SystemExit", "README.md": b""}),
    "a/broken": Repository({"train.jsonl": jsonl(500)}, breaks=30_000),
    "a/configs": Repository({"one.jsonl": jsonl(500), "two.jsonl": jsonl(5), "README.md": CONFIGS}),
    "a/pictures": Repository({"notes.md": b"no data"}),
}


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries read the hub's address once, when they are imported."""
    files = "/resolve/{revision}/"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}" + files + "{filename}"
    )
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)
    monkeypatch.setattr(datasets.config, "HUB_DATASETS_URL", url + "/datasets/{repo_id}" + files + "{path}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Hub]:
    """A hub on a local port instead of the real one, an empty cache, and no waiting between two tries."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with serving() as server:
        point_to(server.url, monkeypatch)
        server.repositories |= REPOSITORIES
        yield server


@pytest.mark.parametrize(("name", "split"), [("lines", "train"), ("columns", "train"), ("lines", "test")])
def test_a_dataset_of_the_hub(hub: Hub, name: str, split: str) -> None:
    corpus = load_corpus(f"hf:a/{name}#{split}", tokens=100)
    count = 20 if split == "test" else 100
    assert corpus.name == f"hf:a/{name}@{SHA[:12]}#{split}.text"
    rows = 20 if split == "test" else 100
    assert [d.text[:6].strip() for d in corpus.documents] == [f"row {i}"[:6] for i in range(rows)]
    assert (corpus.source["revision"], corpus.source["rows"]) == (SHA, count)
    assert f"GET /api/datasets/a/{name}" in hub.requests


def test_a_configuration_and_a_column(hub: Hub) -> None:
    corpus = load_corpus("hf:a/configs:one#train.text", tokens=100)
    assert len(corpus.documents) == 100
    assert corpus.source["config"] == "one"
    assert len(load_corpus("hf:a/configs:two", tokens=100).documents) == 5


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        (
            "hf:a/nope",
            CorpusError,
            r"the Hugging Face hub has no dataset 'a/nope', or it is private: .*'hf auth login'",
        ),
        ("hf:a/lines@v2", CorpusError, r"a/lines has no revision 'v2'"),
        ("hf:a/lines#tset", UnknownName, r"unknown split 'tset'; did you mean 'test'\? \(of a/lines\)"),
        ("hf:a/lines#train.body", UnknownName, r"unknown column 'body'; known: text, n \(of a/lines; write #train.C"),
        ("hf:a/columns#train.txt", UnknownName, r"unknown column 'txt'; did you mean 'text'"),
        ("hf:a/columns#train.n", CorpusError, r"a/columns split 'train' row 1: column 'n' must hold text. Got int"),
        ("hf:a/configs", CorpusError, r"several configurations, say which: hf:a/configs:one \(one, two\)"),
        ("hf:a/configs:onee", UnknownName, r"unknown configuration 'onee'; did you mean 'one'"),
        (
            "hf:a/gated",
            CorpusError,
            r"needs a login: accept .* https://huggingface.co/datasets/a/gated .* 'hf auth login'",
        ),
        ("hf:a/code", CorpusError, r"needs code of its own to be run, which assay never does; .*@refs/convert/parquet"),
        ("hf:a/short", CorpusError, r"ended after 500 of 600 rows"),
        (
            "hf:a/broken",
            DownloadError,
            r"a/broken (can't be streamed|: the stream broke off after 0 documents) \(Server",
        ),
        ("hf:a/pictures", CorpusError, r"a/pictures holds no data files that can be streamed"),
    ],
)
def test_what_goes_wrong_is_one_line(hub: Hub, spec: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        load_corpus(spec)
    assert "\n" not in str(caught.value)


def test_code_is_neither_fetched_nor_run(hub: Hub) -> None:
    with pytest.raises(CorpusError, match="code of its own"):
        load_corpus("hf:a/code")
    assert [request for request in hub.requests if "code.py" in request] == []


def test_a_local_directory_does_not_take_the_datasets_place(hub: Hub, tmp_path, monkeypatch) -> None:
    (tmp_path / "a/lines").mkdir(parents=True)
    (tmp_path / "a/lines/train.jsonl").write_text('{"text": "from the disk"}\n')
    monkeypatch.chdir(tmp_path)
    assert load_corpus("hf:a/lines", tokens=10).documents[0].text.startswith("row 0 ")


def test_a_hub_that_fails_is_asked_once(hub: Hub) -> None:
    hub.fails = True
    with pytest.raises(
        DownloadError, match=r"the Hugging Face hub failed on a/lines \(.*503.*\); offline, give --corpus"
    ):
        load_corpus("hf:a/lines")
    assert hub.requests.count("GET /api/datasets/a/lines") == 1


def test_a_hub_that_can_not_be_reached_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    point_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(
        DownloadError,
        match=r"can't reach the Hugging Face hub for a/b \(.*refused.*\); offline, give --corpus a .txt",
    ):
        load_corpus("hf:a/b")
    assert waits == []


def test_offline_mode_is_told_as_such(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.utils._http.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=r"(?i)can't reach .* \(.*offline.*\); offline, give"):
        load_corpus("hf:a/lines")


def test_the_libraries_settings_are_as_before(hub: Hub) -> None:
    names = ("STREAMING_READ_MAX_RETRIES", "STREAMING_OPEN_MAX_RETRIES", "STREAMING_READ_RETRY_INTERVAL")
    before = [getattr(datasets.config, name) for name in names], logging.getLogger("datasets").level
    bars = datasets.utils.are_progress_bars_disabled()
    with open_hub(HubSpec.parse("hf:a/lines")) as stream:
        assert datasets.config.STREAMING_READ_MAX_RETRIES == 1
        assert stream.revision == SHA
    with pytest.raises(UnknownName):
        load_corpus("hf:a/lines#nope")
    assert ([getattr(datasets.config, name) for name in names], logging.getLogger("datasets").level) == before
    assert datasets.utils.are_progress_bars_disabled() == bars
