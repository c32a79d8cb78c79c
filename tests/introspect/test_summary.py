"""What cells come to: k*, how sure it is, and the neurons that are decoded and not said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from assay.introspect.summary import summarise

WAY = "m Q int above"
BASELINES = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")


def cell(left: int, verdict: str, plateau: bool = True, **other: Any) -> dict[str, Any]:
    own = {"model": "m", "topology": "Q", "regime": "int", "trainable": "above", "layer": 9 - left}
    scores = {"bits": 1.0, "relative_slope": 0.7, "spearman": 0.5, "baselines": dict.fromkeys(BASELINES)}
    return own | scores | {"layers_left": left, "verdict": verdict, "plateau": plateau} | other


def cells(*layers: tuple[int, str]) -> list[dict[str, Any]]:
    words = {"r": "reads", "f": "fails", "u": "unreadable", "n": "undertrained"}
    return [cell(left, words[letter]) for left, letters in layers for letter in letters]


@pytest.mark.parametrize(
    ("layers", "k"),
    [
        ([(0, "fff"), (1, "rrf"), (4, "rrr")], 1),
        ([(0, "rrr"), (1, "fff"), (4, "rrr")], 4),  # all greater ones, too
        ([(0, "rrr"), (1, "rrr"), (4, "ffr")], None),
        ([(0, "fff"), (1, "rf"), (4, "ruu")], 1),  # half is enough; nobody could read the others
        ([(0, "fff"), (1, "uuu"), (4, "rrr")], 4),  # where nothing could be read nothing is shown
    ],
)
def test_k_star_is_the_fewest_layers_from_which_on_the_median_neuron_is_read(
    layers: Sequence[tuple[int, str]], k: int | None
) -> None:
    found = summarise(cells(*layers))
    assert found["k_star"] == {WAY: k}


def test_the_shares_of_k_star_are_those_of_neurons_drawn_again() -> None:
    sure = summarise(cells((0, "fff"), (1, "rrr"), (4, "rrr")))["summary"]["k_star_shares"][WAY]
    assert sure == {"1": 1.0}
    found = summarise(cells((0, "fff"), (1, "rrf"), (4, "rrr")))["summary"]["k_star_shares"][WAY]
    assert set(found) == {"1", "4"}
    assert found["1"] == pytest.approx(20 / 27, abs=0.03)  # at least two of three draws fall on the two that are read
    assert sum(found.values()) == pytest.approx(1)
    none = summarise(cells((0, "f"), (4, "f")))["summary"]["k_star_shares"][WAY]
    assert none == {"none": 1.0}


def test_the_headline_counts_readable_neurons_after_a_plateau() -> None:
    own = [*cells((4, "rfun")), cell(4, "fails", plateau=False)]
    found = summarise(own)["summary"]
    assert found["decoded_not_said"][WAY] == {
        **{"readable": 4, "after_plateau": 3, "read": 1, "not_read": 2, "failed": 1}
    }
    assert found["verdicts"] == {"reads": 1, "unreadable": 1, "fails": 2, "undertrained": 1}


def test_curves_are_means_over_neurons_and_leave_out_slopes_that_nobody_could_have() -> None:
    own = [cell(4, "reads", bits=2.0), cell(4, "fails", bits=0.5, relative_slope=0.1), cell(4, "unreadable", bits=0.2)]
    own[0]["baselines"] = dict.fromkeys(BASELINES) | {"text": 0.4}
    [row] = summarise(own)["summary"]["curves"][WAY]
    assert (row["bits"], row["relative_slope"], row["text"], row["blind"]) == (0.9, 0.4, 0.4, None)
    assert row["bits_lo"] < 0.9 < row["bits_hi"]
    assert row["relative_slope_lo"] is None  # of two neurons
