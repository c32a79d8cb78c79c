from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.errors import UnknownName
from assay.probe.quirky.cells import CELLS, Cell, draw_cells
from assay.probe.quirky.easy_to_hard import Settings, compare, recovered
from assay.stats.auroc import auroc
from assay.stats.bootstrap import Estimate

KNOWS, SAYS, EMPTY = 0, 1, 2
WIDTH = 6


def planted(part: str, groups: int = 200) -> dict[str, Cell]:
    """Layer 0 holds the truth whoever is asked, layer 1 what is said (and of Bob's items also the truth, elsewhere),
    layer 2 nothing. What is said is the answer."""
    cells: dict[str, Cell] = {}
    for number, (name, sums) in enumerate(draw_cells(part, groups, 0, digits=3).items()):
        rng = np.random.default_rng([number, len(part)])
        noise = [rng.standard_normal((len(sums), WIDTH)) * 0.1 for _ in range(3)]
        noise[KNOWS][:, 0] += sums.truth
        noise[SAYS][:, 1] += sums.said
        noise[SAYS][:, 2] += 0.3 * (sums.truth & sums.bob)
        hidden = {layer: x.astype(np.float32) for layer, x in enumerate(noise)}
        answer = np.where(sums.said, 2.0, -2.0) + rng.standard_normal(len(sums)) * 0.1
        cells[name] = Cell(hidden, answer, sums.truth, sums.quirk, sums.groups)
    return cells


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    settings = Settings(("mean_diff", "logistic"), replicates=200, shuffles=10)
    return compare(planted("probe"), planted("test"), settings)


def one(rows: list[dict], layer: int, method: str = "mean_diff", test: str = "bob hard", label: str = "truth") -> dict:
    (found,) = (
        row for row in rows if (row["layer"], row["method"], row["test"], row["label"]) == (layer, method, test, label)
    )
    return found


@pytest.mark.parametrize("method", ["mean_diff", "logistic"])
def test_a_probe_that_sees_the_truth_recovers_the_gap(rows: list[dict], method: str) -> None:
    row = one(rows, KNOWS, method)
    assert row["auroc"] > 0.99
    assert row["answer_auroc"] == pytest.approx(1 / 3, abs=0.05)
    assert row["pgr"] == pytest.approx(1, abs=0.02)
    assert row["pgr_lo"] <= row["pgr"] <= row["pgr_hi"]
    assert row["pgr_alice"] == pytest.approx(1, abs=0.02)
    assert one(rows, KNOWS, method, label="bob")["auroc"] == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("method", ["mean_diff", "logistic"])
def test_a_probe_that_sees_the_answer_recovers_nothing_and_falls_into_the_trap(rows: list[dict], method: str) -> None:
    row = one(rows, SAYS, method)
    assert row["ceiling"] > 0.98
    assert row["pgr"] == pytest.approx(0, abs=0.1)
    assert row["hi"] < 0.5
    assert one(rows, SAYS, method, "alice hard")["auroc"] > 0.99
    assert one(rows, SAYS, method, label="bob")["auroc"] > 0.99


def test_where_nothing_is_to_be_read_no_gap_is_recovered(rows: list[dict]) -> None:
    row = one(rows, EMPTY)
    assert row["auroc"] == pytest.approx(0.5, abs=0.08)
    assert row["pgr"] is None
    assert row["pgr_lo"] is None
    assert row["pgr_alice"] == pytest.approx((row["auroc"] - 1 / 3) * 1.5, abs=0.1)


def test_rows_have_their_numbers_and_no_others(rows: list[dict]) -> None:
    assert len(rows) == 3 * 2 * len(CELLS) * 2
    assert len({tuple(row) for row in rows}) == 1
    for row in rows:
        assert row["lo"] <= row["auroc"] <= row["hi"]
        assert 0.45 < row["null_hi"] < 0.65
        assert (row["n"], row["groups"], row["train"]) == (800, 200, "alice easy")
        if row["test"].startswith("alice") or row["label"] == "bob":
            assert row["pgr"] is None
            assert row["pgr_alice"] is None
        assert (row["ceiling"] is None) == (row["label"] == "bob")


def test_the_auroc_is_that_of_the_mean_difference(rows: list[dict]) -> None:
    fit, test = planted("probe")["alice easy"], planted("test")["bob easy"]
    x = fit.hidden[SAYS].astype(np.float64)
    weights = x[fit.truth].mean(0) - x[~fit.truth].mean(0)
    expected = auroc(test.hidden[SAYS] @ weights, test.truth.astype(int))
    assert one(rows, SAYS, test="bob easy")["auroc"] == pytest.approx(expected, abs=1e-6)


def test_the_share_of_right_answers_is_the_mean_over_yes_and_no(rows: list[dict]) -> None:
    for name, cell in planted("test").items():
        for label, held in (("truth", cell.truth), ("bob", cell.bob)):
            row = one(rows, SAYS, test=name, label=label)
            says = cell.answer > 0
            assert row["right"] == pytest.approx((says[held].mean() + (~says[~held]).mean()) / 2, abs=1e-9)
            assert row["right_lo"] <= row["right"] <= row["right_hi"]
    assert one(rows, SAYS, test="bob hard")["right"] < 0.5 < one(rows, SAYS, test="bob hard", label="bob")["right"]


def test_bobs_and_alices_items_are_the_same_sums_and_halves_share_none() -> None:
    fit, test = draw_cells("probe", 50, 0), draw_cells("test", 50, 0)
    for cells in (fit, test):
        for level in ("easy", "hard"):
            alice, bob = cells[f"alice {level}"], cells[f"bob {level}"]
            assert (alice.shown == bob.shown).all()
            assert not alice.bob.any()
            assert bob.bob.all()
    assert set(fit["bob hard"].level.tolist()) == {2}
    assert set(fit["alice easy"].level.tolist()) == {1}
    for name in CELLS:
        assert not set(fit[name].groups.tolist()) & set(test[name].groups.tolist())


def test_the_gap_in_closed_form() -> None:
    def estimate(value: float, *drawn: float) -> Estimate:
        replicates: NDArray[np.float64] = np.array(drawn)
        return Estimate(value, replicates)

    found = recovered(estimate(0.7, 0.6, 0.8), estimate(0.3, 0.2, 0.9), estimate(0.8, 1.0, 0.9))
    assert found is not None
    assert found.value == pytest.approx(0.8)
    assert found.replicates[0] == pytest.approx(0.5)
    assert np.isnan(found.replicates[1])
    assert recovered(estimate(0.7, 0.7), estimate(0.8, 0.8), estimate(0.8, 0.8)) is None


def test_an_unknown_cell_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'alice easy'"):
        compare({}, {}, Settings(train=("alice eazy",)))
