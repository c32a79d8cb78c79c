"""Hub ids: fetched with progress, pinned to a commit, refused early, and one line for every way in which it fails."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.utils import logging as hub_logging

from assay.errors import DownloadError, StorageError, UnsupportedModel, UsageError
from assay.model import hub as hub_module
from assay.model import load
from assay.model.hub import HubName, hub_name
from model.hub_server import COMMIT, NAME, Hub, point_client_at, serving
from model.tiny_models import tiny, tiny_model, tiny_tokenizer


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = tmp_path / "files"
    tiny_model("llama").save_pretrained(files)
    tiny_tokenizer().save_pretrained(files)
    (files / "pytorch_model.bin").write_bytes(b"a pickle beside the safetensors")
    (files / "modeling_own.py").write_text("raise RuntimeError")
    with serving(files, tmp_path / "cache", monkeypatch) as served:
        yield served


def test_a_model_is_fetched_with_progress_and_pinned(hub: Hub, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(hub_module, "_EVERY", 0.0)
    said: list[str] = []
    subject = load(NAME, dtype="fp32", device="cpu", progress=said.append)
    assert (subject.name, subject.revision) == (NAME, COMMIT)
    assert subject.fingerprint == tiny("llama").fingerprint
    assert hub.fetched() == {path.name for path in hub.files.iterdir()} - {"pytorch_model.bin", "modeling_own.py"}
    assert said[0] == f"asking the Hugging Face hub for {NAME}"
    size = (hub.files / "model.safetensors").stat().st_size / 1e6
    assert re.fullmatch(rf"fetching {NAME}: {size:.2f} of {size:.2f} MB after \d+ s", said[-2]), said
    assert said[-1] == f"loading {NAME} (fp32: asked for; cpu: asked for)"
    assert capfd.readouterr() == ("", "")


def test_progress_tells_bytes_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("assay.model.hub.time.monotonic", lambda: now[0])
    said: list[str] = []
    tell = hub_module._Telling("a/b", 4_920_000_000, said.append)
    tell(1)
    now[0] += 31
    tell(1_250_000_000)
    tell(1_260_000_000)
    now[0] += 90
    tell(4_920_000_000)
    assert said == [
        "fetching a/b: 1.25 of 4.92 GB after 31 s, 91 s to go",
        "fetching a/b: 4.92 of 4.92 GB after 121 s",
    ]


def test_what_is_in_the_cache_is_not_fetched_again_and_serves_without_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(NAME, dtype="fp32")
    hub.asked.clear()
    said: list[str] = []
    assert load(NAME, dtype="fp32", progress=said.append).revision == COMMIT
    assert hub.fetched() == set()
    assert not any(line.startswith("fetching") for line in said)
    point_client_at(closed_port(), tmp_path / "cache", monkeypatch)
    offline = load(NAME, dtype="fp32", progress=said.append)
    assert offline.revision == COMMIT
    assert said[-2] == f"can't reach the Hugging Face hub; looking for {NAME} in the local cache"


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_a_revision_is_asked_for(hub: Hub, revision: str) -> None:
    subject = load(f"{NAME}@{revision}", dtype="fp32")
    assert (subject.name, subject.revision) == (f"{NAME}@{revision}", COMMIT)
    assert f"GET /api/models/{NAME}/revision/{revision}" in hub.asked


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b", HubName("a/b", None)),
        ("a/b-1.5@main", HubName("a/b-1.5", "main")),
        ("a/b@refs/pr/3", HubName("a/b", "refs/pr/3")),
        ("a/b@", None),
        ("a/b/c", None),
        ("b", None),
    ],
)
def test_names_of_models_on_the_hub(text: str, name: HubName | None) -> None:
    assert hub_name(text) == name
    assert name is None or str(name) == text


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_hub_that_can_not_be_reached_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_client_at(closed_port(), tmp_path, monkeypatch)
    level = hub_logging.get_verbosity()
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"can't reach the Hugging Face hub for 'a/b', and it is not in the local"):
        load("a/b")
    assert time.monotonic() - start < 5
    assert hub_logging.get_verbosity() == level


def test_a_snapshot_without_its_weights_does_not_serve(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.trouble["resolve/" + COMMIT + "/model.safetensors"] = (404, "EntryNotFound")
    with pytest.raises((UsageError, DownloadError)):
        load(NAME, dtype="fp32")
    point_client_at(closed_port(), tmp_path / "cache", monkeypatch)
    start = time.monotonic()
    with pytest.raises(DownloadError, match="can't reach the Hugging Face hub"):
        load(NAME, dtype="fp32")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("part", "status", "code", "kind", "message"),
    [
        ("/api/", 404, "RepoNotFound", UsageError, f"the Hugging Face hub has no model '{NAME}'"),
        ("/api/", 403, "GatedRepo", DownloadError, f"{NAME} is gated; accept its terms .* 'hf auth login'"),
        ("/api/", 500, "", DownloadError, f"the Hugging Face hub failed on '{NAME}': .*; try again"),
    ],
)
def test_failures_of_the_hub_are_one_line(
    hub: Hub, part: str, status: int, code: str, kind: type[Exception], message: str
) -> None:
    hub.trouble[part] = (status, code)
    with pytest.raises(kind, match=message) as caught:
        load(NAME)
    assert "\n" not in str(caught.value)


def test_a_revision_that_does_not_exist(hub: Hub) -> None:
    with pytest.raises(UsageError, match=f"{NAME} has no revision 'v9' on the hub"):
        load(f"{NAME}@v9")


def test_a_fetch_that_breaks_off(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", _failing(OSError("connection lost\nmore")))
    with pytest.raises(DownloadError, match=f"fetching '{NAME}' broke off: connection lost; try again"):
        load(NAME)
    monkeypatch.setattr("huggingface_hub.snapshot_download", _failing(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match=f"can't store '{NAME}' .* No space left on device"):
        load(NAME)


def _failing(error: Exception) -> Any:
    def fail(**_: Any) -> str:
        raise error

    return fail


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"model_type": "bloom"}, UnsupportedModel, "architecture 'bloom' is not supported"),
        ({"model_type": "mixtral"}, UnsupportedModel, f"{NAME} is a mixture of experts"),
        ({"auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}}, UsageError, f"--trust-remote-code {NAME} "),
    ],
)
def test_models_are_refused_before_their_weights_are_fetched(
    hub: Hub, change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    path = hub.files / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(kind, match=message):
        load(NAME)
    assert hub.fetched() == {"config.json", "tokenizer_config.json"}


def test_a_repository_without_a_configuration(hub: Hub) -> None:
    (hub.files / "config.json").unlink()
    with pytest.raises(UsageError, match=f"{NAME} has no config.json on the Hugging Face hub"):
        load(NAME)


def test_pickled_weights_on_the_hub_are_not_fetched(hub: Hub) -> None:
    (hub.files / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=rf"the weights of {NAME} are pickled \(pytorch_model.bin\)"):
        load(NAME)
    assert "pytorch_model.bin" not in hub.fetched()
