"""``assay record`` from end to end, on a tiny model in a directory."""

import json

import pytest

from assay.cli.app import run
from assay.record import open_recording
from model.tiny_models import tiny_model, tiny_tokenizer
from record.small import letters


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The options that name a tiny model and a small corpus."""
    place = tmp_path_factory.mktemp("given")
    tiny_model("llama").save_pretrained(place / "model")
    tiny_tokenizer().save_pretrained(place / "model")
    rows = [json.dumps({"id": d.id, "text": d.text}) for d in letters().documents]
    (place / "letters.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return ["--model", str(place / "model"), "--corpus", str(place / "letters.jsonl"), "--dtype", "fp32"]


def test_records_and_says_the_same_again(given, tmp_path, capsys):
    command = ["record", *given, "--tokens", "700", "--sites", "L1.mlp_act,L0.mlp_out", "--out", str(tmp_path / "r")]
    assert run([*command, "--json"]) == 0
    first = capsys.readouterr()
    result = json.loads(first.out)
    assert result["tokens"] >= 700
    assert result["recording"] == str(tmp_path / "r")
    assert "next: assay explain --model" in first.err
    assert [str(site) for site in open_recording(tmp_path / "r").sites] == ["L0.mlp_out", "L1.mlp_act"]

    assert run([*command, "--json"]) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == result
    assert "was recorded before: nothing to do" in again.err
    assert run(command) == 0
    assert f"recorded {result['tokens']} tokens in" in capsys.readouterr().out

    assert run([*command, "--seed", "1"]) == 2
    assert "was recorded with asked.seed 0, and now it is 1;" in capsys.readouterr().err
    assert run(["runs", "--out", str(tmp_path), "--json"]) == 0
    assert [(row["state"], row["verb"]) for row in json.loads(capsys.readouterr().out)] == [("whole", "record")]


def test_wrong_options_are_one_line(given, tmp_path, capsys):
    assert run(["record", *given]) == 2
    assert "missing option '--out'" in capsys.readouterr().err
    assert run(["record", *given, "--out", str(tmp_path / "r"), "--sites", "mlp_akt"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("assay: unknown kind of site 'mlp_akt'; did you mean 'mlp_act'?")
    assert run(["record", *given, "--out", str(tmp_path / "r"), "--tokens", "0"]) == 2
    assert "'--tokens': 0 is not in the range x>=1" in capsys.readouterr().err
