from __future__ import annotations

from pathlib import Path

import numpy as np
import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.cache import cache_dir
from assay.core.ids import KINDS, SiteId, UnitId, parse_units
from assay.errors import UnknownName, UsageError


def width(site: SiteId) -> int:
    """Three layers of eight neurons."""
    if site.layer >= 3:
        raise UnknownName("site", str(site), ["L0.mlp_act", "L1.mlp_act", "L2.mlp_act"])
    return 8


def units(spec: str, seed: int = 0) -> list[str]:
    return [str(unit) for unit in parse_units(spec, 3, width, seed)]


@settings(deadline=None)
@given(st.integers(0, 999), st.sampled_from(KINDS), st.integers(0, 10**6))
def test_ids_read_back_what_they_write(layer: int, kind: str, index: int) -> None:
    site = SiteId(layer, kind)
    unit = UnitId(site, index)
    assert str(unit) == f"L{layer}.{kind}:{index}"
    assert SiteId.parse(str(site)) == site
    assert UnitId.parse(str(unit)) == unit


@pytest.mark.parametrize("text", ["", "10.mlp_act", "L.mlp_act", "L1", "L1.mlp-act", "L1.mlp_act ", "l1.mlp_act", "L²"])
def test_what_is_not_a_site(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a site; write L<layer>\.<kind>, for example L10\.mlp_act"):
        SiteId.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "L1.mlp_act",
        "L1.mlp_act:",
        "L1.mlp_act:-1",
        "L1.mlp_act:x",
        "L1.mlp_act:1-2",
        "L1.mlp_act:²",
        "L1.mlp_act:" + 5000 * "1",
    ],
)
def test_what_is_not_a_unit(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a unit; write L<layer>\.<kind>:<index>"):
        UnitId.parse(text)


def test_a_kind_that_does_not_exist_is_met_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown site 'mlp_akt'; did you mean 'mlp_act'") as caught:
        UnitId.parse("L1.mlp_akt:3")
    assert caught.value.suggestion == "mlp_act"


def test_one_unit_and_a_range_with_both_ends() -> None:
    assert units("L1.mlp_act:5") == ["L1.mlp_act:5"]
    assert units("L1.mlp_act:5-7") == ["L1.mlp_act:5", "L1.mlp_act:6", "L1.mlp_act:7"]
    assert units("L0.mlp_act:0-7") == [f"L0.mlp_act:{i}" for i in range(8)]


def test_specifications_add_up_in_their_order_without_repeats() -> None:
    assert units("L2.mlp_act:3, L1.mlp_act:1,L2.mlp_act:2-3") == ["L2.mlp_act:3", "L1.mlp_act:1", "L2.mlp_act:2"]


def test_a_random_sample_is_distinct_sorted_and_set_by_the_seed() -> None:
    found = parse_units("L1.mlp_act:random5", 3, width, 0)
    indices = [unit.index for unit in found]
    assert len(set(indices)) == 5
    assert indices == sorted(indices)
    assert found == parse_units("L1.mlp_act:random5", 3, width, 0)
    assert len({tuple(units("L1.mlp_act:random5", seed)) for seed in range(12)}) > 6
    assert units("L1.mlp_act:random8") == [f"L1.mlp_act:{i}" for i in range(8)]


def test_a_random_sample_is_uniform() -> None:
    """Each of 8 units is in half of 400 samples of 4: a binomial with standard deviation 10."""
    counts = np.zeros(8)
    for seed in range(400):
        for unit in parse_units("L1.mlp_act:random4", 3, width, seed):
            counts[unit.index] += 1
    assert np.all(np.abs(counts - 200) < 45)


def test_a_sample_differs_from_site_to_site() -> None:
    samples = [
        [unit.index for unit in parse_units(f"L{layer}.{kind}:random4", 3, width, 0)]
        for layer in range(3)
        for kind in ("mlp_act", "mlp_out")
    ]
    assert len({tuple(sample) for sample in samples}) > 3


@pytest.mark.parametrize(
    ("spec", "layers"),
    [("spread1", [0]), ("spread2", [0, 2]), ("spread3", [0, 1, 2]), ("spread5", [0, 0, 1, 2, 2])],
)
def test_a_spread_goes_from_the_first_layer_to_the_last(spec: str, layers: list[int]) -> None:
    found = parse_units(spec, 3, width, 0)
    assert [unit.site for unit in found] == [SiteId(layer, "mlp_act") for layer in layers]
    assert len(set(found)) == len(layers)
    assert found == parse_units(spec, 3, width, 0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "'' is not a unit; write L10.mlp_act:345, L10.mlp_act:0-63"),
        ("L1.mlp_act", "'L1.mlp_act' is not a unit"),
        ("spread", "'spread' is not a unit"),
        ("L1.mlp_act:x", "'x' is not an index; write a number, a range 0-63 or random64"),
        ("L1.mlp_act:", "'' is not an index"),
        ("L1.mlp_act:3-", "'3-' is not an index"),
        ("L1.mlp_act:8", "is out of range; L1.mlp_act has units 0 to 7"),
        ("L1.mlp_act:0-8", "is out of range; L1.mlp_act has units 0 to 7"),
        ("L1.mlp_act:5-3", "runs backwards; write L1.mlp_act:3-5"),
        ("L1.mlp_act:random0", "asks for 0 units; L1.mlp_act has 8, ask for 1 to 8"),
        ("L1.mlp_act:random9", "asks for 9 units; L1.mlp_act has 8, ask for 1 to 8"),
        ("spread0", "spread0 names no unit; write spread1 or more"),
        ("spread99", "spread99 needs 25 units of L0.mlp_act, which has 8; ask for fewer"),
        ("L9.mlp_act:0", "unknown site 'L9.mlp_act'"),
        ("L1.mlp:0", "unknown site 'mlp'"),
        ("L1.mlp_act:0,,L1.mlp_act:1", "'' is not a unit"),
    ],
)
def test_what_can_not_be_expanded_is_one_clear_line(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_units(spec, 3, width, 0)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "not yet"))
    assert cache_dir() == tmp_path / "not yet"
    assert not cache_dir().exists()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ASSAY_CACHE", "~/kept")
    assert cache_dir() == tmp_path / "kept"


@pytest.mark.parametrize("value", [None, ""])
def test_the_cache_is_the_platform_s_own_place_otherwise(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("ASSAY_CACHE", raising=False)
    if value is not None:
        monkeypatch.setenv("ASSAY_CACHE", value)
    assert cache_dir() == Path(platformdirs.user_cache_dir("assay"))
