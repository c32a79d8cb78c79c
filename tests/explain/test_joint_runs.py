"""Joint replacement as a part of runs: what is stored, printed, drawn, recomputed, and taken up again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from assay.cli.app import run as cli
from assay.cli.numbers import score_text
from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.explain.experiment import ExplainOutcome, ExplainRequest, explain
from assay.explain.joint import text as joint_text
from assay.explain.joint.arms import correlations
from assay.explain.joint.figure import joint_figure
from assay.explain.joint.of_layer import layer_arms
from assay.explain.joint.scores import SILENT, recompute_joint
from assay.explain.joint.text import draw_text
from assay.explain.material import WHOLE_SHARES, gather_material
from assay.explain.whole.bench import make_bench
from assay.explain.whole.joined import join
from assay.explain.whole.layer import study_layer
from assay.record import stream
from assay.store import open_run
from assay.store.query import query
from assay.testing import MockJudge, Planted
from assay.testing.judges import HOSTILE
from explain.bench import planted_text, quiet
from explain.test_self import listing, named

CONTRACT = {"layer", "share", "explainer", "loss_recovered", "lo", "hi", "mean_ablation", "zero_ablation"}
SHARES = (0.02, 0.1, 0.25, 0.5, 1.0)
UNITS = "L1.mlp_act:0-9"
SMALL = ExplainRequest(units=UNITS, tokens=16_000, rules=2, behaviour=False, joint=True)
WHOLE = ExplainRequest(
    units="L1.mlp_act:all,L2.mlp_act:all",
    tokens=16_000,
    rules=2,
    behaviour=False,
    joint=True,
    explainers=("rules", "lookup"),
)
TOKENS = 1_200


class Broken(Exception):
    """The process died here."""


@pytest.fixture(scope="module", autouse=True)
def _little_text() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint_text, "TOKENS", TOKENS)
        yield


def run(
    model: Planted, request: ExplainRequest, out: Path, judge: Any = None, stop_at: str | None = None, **changes: Any
) -> ExplainOutcome:
    def progress(message: str, share: float | None = None) -> None:
        if stop_at is not None and message.startswith(stop_at):
            raise Broken(message)

    asked = ExplainRequest(**{**request.__dict__, "out": str(out), **changes})
    return explain(asked, progress, subject=model.subject, corpus=planted_text(), judge=judge)


@pytest.fixture(scope="module")
def outcome(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    return run(model, SMALL, tmp_path_factory.mktemp("runs"), MockJudge(listing, named))


@pytest.fixture(scope="module")
def whole(model: Planted, tmp_path_factory: pytest.TempPathFactory) -> ExplainOutcome:
    return run(model, WHOLE, tmp_path_factory.mktemp("whole"))


def test_result_keeps_the_contract(outcome: ExplainOutcome, whole: ExplainOutcome) -> None:
    for found, explainers, sites, units in (
        (outcome, ["rules", "self", "lookup"], ["L1.mlp_act"], (1, 2, 5, 10)),
        (whole, ["rules", "lookup"], ["L1.mlp_act", "L2.mlp_act"], (1, 5, 12, 24, 48)),
    ):
        joint = found.result["joint"]
        assert [(e["site"], e["units"], e["explainer"]) for e in joint] == [
            (site, count, name) for site in sites for count in units for name in explainers
        ]
        assert {e["share"] for e in joint} <= set(SHARES)
        for entry in joint:
            assert set(entry) >= CONTRACT
            assert entry["layer"] == SiteId.parse(entry["site"]).layer
            for own, name in ((entry, "loss_recovered"), (entry["kl"], "recovered")):
                assert (own[name] is None) == (own["unscored"] is not None)
                assert set(own["nulls"]) == {"mean", "other_unit", "shuffled"}
                assert own[name] is None or own["lo"] <= own[name] <= own["hi"]
            assert entry["documents"] >= 20
        assert json.loads(json.dumps(joint, allow_nan=False)) == joint
        assert open_run(found.run_path).spec["resolved"]["effects"].startswith("fp32")


def test_rules_recover_on_the_planted_layer(outcome: ExplainOutcome, whole: ExplainOutcome) -> None:
    for found in (outcome, whole):
        for entry in found.result["joint"]:
            if entry["share"] == 1 and entry["explainer"] == "rules":
                assert entry["kl"]["recovered"] > 0.6
                assert entry["kl"]["above_nulls"][1] > 0.3
    by_name = {entry["explainer"]: entry["kl"]["recovered"] for entry in outcome.result["joint"] if entry["share"] == 1}
    assert by_name["rules"] > by_name["self"] > 0.1


def test_what_a_judge_says_is_replaced_on_its_sample_only(model: Planted, outcome: ExplainOutcome) -> None:
    test, joint = open_run(outcome.run_path).tensors("test"), outcome.result["joint"]
    counted = test["scored"].astype(bool) & test["sampled"].astype(bool)
    assert all(entry["tokens"] < counted.sum() for entry in joint)
    assert {entry["tokens"] for entry in joint} == {joint[0]["tokens"]}
    assert 0.5 * TOKENS < joint[0]["tokens"] < 1.2 * TOKENS


def test_a_judge_that_says_nothing_is_unscored_and_the_others_are_not(
    model: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(model, SMALL, tmp_path, MockJudge(HOSTILE["loop"], named), units="L1.mlp_act:0-3,L2.mlp_act:7")
    assert cli(["show", str(found.run_path)]) == 0
    assert "not replaced: L2.mlp_act:7 (heads, directions, and units of a site with too few)" in capsys.readouterr().out
    assert {entry["site"] for entry in found.result["joint"]} == {"L1.mlp_act"}
    last = {entry["explainer"]: entry for entry in found.result["joint"] if entry["share"] == 1}
    assert last["self"]["held_at_mean"] == 4
    assert last["self"]["unscored"] == last["self"]["kl"]["unscored"] == SILENT
    assert last["self"]["loss_recovered"] is last["self"]["kl"]["recovered"] is None
    assert last["rules"]["kl"]["recovered"] > 0.5
    assert last["rules"]["held_at_mean"] == 0
    assert last["rules"]["tokens"] > 0.9 * TOKENS  # not kept to a sample of which nothing was said


def test_the_table_can_be_asked(whole: ExplainOutcome) -> None:
    rows = query(
        "select site, share, explainer, value, d_lo, nulls->>'shuffled' as shuffled from joint "
        "where measure = 'kl' and share = 1 order by layer, explainer desc",
        whole.run_path,
    ).to_pylist()
    expected = [entry for entry in whole.result["joint"] if entry["share"] == 1]
    assert [(row["site"], row["explainer"]) for row in rows] == [(e["site"], e["explainer"]) for e in expected]
    for row, entry in zip(rows, expected, strict=True):
        assert row["value"] == entry["kl"]["recovered"]
        assert row["d_lo"] == entry["kl"]["above_nulls"][1]
        assert float(row["shuffled"]) == pytest.approx(entry["kl"]["nulls"]["shuffled"])


def tampered(source: Path, place: Path) -> Path:
    copy = place / source.name
    shutil.copytree(source, copy)
    path = copy / "tensors" / "joint.safetensors"
    metadata = open_run(copy).tensor_metadata("joint")
    arrays = load_file(path)
    arrays["L1.mlp_act.effects"] = arrays["L1.mlp_act.effects"] * np.linspace(0.5, 1, len(arrays["L1.mlp_act.tokens"]))
    save_file(arrays, path, metadata)
    done = json.loads((copy / "done.json").read_text())
    done["files"]["tensors/joint.safetensors"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy / "done.json").write_text(json.dumps(done))
    return copy


def test_scores_come_out_of_the_stored_losses_again(
    outcome: ExplainOutcome, whole: ExplainOutcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for found in (outcome, whole):
        assert recompute_joint(open_run(found.run_path)) == found.result["joint"]
    assert cli(["show", str(outcome.run_path), "--recompute"]) == 0
    assert "joint replacement recomputed from stored losses agrees" in capsys.readouterr().out
    copy = tampered(outcome.run_path, tmp_path)
    assert recompute_joint(open_run(copy)) != outcome.result["joint"]
    assert cli(["show", str(copy), "--recompute", "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert (said["agree"], said["joint_agrees"]) == (False, False)


def test_what_is_printed_drawn_and_shown_is_what_was_found(
    outcome: ExplainOutcome, whole: ExplainOutcome, capsys: pytest.CaptureFixture[str]
) -> None:
    for found in (outcome, whole):
        stored, joint = open_run(found.run_path), found.result["joint"]
        assert cli(["show", str(found.run_path)]) == 0
        said = capsys.readouterr().out
        table = said.split("all at once")[1].splitlines()[2:]
        for site, explainer in {(entry["site"], entry["explainer"]): None for entry in joint}:
            own = [e for e in joint if (e["site"], e["explainer"]) == (site, explainer)]
            [line] = [line for line in table if line.split()[:2] == [site, explainer]]
            assert line.split()[2 : 2 + len(own)] == [score_text(e["loss_recovered"]) for e in own]
            last = own[-1]
            assert line.split()[-2:] == [score_text(last["kl"]["recovered"]), f"{last['mean_ablation']:.3f}"]
        assert max(len(line) for line in table[: len(joint)] if line.startswith("L")) <= 100
        page = stored.file("page.html").read_text()
        assert page.count("<h2>All at once</h2>") == 1
        section = page.split("All at once</h2>")[1].split("</section>")[0]
        text = re.sub(r"<[^>]+>", " ", section)
        for entry in joint:
            if entry["kl"]["recovered"] is not None:
                assert f"{entry['kl']['recovered']:.2f}".replace("-", "−") in text
        assert stored.file("joint.svg").read_text() in page
        assert json.loads(stored.file("joint.json").read_text()) == json.loads(joint_figure(joint).to_json())
        assert cli(["show", str(found.run_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["joint"] == joint


def test_the_figure_holds_every_score_with_null_and_benchmark(whole: ExplainOutcome) -> None:
    drawn = joint_figure(whole.result["joint"]).to_dict()
    points = [
        {**row, "measure": measure}
        for measure, block in zip(("loss", "kl"), drawn["vconcat"], strict=True)
        for panel in block["concat"]
        for row in panel["layer"][1]["data"]["values"]
    ]
    for entry in whole.result["joint"]:
        own = [
            row
            for row in points
            if row["measure"] == "kl" and all(row[key] == entry[key] for key in ("site", "share", "explainer"))
        ]
        scores = {row["line"]: row["score"] for row in own}
        kl = entry["kl"]
        assert scores == {
            "prediction": kl["recovered"],
            "its best null": max(kl["nulls"].values()),
            "truth plus noise, at equal r": kl["noise_equal_r"],
        }


def test_without_it_nothing_of_it_is_there(model: Planted, tmp_path: Path) -> None:
    found = run(model, SMALL, tmp_path, units="L1.mlp_act:0-3", joint=False, explainers=("rules",))
    assert "joint" not in found.result
    assert not any("joint" in name for name in open_run(found.run_path).files)
    assert "All at once" not in open_run(found.run_path).file("page.html").read_text()


def test_a_run_that_was_broken_off_is_taken_up(model: Planted, whole: ExplainOutcome, tmp_path: Path) -> None:
    with pytest.raises(Broken):
        run(model, WHOLE, tmp_path, stop_at="replacing 48 units of L2")
    [left] = tmp_path.iterdir()
    again = run(model, WHOLE, tmp_path)
    assert again.run_path == left
    one, other = open_run(whole.run_path), open_run(left)
    assert other.files["tensors/joint.safetensors"] == one.files["tensors/joint.safetensors"]
    assert other.table("joint").equals(one.table("joint"))
    assert again.result["joint"] == whole.result["joint"]


def test_a_layer_is_set_to_what_its_explanations_predict(model: Planted) -> None:
    """The arms of a whole layer against its explanations, executed one by one."""
    material = gather_material(model.subject, planted_text(), 16_000, 0, WHOLE_SHARES)
    joined, site = join(material), SiteId(1, "mlp_act")
    values = np.zeros((48, joined.table.n_tokens), np.float32)
    for block in stream(model.subject, joined.table, [site]):
        values[:, block.flat] = block.activations[site].T
    bench = make_bench(material, joined, model.subject.vocab_size, 2, 0)
    found = study_layer(bench, site, values, quiet)
    means = found.fit.mean(axis=1)
    text = draw_text(material.test, material.test.scored, 0)
    arms = layer_arms(found, means, text, 0)
    view = material.test.full_view
    for name, asserted in found.asserted.items():
        for unit in range(0, 48, 5):
            slope, intercept = asserted.lines.slopes[unit], asserted.lines.intercepts[unit]
            said = (slope * asserted.explanations[unit].predict(view) + intercept)[text.flat]
            expected = said if slope else np.full(len(said), means[unit])
            assert arms.values[name, "prediction"][unit] == pytest.approx(expected, abs=1e-5)
            line = (asserted.rival_lines.slopes[unit], asserted.rival_lines.intercepts[unit])
            rival = asserted.explanations[asserted.rivals[unit]].predict(view)[text.flat]
            if slope:
                assert arms.values[name, "other_unit"][unit] == pytest.approx(line[0] * rival + line[1], abs=1e-5)
    real = values[:, joined.test][:, text.flat]
    r = correlations(arms.values["rules", "prediction"], real)
    kept = ~arms.held["rules"] & (r > 0)
    assert correlations(arms.values["rules", "noise_equal_r"], real)[kept] == pytest.approx(r[kept], abs=0.15)


@pytest.mark.parametrize(
    ("units", "said"),
    [("L1.head:0-3", "heads and directions only"), ("spread3", "4 or more neurons .* got at most 1 at one")],
)
def test_refused_before_anything_is_read(model: Planted, tmp_path: Path, units: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(model, SMALL, tmp_path, units=units)
    assert not list(tmp_path.iterdir())
