from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.ladder import shipped


def test_the_models_of_the_package_beside_their_nulls(assay: Any) -> None:
    said = assay("ladder")
    assert said.code == 0
    lines = said.out.splitlines()
    for trained, line in zip(shipped(), lines[1:], strict=False):
        row = trained.summary()
        assert line.split()[:4] == [row["name"], str(row["layers"]), f"{row['parameters']:,}", f"{row['loss'][0]:.2f}"]
        assert f"{row['nulls']['bigram'][0]:.2f}" in line
    assert lines[-1] == "nats a token on 870 test documents, as stored when they were trained"
    assert "next: assay explain --model ladder-12-1" in said.err


def test_as_json(assay: Any) -> None:
    said = assay("ladder", "--json")
    rows = json.loads(said.out)
    assert rows == json.loads(json.dumps([trained.summary() for trained in shipped()]))
    assert len(rows) == 8


def test_listing_them_imports_no_torch() -> None:
    code = "import sys\nfrom assay.cli.app import run\nassert run(['ladder']) == 0\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_family_is_trained_and_loads_by_its_directory(assay: Any, tmp_path: Path) -> None:
    corpus = tmp_path / "text.txt"
    pages = [f"page {i}\n" + f"The {i % 7} cats of house {i} sat on mat {i * 37 % 101}. " * 60 for i in range(30)]
    corpus.write_text("\f".join(pages), encoding="utf-8")
    out = tmp_path / "small family"
    options = "--layers 1 --seeds 3 --tokens 10000 --width 16 --vocabulary 270 --dtype fp32 --device cpu".split()
    said = assay("ladder", "--train", str(out), "--corpus", str(corpus), *options, "--json")
    assert said.code == 0
    [row] = json.loads(said.out)
    assert (row["name"], row["seed"], row["layers"], row["directory"]) == ("ladder-1-3", 3, 1, str(out / "ladder-1-3"))
    assert row["below"]["reinit"][0] > 0
    assert f"next: assay explain --model '{out}/ladder-1-3'" in said.err
    assert "matrix products in fp32: asked for; cpu: asked for" in json.dumps(
        json.loads((out / "ladder-1-3" / "training.json").read_text())["placement"]
    )
    again = assay("ladder", "--train", str(out), "--corpus", str(corpus), *options)
    assert "ladder-1-3" in again.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "2"], "--layers goes with --train DIR; without it, the models of the package are listed"),
        (
            ["--train", "x", "--layers", "2,x"],
            "--layers must be whole numbers from 1 on, with commas between. Got '2,x'",
        ),
        (["--train", "x", "--layers", "0"], "--layers must be whole numbers from 1 on"),
        (["--train", "x", "--seeds", ""], "--seeds must be whole numbers from 0 on"),
        (["--train", "x", "--tokens", "0"], "invalid value for '--tokens': 0 is not in the range x>=1"),
        (["--train", "x", "--width", "30"], "the width must be a multiple of 8"),
        (["--train", "x", "--dtype", "fp8"], "unknown dtype 'fp8'"),
        (["--train", "x", "--device", "gpu"], "'gpu' is not a device"),
        (["--train", "x", "--corpus", "nowhere.txt"], "unknown corpus 'nowhere.txt'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    assay: Any, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = assay("ladder", *arguments)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith(f"assay: {message}")
    assert said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
