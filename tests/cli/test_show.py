from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest

import synthetic
from assay.cli.report import cut, group_units
from assay.cli.unit import highlighted
from assay.store import open_run


class Recomputed(NamedTuple):
    claim: int
    unit: str
    explainer: str
    stored: str
    recomputed: str


@pytest.fixture
def recompute(monkeypatch: pytest.MonkeyPatch) -> list[Recomputed]:
    """The rows that recomputing will say, to be filled by a test."""
    rows: list[Recomputed] = []
    module = ModuleType("assay.explain.verdicts")
    module.recompute = lambda run: rows  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "assay.explain.verdicts", module)
    return rows


def test_a_run_is_a_table_of_at_most_100_columns(assay, stored: Path) -> None:
    said = assay("show")
    assert said.code == 0
    lines = said.out.splitlines()
    table = lines[: lines.index(next(line for line in lines if line.startswith("undecided:")))]
    assert max(map(len, table)) == 100
    head, unit, rules, lookup = lines[2], lines[4], lines[5], lines[6]
    assert " ".join(head.split()) == "unit, explainer r null behaviour its null noise verdict"
    test = open_run(stored).tensors("test")
    scores = [f"{synthetic.r_of(test, claim):.2f}".lstrip("0") for claim in (0, 1)]
    assert unit.startswith("L1.mlp_act:7 ")
    assert lines[7] == synthetic.SENTENCE
    assert rules.split()[:2] == ["rules", scores[0]]
    assert rules.split()[-6:] == [".31", "[.22", ".40]", ".00", ".28", "supported"]
    assert lookup.split()[:2] == ["lookup", scores[1]]
    assert "mean r .66 over 2 units, above the lookup of equal length for 1 of 2" in said.out
    assert "1 supported, 1 undecided" in said.out
    assert f"undecided: {synthetic.REASON} (L3.mlp_act:40)" in said.out
    assert str(stored / "page.html") in said.out
    assert said.err.startswith(f"next: assay show L1.mlp_act:7 --run {stored.name} ")
    assert said.err.count("\n") == 1


def test_depth_is_a_bar_beside_the_unit(assay, stored: Path) -> None:
    bars = [line.split()[1] for line in assay("show").out.splitlines() if "━" in line]
    assert bars == ["━" * 8 + "─" * 8, "━" * 16]  # layers 1 and 3 of 4


def test_run_json_is_what_was_stored(assay, stored: Path) -> None:
    said = assay("show", stored.name, "--json")
    assert json.loads(said.out) == json.loads((stored / "result.json").read_text())


def test_a_unit_shows_rules_scores_and_reason(assay, stored: Path) -> None:
    said = assay("show", "L3.mlp_act:40")
    assert said.code == 0
    assert said.out.startswith("L3.mlp_act:40  of layers 0 to 3, synthetic")
    for part in (
        synthetic.SENTENCE,
        "    +4.00  token is ' 1984'\n",
        f"undecided: {synthetic.REASON}",
        "constant .00",
        "other_unit .03",
        "lookup .50",
        "unscored  not run",
        "42 bits; calibration slope 1, intercept 0",
    ):
        assert part in said.out
    r = synthetic.r_of(open_run(stored).tensors("test"), 2)
    assert f"{r:.2f}".lstrip("0") in said.out
    assert "control" not in said.out
    assert said.err == f"next: assay show {stored.name}   the whole run\n"


def test_unit_json_holds_evidence_and_exemplars(assay, stored: Path) -> None:
    record = json.loads(assay("show", "L1.mlp_act:7", "--json").out)
    assert record["unit"]["layer"] == 1
    assert [claim["explainer"] for claim in record["claims"]] == ["rules", "lookup"]
    rules = record["claims"][0]
    assert rules["verdict"] == "supported"
    assert rules["lines"][0] == "+4.00  token is ' 1984'"
    assert [item["measure"] for item in rules["evidence"]] == ["r", "behaviour"]
    assert rules["evidence"][0]["nulls"]["other_unit"] == 0.034
    assert rules["evidence"][1]["unscored"] == "not run"
    top = record["exemplars"]["top"]
    run = open_run(stored)
    values = run.tensor("exemplars", "top_activations")[0]
    assert len(top) == len(values) - 1  # the last row is padding
    assert top[0]["activations"][top[0]["peak"]] == pytest.approx(values[0].max())
    assert top[0]["tokens"][top[0]["peak"]] == " 1984"
    low = record["exemplars"]["bottom"][0]
    assert low["activations"][low["peak"]] == min(low["activations"])


def test_the_peak_stands_between_marks(assay, stored: Path) -> None:
    said = assay("show", "L1.mlp_act:7")
    assert "‹ 1984›" in said.out.split("where it fires most")[1].splitlines()[1]


def test_highlighting_shades_by_activation_and_cuts_around_the_peak() -> None:
    tokens = [f" w{i}" for i in range(60)]
    values = list(np.linspace(0, 1, 60))
    values[40] = 4.0
    text = highlighted({"tokens": tokens, "activations": values, "peak": 40}, 4.0, "top")
    assert text.plain.startswith("… w22")
    assert text.plain.endswith(" w48…")
    assert "‹ w40›" in text.plain
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles["‹ w40›"] == "black on rgb(46,139,87)"
    assert " w22" not in styles  # .37 of 4 is too little to shade
    low = highlighted({"tokens": [" a", " b"], "activations": [-2.0, 3.0], "peak": 0}, 2.0, "bottom")
    assert [low.plain[span.start : span.end] for span in low.spans] == ["‹ a›"]


@pytest.mark.parametrize("what", ["last", "L1.mlp_act:7"])
def test_text_of_a_model_does_not_steer_the_terminal(assay, root: Path, what: str) -> None:
    synthetic.write_run(root, hostile=" \x1b[2J\x07[blink]\u202e")
    out = assay("show", what).out
    assert not [char for char in out if char != "\n" and unicodedata.category(char)[0] == "C"]
    assert "\x1b" not in out
    if what != "last":
        assert "[2J[blink]" in out
        assert "[bold]x" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["L1.mlp_act:8"], "unknown unit 'L1.mlp_act:8'; did you mean 'L1.mlp_act:7'?"),
        (["L3.mlp_act:41"], "unknown unit 'L3.mlp_act:41'; did you mean"),  # a companion was not explained
        (["L1.mlp_ac:7"], "unknown site 'mlp_ac'; did you mean 'mlp_act'?"),
        (["L1.mlp_act:x"], "'L1.mlp_act:x' is not a unit"),
        (["nothing"], "unknown run 'nothing'; known: "),
        (["L1.mlp_act:7", "--run", "nothing"], "unknown run 'nothing'"),
    ],
)
def test_what_is_not_there_is_one_line(assay, stored: Path, arguments: list[str], message: str) -> None:
    said = assay("show", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"assay: {message}")
    assert said.err.count("\n") == 1


def test_damage_is_said_and_exit_2(assay, stored: Path) -> None:
    (stored / "evidence.parquet").write_bytes(b"PAR1")
    said = assay("show", "L1.mlp_act:7")
    assert said.code == 2
    assert "evidence.parquet is damaged" in said.err
    (stored / "done.json").unlink()
    assert "incomplete" in assay("show", str(stored)).err


def test_recomputed_verdicts_that_agree(assay, stored: Path, recompute: list[Recomputed]) -> None:
    recompute += [Recomputed(0, "L1.mlp_act:7", "rules", "supported", "supported")]
    said = assay("show", "--recompute")
    assert said.code == 0
    assert said.out == f"1 of 1 verdicts recomputed from {stored} agree\n"


def test_a_verdict_that_differs_is_named_and_exit_3(assay, stored: Path, recompute: list[Recomputed]) -> None:
    recompute += [
        Recomputed(0, "L1.mlp_act:7", "rules", "supported", "supported"),
        Recomputed(2, "L3.mlp_act:40", "rules", "undecided", "refuted"),
    ]
    said = assay("show", stored.name, "--recompute")
    assert said.code == 3
    assert said.out.startswith("L3.mlp_act:40 rules: stored undecided, now refuted\n1 of 2 verdicts")
    said = assay("show", "L1.mlp_act:7", "--recompute", "--json")
    assert said.code == 0
    found = json.loads(said.out)
    assert found["agree"] is True
    assert [row["claim"] for row in found["claims"]] == [0]


def test_units_are_grouped_with_the_lookup_last() -> None:
    references = {"references": {"lookup": 0.25}}
    entries = [{"unit": u, "explainer": e, **references} for u in "ab" for e in ("lookup", "rules", "self")]
    groups = group_units(entries)
    assert [group.unit for group in groups] == ["a", "b"]
    assert [[entry["explainer"] for entry in group.entries] for group in groups] == [["rules", "self", "lookup"]] * 2
    assert {group.lookup for group in groups} == {None}
    alone = group_units(entries[1:2])  # where the lookup was not run, the reference of equal length stands in
    assert alone[0].lookup == 0.25


def test_a_long_sentence_is_cut_at_two_lines() -> None:
    text = cut("word " * 40, 30)
    assert text.count("\n") == 1
    assert max(map(len, text.split("\n"))) <= 30
    assert text.endswith(" …")
    assert cut("short", 30) == "short"
