"""The experiments, on activations in which what they claim is planted, or is not."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from math import comb
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from assay.errors import UsageError
from assay.probe.bench import Bench
from assay.probe.detecting import Detector
from assay.probe.grounds import SHARES, grounds
from assay.probe.request import EraseRequest, ProbeRequest
from assay.probe.studies import EXPERIMENTS, USUAL, ccs, l2_limit, lat_layers, ood, torn_pairs
from assay.stats.bootstrap import Estimate
from assay.stats.nulls import random_directions
from assay.text.concepts import ConceptData, Item, split_concept
from probe.planted_bench import WIDTH, facts, planted, planted_bench, truth

NUISANCE = 2  # the layer at which the rows of a pair differ mostly by something else


def simple(strength: float = 2.0, groups: int = 100, layers: tuple[int, ...] = (0, 1)) -> Bench:
    """Nothing at layer 0, the concept above."""
    data = facts(groups=groups)
    return planted_bench([data], {("facts", at): planted(data, strength if at else 0.0, at) for at in layers})


def verdicts(found: dict[str, Any]) -> dict[str, str | None]:
    return {one["claim"]: one["verdict"] for one in found["findings"]}


def test_every_experiment_says_what_it_is_and_which_options_it_takes() -> None:
    requests = {"probe": ProbeRequest, "erase": EraseRequest}
    for name, one in {**EXPERIMENTS, **USUAL}.items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert one.about
        assert set(one.options) <= {own.name for own in fields(requests[one.verb])}
        assert ("data" in one.options) <= bool(one.data)


def test_what_is_too_little_to_tear_or_to_leave_out_is_refused_in_one_line() -> None:
    few = planted_bench([facts(groups=4)], {("facts", 1): planted(facts(groups=4), 2.0, 1)})
    with pytest.raises(UsageError, match="facts has 4 groups, and folds need 10; give more groups"):
        torn_pairs.run(few, ProbeRequest(data="facts", layers=(1,)))
    whole = facts(groups=40)
    one = ConceptData(
        "facts", tuple(item._replace(group=f"{item.group} {item.label}") for item in whole.items), "a", "b"
    )
    apart = planted_bench([one], {("facts", 1): planted(one, 2.0, 1)})
    with pytest.raises(UsageError, match="facts has no group of both labels, so that no pair can be torn"):
        torn_pairs.run(apart, ProbeRequest(data="facts", layers=(1,)))


def test_the_share_of_directions_that_match_is_counted_on_the_same_resamples() -> None:
    first = Estimate(0.9, np.array([0.9, 0.8, 1.0]))
    drawn = np.array([[0.89, 0.5], [0.81, 0.79], [0.97, 0.5]])
    share = ccs._matching(first, np.array([0.885, 0.5]), drawn)
    assert share.value == 0.5
    assert share.replicates.tolist() == [0.5, 1.0, 0.0]


def test_an_experiment_of_one_layer_takes_one() -> None:
    with pytest.raises(UsageError, match="about one layer, and --layers names 1, 0"):
        l2_limit.run(simple(), ProbeRequest(data="facts", layers=(1, 0)))


def test_logistic_goes_over_into_the_mean_difference() -> None:
    bench = simple()
    found = l2_limit.run(bench, ProbeRequest(data="facts", layers=(1,))).as_json()
    assert found["title"].endswith("(layer 1)")
    cosines = {row["c"]: row["cosine"] for row in found["results"]}
    assert list(cosines) == sorted(cosines, reverse=True)
    assert cosines[1e-6] > 0.9999
    assert all(b > a - 1e-9 for a, b in zip(list(cosines.values()), list(cosines.values())[1:], strict=False))
    assert set(verdicts(found).values()) == {"supported"}
    at = Detector(bench, grounds(bench, "facts", ()), 1)
    x, labels = at.x - at.x.mean(0), at.grounds.fit.labels
    x /= np.sqrt(np.square(x).mean())
    mean = x[labels == 1].mean(0) - x[labels == 0].mean(0)
    for c in (1.0, 1e-2):
        own = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit(x, labels).coef_[0]
        assert cosines[c] == pytest.approx(own @ mean / np.linalg.norm(own) / np.linalg.norm(mean), abs=1e-4)
    for row in found["results"]:
        assert row["lo"] <= row["cosine"] <= row["hi"] <= 1
        assert row["auroc"] > 0.9
    for one, row in zip(found["findings"], (found["results"][0], found["results"][-1]), strict=True):
        assert one["lo"] == pytest.approx(row["lo"], abs=0.01)
        assert one["hi"] <= 1


def test_the_chance_of_a_cosine_is_that_of_its_dimensions() -> None:
    [chance] = l2_limit.run(simple(), ProbeRequest(data="facts", layers=(1,))).findings[0].nulls.values()
    assert chance == pytest.approx(1.96 / math.sqrt(WIDTH), rel=0.08)


def turned(strength: float) -> Bench:
    data, negated = facts(), facts("neg_facts")
    acts = {("facts", at): planted(data, 2.0 * at, at) for at in (0, 1)}
    acts |= {("neg_facts", at): planted(negated, strength * at, 10 + at) for at in (0, 1)}
    return planted_bench([data, negated], acts)


@pytest.mark.parametrize(("strength", "verdict"), [(-2.0, "supported"), (2.0, "refuted")])
def test_a_negation_is_judged_by_whether_it_turns_over(strength: float, verdict: str) -> None:
    request = ProbeRequest(data="facts", transfer=("neg_facts",), layers=(1,), methods=("mean_diff", "logistic"))
    found = ood.run(turned(strength), request).as_json()
    for method in request.methods or ():
        about = f"{method}, layer 1, fitted on facts"
        assert verdicts(found)[f"{about}: tells facts"] == "supported"
        assert verdicts(found)[f"{about}: turned over on neg_facts (AUROC below .5)"] == verdict
    [row] = [row for row in found["results"] if (row["method"], row["test"]) == ("logistic", "neg_facts")]
    assert (row["auroc"] < 0.05) is (strength < 0)
    nulls = found["findings"][1]["nulls"]
    assert nulls["constant"] == 0.5
    assert 0.2 < nulls["shuffled"] < 0.5
    assert row["verdict"] == verdict  # of the claim that it turns over
    assert found["summary"]["controls"] == {"n": 4, "passed": 0, "void": False}


def test_another_set_needs_its_own_negations() -> None:
    with pytest.raises(UsageError, match=r"^--experiment ood with --data facts needs --transfer"):
        ood.run(simple(), ProbeRequest(data="facts"))


def test_lat_falls_where_pairs_differ_by_something_else() -> None:
    data, rng = facts(), np.random.default_rng(0)
    acts = {("facts", at): planted(data, 2.0, at) for at in range(4)}
    aside = rng.normal(size=WIDTH)
    aside -= aside @ truth() * truth()
    acts["facts", NUISANCE] += (5 * rng.normal(size=(len(data), 1)) * aside / np.linalg.norm(aside)).astype(np.float32)
    found = lat_layers.run(planted_bench([data], acts), ProbeRequest(data="facts")).as_json()
    rows = {(row["method"], row["layer"]): row for row in found["results"]}
    assert set(rows) == {(method, layer) for method in ("mean_diff", "lat") for layer in range(4)}
    assert rows["lat", NUISANCE]["auroc"] < 0.65
    assert rows["mean_diff", NUISANCE]["auroc"] > 0.9
    assert rows["lat", 1]["auroc"] > 0.95
    assert rows["lat", NUISANCE]["below_half"] > 0.1
    assert rows["lat", 1]["below_half"] == 0
    for row in rows.values():
        assert row["p05"] <= row["auroc"] <= row["p95"]
        assert 0 <= row["cosine"] <= 1
    [falls, _] = found["findings"]
    assert falls["claim"].startswith("from layer 1 to 2 LAT falls")
    assert falls["verdict"] == "supported"
    assert falls["value"] == pytest.approx(rows["lat", 1]["auroc"] - rows["lat", NUISANCE]["auroc"])


def test_lat_that_is_steady_is_not_said_to_fall() -> None:
    bench = simple(layers=(0, 1, 2, 3))
    found = lat_layers.run(bench, ProbeRequest(data="facts", layers=(1, 2, 3))).as_json()
    assert "supported" not in verdicts(found).values()
    few = lat_layers.run(bench, ProbeRequest(data="facts", layers=(1, 2)))
    assert few.findings == []
    assert few.notes[-1].startswith("Nothing is judged: ")


def test_torn_pairs_push_scores_down_where_groups_are_remembered() -> None:
    data, rng = facts(), np.random.default_rng(1)
    heavy = 4 * np.repeat(rng.normal(size=(100, WIDTH)), 2, 0) + planted(data, 0.3, 5)
    found = torn_pairs.run(
        planted_bench([data], {("facts", 1): heavy.astype(np.float32)}), ProbeRequest(data="facts", layers=(1,))
    ).as_json()
    said = verdicts(found)
    for method in ("mean_diff", "logistic"):
        assert said[f"{method}, layer 1: tested on torn pairs it scores less than by group"] == "supported"
        assert said[f"{method}, layer 1: torn pairs push even meaningless labels below chance"] == "supported"
    rows = {(row["method"], row["split"]): row for row in found["results"]}
    assert rows["logistic", "row"]["auroc"] < 0.3 < 0.5 < rows["logistic", "group"]["auroc"]
    assert rows["logistic", "row"]["shuffled"] < 0.3
    assert rows["logistic", "group"]["shuffled"] == pytest.approx(0.5, abs=0.08)


def test_pairs_without_anything_in_common_are_not_hurt_by_tearing() -> None:
    found = torn_pairs.run(simple(), ProbeRequest(data="facts", layers=(1,), methods=("mean_diff",))).as_json()
    said = verdicts(found)
    assert said["mean_diff, layer 1: tested on torn pairs it scores less than by group"] != "supported"
    assert said["mean_diff, layer 1: split by group, it tells facts"] == "supported"


def test_intervals_of_torn_pairs_have_the_lots_of_folds_and_shuffles_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the groups' alone."""
    bench = simple(0.0, groups=40)
    bench.size = bench.size._replace(replicates=2000)
    monkeypatch.setattr(torn_pairs, "_REPEATS", 30)
    found = torn_pairs._mean(bench, "facts", 1, "mean_diff", "group", True)
    own, values = torn_pairs.auroc_estimate, list[float]()

    def without_groups(*asked: Any) -> Estimate:
        values.append(own(*asked).value)
        return Estimate(values[-1], np.full(2000, values[-1]))

    monkeypatch.setattr(torn_pairs, "auroc_estimate", without_groups)
    again = torn_pairs._mean(bench, "facts", 1, "mean_diff", "group", True)
    assert len(values) == 60
    assert again.value == found.value == pytest.approx(np.mean(values))
    assert again.replicates.std() == pytest.approx(np.std(values) / math.sqrt(60), rel=0.1)
    assert found.replicates.std() > again.replicates.std()
    assert abs(found.value - 0.5) < 4 * again.replicates.std()


@pytest.mark.parametrize("way", ["row", "group"])
def test_folds_are_of_equal_size_and_keep_names_together(way: str) -> None:
    data = facts()
    what = data.groups if way == "group" else np.arange(len(data))
    folds = torn_pairs._folds(what, np.random.default_rng(0))
    assert np.bincount(folds).tolist() == [len(data) // 5] * 5
    torn = sum(len(set(folds[data.groups == group])) > 1 for group in set(data.groups))
    assert torn == 0 if way == "group" else torn > 60


def test_ccs_is_held_against_random_directions_that_are_folded_too() -> None:
    bench = simple(groups=300)
    found = ccs.run(bench, ProbeRequest(data="facts", layers=(0, 1))).as_json()
    nothing, there, signs = found["results"]
    assert (there["data"], there["layer"]) == ("facts", 1)
    said = verdicts(found)
    assert said["CCS on facts at layer 1 tells more than random directions do"] == "supported"
    assert said["CCS on facts at layer 0 tells more than random directions do"] != "supported"
    assert there["accuracy"] > 0.9
    assert 0.5 <= nothing["accuracy"] < 0.65
    data = facts(groups=300)
    splits = split_concept(data, 0, SHARES)
    x = bench.acts("facts", 1).astype(float)
    own = {(data.pairs[row], data.labels[row]): x[row] for row in splits.test}
    gaps = np.stack([own[pair, 1] - own[pair, 0] for pair in dict.fromkeys(data.pairs[splits.test])])
    right = (gaps @ random_directions(WIDTH, 400, 0).T > 0).mean(0)
    folded = np.maximum(right, 1 - right)
    assert there["n"] == len(gaps)
    assert there["null"] == pytest.approx(np.quantile(folded, 0.95))
    assert there["random_median"] == pytest.approx(np.median(folded))
    assert there["random_best"] == pytest.approx(folded.max())
    learnt = np.concatenate([splits.fit, splits.choose])
    weights = x[learnt][data.labels[learnt] == 1].mean(0) - x[learnt][data.labels[learnt] == 0].mean(0)
    assert there["mean_diff"] == pytest.approx((gaps @ weights > 0).mean())
    assert len(there["recursive"]) == 20
    assert max(there["recursive"]) < there["accuracy"] - 0.1, "one concept is planted, and CCS itself is not among them"
    assert there["matched"] == sum(one >= there["accuracy"] - 0.02 for one in there["recursive"])
    assert there["matched_interval"][0] <= there["matched"] / 20 <= there["matched_interval"][1]
    assert there["matched_by_random"] == pytest.approx((folded >= there["accuracy"] - 0.02).mean())
    [told] = [one for one in found["findings"] if one["n"] == 20 and "facts at layer 1" in one["claim"]]
    assert told["nulls"] == {"random directions": there["matched_by_random"]}

    assert signs["sign_vectors"] == 4096
    assert signs["by_right"] == [comb(12, k) for k in range(13)]
    assert signs["loss_max"] < 1e-6
    assert signs["loss_range"] < 1e-9


def test_sets_without_pairs_are_refused_in_one_line() -> None:
    lonely = ConceptData("lonely", tuple(Item(f"Text {i}.", i % 2, f"g{i}") for i in range(80)), "", "")
    bench = planted_bench([lonely], {("lonely", 1): planted(lonely, 1.0)})
    with pytest.raises(UsageError, match=r"^lonely has no contrast pairs, which CCS needs"):
        ccs.run(bench, ProbeRequest(data="lonely", layers=(1,)))
