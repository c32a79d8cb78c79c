"""The experiments about erasers and jobs, end to end on a small model, and what they are made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import assay
from assay.findings.found import Found
from assay.probe.bench import Bench
from assay.probe.erasers.eraser import Eraser
from assay.probe.erasing import Workplace, neutral_sentences
from assay.probe.experiment import EraseRequest, ProbeRequest, erase, probe
from assay.probe.quirky.recipe import Recipe, Stage
from assay.probe.request import EFFORTS
from assay.probe.studies import easy_to_hard, erasure
from assay.probe.studies.mean_ablation import moved, planted
from assay.probe.studies.rare import planted as rare
from assay.text.concepts import load_concept

QUIET = lambda message, share=None: None  # noqa: E731


@pytest.fixture(scope="module")
def subject() -> Any:
    return assay.load("ladder-2-0", "fp32")


@pytest.fixture(scope="module")
def place(subject: Any) -> Workplace:
    bench = Bench(lambda: subject, EFFORTS["smoke"], 0, "last", QUIET)
    return Workplace(bench, load_concept("gender").select(np.arange(240)), [0, 1], 1)


def test_rows_are_the_places_from_the_first_difference_on(place: Workplace) -> None:
    own, pairs = place.rows(1), place.pairs
    assert pairs is not None
    assert len(own.x) == 2 * int((pairs.lengths - pairs.first).sum())
    assert own.labels.mean() == 0.5
    assert not set(place.fit) & set(place.test)


def test_an_eraser_of_nothing_costs_nothing_and_one_of_much_costs_more(place: Workplace, subject: Any) -> None:
    d = subject.d_model
    nothing = Eraser(np.zeros((d, 0)), np.zeros((0, d)), np.zeros(d), "none")
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((d, 40)))[0]
    much = Eraser(basis, basis.T, np.zeros(d), "random")
    assert place.kl(1, nothing) == pytest.approx(0, abs=1e-9)
    assert place.kl(0, much) > 0.05
    swapped = place.swapped(1, nothing)
    assert swapped is not None
    assert swapped.value == pytest.approx(0, abs=1e-6)


def test_seeds_fit_on_other_draws_of_the_groups(place: Workplace) -> None:
    assert place.drawn(0) == place.drawn(0)
    assert place.drawn(0) != place.drawn(1)
    assert set(place.drawn(0)) <= set(place.fit)


def test_neutral_sentences_are_of_different_documents() -> None:
    assert len(set(neutral_sentences(20))) == 20


def test_planted_outliers_make_means_equal_and_leave_a_threshold() -> None:
    rows = planted(1000, 3, 0)
    gap = rows.x[rows.labels == 1].mean(0) - rows.x[rows.labels == 0].mean(0)
    assert np.abs(gap).max() < 1e-12
    right = (rows.x[:, 0] < 0) == (rows.labels == 1)
    assert right.mean() == pytest.approx(0.9)


def test_moved_rows_have_equal_means_and_nine_tenths_are_where_they_were() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    rows = planted(400, 2, 0)._replace(x=rng.standard_normal((400, 5)) + labels[:, None], labels=labels)
    x = moved(rows, 0)
    assert np.abs(x[labels == 1].mean(0) - x[labels == 0].mean(0)).max() < 1e-12
    assert (x == rows.x).all(1).mean() == pytest.approx(0.9)


def test_a_rare_concept_is_as_frequent_as_asked() -> None:
    x, z = rare(50_000, 0.001, 0)
    assert 20 < z.sum() < 90
    assert x[z == 1, 0].mean() - x[z == 0, 0].mean() == pytest.approx(2.3, abs=0.5)


def test_erase_prints_the_contract(subject: Any, tmp_path: Path) -> None:
    request = EraseRequest(
        data="gender",
        methods=("mean", "leace", "cde"),
        layers=(1,),
        seeds=1,
        items=240,
        effort="smoke",
        attacks=("logistic", "knn"),
        out=str(tmp_path),
    )
    result = erase(request, subject=subject).result
    assert [row["method"] for row in result["results"]] == ["none", "mean", "leace", "cde"]
    for row in result["results"][1:]:
        assert {"method", "layer", "seed", "rank", "attacks", "kl", "swap_success"} <= set(row)
        assert set(row["attacks"]) == {"logistic", "knn"}
        assert row["rank"] == 1
        assert row["kl"] > 0
        assert 0 <= row["swap_success"] <= 1
    before, leace = (row["attacks"]["logistic"] for row in result["results"] if row["method"] in ("none", "leace"))
    assert before["auc"] > leace["auc"]
    assert before["auc"] > before["null"]


def test_a_run_of_erasers_that_was_broken_off_goes_on(subject: Any, tmp_path: Path) -> None:
    request = EraseRequest(
        data="cities",
        methods=("mean",),
        layers=(1,),
        seeds=1,
        items=120,
        effort="smoke",
        attacks=("svm",),
        out=str(tmp_path),
    )

    def stop(message: str, share: float | None = None) -> None:
        if message.startswith("mean at"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        erase(request, stop, subject=subject)
    [run] = list(tmp_path.iterdir())
    kept = (run / "parts" / "L1-none-0.json").stat().st_mtime_ns
    outcome = erase(request, subject=subject)
    assert outcome.run_path == run
    assert (run / "parts" / "L1-none-0.json").stat().st_mtime_ns == kept
    assert outcome.result["results"][1]["swap_success"] is None


@pytest.mark.parametrize(
    ("groups", "lo", "verdict", "reason"),
    [
        (40, 0.48, "supported", ""),
        (12, 0.48, "undecided", "12 groups; 20 are needed"),
        (40, None, "undecided", "no score in 1000 of 1000 resamples"),
    ],
)
def test_nothing_left_needs_groups_and_an_interval(groups: int, lo: float | None, verdict: str, reason: str) -> None:
    attack = {"auc": 0.5, "lo": lo, "hi": None if lo is None else 0.52, "null": 0.55}
    own = [{"rank": 1, "attacks": {"knn": attack}} for _ in range(2)]
    [found] = Found("t", "q", findings=[erasure._gone(own, 3, "leace", groups)]).as_json()["findings"]
    assert found["verdict"] == verdict
    assert reason in found["reason"]
    assert (found["lo"] is None) is (lo is None)


def test_cde_needs_pairs_of_prompts(subject: Any, tmp_path: Path) -> None:
    request = EraseRequest(data="cities", methods=("cde",), layers=(1,), items=120, effort="smoke", out=str(tmp_path))
    with pytest.raises(assay.UsageError, match="cde needs pairs of prompts"):
        erase(request, subject=subject)
    wide = dataclasses.replace(request, methods=("rlace",), rank=1000)
    with pytest.raises(assay.UsageError, match=r"--rank must be 1 to .*, one less than the width of ladder"):
        erase(wide, subject=subject)
    with pytest.raises(assay.UsageError, match="--rank is for inlp, rlace, cde"):
        erase(dataclasses.replace(request, methods=("mean",), rank=2), subject=subject)
    assert not any(tmp_path.iterdir())
    first = dataclasses.replace(request, attacks=("logistic",), layers=(9,))
    with pytest.raises(assay.UsageError, match="layers 0 to 1"):
        erase(dataclasses.replace(first, out=str(tmp_path / "other")), subject=subject)
    assert not any((tmp_path / "other").iterdir()), "what was refused leaves no run behind"


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("mean-ablation", {"layers": (1,), "items": 120}),
        ("rare", {"layers": (1,)}),
        ("swaps", {"layers": (0, 1), "items": 120, "seeds": 1}),
    ],
)
def test_experiments_on_erasers_run_at_smoke(subject: Any, tmp_path: Path, name: str, asked: dict[str, Any]) -> None:
    request = EraseRequest(experiment=name, effort="smoke", out=str(tmp_path), **asked)
    outcome = erase(request, subject=subject)
    assert outcome.result["findings"]
    assert all(one["value"] is not None for one in outcome.result["findings"])
    assert (outcome.run_path / "figure.svg").is_file()
    if name == "mean-ablation":
        told = {one["claim"]: one["verdict"] for one in outcome.result["findings"]}
        assert "refuted" in [verdict for claim, verdict in told.items() if claim.startswith("planted: after leace")]
        [tukey] = [one for one in outcome.result["findings"] if one["claim"].startswith("planted: after tukey")]
        assert tukey["value"] < 0.6
    if name == "rare":
        [row] = [row for row in outcome.result["results"] if row["case"] == "planted, 0.001"]
        assert row["after"]["absolute .01"]["rank"] == 0
        assert row["after"]["relative 1e-6"]["rank"] == 1
        assert row["after"]["absolute .01"]["auc"] > 0.85 > 0.7 > row["after"]["relative 1e-6"]["auc"]


def test_monitor_and_jobs_run_at_smoke(subject: Any, tmp_path: Path) -> None:
    request = ProbeRequest(
        experiment="monitor", methods=("mean_diff",), layers=(1,), effort="smoke", items=300, out=str(tmp_path)
    )
    result = probe(request, subject=subject).result
    assert {row["test"] for row in result["results"]} >= {"other topics, beside their benign twins"}
    jobs = ProbeRequest(
        experiment="jobs", methods=("mean_diff",), layers=(1,), effort="smoke", items=160, out=str(tmp_path)
    )
    result = probe(jobs, subject=subject).result
    assert [row["where"] for row in result["results"]] == ["iid", "ood"]
    assert result["summary"]["controls"]["n"] == 4
    for row in result["results"]:
        assert {"detect", "steer", "erase", "silence"} <= set(row)
        assert row["silence"]["groups"] >= 10, "rows of many groups, not all rows of few"
        assert 0 <= row["detect"]["value"] <= 1


def test_easy_to_hard_tells_what_a_model_that_was_hardly_trained_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Recipe(layers=2, width=16, truthful=Stage(20, 3e-3, 2), quirky=Stage(10, 2e-3, 2), early=1, quirk_from=1)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    monkeypatch.setattr(easy_to_hard, "Recipe", lambda seed: tiny)
    bench = Bench(pytest.fail, EFFORTS["smoke"], 0, "last", QUIET)
    found = easy_to_hard.run(bench, ProbeRequest(methods=("mean_diff",))).as_json()
    results = found["results"]
    assert {row["layer"] for row in results} == {0, 1}
    assert {row["test"] for row in results} == {"alice easy", "alice hard", "bob easy", "bob hard"}
    claims = [one["claim"].split(":")[0].removeprefix("mean_diff, ") for one in found["findings"]]
    assert claims == [f"layer {layer}, {taught} layers taught" for taught in ("upper", "all") for layer in (0, 1)]
    nulls = [(row["null_hi"], row["random_hi"]) for row in results]
    assert all(0.4 < shuffled < 0.75 and 0.3 < drawn < 1 for shuffled, drawn in nulls)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "empty"))
    with pytest.raises(assay.UsageError, match="layers 0 to 1"):
        easy_to_hard.run(bench, ProbeRequest(layers=(7,)))
    assert not (tmp_path / "empty").exists(), "refused before minutes of training"
