"""Runs of the lab whole, on a small model: what is stored, what is refused, and how a broken one goes on."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.core.direction import Direction
from assay.core.ids import SiteId, UnitId
from assay.errors import RunError, UnknownName, UsageError
from assay.findings import writing
from assay.findings.carried import ConceptOutcome
from assay.model import Subject
from assay.steer import request as requests
from assay.steer.bench import Bench
from assay.steer.experiment import steer
from assay.steer.methods import METHODS, make
from assay.steer.request import SteerRequest
from assay.steer.treatment import Push, Pushes, Treatment
from assay.store import list_runs, open_run
from steer.warm import choosy, vector, warm

TRIED = ("mean_diff", "prompt", "random")
KEYS = {
    *("method", "layer", "dose", "effect", "lo", "hi", "null_hi"),
    *("kl", "perplexity_ratio", "wrong_way", "slope", "verdict"),
}
SPENT = ("seconds", "peak_rss_mb", "taken_up")


@pytest.fixture(scope="module", autouse=True)
def _little() -> Iterator[None]:
    """The least effort, and less of what only takes time."""
    small = requests.EFFORTS["smoke"]._replace(windows=2, tokens=4, replicates=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "EFFORTS", {**requests.EFFORTS, "smoke": small})
        yield


@pytest.fixture(autouse=True)
def _nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the run that stands for all."""
    for name in ("figure_json", "figure_svg"):
        monkeypatch.setattr(writing, name, lambda result: "{}")
    monkeypatch.setattr(writing, "build_page", lambda spec, result: result["title"])


def asked(out: Path, **more: Any) -> SteerRequest:
    return SteerRequest(**{"model": "ladder-2-0", "effort": "smoke", "methods": TRIED, "out": str(out)} | more)


@pytest.fixture(scope="module")
def done(ladder: Subject, tmp_path_factory: pytest.TempPathFactory) -> ConceptOutcome:
    return steer(asked(tmp_path_factory.mktemp("runs")), subject=ladder, behaviour=warm())


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


def without(result: dict[str, Any], *names: str) -> dict[str, Any]:
    """All that is not of one run alone."""
    plain = {key: value for key, value in result.items() if key not in ("run", *names)}
    plain["summary"] = {key: value for key, value in plain["summary"].items() if key not in SPENT}
    return plain


def test_it_runs_whole_and_stores_what_it_found(done: ConceptOutcome) -> None:
    path, result = done.run_path, done.result
    run = open_run(path)
    assert run.result() == json.loads(json.dumps(result, allow_nan=False))
    assert (result["run"], result["experiment"], run.spec["verb"]) == (path.name, None, "steer")
    assert [row["method"] for row in result["results"]] == list(TRIED)
    for row in result["results"]:
        assert set(row) >= KEYS
        assert row["lo"] <= row["effect"] <= row["hi"]
        assert row["null_hi"] == max(row["nulls"].values())
        assert row["kl_lo"] <= row["kl"] <= row["kl_hi"]
        assert 0 <= row["wrong_way"] <= 1
        assert row["verdict"] in ("supported", "refuted", "undecided")
    mean_diff, prompt, random = result["results"]
    assert mean_diff["verdict"] == "supported"
    assert mean_diff["layer"] in (0, 1)
    assert 0 < mean_diff["kl"] < 1
    assert mean_diff["slope_lo"] < mean_diff["slope"] < mean_diff["slope_hi"]
    assert set(mean_diff["nulls"]) == {"random", "random, chosen"}
    assert set(prompt["nulls"]) == {"random"}
    assert prompt["layer"] is None
    assert prompt["slope"] is None
    assert random["verdict"] != "supported"
    assert mean_diff["agreement"] > 0.5
    assert prompt["agreement"] is None
    found = list(numbers([result["results"], result["tables"], result["panels"]]))
    assert len(found) > 30
    assert all(map(math.isfinite, found))
    for one in result["findings"]:
        assert one["d"] == pytest.approx(one["value"] - max(one["nulls"].values()), abs=1e-6)
        assert not one["unit"] or str(UnitId.parse(one["unit"])) == one["unit"]
    page = run.file("page.html").read_text(encoding="utf-8")
    assert result["title"] in page
    claims = [row["text"] for row in run.rows("claims")]
    assert claims == [one["claim"] for one in result["findings"]]
    assert len(claims) == 6
    assert result["summary"]["setting"]["prompts"] == {"choose": 20, "report": 20}
    assert result["summary"]["controls"]["n"] == 30
    shown = result["continuations"]
    assert {one["method"] for one in shown} == set(TRIED)
    assert len({one["dose"] for one in shown if one["method"] == "mean_diff"}) == 17
    untreated = {one["prompt"]: one["text"] for one in shown if one["dose"] == 0}
    assert all(untreated[one["prompt"]] == one["text"] for one in shown if one["dose"] == 0)


def test_the_effect_is_that_of_the_treatment_made_again(ladder: Subject, done: ConceptOutcome) -> None:
    """Chosen layer and dose, the reported half: rise, divergence, and the two that each verdict rests on."""
    bench = Bench(ladder, warm(), asked(done.run_path.parent), lambda message, share=None: None)
    row = done.result["results"][0]
    stored = Direction.load(done.run_path / "directions/warm.mean_diff.safetensors")
    assert stored.site == SiteId(row["layer"], "resid_post")
    assert stored.provenance["method"] == "mean_diff"
    once = Pushes((Push(stored.site, stored.vector.copy()),))
    assert bench.to_report.scored.rise(once, 1.0).mean() == pytest.approx(row["effect"], abs=1e-4)
    harm = bench.to_report.neutral.harm(once, 1.0)
    assert harm.kl.mean() == pytest.approx(row["kl"], abs=1e-4)
    assert np.exp(harm.loss.mean()) == pytest.approx(row["perplexity_ratio"], abs=1e-3)
    rises = bench.to_report.scored.rise(once, 1.0)
    assert row["wrong_way"] == (rises < 0).mean()
    fakes = [bench.to_report.scored.rise(fake, 1.0).mean() for fake in bench.placebos.of(once)]
    assert len(fakes) == 20
    assert row["nulls"]["random"] == pytest.approx(max(fakes), abs=1e-3)


def vector_of(treatment: Treatment) -> NDArray[np.float32]:
    assert isinstance(treatment, Pushes)
    return treatment.pushes[0].vector


def test_each_behaviour_has_its_own_lots(ladder: Subject) -> None:
    """So that a table over concepts doesn't rest on one draw."""
    benches = [
        Bench(ladder, warm(name=name), SteerRequest(effort="smoke"), lambda message, share=None: None)
        for name in ("warm", "cold", "warm")
    ]
    drawn = [vector_of(make("random", bench.kit, 1)) for bench in benches]
    once = Pushes((Push(SiteId(1, "resid_post"), drawn[0]),))
    placed = [vector_of(bench.placebos.of(once)[0]) for bench in benches]
    for one, other, again in (drawn, placed):
        assert np.array_equal(one, again)
        assert abs(one @ other) < 0.5 * np.linalg.norm(one) * np.linalg.norm(other)


def test_a_stored_direction_steers_as_it_did(ladder: Subject, done: ConceptOutcome, tmp_path: Path) -> None:
    """Its length is the dose times that of the layer, so that this dose of it adds it once."""
    row = done.result["results"][0]
    file = done.run_path / "directions/warm.mean_diff.safetensors"
    request = asked(tmp_path, methods=None, directions=(str(file),), doses=(row["dose"],))
    result = steer(request, subject=ladder, behaviour=warm()).result
    [again] = result["results"]
    assert again["method"] == "@warm.mean_diff"
    for name in ("layer", "dose"):
        assert again[name] == row[name]
    for name in ("effect", "lo", "hi", "kl", "perplexity_ratio", "wrong_way"):
        assert again[name] == pytest.approx(row[name], abs=1e-4), name
    assert again["nulls"] == {"random": pytest.approx(row["nulls"]["random"], abs=1e-4)}
    length = np.linalg.norm(Direction.load(file).vector)
    bench = Bench(ladder, warm(), request, lambda message, share=None: None)
    assert length == pytest.approx(row["dose"] * bench.kit.length(row["layer"]), rel=1e-5)


def test_a_run_that_was_broken_off_goes_on_and_finds_the_same(
    ladder: Subject, done: ConceptOutcome, tmp_path: Path
) -> None:
    def broken(message: str, share: float | None = None) -> None:
        if message == "prompt: choosing layer and dose":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steer(asked(tmp_path), broken, subject=ladder, behaviour=warm())
    [run] = list_runs(tmp_path)
    assert run.state == "incomplete"
    with pytest.raises(RunError, match="is incomplete"):
        open_run(run.path)
    parts = {file.name: file.stat().st_mtime_ns for file in (run.path / "parts").iterdir()}
    assert {"mean_diff.json", "mean_diff-writes.json", "mean_diff-shown.json", "untreated.json"} <= set(parts)
    told: list[str] = []
    again = steer(asked(tmp_path), lambda message, share=None: told.append(message), subject=ladder, behaviour=warm())
    assert again.run_path == run.path
    assert f"taking up {run.id}, which was broken off" in told
    assert again.result["summary"]["taken_up"]
    assert parts.items() <= {file.name: file.stat().st_mtime_ns for file in (run.path / "parts").iterdir()}.items()
    plain = {name: json.loads(json.dumps(without(one.result))) for name, one in (("a", again), ("b", done))}
    assert plain["a"] == plain["b"]
    assert [one.state for one in list_runs(tmp_path)] == ["whole"]
    for name in ("mean_diff", "random"):
        file = f"directions/warm.{name}.safetensors"
        one, other = (Direction.load(path / file) for path in (again.run_path, done.run_path))
        assert (one.sha256, one.provenance) == (other.sha256, other.provenance)
        assert file in json.loads((again.run_path / "done.json").read_text(encoding="utf-8"))["files"]


def test_what_can_not_be_made_is_unscored_and_the_rest_goes_on(ladder: Subject, tmp_path: Path) -> None:
    """Choices, in a chat without a template; one method has nothing to be made of."""
    behaviour = choosy(40)
    few = SiteId(0, "resid_post")
    Direction(few, vector(7)).save(tmp_path / "narrow.safetensors")
    request = asked(
        tmp_path / "runs",
        methods=("actadd", "mean_diff"),
        pad=False,
        layers=(1,),
        directions=(str(tmp_path / "narrow.safetensors"),),
        doses=(0.2, 0.4),
    )
    result = steer(request, subject=ladder, behaviour=behaviour).result
    actadd, mean_diff, narrow = result["results"]
    assert actadd["verdict"] is None
    assert "give two of one length, or let the shorter be padded" in actadd["reason"]
    assert set(actadd) >= KEYS
    assert narrow["reason"] == (
        "the direction at L0.resid_post has 7 entries, and ladder-2-0 has 96 there; take a direction of this model"
    )
    assert mean_diff["layer"] == 1
    assert [at["dose"] for at in mean_diff["curve"]] == [-0.4, -0.2, 0, 0.2, 0.4]
    assert set(mean_diff["nulls"]) == {"random"}
    assert mean_diff["off_target"] == {}
    assert result["summary"]["verdicts"]["unscored"] == 2


def test_every_other_method_runs_whole(ladder: Subject, tmp_path: Path) -> None:
    alike = ("lat", "logistic", "lda")  # made as ccs is
    rest = tuple(name for name in METHODS if name not in (*TRIED, *alike))
    request = asked(tmp_path, methods=rest, layers=(1,), doses=(0.2, 0.6))
    result = steer(request, subject=ladder, behaviour=warm()).result
    rows = {row["method"]: row for row in result["results"]}
    assert list(rows) == list(rest)
    assert all(row["verdict"] is not None for row in rows.values())
    assert all(math.isfinite(row["effect"]) for row in rows.values())
    assert {name for name, row in rows.items() if row["agreement"] is not None} == {"ccs"}
    assert {name for name, row in rows.items() if row["layer"] is None} == {"iti", "few_shot", "lora"}
    assert rows["few_shot"]["slope"] is None
    kept = {file.stem for file in (tmp_path / result["run"] / "directions").iterdir()}
    assert kept - {"warm.iti"} == {f"warm.{name}" for name in ("ccs", "arithmetic", "neuron")}


def test_doses_that_are_asked_for_are_those_of_a_finetune_too(ladder: Subject, tmp_path: Path) -> None:
    request = asked(tmp_path, methods=("lora",), doses=(0.1, 0.3))
    outcome = steer(request, subject=ladder, behaviour=warm())
    [row] = outcome.result["results"]
    assert [at["dose"] for at in row["curve"]] == [-0.3, -0.1, 0, 0.1, 0.3]
    assert set(row["nulls"]) == {"random", "trained on either side"}
    assert row["null_hi"] == pytest.approx(max(row["nulls"].values()))


def test_no_gap_is_undecided_and_breaks_nothing(ladder: Subject, tmp_path: Path) -> None:
    request = asked(tmp_path, experiment="silence", methods=None, layers=(1,))
    outcome = steer(request, subject=ladder, behaviour=warm(loaded=warm().prompts))
    rows = outcome.result["results"]
    assert [row["method"] for row in rows[::2]] == ["mean_diff", "logistic", "random"]
    assert {row["verdict"] for row in rows} == {"undecided"}
    assert {row["silenced"] for row in rows} == {None}
    spec = open_run(outcome.result["run"], tmp_path).spec
    assert spec["resolved"]["methods"] == ["mean_diff", "logistic", "random"]


def refused(request: SteerRequest, **more: Any) -> str:
    with pytest.raises(UsageError) as error:
        steer(request, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_can_not_be_done_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    for change, message in (
        ({"concept": "sentimnet"}, "unknown concept 'sentimnet'; did you mean 'sentiment'?"),
        ({"methods": ("mean_dif",)}, "unknown method 'mean_dif'; did you mean 'mean_diff'?"),
        ({"methods": ("lat", "lat")}, "--methods must name one or more, each once. Got lat, lat."),
        ({"methods": ()}, "--methods must name one or more, each once. Got none."),
        ({"experiment": "rare"}, "unknown experiment of assay steer 'rare'"),
        ({"effort": "smok"}, "unknown effort 'smok'; did you mean 'smoke'?"),
        ({"where": "promt"}, "unknown position 'promt'; did you mean 'prompt'?"),
        ({"position": "first"}, "unknown position 'first'; known: last, mean"),
        ({"layers": ()}, "--layers must name one or more, such as 6,12,18. Got none."),
        ({"doses": ()}, "--doses must be numbers above 0, from the lowest to the highest. Got none."),
        ({"doses": (2.0, 1.0)}, "--doses must be numbers above 0, from the lowest to the highest. Got 2, 1."),
        ({"doses": (1.0, 1.0)}, "--doses must be numbers above 0"),
        ({"doses": (0.0, 1.0)}, "--doses must be numbers above 0"),
        ({"doses": (math.nan,)}, "--doses must be numbers above 0"),
        ({"doses": (1.0, math.inf)}, "--doses must be numbers above 0"),
        ({"kl_cap": 0.0}, "--kl-cap must be above 0. Got 0."),
        ({"kl_cap": math.nan}, "--kl-cap must be above 0. Got nan."),
        ({"seed": -1}, "--seed must be 0 or more, got -1"),
    ):
        request = asked(tmp_path / "runs", **({"model": "no-such-model"} | change))
        assert refused(request).startswith(message), change
    assert not (tmp_path / "runs").exists()


def test_what_the_model_or_the_text_can_not_do_leaves_no_run(ladder: Subject, tmp_path: Path) -> None:
    file = tmp_path / "narrow.safetensors"
    Direction(SiteId(0, "resid_post"), vector(7)).save(file)
    Direction(SiteId(9, "resid_post"), vector(96)).save(tmp_path / "above.safetensors")
    Direction(SiteId(0, "mlp_out"), vector(96)).save(tmp_path / "other.safetensors")
    (tmp_path / "again").mkdir()
    shutil.copy(file, tmp_path / "again" / "narrow.safetensors")
    alone = {"methods": None}

    def directions(*names: str) -> dict[str, Any]:
        return {"directions": tuple(str(tmp_path / name) for name in names)}

    for change, behaviour, message in (
        ({"layers": (0, 2)}, warm(), "ladder-2-0 has layers 0 to 1, and --layers names 2"),
        (alone | directions("narrow.safetensors"), warm(), "the direction at L0.resid_post has 7 entries, and lad"),
        (alone | directions("above.safetensors"), warm(), "unknown site 'L9.resid_post'"),
        (alone | directions("other.safetensors"), warm(), "a direction to steer by must be at resid_post of a lay"),
        (alone | directions("none.safetensors"), warm(), f"can't read {tmp_path}/none.safetensors: No such file"),
        (alone | directions("narrow.txt"), warm(), f"{tmp_path}/narrow.txt must end in .safetensors or .json or .gguf"),
        (directions("narrow.safetensors", "again/narrow.safetensors"), warm(), "--direction names two files narrow"),
        (alone | {"directions": (f"L1.resid_post:@{file}",)}, warm(), f"the direction in {file} is at L0.resid_post, "),
        ({}, warm(more=("sunflowers", "dandelions", "marigolds")), "0 of the 3 words in 'more' of the concept warm"),
        ({}, warm(prompts=("The house",)), "the concept warm has 1 prompts; give at least two, better forty"),
    ):
        found = refused(asked(tmp_path / "runs", **change), subject=ladder, behaviour=behaviour)
        assert found.startswith(message), change
    assert list((tmp_path / "runs").glob("*")) == []


def test_few_prompts_are_undecided(ladder: Subject, tmp_path: Path) -> None:
    request = asked(tmp_path, methods=("mean_diff",), layers=(1,), doses=(0.3,))
    [row] = steer(request, subject=ladder, behaviour=warm(prompts=warm().prompts[:12])).result["results"]
    assert (row["verdict"], row["reason"]) == ("undecided", "6 prompts; 20 are needed")
    assert row["effect"] is not None


def test_a_cap_that_no_dose_keeps_is_undecided_with_the_least(ladder: Subject, tmp_path: Path) -> None:
    request = asked(tmp_path, methods=("mean_diff",), layers=(1,), doses=(0.5, 1.0), kl_cap=1e-6)
    [row] = steer(request, subject=ladder, behaviour=warm()).result["results"]
    assert row["dose"] is None
    assert row["verdict"] == "undecided"
    assert row["reason"].startswith("no dose keeps the KL on neutral text under 1e-06; the least is 0.")
    assert row["kl"] > 0


def test_efforts_have_enough_placebos() -> None:
    assert all(effort.placebos >= 20 and effort.prompts >= 40 for effort in requests.EFFORTS.values())
    request = SteerRequest()
    request.verify()
    assert request.asked_methods == requests.USUAL
    assert SteerRequest(directions=("a.json",)).asked_methods == ()
    assert SteerRequest(directions=("a.json",), methods=("lat",)).asked_methods == ("lat",)
    with pytest.raises(UnknownName):
        SteerRequest(methods=("lad",)).verify()


# Defects


def test_vectors_at_generated_tokens_are_scored_or_refused(ladder: Subject, tmp_path: Path) -> None:
    request = asked(tmp_path, methods=("mean_diff",), layers=(1,), where="generated", doses=(0.4,))
    try:
        [row] = steer(request, subject=ladder, behaviour=warm()).result["results"]
    except UsageError:
        return
    assert row["effect"] != 0
    assert row["kl"] > 0


def test_a_direction_named_as_a_method_is_refused_or_apart(
    ladder: Subject, done: ConceptOutcome, tmp_path: Path
) -> None:
    file = tmp_path / "mean_diff.safetensors"
    shutil.copy(done.run_path / "directions/warm.random.safetensors", file)
    request = asked(tmp_path / "runs", methods=("mean_diff",), directions=(str(file),), doses=(0.4,), layers=(1,))
    try:
        rows = steer(request, subject=ladder, behaviour=warm()).result["results"]
    except UsageError:
        return
    assert rows[0]["effect"] != rows[1]["effect"]


def test_a_direction_may_have_any_name(ladder: Subject, done: ConceptOutcome, tmp_path: Path) -> None:
    file = tmp_path / "untreated.safetensors"
    shutil.copy(done.run_path / "directions/warm.mean_diff.safetensors", file)
    request = asked(tmp_path / "runs", methods=None, directions=(str(file),), doses=(0.4,))
    assert steer(request, subject=ladder, behaviour=warm()).result["results"][0]["effect"] > 0


def test_a_finding_names_a_unit(ladder: Subject, done: ConceptOutcome, tmp_path: Path) -> None:
    file = tmp_path / "my own, of May.safetensors"
    shutil.copy(done.run_path / "directions/warm.mean_diff.safetensors", file)
    request = asked(tmp_path / "runs", methods=None, directions=(str(file),), doses=(0.4,))
    try:
        result = steer(request, subject=ladder, behaviour=warm()).result
    except UsageError:
        return
    for one in result["findings"]:
        assert str(UnitId.parse(one["unit"])) == one["unit"]


def test_a_file_that_can_not_hold_the_direction_does_not_cost_the_run(ladder: Subject, tmp_path: Path) -> None:
    """A control vector has none of layer 0, which is known before anything is measured."""
    place, told = tmp_path / "happy.gguf", list[str]()
    request = asked(tmp_path / "runs", methods=("mean_diff",), layers=(0,), doses=(0.4,), export=str(place))
    try:
        steer(request, lambda message, share=None: told.append(message), subject=ladder, behaviour=warm())
    except UsageError:
        assert not told or list_runs(tmp_path / "runs")
