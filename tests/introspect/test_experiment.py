"""The lab as one function: what it stores, what it refuses, and how it goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.cli.app import run as run_cli
from assay.errors import CorpusError, UnknownName, UsageError
from assay.introspect import experiment
from assay.introspect.experiment import ReportOutcome, ReportRequest, report
from assay.introspect.neurons import choose_neurons, measured
from assay.introspect.request import EFFORTS
from assay.introspect.scores import MOST_BITS
from assay.introspect.stored import recompute
from assay.introspect.wording import wording
from assay.store import open_run
from assay.testing.planted_reports import UNIT, PlantedReports
from assay.text import Corpus
from model.tiny_models import tiny, tiny_tokenizer

CELL = {
    *("model", "layer", "layers_left", "unit", "topology", "regime", "trainable", "bits", "bits_lo", "bits_hi"),
    *("spearman", "r2", "digit_mass", "baselines", "gap_closed", "causal_slope", "optimal_slope", "relative_slope"),
    *("specificity", "drift", "verdict", "reason"),
}
BASELINES = {"text", "other_model", "blind", "shuffled", "probe_before", "probe_after"}


def quiet(message: str, share: float | None = None) -> None:
    pass


def request(planted: PlantedReports, out: Path, **asked: Any) -> ReportRequest:
    name = planted.subject.name
    usual: dict[str, Any] = {"models": (name,), "sibling": name, "layers": (1, 3), "effort": "smoke"}
    return ReportRequest(**usual | {"train_examples": 200, "out": str(out)} | asked)


@pytest.fixture(scope="module")
def small(monkeypatch_module: pytest.MonkeyPatch) -> None:
    monkeypatch_module.setitem(
        EFFORTS, "smoke", EFFORTS["smoke"]._replace(wide=400, choose=120, test=120, epochs=2, patched_epochs=2)
    )


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def outcome(
    small: None, planted_text: tuple[PlantedReports, Corpus], tmp_path_factory: pytest.TempPathFactory
) -> ReportOutcome:
    planted, corpus = planted_text
    asked = request(planted, tmp_path_factory.mktemp("runs"), topologies=("Q", "S"))
    return report(asked, quiet, subject=planted.subject, corpus=corpus)


def test_the_result_is_the_contract(outcome: ReportOutcome) -> None:
    result = outcome.result
    assert {"cells", "k_star", "summary"} <= set(result)
    assert len(result["cells"]) == 2 * 2 * 2 * 2  # topologies, layers, neurons, regimes
    for cell in result["cells"]:
        assert set(cell) >= CELL
        assert set(cell["baselines"]) == BASELINES
        known = {name: value for name, value in cell["baselines"].items() if value is not None}
        assert set(cell["baseline_intervals"]) == set(known)
        for name, (lo, hi) in cell["baseline_intervals"].items():
            assert lo <= known[name] <= hi
            assert lo < hi or name in ("blind", "shuffled")
        assert cell["optimal_slope_lo"] <= cell["optimal_slope"] <= cell["optimal_slope_hi"]
        assert cell["drift"] == 0.0
        assert cell["bits"] <= MOST_BITS
        assert cell["bits_lo"] <= cell["bits"] <= cell["bits_hi"]
        assert set(cell["sizes"]) == {"100", "200"}
        assert set(cell["tests"]) == {"nat", "int", "int3", "int10", "swap"}
        if cell["regime"] == "int":
            assert cell["baselines"]["text"] is None
        else:
            assert all(isinstance(value, float) for value in cell["baselines"].values())
        if cell["topology"] == "Q" and cell["layers_left"] == 0:
            assert cell["causal_slope"] == 0.0
            assert cell["specificity"] == 0.0
    name = result["cells"][0]["model"]
    assert set(result["summary"]["k_star_shares"]) == set(result["k_star"])
    assert result["summary"]["sentences_at_once"] == 16
    assert set(result["k_star"]) == {f"{name} {t} {r} above" for t in "QS" for r in ("nat", "int")}
    json.dumps(result, allow_nan=False)


def test_the_sibling_that_is_the_model_itself_says_what_it_says(outcome: ReportOutcome) -> None:
    """The same weights taught the same numbers from the same seed: no gap to it, so nothing is read off as more."""
    for cell in outcome.result["cells"]:
        if cell["regime"] == "nat":
            assert cell["baselines"]["other_model"] > cell["bits"] - 0.02  # where it is not calibrated, the same
            assert cell["over_text_lo"] <= 1e-3


def test_tables_page_and_arrays_agree_with_the_result(outcome: ReportOutcome) -> None:
    run = open_run(outcome.run_path)
    rows = run.rows("reports")
    assert [(row["unit"], row["regime"], row["bits"]) for row in rows] == [
        (cell["unit"], cell["regime"], cell["bits"]) for cell in outcome.result["cells"]
    ]
    assert len(run.rows("claims")) == len(rows)
    evidence = run.rows("evidence")
    assert {row["measure"] for row in evidence} == {"bits", "relative_slope", "report"}
    supported = [row["claim"] for row in evidence if row["verdict"] == "supported"]
    assert supported == [i for i, cell in enumerate(outcome.result["cells"]) if cell["verdict"] == "reads"]
    page = run.file("page.html").read_text(encoding="utf-8")
    for cell in outcome.result["cells"]:
        assert cell["unit"] in page
    assert "<svg" in page
    first = outcome.result["cells"][0]
    stored = run.tensors(f"{first['model']}-Q-above-L1")
    logs, right = stored["0/heard.nat.200.logs.nat"][0, :, 0], stored["0/put_in.nat"][0, :, 0]
    again = MOST_BITS + logs[np.arange(len(right)), right].mean() / np.log(2)
    assert again == pytest.approx(first["bits"], abs=1e-3)


def test_a_run_that_was_broken_off_is_taken_up_cell_by_cell(
    small: None,
    planted_text: tuple[PlantedReports, Corpus],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted, corpus = planted_text
    asked = request(planted, tmp_path, regimes=("int",))
    studied: list[int] = []
    whole = experiment.study_layer

    def breaks(ground: Any, others: Any, neurons: Any, *rest: Any) -> Any:
        studied.append(neurons[0].unit.site.layer)
        if len(studied) == 2:
            raise KeyboardInterrupt
        return whole(ground, others, neurons, *rest)

    monkeypatch.setattr(experiment, "study_layer", breaks)
    with pytest.raises(KeyboardInterrupt):
        report(asked, quiet, subject=planted.subject, corpus=corpus)
    assert not list(tmp_path.glob("*/done.json"))
    resumed = report(asked, quiet, subject=planted.subject, corpus=corpus)
    assert studied == [1, 3, 3]
    assert len(list(tmp_path.glob("*-report-*"))) == 1
    fresh = report(
        request(planted, tmp_path / "fresh", regimes=("int",)), quiet, subject=planted.subject, corpus=corpus
    )
    assert resumed.result["cells"] == fresh.result["cells"]
    assert [one.result["summary"]["taken_up"] for one in (resumed, fresh)] == [True, False]


def test_what_can_not_be_done_is_said_at_once(
    small: None, planted_text: tuple[PlantedReports, Corpus], tmp_path: Path
) -> None:
    planted, corpus = planted_text
    for wrong, error, message in (
        ({"layers": (1, 9)}, UsageError, "has layers 0 to 3, and --layers names 9"),
        ({"regimes": ("natural",)}, UnknownName, "nat"),
        ({"topologies": ("R",)}, UnknownName, "'R'"),
        ({"trainable": ("rows", "rows")}, UsageError, "each once"),
        ({"trainable": ("question",), "topologies": ("S",)}, UsageError, "no question to act on"),
        ({"neurons_per_layer": 27}, UsageError, "1 to 26, got 27"),
        ({"train_examples": 10}, UsageError, "100 or more, got 10"),
        ({"effort": "huge"}, UnknownName, "quick"),
        ({"seed": -1}, UsageError, "0 or more"),
        ({"train_examples": 100_000}, CorpusError, "distinct sentences that end in a full stop in its fit documents"),
    ):
        with pytest.raises(error, match=message):
            report(request(planted, tmp_path, **wrong), quiet, subject=planted.subject, corpus=corpus)
    assert not list(tmp_path.glob("*/done.json"))


def test_a_tokenizer_without_digits_and_a_neuron_that_never_varies_are_refused() -> None:
    with pytest.raises(UsageError, match="no single token for each digit after a question; try --topology S"):
        wording(tiny_tokenizer(), "Q", 1, "tiny")
    with pytest.raises(
        UsageError, match=r"L1\.mlp_act:0 has no ten values to tell apart at full stops: it is 0 in 95%"
    ):
        measured(UNIT, "random", np.concatenate([np.zeros(95), np.ones(5)]), 1.0)
    values = np.random.default_rng(0).normal(size=(200, 48))
    values[:, 2:] = 0
    with pytest.raises(UsageError, match="2 of the 48 neurons of layer 1 vary at full stops, and 3 were asked for"):
        choose_neurons(tiny("llama"), 1, values.astype(np.float32), 3, 0)


def test_strata_are_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 48))
    values[:, 7] *= 5000
    values[:, 9:14] **= 5
    found = choose_neurons(tiny("llama"), 1, values.astype(np.float32), 6, 0)
    assert [neuron.stratum for neuron in found] == ["random", "top", "sparse"] * 2
    assert found[1].unit.index == 7
    assert {found[2].unit.index, found[5].unit.index} < set(range(9, 14))
    assert len({neuron.unit for neuron in found}) == 6
    for neuron in found:
        counts = np.bincount(neuron.digits(values[:, neuron.unit.number]), minlength=10)
        assert counts.tolist() == [50] * 10


def test_layers_of_an_effort_hold_the_last_ones() -> None:
    assert ReportRequest().layers_of("m", 30)[-3:] == (27, 28, 29)
    assert len(ReportRequest().layers_of("m", 30)) == 6
    assert ReportRequest(effort="smoke").layers_of("m", 2) == (0, 1)
    assert ReportRequest(effort="full").layers_of("m", 4) == (0, 1, 2, 3)
    for name, effort in EFFORTS.items():  # as many as were promised, or all
        for n in (1, 2, 4, 8, 12, 30):
            assert len(ReportRequest(effort=name).layers_of("m", n)) == min(n, effort.layers)


def test_show_prints_a_run_of_reports(outcome: ReportOutcome, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["show", outcome.run_path.name, "--out", str(outcome.run_path.parent)]) == 0
    printed = capsys.readouterr().out
    for cell in outcome.result["cells"]:
        assert cell["unit"] in printed
        assert cell["verdict"] in printed
    assert "taught patched values (int), topology S" in printed
    assert "k*:" in printed


def test_every_cell_comes_out_again_to_the_last_digit(outcome: ReportOutcome) -> None:
    again = recompute(open_run(outcome.run_path))
    assert [one.stored for one in again] == outcome.result["cells"]
    for stored, now in again:
        assert now == stored


def test_a_number_that_was_changed_is_found(outcome: ReportOutcome, capsys: pytest.CaptureFixture[str]) -> None:
    path = outcome.run_path
    show = ["show", path.name, "--recompute", "--out", str(path.parent)]
    assert run_cli([*show, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agree"]
    assert len(told["claims"]) == len(outcome.result["cells"])
    [name, *_] = [name for name in open_run(path).files if name.startswith("cells/")]
    text = (path / name).read_text(encoding="utf-8")
    groups = json.loads(text)
    groups[0]["cells"][0]["bits"] += 0.5
    next(one for one in groups[0]["evidence"]["heard"] if one["size"] == 200)["steps"] += 1000
    done = (path / "done.json").read_text(encoding="utf-8")
    try:
        changed = json.dumps(groups)
        (path / name).write_text(changed, encoding="utf-8")
        old, new = (hashlib.sha256(content.encode()).hexdigest() for content in (text, changed))
        assert old in done
        (path / "done.json").write_text(done.replace(old, new), encoding="utf-8")
        assert run_cli(show) == 3
        printed = " ".join(capsys.readouterr().out.split())
        assert "bits" in printed
        assert "steps" in printed
    finally:
        (path / name).write_text(text, encoding="utf-8")
        (path / "done.json").write_text(done, encoding="utf-8")


def test_one_neuron_is_shown_with_all_that_it_is_held_against(
    outcome: ReportOutcome, capsys: pytest.CaptureFixture[str]
) -> None:
    path, cells = outcome.run_path, outcome.result["cells"]
    unit, place = cells[0]["unit"], ["--run", outcome.run_path.name, "--out", str(outcome.run_path.parent)]
    own = [cell for cell in cells if cell["unit"] == unit]
    assert run_cli(["show", unit, *place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == own
    assert run_cli(["show", unit, *place]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for cell in own:
        assert f"{cell['verdict']}: {cell['reason']}" in printed
    for name in ("other model", "blind", "probe before", "control patches"):
        assert name in printed
    assert run_cli(["show", "L0.mlp_act:9999", *place]) == 2
    said = capsys.readouterr().err
    assert f"{path.name} asked nothing about L0.mlp_act:9999; it asked about {unit}" in said
