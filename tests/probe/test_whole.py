"""Runs of the lab whole, on a small model: what is stored, what is refused, and how a broken one goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.cli.numbers import took
from assay.core.direction import Direction
from assay.core.ids import UnitId
from assay.errors import RunError, UnknownName, UsageError
from assay.findings.carried import ConceptOutcome
from assay.fit.probes import make_probe
from assay.model.reading import read
from assay.probe.bench import Bench
from assay.probe.experiment import probe
from assay.probe.grounds import grounds
from assay.probe.request import ProbeRequest
from assay.probe.studies import ccs
from assay.store import list_runs, open_run
from probe.planted_bench import SMALL, facts, quiet

TOLD = ("l2-limit", "ood", "lat-layers", "torn-pairs", "ccs")


@pytest.fixture(scope="module")
def outcomes(ladder: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, ConceptOutcome]:
    """The usual run and every experiment, small, on a model of two layers."""
    out = str(tmp_path_factory.mktemp("runs"))
    asked: dict[str, Any] = {"effort": "smoke", "items": 60, "model": "ladder-2-0", "dtype": "fp32", "out": out}
    more: dict[str, Any] = {"ccs": {"data": "cities"}}  # one set is enough
    found = {name: probe(ProbeRequest(experiment=name, **asked, **more.get(name, {})), subject=ladder) for name in TOLD}
    usual = ProbeRequest(transfer=("neg_cities",), methods=("mean_diff", "logistic", "lat", "ccs"), **asked)
    return {None: probe(usual, subject=ladder), **found}


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize("name", [None, *TOLD])
def test_it_runs_whole_on_a_small_model(outcomes: dict[str | None, ConceptOutcome], name: str | None) -> None:
    path, result = outcomes[name].run_path, outcomes[name].result
    run = open_run(path)
    assert run.result() == json.loads(json.dumps(result, allow_nan=False))
    assert (result["run"], result["experiment"], run.spec["verb"]) == (path.name, name, "probe")
    found = list(numbers([result["results"], result["tables"], result["panels"]]))
    assert len(found) > 30
    assert all(map(math.isfinite, found))
    assert run.file("figure.svg").read_text(encoding="utf-8").startswith("<svg")
    assert json.loads(run.file("figure.json").read_text(encoding="utf-8"))["vconcat"]
    page = run.file("page.html").read_text(encoding="utf-8")
    assert result["title"] in page
    claims, evidence = run.rows("claims"), run.rows("evidence")
    assert [row["text"] for row in claims] == [one["claim"] for one in result["findings"]]
    scores = [row for row in evidence if row["check"] == "concept"]
    for key in ("value", "lo", "hi", "verdict", "d", "measure", "reason"):
        assert [row[key] for row in scores] == [one[key] for one in result["findings"]], key
    for one in result["findings"]:
        assert not one["unit"] or str(UnitId.parse(one["unit"])) == one["unit"]
    assert set(result["summary"]) == {
        *("verdicts", "controls", "items", "passes", "arithmetic", "seconds", "taken_up", "peak_rss_mb"),
    }
    assert result["summary"]["arithmetic"].startswith("read in float32 (fp32: asked for")
    assert set(result["summary"]["passes"].values()) == {1}


def test_the_spec_says_which_sets_were_read(outcomes: dict[str | None, ConceptOutcome]) -> None:
    spec = open_run(outcomes["ood"].run_path).spec
    assert spec["corpus"]["name"] == "cities, neg_cities, translations"
    assert set(spec["corpus"]["source"]["sets"]) == {"cities", "neg_cities", "translations"}
    assert spec["subject"]["name"] == "ladder-2-0"
    assert spec["resolved"]["size"]["items"] == 60
    assert outcomes["ood"].result["summary"]["items"] == {"cities": 60, "neg_cities": 60, "translations": 60}


def test_stored_directions_give_the_same_scores(ladder: Any, outcomes: dict[str | None, ConceptOutcome]) -> None:
    path, result = outcomes[None].run_path, outcomes[None].result
    bench = Bench(lambda: ladder, ProbeRequest(effort="smoke", items=60).size, 0, "last", quiet)
    apart = grounds(bench, "cities", ("neg_cities",))
    names = sorted(file.stem for file in (path / "directions").iterdir())
    assert names == [f"L{at}.cities.{one}" for at in (0, 1) for one in ("ccs", "lat", "logistic", "mean_diff")]
    for row in result["results"]:
        read_back = Direction.load(path / f"directions/L{row['layer']}.cities.{row['method']}.safetensors")
        ground = apart.tests[row["test"]]
        acts = read(ladder, ground.texts, [read_back.site])[read_back.site]
        said = read_back.value(acts)
        positive, negative = said[ground.labels == 1], said[ground.labels == 0]
        beats = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
        assert row["auroc"] == pytest.approx(beats, abs=2e-3)
        assert row["accuracy"] == pytest.approx(((said > 0) == ground.labels).mean(), abs=0.05)


def test_the_same_request_finds_the_same(
    ladder: Any, outcomes: dict[str | None, ConceptOutcome], tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"effort": "smoke", "items": 60, "model": "ladder-2-0", "dtype": "fp32"}
    again = probe(ProbeRequest(experiment="torn-pairs", out=str(tmp_path), **asked), subject=ladder)
    assert again.result["results"] == outcomes["torn-pairs"].result["results"]
    assert again.result["findings"] == outcomes["torn-pairs"].result["findings"]


def test_an_experiment_that_was_broken_off_goes_on(
    ladder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ccs, "_ORTHOGONAL", 2)
    cells: list[int] = []
    own = ccs._cell

    def counted(bench: Bench, pairs: Any) -> Any:
        if len(cells) == 1:
            raise KeyboardInterrupt
        cells.append(1)
        return own(bench, pairs)

    asked: dict[str, Any] = {"effort": "smoke", "items": 60, "model": "ladder-2-0", "dtype": "fp32"}
    request = ProbeRequest(experiment="ccs", data="cities", out=str(tmp_path), **asked)
    monkeypatch.setattr(ccs, "_cell", counted)
    with pytest.raises(KeyboardInterrupt):
        probe(request, subject=ladder)
    [broken] = list_runs(tmp_path)
    assert broken.state == "incomplete"
    with pytest.raises(RunError, match=r"is incomplete: .*; the same command goes on with it"):
        open_run(broken.path)
    kept = json.loads((broken.path / "parts/cities-L0.json").read_text(encoding="utf-8"))
    monkeypatch.setattr(ccs, "_cell", lambda bench, pairs: cells.append(2) or own(bench, pairs))
    told: list[str] = []
    done = probe(request, lambda message, share=None: told.append(message), subject=ladder)
    assert cells == [1, 2]
    assert f"taking up {broken.id}, which was broken off" in told
    assert [run.state for run in list_runs(tmp_path)] == ["whole"]
    assert done.result["summary"]["taken_up"]
    assert took(done.result["summary"]).endswith(" s since it was taken up")
    first, second, _ = done.result["results"]
    assert (first["layer"], second["layer"]) == (0, 1)
    assert first.items() >= {name: value for name, value in kept.items() if "replicates" not in name}.items()


def test_data_may_be_handed_in(ladder: Any, tmp_path: Path) -> None:
    data = facts(groups=30)
    request = ProbeRequest(data="facts", methods=("mean_diff",), layers=(1,), effort="smoke", out=str(tmp_path))
    result = probe(request, subject=ladder, data=[data]).result
    assert {row["train"] for row in result["results"]} == {"facts"}
    assert result["summary"]["items"] == {"facts": 60}


def test_what_can_not_be_done_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    for asked, message in (
        ({"data": "citties"}, "unknown concept data 'citties'"),
        ({"methods": ("svm",)}, "unknown method 'svm'"),
        ({"methods": ("lat", "lat")}, "--methods must name one or more, each once. Got lat, lat."),
        ({"experiment": "rare"}, "unknown experiment of assay probe 'rare'"),
        ({"effort": "huge"}, "unknown effort 'huge'"),
        ({"position": "first"}, "unknown position 'first'"),
        ({"split": "half"}, "unknown split 'half'"),
        ({"layers": ()}, "--layers must name one or more"),
        ({"items": 5}, "--items must be 20 or more, got 5"),
        ({"seeds": 0}, "--seeds must be 1 or more, got 0"),
        ({"transfer": ("cities", "cities")}, "--transfer must name one or more, each once"),
        ({"seeds": 3}, "assay probe without --experiment takes no --seeds; leave it out. It takes --data, --transfer,"),
        ({"experiment": "ccs", "methods": ("lat",)}, "--experiment ccs takes no --methods; leave it out. It takes"),
        ({"experiment": "l2-limit", "transfer": ("neg_cities",)}, "--experiment l2-limit takes no --transfer"),
        ({"experiment": "easy-to-hard"}, "--experiment easy-to-hard takes no --model; leave it out. It takes --me"),
        ({"transfer": ("neg_cities", "cities")}, "--transfer names cities, which is fitted on; leave it out"),
        ({"experiment": "ood", "transfer": ("cities",)}, "--transfer names cities, which is fitted on; leave it out"),
        ({"data": "requests_benign"}, "requests_benign has texts of one label only, so that nothing can be told apart"),
        ({"experiment": "ccs", "seeds": 10**9}, "--seeds must be 1,000 or fewer, got 1,000,000,000"),
        ({"experiment": "jobs", "data": "cities"}, "--experiment jobs takes no --data; leave it out"),
        ({"experiment": "steganography", "position": "mean"}, "--experiment steganography takes no --position"),
        ({"tear": True}, "--tear says that --split row may tear groups; add --split row"),
    ):
        request = ProbeRequest(**{"model": "no-such-model", "out": str(tmp_path), **asked})
        with pytest.raises((UsageError, UnknownName)) as error:
            probe(request)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_methods_of_the_request_are_those_of_the_registry() -> None:
    request = ProbeRequest(methods=("mean_diff", "lda", "logistic", "lat", "ccs", "ccs_recursive", "random"))
    request.verify()
    assert [make_probe(name).method for name in request.methods or ()] == list(request.methods or ())


def test_an_effort_can_be_changed_in_its_parts() -> None:
    assert ProbeRequest(effort="smoke", items=40, seeds=9).size._replace(nulls=SMALL.nulls) == SMALL._replace(
        items=40, replicates=300, seeds=9
    )
