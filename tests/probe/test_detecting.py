"""Detection on made-up activations: what is there is found, what is not is not, and nulls are what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from assay.core.ids import SiteId
from assay.errors import FitError, UsageError
from assay.fit.probes import METHODS
from assay.probe.baselines import bag_of_words, lengths
from assay.probe.bench import Bench
from assay.probe.detecting import BASELINES, CONTROLS, NULLS, Cell, Detector, without_activations
from assay.probe.grounds import grounds
from assay.probe.request import ProbeRequest
from assay.probe.studies import detection
from assay.stats.auroc import auroc_estimate
from assay.stats.nulls import oriented, random_directions, shuffled_labels
from assay.text.concepts import ConceptData, Item, split_concept
from probe.planted_bench import SMALL, WIDTH, facts, planted, planted_bench, truth

CONTRACT = ("method", "layer", "train", "test", "auroc", "lo", "hi", "null_hi", "baselines", "verdict")
FLIPPED, OTHER = facts("neg_facts"), facts("other", 60, first=80)
NOTHING, WEAK, STRONG = 0, 1, 2  # layers, by how strongly the concept is planted there


@pytest.fixture(scope="module")
def bench() -> Bench:
    """``neg_facts`` turns the concept over; ``other`` shares 20 of its 60 groups and all their texts with ``facts``."""
    strength = {NOTHING: 0.0, WEAK: 0.4, STRONG: 2.0}
    sets = [facts(ask="{text} Is it so?"), FLIPPED, OTHER]
    acts = {
        (data.name, layer): planted(data, -size if data is FLIPPED else size, seed=10 * place + layer)
        for layer, size in strength.items()
        for place, data in enumerate(sets)
    }
    made = planted_bench(sets, acts)
    made._answers["facts"] = 3.0 * facts().labels + np.arange(len(facts())) % 3
    return made


@pytest.fixture(scope="module")
def found(bench: Bench) -> dict[str, Any]:
    methods = ("mean_diff", "lda", "logistic", "lat", "ccs", "random")
    request = ProbeRequest(
        data="facts", transfer=("neg_facts", "other"), methods=methods, layers=(NOTHING, WEAK, STRONG)
    )
    return detection.run(bench, request).as_json()


def cell_of(bench: Bench, method: str, layer: int, test: str = "facts") -> Cell:
    apart = grounds(bench, "facts", ("neg_facts", "other"))
    cells = Detector(bench, apart, layer).cells(method, without_activations(bench, apart))
    return next(cell for cell in cells if cell.test == test)


def rows_of(found: dict[str, Any], **asked: Any) -> list[dict[str, Any]]:
    return [row for row in found["results"] if all(row[name] == value for name, value in asked.items())]


def test_a_row_has_what_the_contract_names_and_what_explains_it(found: dict[str, Any]) -> None:
    assert len(found["results"]) == 6 * 3 * 3
    for row in found["results"]:
        assert set(row) == {*CONTRACT, "null", "beyond_words", "accuracy", "n", "groups", "reason"}
        assert set(row["baselines"]) == {*BASELINES, *NULLS} - {"constant"}
        assert row["null_hi"] == max(0.5, row["baselines"]["shuffled"], row["baselines"]["random"])
        assert row["lo"] <= row["auroc"] <= row["hi"]
        assert row["train"] == "facts"


@pytest.mark.parametrize("method", ["mean_diff", "lda", "logistic", "lat", "ccs"])
def test_a_planted_direction_is_supported_where_it_stands(found: dict[str, Any], method: str) -> None:
    for test in ("facts", "other"):
        [row] = rows_of(found, method=method, layer=STRONG, test=test)
        assert row["verdict"] == "supported", row
        assert row["auroc"] > 0.95
        assert row["accuracy"] > 0.85
        assert row["beyond_words"] is True
        [row] = rows_of(found, method=method, layer=NOTHING, test=test)
        assert row["verdict"] != "supported"
        assert 0.3 < row["auroc"] < 0.7
        assert row["beyond_words"] is False


@pytest.mark.parametrize("method", ["mean_diff", "lda", "logistic", "lat", "ccs"])
def test_a_concept_that_is_turned_over_is_refuted(found: dict[str, Any], method: str) -> None:
    [row] = rows_of(found, method=method, layer=STRONG, test="neg_facts")
    assert row["verdict"] == "refuted"
    assert row["auroc"] < 0.03


def test_random_directions_are_not_supported_however_they_pose(found: dict[str, Any]) -> None:
    assert not [row for row in rows_of(found, method="random") if row["verdict"] == "supported"]
    assert found["summary"]["controls"] == {"n": 6 * 3 * 3 * CONTROLS, "passed": 0, "void": False}


def test_controls_are_others_for_each_method_and_layer(bench: Bench) -> None:
    drawn = {
        control.value
        for method in ("mean_diff", "lat", "lda")
        for layer in (WEAK, STRONG)
        for control in cell_of(bench, method, layer).controls
    }
    assert len(drawn) == 3 * 2 * CONTROLS


def test_no_group_and_no_text_of_a_test_was_learnt_from(bench: Bench) -> None:
    apart = grounds(bench, "facts", ("neg_facts", "other"))
    splits = split_concept(bench.data("facts"), 0, (0.5, 0.1, 0.4))
    learnt = np.concatenate([splits.fit, splits.choose])
    groups, texts = set(facts().groups[learnt]), {facts().texts[row] for row in learnt}
    assert apart.fit.rows.tolist() == splits.fit.tolist()
    assert apart.tests["facts"].rows.tolist() == splits.test.tolist()
    for name, size in (("facts", 100), ("neg_facts", 100), ("other", 60)):
        ground = apart.tests[name]
        assert ground.data.name == name
        assert not groups & set(ground.groups)
        assert not texts & set(ground.texts)
        assert len(set(ground.groups)) == len(ground.rows) / 2 < size
    own = {f"g{i}" for i in range(100, 140)}  # the groups that only the other set has are all tested
    assert own <= set(apart.tests["other"].groups)
    assert set(apart.tests["neg_facts"].groups) == set(apart.tests["facts"].groups)


def test_a_text_that_was_learnt_is_left_out_of_a_transfer_whatever_its_group() -> None:
    data = facts()
    again = ConceptData("again", tuple(item._replace(group=f"x{item.group}") for item in data.items), "", "")
    spaced = again.items[0]._replace(text=again.items[0].text.replace(" ", "  "))
    again = ConceptData("again", (spaced, *again.items[1:]), "", "")
    acts = {(one.name, 1): planted(one, 1.0) for one in (data, again)}
    apart = grounds(planted_bench([data, again], acts), "facts", ("again",))
    learnt = split_concept(data, 0, (0.5, 0.1, 0.4))
    assert apart.tests["again"].rows.tolist() == learnt.test.tolist()


def test_one_text_in_two_groups_is_refused() -> None:
    data = facts()
    twice = ConceptData("twice", (*data.items, *(i._replace(group=f"x{i.group}", pair="") for i in data.items)), "", "")
    with pytest.raises(UsageError, match=r"twice: the split tears .* texts, so that what was learnt is what is tested"):
        grounds(planted_bench([twice], {("twice", 1): planted(twice, 1.0)}), "twice", ())


def test_a_split_by_row_is_refused_unless_it_is_to_tear(bench: Bench) -> None:
    torn = grounds(bench, "facts", (), "row", True)
    both = set(torn.fit.groups) & set(torn.tests["facts"].groups)
    assert 20 < len(both) < 60
    with pytest.raises(UsageError) as error:
        grounds(bench, "facts", (), "row")
    assert f"by row puts {len(both)} of 100 groups on both sides" in str(error.value)
    assert "add --tear" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_split_by_row_that_tears_nothing_is_a_split() -> None:
    lonely = ConceptData("lonely", tuple(Item(f"Text {i}.", i % 2, f"g{i}") for i in range(80)), "", "")
    apart = grounds(planted_bench([lonely], {("lonely", 1): planted(lonely, 1.0)}), "lonely", (), "row")
    assert len(apart.fit.rows) == 40
    assert len(apart.tests["lonely"].rows) == 32
    assert apart.fit.pairs is None


def test_a_transfer_set_of_which_nothing_is_left_is_refused() -> None:
    data = facts()
    learnt = split_concept(data, 0, (0.5, 0.1, 0.4)).fit
    seen = ConceptData("seen", data.select(learnt).items, "", "")
    bench = planted_bench([data, seen], {("facts", 1): planted(data, 1.0), ("seen", 1): planted(seen, 1.0)})
    with pytest.raises(UsageError, match=r"^seen has 0 items of groups that are not fitted on"):
        grounds(bench, "facts", ("seen",))


def test_the_score_is_the_auroc_with_its_bootstrap_over_groups(bench: Bench) -> None:
    cell, apart = cell_of(bench, "mean_diff", WEAK), grounds(bench, "facts", ())
    x, test = bench.acts("facts", WEAK).astype(float), apart.tests["facts"]
    weights = x[apart.fit.rows][apart.fit.labels == 1].mean(0) - x[apart.fit.rows][apart.fit.labels == 0].mean(0)
    scores = x[test.rows] @ weights
    assert cell.score.value == pytest.approx(roc_auc_score(test.labels, scores))
    expected = auroc_estimate(scores, test.labels, test.groups, SMALL.replicates, 0)
    assert cell.score.interval() == pytest.approx(expected.interval(), abs=1e-3)
    assert (cell.n, cell.groups) == (len(test.rows), len(set(test.groups)))


def test_the_random_null_is_the_95th_percentile_of_directions_signed_where_it_was_fitted(bench: Bench) -> None:
    cell, apart = cell_of(bench, "mean_diff", WEAK), grounds(bench, "facts", ())
    x, test = bench.acts("facts", WEAK).astype(float), apart.tests["facts"]
    drawn = oriented(random_directions(WIDTH, 20, 0), x[apart.fit.rows], apart.fit.labels)
    every = [roc_auc_score(test.labels, x[test.rows] @ one) for one in drawn]
    assert cell.nulls["random"].value == pytest.approx(max(every))  # one more of them exceeds it with a chance of 1/21
    assert (cell.nulls["random"].replicates >= cell.score.replicates.min()).all()
    half = cell.nulls["constant"]
    assert half.value == 0.5
    assert (half.replicates == 0.5).all()


def test_the_shuffled_null_is_fitted_and_tested_on_shuffled_labels(bench: Bench) -> None:
    cell, apart = cell_of(bench, "mean_diff", STRONG), grounds(bench, "facts", ())
    x, fit, test = bench.acts("facts", STRONG).astype(float), apart.fit, apart.tests["facts"]
    learning, testing = np.random.default_rng([0, 1]), np.random.default_rng([0, 2])
    every = []
    for _ in range(20):
        labels = shuffled_labels(fit.labels, fit.groups, learning)
        weights = x[fit.rows][labels == 1].mean(0) - x[fit.rows][labels == 0].mean(0)
        every.append(roc_auc_score(shuffled_labels(test.labels, test.groups, testing), x[test.rows] @ weights))
    assert cell.nulls["shuffled"].value == pytest.approx(max(every))
    assert cell.nulls["shuffled"].value < 0.8  # though the concept is there for the taking


def test_methods_without_labels_are_shuffled_by_their_sign(bench: Bench) -> None:
    detector = Detector(bench, grounds(bench, "facts", ()), STRONG)
    probe = detector.fit("lat")
    weights = detector._shuffled("lat", probe)
    assert weights.shape == (20, WIDTH)
    assert np.abs(weights) == pytest.approx(np.broadcast_to(np.abs(probe.coef_[0]), weights.shape))
    assert 2 < (weights[:, 0] == probe.coef_[0, 0]).sum() < 18


def test_references_are_what_simpler_methods_get_there(bench: Bench) -> None:
    cell, apart = cell_of(bench, "mean_diff", STRONG), grounds(bench, "facts", ())
    fit, test = apart.fit, apart.tests["facts"]
    [words] = bag_of_words(fit.texts, fit.labels, [test.texts])
    [sizes] = lengths(fit.texts, fit.labels, [test.texts])
    x = bench.acts("facts", 0).astype(float)
    low = x[fit.rows][fit.labels == 1].mean(0) - x[fit.rows][fit.labels == 0].mean(0)
    answers = bench.answers("facts")
    assert answers is not None
    expected = {
        "bag_of_words": words,
        "length": sizes,
        "layer_0": x[test.rows] @ low,
        "answer": answers[test.rows],
    }
    assert tuple(expected) == BASELINES
    for name, scores in expected.items():
        one = cell.references[name]
        assert one is not None
        assert one.value == pytest.approx(roc_auc_score(test.labels, scores)), name
    other = cell_of(bench, "mean_diff", STRONG, "other").references
    assert other["answer"] is None  # that set asks nothing
    assert other["layer_0"] is not None
    assert cell_of(bench, "mean_diff", 0).references["layer_0"] is None


def test_layer_0_is_no_reference_where_all_is_one_and_the_same_there() -> None:
    data = facts()
    same = np.ones((len(data), WIDTH), np.float32)
    bench = planted_bench([data], {("facts", 0): same, ("facts", 1): planted(data, 2.0)})
    apart = grounds(bench, "facts", ())
    [cell] = Detector(bench, apart, 1).cells("mean_diff", without_activations(bench, apart))
    assert cell.references["layer_0"] is None


def test_activations_that_do_not_vary_are_one_line() -> None:
    data = facts()
    bench = planted_bench([data], {("facts", layer): np.ones((len(data), WIDTH), np.float32) for layer in (0, 1)})
    for method in METHODS:
        with pytest.raises(FitError, match=r"activations don't vary: all \d+ rows are equal"):
            detection.run(bench, ProbeRequest(data="facts", layers=(1,), methods=(method,)))


def test_words_that_tell_as_much_are_not_beyond_them() -> None:
    told = facts()
    items = tuple(item._replace(text=f"{item.text} {'Yes' if item.label else 'Not'}.") for item in told.items)
    data = ConceptData("facts", items, "", "")
    bench = planted_bench([data], {("facts", layer): planted(data, 2.0, layer) for layer in (0, 1)})
    [row] = detection.run(bench, ProbeRequest(data="facts", layers=(1,), methods=("mean_diff",))).results
    assert row["baselines"]["bag_of_words"] == 1.0
    assert row["baselines"]["length"] < 0.7
    assert row["auroc"] > 0.97
    assert row["beyond_words"] is False


def test_few_groups_are_never_judged() -> None:
    data = facts(groups=30)
    bench = planted_bench([data], {("facts", layer): planted(data, 2.0, layer) for layer in (0, 1)})
    result = detection.run(bench, ProbeRequest(data="facts", layers=(1,), methods=("mean_diff",))).as_json()
    [row] = result["results"]
    assert row["groups"] < 20
    assert (row["verdict"], row["reason"]) == ("undecided", f"{row['groups']} groups; 20 are needed")


@pytest.mark.parametrize("groups", [12, FLIPPED.groups.size // 2])
def test_more_dimensions_than_rows_are_noted(groups: int) -> None:
    data = facts(groups=groups)
    bench = planted_bench([data], {("facts", layer): planted(data, 2.0, layer) for layer in (0, 1)})
    notes = detection.run(bench, ProbeRequest(data="facts", layers=(1,), methods=("mean_diff",))).notes
    told = [note for note in notes if f"rows and {WIDTH} dimensions: any labelling" in note]
    assert bool(told) is (groups == 12)
    assert notes[-1].startswith("The data ask the model nothing")


def test_what_is_fitted_is_kept_as_directions(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {}
    monkeypatch.setattr(bench, "keep_directions", kept.update)
    detection.run(bench, ProbeRequest(data="facts", layers=(STRONG,), methods=("mean_diff", "logistic")))
    assert set(kept) == {"L2.facts.mean_diff", "L2.facts.logistic"}
    detector = Detector(bench, grounds(bench, "facts", ()), STRONG)
    for method in ("mean_diff", "logistic"):
        direction = kept[f"L2.facts.{method}"]
        assert direction.site == SiteId(STRONG, "resid_post")
        assert direction.provenance == {"method": method, "data": "facts"}
        x = bench.acts("facts", STRONG).astype(float)
        assert direction.value(x) == pytest.approx(detector.fit(method).decision_function(x))
    vector = kept["L2.facts.mean_diff"].vector
    assert vector @ truth() / np.linalg.norm(vector) > 0.9


def test_there_is_a_panel_for_each_test(found: dict[str, Any]) -> None:
    panels = {panel["title"]: panel for panel in found["panels"]}
    assert set(panels) == {
        "Fitted on facts, tested on what is held out of it",
        "Fitted on facts, tested on neg_facts",
        "Fitted on facts, tested on other",
    }
    panel = panels["Fitted on facts, tested on neg_facts"]
    [drawn] = [row for row in panel["rows"] if (row["series"], row["x"]) == ("lat", STRONG)]
    [row] = rows_of(found, method="lat", layer=STRONG, test="neg_facts")
    assert (drawn["y"], drawn["lo"], drawn["hi"]) == (row["auroc"], row["lo"], row["hi"])
    strongest = [one["y"] for one in panel["rows"] if (one["series"], one["x"]) == ("strongest null", STRONG)]
    assert strongest == [max(row["null_hi"] for row in rows_of(found, layer=STRONG, test="neg_facts"))]


def test_words_are_counted_with_their_neighbours() -> None:
    texts = ["not so good", "so not good"] * 20 + ["good", "bad"] * 4
    labels = np.array([1, 0] * 24)
    [scores, alone] = bag_of_words(texts, labels, [["not so good", "so not good"], ["good", "bad"]])
    assert scores[0] > 0.5 > -0.5 > scores[1]  # the words are the same; their order is not
    assert alone[0] > alone[1]


def test_length_has_the_sign_of_what_was_learnt() -> None:
    labels = np.array([1, 0, 1, 0])
    texts = ["a", "aaaa", "aa", "aaaaa"]
    [short] = lengths(texts, labels, [["aaa", "a"]])
    assert short.tolist() == [-3.0, -1.0]
    [long] = lengths(texts, 1 - labels, [["aaa", "a"]])
    assert long.tolist() == [3.0, 1.0]
