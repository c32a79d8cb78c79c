from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import synthetic
from assay.cli.relations import next_unit
from assay.store import RunWriter

SAID = {
    "explainer": "rules",
    "explanation": "fires on \x1b[31myears",
    "r": 0.43,
    "r_lo": 0.41,
    "r_hi": 0.45,
    "null": 0.05,
    "verdict": "supported",
    "run": "other",
}


@dataclass(frozen=True)
class Request:
    unit: str
    model: str
    k: int
    tokens: int
    corpus: str
    run: str | None
    dtype: str | None
    device: str | None
    seed: int
    out: str | None


@dataclass(frozen=True)
class Outcome:
    run_path: Path
    result: dict[str, Any]


def row(unit: str, effect: float, chosen_by: tuple[str, ...], **more: Any) -> dict[str, Any]:
    names = ("weights", "cosines", "strength", "net", "first_order", "explanation")
    bounds = {"effect": effect, "effect_lo": effect - 0.01, "effect_hi": effect + 0.01}
    bounds |= {"signed": -effect, "signed_lo": None, "signed_hi": None}
    beside = {"nulls": {"random": 0.02, "other_unit": 0.031}, "beyond": True, "reason": ""}
    return {"unit": unit, "chosen_by": list(chosen_by)} | dict.fromkeys(names) | bounds | beside | more


def result() -> dict[str, Any]:
    agreement = {"layers": "1", "neurons": 1536} | dict.fromkeys(
        f"{name}{end}" for name in ("strength", "net", "slope") for end in ("", "_lo", "_hi")
    )
    agreement |= {"strength": 0.87, "strength_lo": 0.85, "strength_hi": 0.89, "strength_null": 0.04, "net_null": None}
    upstream = {
        "candidates": {"neurons": 18432, "heads": 117},
        "effects": {"median": 0.01, "q99": 0.04, "q999": 0.09},
        "note": None,
        "by_weights": {"inputs": ["gate", "up"], "level": 0.95, "null_best": 1.05, "others_best": 0.342},
        "null_effects": {"other_neurons": 0.015},
        "relations": [
            row("L10.mlp_act:222", 0.391, ("weight-", "effect"), strength=0.707, net=-0.122, explanation=SAID),
            row("L1.head:0", 0.448, ("head",), beyond=False),
            row("L3.mlp_act:5", 0.0004, ("weight+",), beyond=None, reason="10 of 77 documents hold half"),
        ],
        "random": [],
        "agreement": [agreement],
    }
    nothing = {"candidates": {"neurons": 0, "heads": 0}, "effects": dict.fromkeys(("median", "q99", "q999"))}
    nothing |= {"note": "no neuron and no head comes after it", "by_weights": None, "null_effects": {}}
    summary = {"tokens": 7910, "documents": {"fit": 74, "choose": 77}, "passes": 13.0, "seconds": 24.0}
    summary |= {"pass_seconds": 3.0, "peak_rss_mb": 2048.0, "dtype": "float32"}
    return {
        "subject": "synthetic",
        "unit": "L12.mlp_act:667",
        "k": 4,
        "upstream": upstream,
        "downstream": nothing | {"relations": [], "agreement": []},
        "explanation": SAID,
        "summary": summary,
    }


def write(root: Path) -> Path:
    subject = {"name": "synth\x1b[31metic", "fingerprint": "0", "n_layers": 30}
    writer = RunWriter(root, "related", asked={}, resolved={}, subject=subject, corpus={"name": "none"})
    with writer as run:
        run.result({"run": run.id} | result())
    return run.path


@pytest.fixture
def asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Stands in for the experiment: remembers what was asked, and answers with a stored run."""
    requests: list[Request] = []

    def related(request: Request, progress: Callable[..., None]) -> Outcome:
        requests.append(request)
        progress("ablating", 0.5)
        path = write(Path(request.out or root))
        return Outcome(path, json.loads((path / "result.json").read_text()))

    module = ModuleType("assay.explain.related.experiment")
    module.RelatedRequest, module.related = Request, related  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "assay.explain.related.experiment", module)
    return requests


def test_every_option_reaches_the_experiment(assay, asked: list[Request], tmp_path: Path) -> None:
    out = str(tmp_path / "elsewhere")
    assert assay("related", "L1.mlp_act:2").code == 0
    said = assay(
        *("related", "L5.head:3", "--model", "m", "--dtype", "fp32", "--device", "cpu", "--k", "8", "--tokens", "9000"),
        *("--corpus", "c.txt", "--run", "last", "--seed", "7", "--out", out),
    )
    assert asked == [
        Request("L1.mlp_act:2", "smollm2-135m", 4, 8000, "bundled", None, None, None, 0, None),
        Request("L5.head:3", "m", 8, 9000, "c.txt", "last", "fp32", "cpu", 7, out),
    ]
    walk = f"next: assay related L10.mlp_act:222 --model m --corpus c.txt --run last --out {out} "
    assert said.err.splitlines()[-1].startswith(walk)


def test_json_is_the_result_and_nothing_else(assay, asked: list[Request], root: Path) -> None:
    said = assay("related", "L12.mlp_act:667", "--json")
    (run,) = root.iterdir()
    assert json.loads(said.out) == json.loads((run / "result.json").read_text())


def test_a_relation_is_a_line_with_its_null_and_the_sentence_below(assay, asked: list[Request]) -> None:
    lines = assay("related", "L12.mlp_act:667").out.splitlines()
    assert lines[0].startswith("L12.mlp_act:667  of layers 0 to 29, synth[31metic, run ")
    assert lines[1:3] == ["    fires on [31myears", "    rules, r .43 [.41 .45], null .05, supported"]
    assert "upstream: 18,432 neurons and 117 heads" in lines
    start = next(i for i, line in enumerate(lines) if line.startswith("unit "))
    assert lines[start].split() == "unit effect null above signed strength net listed for".split()
    assert lines[start + 1].split() == [
        *("L10.mlp_act:222", ".391", "[.381", ".401]", ".031", "yes", "-.391", ".707", "-.122", "weight-,", "effect")
    ]
    assert lines[start + 2] == "    fires on [31myears"
    assert lines[start + 4].split() == ["L1.head:0", ".448", "[.438", ".458]", ".031", "no", "-.448", "–", "–", "head"]
    assert lines[start + 5].split()[:5] == ["L3.mlp_act:5", ".000", "[-.010", ".010]", ".031"]
    assert lines[start + 1].index("yes") == lines[start + 4].index("no") - 1 == lines[start + 5].index("–") - 2
    out = "\n".join(lines)
    assert (
        "estimated effect of all neurons, on the half that was chosen on: median .010, one of 100 is above .040" in out
    )
    assert "greatest effect that the unit has of random others: other_neurons .015" in out
    assert "greatest strength of random vectors: below 1.050 in 95 of 100, other neurons of the layer .342" in out
    assert "not decided: 10 of 77 documents hold half (L3.mlp_act:5)" in out
    [agreement] = [line for line in lines if "1,536" in line]
    assert agreement.split() == ["1", "1,536", ".87", "[.85", ".89]", ".04", "–", "–", "–"]
    assert "downstream\nno neuron and no head comes after it" in out
    assert lines[-2].startswith(
        "7,910 tokens: chosen on 74 documents, measured on 77 others; 13.0 passes over one half"
    )


def test_a_stored_run_is_shown_again_and_is_never_the_last_one(assay, asked: list[Request], root: Path) -> None:
    said = assay("related", "L12.mlp_act:667")
    (run,) = root.iterdir()
    shown = assay("show", run.name)
    assert (shown.code, shown.out) == (0, said.out)
    assert shown.err.startswith("next: assay related L10.mlp_act:222 ")
    assert json.loads(assay("show", run.name, "--json").out) == json.loads((run / "result.json").read_text())
    assert assay("show").err == f"assay: there is no run in {root} that holds claims; make one with 'assay explain'\n"
    explained = synthetic.write_run(root)
    assert explained.name in assay("show").out
    assert assay("runs").code == 0


@pytest.mark.parametrize("arguments", [("--recompute",), ()])
def test_a_related_run_has_no_verdicts_and_no_units_of_its_own(assay, root: Path, arguments: tuple[str, ...]) -> None:
    run = write(root)
    what = (run.name, *arguments) if arguments else ("L12.mlp_act:667", "--run", run.name)
    said = assay("show", *what)
    assert said.code == 2
    assert "it was made by 'assay related'" in said.err
    assert said.err.count("\n") == 1


def test_one_walks_on_to_the_neuron_with_the_greatest_effect() -> None:
    found = result()
    assert next_unit(found) == "L10.mlp_act:222"
    found["downstream"]["relations"] = [row("L13.mlp_act:9", 0.1, ("effect",)), row("L13.head:2", 0.2, ("head",))]
    assert next_unit(found) == "L13.mlp_act:9"
    found["upstream"]["relations"] = found["downstream"]["relations"] = []
    assert next_unit(found) == "L12.mlp_act:667"
