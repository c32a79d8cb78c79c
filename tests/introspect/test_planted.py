"""The verdicts on models whose answers were planted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assay.introspect.baselines import Told, at_best
from assay.introspect.ground import Ground
from assay.introspect.group import Course, Heard, Learnt, Trial, course, doses_drawn, hear
from assay.introspect.layer import Asked, Others, study_layer
from assay.introspect.neurons import Neuron, measured
from assay.introspect.training import Plan
from assay.introspect.verdicts import Thresholds
from assay.testing.planted_reports import KINDS, UNIT, planted_teacher

LIMITS = Thresholds()


def quiet(message: str, share: float | None = None) -> None:
    pass


def neuron_of(ground: Ground) -> Neuron:
    return measured(UNIT, "planted", ground.fit.values[1][:, 0], 1.0)


def study(ground: Ground, kind: str, regimes: tuple[str, ...] = ("nat", "int")) -> list[dict[str, Any]]:
    """The cells of one reporter beside a sibling that guesses."""
    sibling = replace(ground)
    honest, guessing = planted_teacher(kind), planted_teacher("guesser")

    def teacher(lessons: Course, progress: Any) -> Learnt:
        return (guessing if lessons.ground is sibling else honest)(lessons, progress)

    asked = Asked("Q", "rows", regimes, (400, 800), 2, 0, Plan(), LIMITS)
    cells, _ = study_layer(ground, Others(None, sibling, True), [neuron_of(ground)], asked, quiet, teacher)
    return cells


@pytest.fixture(scope="module")
def cells(grounds: dict[str, Ground]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {
        (topology, kind, cell["regime"]): cell
        for topology, ground in grounds.items()
        for kind in KINDS
        for cell in study(ground, kind)
    }


@pytest.mark.parametrize("topology", ["S", "Q"])
def test_reader_recomputer_and_guesser_are_told_apart(
    cells: dict[tuple[str, str, str], dict[str, Any]], topology: str
) -> None:
    verdicts = {kind: cells[topology, kind, "nat"]["verdict"] for kind in KINDS}
    assert verdicts == {"reader": "reads", "recomputer": "recomputes", "guesser": "infers from text"}
    assert cells[topology, "reader", "nat"]["relative_slope"] >= 0.9
    assert cells[topology, "reader", "nat"]["causal_slope"] > 2 * cells[topology, "reader", "nat"]["specificity"]
    for kind in ("recomputer", "guesser"):
        assert abs(cells[topology, kind, "nat"]["relative_slope"]) <= 0.05


@pytest.mark.parametrize("topology", ["S", "Q"])
def test_bits_tell_reader_and_recomputer_from_guesser_and_from_nothing_learnt(
    cells: dict[tuple[str, str, str], dict[str, Any]], topology: str
) -> None:
    """Accuracy can't tell reading from recomputing, which is why patches are needed."""
    own = {kind: cells[topology, kind, "nat"] for kind in KINDS}
    assert own["reader"]["bits"] == pytest.approx(own["recomputer"]["bits"], abs=0.2)
    assert own["reader"]["bits"] > 2.2
    assert 0.1 < own["guesser"]["bits"] < 1
    # it says the same, and may have been calibrated on top
    assert -1e-6 < own["guesser"]["baselines"]["other_model"] - own["guesser"]["bits"] < 0.1
    assert abs(own["reader"]["baselines"]["shuffled"]) < 0.05
    assert own["reader"]["digit_mass"] > 0.999
    assert own["reader"]["baselines"]["probe_before"] > 1.5
    assert own["reader"]["baselines"]["text"] < 1


@pytest.mark.parametrize("topology", ["S", "Q"])
def test_where_the_neuron_is_patched_only_the_reader_is_worth_anything(
    cells: dict[tuple[str, str, str], dict[str, Any]], topology: str
) -> None:
    assert cells[topology, "reader", "int"]["verdict"] == "reads"
    assert cells[topology, "reader", "int"]["bits"] > 2
    assert cells[topology, "recomputer", "int"]["bits"] < 0
    assert cells[topology, "guesser", "int"]["verdict"] == "fails"
    tests = cells[topology, "reader", "nat"]["tests"]
    assert tests["swap"]["bits"] > 2
    assert tests["int"]["optimal_r2"] == cells[topology, "reader", "int"]["optimal_r2"]
    assert tests["int"]["relative_slope"] == pytest.approx(cells[topology, "reader", "nat"]["relative_slope"])
    assert tests["int10"]["r2"] > 0.5  # far off the scale that was taught, and still in order
    assert cells[topology, "recomputer", "nat"]["tests"]["swap"]["bits"] < 0


def test_the_gap_to_the_probe_is_closed_by_reader_and_recomputer(
    cells: dict[tuple[str, str, str], dict[str, Any]],
) -> None:
    assert cells["Q", "reader", "nat"]["gap_closed"] > 1  # digits are told better than by a calibrated line
    assert cells["Q", "guesser", "nat"]["gap_closed"] < 0.3
    row = cells["Q", "reader", "nat"]
    text, probe = (row["baselines"][name] for name in ("text", "probe_after"))
    assert row["gap_closed"] == pytest.approx((row["bits"] - text) / (probe - text), abs=0.02)


def test_without_a_sibling_recomputing_and_inferring_are_one(grounds: dict[str, Ground]) -> None:
    asked = Asked("Q", "rows", ("nat",), (400, 800), 2, 0, Plan(), LIMITS)
    for kind in ("recomputer", "guesser"):
        (cell,), _ = study_layer(
            grounds["Q"], Others(None, None, False), [neuron_of(grounds["Q"])], asked, quiet, planted_teacher(kind)
        )
        assert cell["verdict"] == "recomputes or infers"
        assert cell["baselines"]["other_model"] is None


def test_a_reporter_that_is_trained_finds_the_neuron(grounds: dict[str, Ground]) -> None:
    """Rows learnt by gradient from patches: what nobody planted reads like what was."""
    ground = grounds["Q"]
    neuron = neuron_of(ground)
    asked = Asked("Q", "rows", ("int",), (800,), 2, 0, Plan(patched_epochs=6, rows_rate=2e-2), LIMITS)
    (cell,), packed = study_layer(ground, Others(None, None, False), [neuron], asked, quiet)
    assert cell["verdict"] == "reads"
    assert cell["relative_slope"] > 0.6
    assert cell["bits"] > 0.4
    assert set(packed.arrays) >= {"right", "documents", "put_in.int", "heard.int.800.logs.int", "optimum.int"}


def test_a_neuron_that_nobody_could_read_is_not_taught_from_patches(grounds: dict[str, Ground]) -> None:
    """Where the least R² is out of reach; from natural values it is taught as ever."""
    ground = grounds["S"]
    strict = LIMITS._replace(readable=2.0)
    taught: list[tuple[str, int]] = []
    honest = planted_teacher("reader")

    def teacher(lessons: Course, progress: Any) -> Learnt:
        taught.append((lessons.trial.regime, lessons.trial.size))
        return honest(lessons, progress)

    asked = Asked("S", "rows", ("nat", "int"), (400, 800), 2, 0, Plan(), strict)
    (natural, patched), packed = study_layer(
        ground, Others(None, None, False), [neuron_of(ground)], asked, quiet, teacher
    )
    assert ("int", 800) not in taught
    assert ("nat", 800) in taught
    assert natural["verdict"] == patched["verdict"] == "unreadable"
    assert natural["bits"] > 2
    assert patched["bits"] is None
    assert patched["reason"].endswith("on the choose split; not taught")
    assert patched["optimal_r2"] > 0.9
    assert set(patched) == set(natural)
    assert "heard.int.800.logs.int" not in packed.arrays


def test_which_neurons_are_taught_is_not_chosen_on_the_test_split(grounds: dict[str, Ground]) -> None:
    """Of this test split nothing can be read, and who is readable on the choose split is taught all the same."""
    ground = grounds["S"]
    noise = np.random.default_rng(0).normal(size=ground.test.stops[2].shape).astype(np.float32) * 1e4
    blurred = replace(ground, test=replace(ground.test, stops=ground.test.stops | {2: noise}))
    asked = Asked("S", "rows", ("int",), (400, 800), 2, 0, Plan(), LIMITS)
    (cell,), _ = study_layer(
        blurred, Others(None, None, False), [neuron_of(ground)], asked, quiet, planted_teacher("reader")
    )
    assert cell["optimal_r2"] < 0
    assert cell["verdict"] == "unreadable"
    assert cell["bits"] > 2


def test_what_one_reporter_says_is_put_where_its_neurons_are() -> None:
    logs = np.random.default_rng(0).normal(size=(1, 5, 2, 10))
    heard = Heard({"nat": logs}, logs[0], np.array([1.0, 2.0]), np.array([[0.1], [0.2]]))
    found = heard.placed([0, 2], 3)
    assert np.array_equal(found.logs["nat"][:, :, [0, 2]], logs)
    assert np.isnan(found.logs["nat"][:, :, 1]).all()
    assert found.choose_bits[2] == 2.0
    assert np.isnan(found.choose_bits[1])
    assert found.controls is not None
    assert np.array_equal(found.controls[[0, 2]], [[0.1], [0.2]])


def test_what_is_asked_of_the_test_split_is_the_same_for_everyone(grounds: dict[str, Ground]) -> None:
    ground = grounds["S"]
    neuron = neuron_of(ground)
    values = ground.values([UNIT])
    first, second = (doses_drawn({"int": 2}, [neuron], values.test, 0)["int"] for _ in range(2))
    assert all(np.array_equal(a.change, b.change) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0].digits, first[1].digits)
    lessons = course(ground, [neuron], Trial("rows", "nat", 800), Plan(), 0)
    learnt = planted_teacher("reader")(lessons, quiet)
    one, two = (hear(lessons, learnt, {"int": first}).logs["int"] for _ in range(2))
    assert np.array_equal(one, two)


def test_a_null_that_is_badly_calibrated_is_given_its_best() -> None:
    """Far too sure, it is worth less than nothing as it is; one that is calibrated already stays as it is."""
    rng = np.random.default_rng(0)
    right = rng.integers(0, 10, (2, 600, 2))
    near = -np.square(np.arange(10.0) - right[..., None] - rng.normal(0, 2, right.shape)[..., None]) / 2
    sure = near * 9
    logs = np.stack([near[..., 0, :] / 4, sure[..., 1, :]], 2)
    logs -= np.log(np.exp(logs).sum(-1, keepdims=True))
    said = Told(logs[0], logs[1])
    best = at_best(said, right[0])

    def bits(told: Told) -> np.ndarray:
        return np.log2(10) + np.take_along_axis(told.test, right[1][..., None], -1)[..., 0].mean(0) / np.log(2)

    before, after = bits(said), bits(best)
    assert before[1] < -1 < 0.5 < after[1]
    assert after[0] >= before[0] - 0.02
    assert after[0] == pytest.approx(after[1], abs=0.15)
