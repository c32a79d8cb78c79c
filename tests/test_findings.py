"""The pages of findings quote the figures that their scripts wrote."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FINDINGS = ROOT / "docs" / "findings"


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return json.loads((FINDINGS / "every-neuron.json").read_text(encoding="utf-8"))


def test_the_tables_are_those_of_the_runs(found: dict[str, Any]) -> None:
    page = (FINDINGS / "every-neuron.md").read_text(encoding="utf-8")
    tables = script("every_neuron").tables(found)
    assert set(tables) == {"depth", "share", "twin", "floor"}
    for name, table in tables.items():
        assert table in page, name


def test_the_runs_are_of_every_neuron(found: dict[str, Any]) -> None:
    for name in ("whole", "novel"):
        assert found[name]["units"] == 46_080
        assert [row["layer"] for row in found[name]["per_layer"]] == list(range(30))
        assert sum(row["units"] for row in found[name]["by_token_share"]) <= 46_080
    assert sum(row["n_trained"] for row in found["twin"]["overall"] if row["stratum"] != "all") == 46_080
    assert found["whole"]["behaviour_sample"] == 30


def test_readme_quotes_the_mean(found: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [quoted] = re.findall(r"mean r of eight rules over all 46,080 neurons is (\.\d\d)", readme)
    assert quoted == script("every_neuron").figure(found["whole"]["mean_r"])


@pytest.fixture(scope="module")
def joint() -> dict[str, Any]:
    return json.loads((FINDINGS / "joint-replacement.json").read_text(encoding="utf-8"))


def test_the_tables_of_joint_replacement_are_those_of_the_runs(joint: dict[str, Any]) -> None:
    page = (FINDINGS / "joint-replacement.md").read_text(encoding="utf-8")
    for name, table in script("joint_replacement").tables(joint).items():
        assert table in page, name


def test_joint_replacement_is_of_whole_layers_at_every_share(joint: dict[str, Any]) -> None:
    entries = joint["whole"]["entries"]
    layers = sorted({entry["layer"] for entry in entries})
    shares = script("joint_replacement").SHARES
    assert [(e["layer"], e["share"], e["explainer"]) for e in entries] == [
        (layer, share, name) for layer in layers for share in shares for name in ("rules", "lookup")
    ]
    assert {entry["units"] for entry in entries if entry["share"] == 1} == {1536}
    for entry in entries:
        for own in (entry["loss"], entry["kl"]):
            assert (own["recovered"] is None) == (own["unscored"] is not None)
            assert own["recovered"] is None or (own["lo"] < own["recovered"] < own["hi"] and own["null"] >= 0)


def test_the_unit_that_was_left_out_is_the_layers_largest(joint: dict[str, Any]) -> None:
    """Its layer's score with all rules is the one of the run, though it was measured anew."""
    [layer] = re.findall(r"L(\d+)\.", joint["left_out"]["unit"])
    [entry] = script("joint_replacement").at(
        {"entries": [e for e in joint["whole"]["entries"] if e["layer"] == int(layer)]}, "rules", 1.0
    )
    [weights] = [row for row in joint["weighted"] if row["layer"] == int(layer)]
    assert weights["unit"] == joint["left_out"]["unit"]
    assert weights["largest"] == max(row["largest"] for row in joint["weighted"])
    assert joint["left_out"]["rules"]["loss_recovered"] == pytest.approx(entry["loss"]["recovered"], abs=2e-3)
    assert joint["left_out"]["fall"][1] > 0


@pytest.fixture(scope="module")
def behaviour() -> dict[str, Any]:
    return json.loads((FINDINGS / "r-and-behaviour.json").read_text(encoding="utf-8"))


def test_the_tables_of_r_and_behaviour_are_those_of_the_run(behaviour: dict[str, Any]) -> None:
    page = (FINDINGS / "r-and-behaviour.md").read_text(encoding="utf-8")
    for name, table in script("r_and_behaviour").tables(behaviour).items():
        assert table in page, name


def test_r_and_behaviour_is_of_300_units_each_beside_its_noise_arm(behaviour: dict[str, Any]) -> None:
    module = script("r_and_behaviour")
    for name in ("rules", "lookup"):
        own = [row for row in behaviour["rows"] if row["explainer"] == name]
        assert len({row["unit"] for row in own}) == len(own) == behaviour["all"][name]["units"] >= 295
        assert all(row["noise"] is not None and row["lo"] <= row["behaviour"] <= row["hi"] for row in own)
        found = behaviour["all"][name]["surplus"]["value"]
        assert float(np.median(module.surplus(own))) == pytest.approx(found, abs=1e-4)
    assert sum(own["units"] for own in behaviour["by_r"]) <= behaviour["all"]["rules"]["units"]
    assert sum(own["units"] for own in behaviour["by_depth"]) == behaviour["all"]["rules"]["units"]


def test_the_tables_of_the_selftest_are_those_of_its_run() -> None:
    found = json.loads((FINDINGS / "selftest.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/selftest.md").read_text(encoding="utf-8")
    for name, table in script("selftest_page").tables(found).items():
        assert table in page, name
    assert (found["effort"], found["summary"]["units"]) == ("standard", 43)


def test_the_tables_of_weights_and_effects_are_those_of_the_units() -> None:
    found = json.loads((FINDINGS / "weights-and-effects.json").read_text(encoding="utf-8"))
    page = (FINDINGS / "weights-and-effects.md").read_text(encoding="utf-8")
    for name, table in script("weights_and_effects").tables(found).items():
        assert table in page, name


def test_readme_quotes_the_selftest() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found, module = json.loads((FINDINGS / "selftest.json").read_text(encoding="utf-8")), script("selftest_page")
    named = {
        "r, at natural frequency": "r",
        "behaviour": "behaviour",
        "top-and-random r, by tokens": "top_and_random_tokens",
        "detection accuracy, fifty-fifty": "detection_accuracy",
    }
    for title, name in named.items():
        row = found["scores"][name]
        cells = [f"{row['beaten']} of {row['pairs']}"]
        cells += [module.lost(row, change).replace("-", "−") for change in ("missing", "extra")]
        assert f"| {title} | {' | '.join(cells)} | {'passes' if row['passes'] else 'fails'} |" in readme


CONCEPTS = sorted(path.stem for path in (FINDINGS / "concepts").glob("*.json"))


@pytest.mark.parametrize("name", CONCEPTS)
def test_the_pages_of_the_concept_lab_are_those_of_their_runs(name: str) -> None:
    module = script("concept_pages")
    found = json.loads((FINDINGS / "concepts" / f"{name}.json").read_text(encoding="utf-8"))
    page = (FINDINGS / "concepts" / f"{name}.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(module.BEGIN)
    assert rest.partition(module.END)[0].strip() == module.block(found)
    assert (FINDINGS / "concepts" / f"{name}.svg").is_file()
    assert len(before.split()) > 60, "a page says in words what came of it"
    for quoted in re.findall(r"(?<![\d.])\.\d\d(?!\d)", before):
        assert quoted in module.block(found), f"{name} quotes {quoted}, which its run does not have"


def test_every_experiment_of_the_concept_lab_has_a_page() -> None:
    from assay.probe.studies import EXPERIMENTS

    index = (FINDINGS / "concepts" / "README.md").read_text(encoding="utf-8")
    for name in EXPERIMENTS:
        assert name in CONCEPTS
        assert f"({name}.md)" in index


@pytest.fixture(scope="module")
def reports() -> dict[str, Any]:
    return json.loads((FINDINGS / "self-report.json").read_text(encoding="utf-8"))


def test_the_tables_of_self_report_are_those_of_the_runs(reports: dict[str, Any]) -> None:
    page = (FINDINGS / "self-report.md").read_text(encoding="utf-8")
    tables = script("self_report_tables").tables(reports)
    for name, table in tables.items():
        assert table in page, name


def test_no_answer_after_a_question_follows_a_neuron_of_the_last_layer(reports: dict[str, Any]) -> None:
    cells = [cell for cell in reports["cells"] if cell["topology"] == "Q" and cell["layers_left"] == 0]
    told = [cell["causal_slope"] for cell in cells if cell["causal_slope"] is not None]
    assert len(told) >= 30
    assert set(told) == {0}


def test_a_neuron_is_read_on_a_model_that_was_not_planted(reports: dict[str, Any]) -> None:
    read = [cell for cell in reports["cells"] if cell["verdict"] == "reads"]
    assert {cell["model"] for cell in read} >= {"ladder-2-0", "ladder-12-0", "smollm2-135m"}
    for cell in read:
        assert cell["causal_slope"] > cell["specificity"]
        assert cell["relative_slope"] >= 0.5


def test_the_page_of_self_report_counts_as_the_cells_do(reports: dict[str, Any]) -> None:
    page = (FINDINGS / "self-report.md").read_text(encoding="utf-8")
    usual = [cell for cell in reports["cells"] if cell["sentences"] == 1000 and not cell["also"]]
    cells = [
        cell for cell in usual if (cell["topology"], cell["trainable"]) == ("Q", "above") and cell["layers_left"] > 0
    ]
    for regime in ("nat", "int", "int10"):
        own = [cell for cell in cells if cell["regime"] == regime and cell["verdict"] != "unreadable"]
        read = sum(cell["verdict"] == "reads" for cell in own)
        assert f"{read} of {len(own)}" in page, regime


def test_readme_quotes_how_well_natural_values_are_told_and_how_far_answers_follow(reports: dict[str, Any]) -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    module = script("self_report_tables")
    own = [row["int_relative_slope"] for row in reports["matrix"] if row["taught"] == "nat"]
    ladder, default = map(module.bounded, own)
    assert f"the answer follows with {ladder} and {default} of the slope" in readme
    said = reports["said"]
    ranks, bits = ([module.bounded(row[part]) for row in said] for part in ("rank", "bits"))
    text = [module.plain(row["text"]) for row in said]
    told = f"rank correlation {ranks[0]} on the ladder, {ranks[1]} on the default model; {bits[0]} and {bits[1]} bits"
    assert f"({told}, where the text gives {text[0]} and {text[1]})" in readme
    page = (FINDINGS / "self-report.md").read_text(encoding="utf-8")
    assert f"rank correlation {ranks[0]} and {ranks[1]}" in page
    tenfold = [row for row in reports["strata"] if row["regime"] == "int10"]
    assert f"it reads {sum(row['read'] for row in tenfold)} of {sum(row['readable'] for row in tenfold)}," in readme


@pytest.fixture(scope="module")
def steering() -> dict[str, Any]:
    return json.loads((FINDINGS / "steering.json").read_text(encoding="utf-8"))


def test_the_tables_of_steering_are_those_of_the_trials(steering: dict[str, Any]) -> None:
    page = (FINDINGS / "steering.md").read_text(encoding="utf-8")
    tables = script("steering_page").tables(steering)
    assert set(tables) == {"ranks", "effects", "harm", "writes"}
    for name, table in tables.items():
        assert table in page, name


def test_steering_ranks_every_method_on_ten_concepts_or_more(steering: dict[str, Any]) -> None:
    """The mean rank is that of the effects, counted here by how many do better; no claim stands above the cap."""
    from assay.steer.methods import METHODS

    assert set(steering["methods"]) == set(METHODS)
    assert len({concept["concept"] for concept in steering["concepts"]}) >= 10
    places: dict[str, list[float]] = {name: [] for name in METHODS}
    for concept in steering["concepts"]:
        assert {row["method"] for row in concept["results"]} == set(METHODS)
        counted = [row for row in concept["results"] if row["effect"] is not None and row["kl_lo"] <= 0.5]
        for row in counted:
            places[row["method"]].append(1 + sum(other["effect"] > row["effect"] for other in counted))
            assert row["null_hi"] == pytest.approx(max(row["nulls"].values()), abs=1e-4)
            if row["verdict"] == "supported":
                assert row["effect"] > row["null_hi"]
    for name, own in places.items():
        if len(own) == len(steering["concepts"]):
            assert steering["methods"][name]["rank"]["value"] == pytest.approx(np.mean(own), abs=1e-6)
    ranks = [one["rank"]["value"] for one in steering["methods"].values()]
    assert ranks == sorted(ranks)


def test_what_is_told_of_each_method_follows_from_the_trials(steering: dict[str, Any]) -> None:
    again = script("steering_page").over_all(steering["concepts"])
    assert list(again["methods"]) == list(steering["methods"])
    assert again == steering


def test_steering_finds_what_it_set_out_to_find(steering: dict[str, Any]) -> None:
    """Happy minus sad beats its nulls on words that it has not seen, below the cap; a random direction never does."""
    [sentiment] = [concept for concept in steering["concepts"] if concept["concept"] == "sentiment"]
    rows = {row["method"]: row for row in sentiment["results"]}
    for name in ("arithmetic", "mean_diff"):
        assert rows[name]["verdict"] == "supported"
        assert rows[name]["lo"] > rows[name]["null_hi"]
        assert rows[name]["kl"] < 0.5
    for concept in steering["concepts"]:
        assert [row["verdict"] == "supported" for row in concept["results"] if row["method"] == "random"] == [False]


def test_readme_quotes_on_how_many_concepts_a_method_is_supported(steering: dict[str, Any]) -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    counted = {name: steering["methods"][name]["supported"] for name in ("mean_diff", "prompt", "random")}
    assert len(steering["concepts"]) == 10
    names = {0: "none", 10: "all"} | {count: str(count) for count in range(1, 10)}
    told = [names[counted[name]] for name in ("mean_diff", "prompt")]
    sentence = "Over ten concepts the mean difference is supported on {}, a prompt on {}, a random direction that may"
    assert f"{sentence.format(*told)} choose on {names[counted['random']]}" in readme
