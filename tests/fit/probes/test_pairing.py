from __future__ import annotations

import numpy as np
import pytest

from assay.errors import FitError
from assay.fit.probes.pairing import pair_groups, pair_rows, random_pairs


@pytest.mark.parametrize(
    "ids",
    [
        np.array(["b", "", "a", "b", "alone", "a", ""]),
        np.array(["b", None, "a", "b", "alone", "a", None], object),
        np.array([7, -1, 0, 7, 9, 0, -1]),
        np.array([7.0, np.nan, 0.0, 7.0, 9.0, 0.0, np.nan]),
    ],
    ids=["words", "objects", "numbers", "floats"],
)
def test_pairs_are_two_rows_of_one_id_in_order(ids):
    assert pair_rows(ids).tolist() == [[0, 3], [2, 5]]
    assert pair_groups(7, ids, None).tolist() == [0, 1, 2, 0, 3, 2, 4]


def test_no_pairs_are_an_empty_list():
    assert pair_rows(np.array(["", "x"])).shape == (0, 2)


def test_random_pairs_use_each_row_once():
    found = random_pairs(9, np.random.default_rng(0))
    assert found.shape == (4, 2)
    assert len(set(found.reshape(-1).tolist())) == 8


def test_a_third_row_of_a_pair_is_refused():
    with pytest.raises(FitError, match="pair 'a' has 3 rows; a contrast pair has two"):
        pair_rows(np.array(["a", "b", "a", "a"]))


def test_groups_are_numbered():
    assert pair_groups(4, None, None).tolist() == [0, 1, 2, 3]
    assert pair_groups(4, np.array([1, 1, 2, 2]), np.array(["x", "x", "a", "a"])).tolist() == [1, 1, 0, 0]
