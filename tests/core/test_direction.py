"""Directions: their arithmetic, their files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save_file

from assay.core.direction import Direction, read_directions
from assay.core.ids import SiteId, UnitId, parse_units
from assay.errors import StorageError, UnknownName, UsageError

SITE = SiteId(10, "resid_post")
H = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def make(
    values: Any = (1.0, -2.0, 0.5, 0.0), offset: float = 0.25, scale: float = 3.0, site: SiteId = SITE
) -> Direction:
    return Direction(site, np.array(values, np.float32), offset, scale, {"from": "a test"})


def test_its_value_is_its_formula() -> None:
    happy = make()
    assert happy.value(np.array([1.0, 1.0, 2.0, 9.0])) == pytest.approx(3.0 * (1 - 2 + 1 - 0.25))
    assert happy.value(H).shape == (5,)


vectors = arrays(np.float32, 4, elements=st.floats(-4, 4, width=32)).filter(lambda v: bool((np.abs(v) > 0.01).any()))
numbers = st.floats(-3, 3).filter(lambda x: abs(x) > 0.01)


@settings(deadline=None)
@given(vectors, vectors, numbers, numbers, numbers)
def test_arithmetic_is_that_of_the_values(v: Any, w: Any, scale: float, offset: float, factor: float) -> None:
    a, b = make(v, offset, scale), make(w, -offset, 2.0)
    combined = [(factor * a, factor * a.value(H)), (a * factor, factor * a.value(H)), (-a, -a.value(H))]
    if np.abs(scale * v.astype(float) + 2.0 * w).max() > 1e-3:
        combined.append((a + b, a.value(H) + b.value(H)))
    if np.abs(scale * v.astype(float) - 2.0 * w).max() > 1e-3:
        combined.append((a - b, a.value(H) - b.value(H)))
    for made, value in combined:
        assert made.scale == 1
        np.testing.assert_allclose(made.value(H), value, rtol=1e-5, atol=1e-4)


def test_what_was_combined_is_said() -> None:
    a, b = make(), make((0, 0, 1, 0))
    assert (a - b).provenance == {"made": f"{a.sha256[:12]} - {b.sha256[:12]}"}
    assert (2 * a).provenance == {"made": f"2 * {a.sha256[:12]}"}


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_file_gives_back_what_was_saved(suffix: str, tmp_path: Path) -> None:
    happy = make(np.random.default_rng(1).standard_normal(64), 0.1, 1 / 3)
    path = tmp_path / f"happy{suffix}"
    happy.save(path)
    again = Direction.load(path)
    assert np.array_equal(again.vector, happy.vector)
    assert (again.site, again.offset, again.scale) == (SITE, 0.1, 1 / 3)
    assert again.provenance == {"from": "a test"}
    assert again.describe() == happy.describe()
    assert happy.describe() == {"sha256": happy.sha256, "offset": 0.1, "scale": 1 / 3, "provenance": {"from": "a test"}}
    assert list(tmp_path.iterdir()) == [path]


def test_the_hash_is_of_everything_that_decides_the_value() -> None:
    other = SiteId(9, "resid_post")
    all_of_them = [make(), make(offset=0.5), make(scale=2.0), make((1, -2, 0.5, 1)), make(site=other)]
    assert len({direction.sha256 for direction in all_of_them}) == 5


def test_the_vector_is_its_own_and_stays() -> None:
    given_vector = np.ones(4, np.float32)
    happy = Direction(SITE, given_vector)
    given_vector[0] = 7
    assert happy.vector[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        happy.vector[0] = 7


def test_a_foreign_file_with_one_vector_takes_the_site_that_is_given(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file({"steering": np.array([1, 2], np.float16)}, path)
    loaded = Direction.load(path, SITE)
    assert (loaded.site, loaded.vector.tolist(), loaded.offset, loaded.scale) == (SITE, [1, 2], 0, 1)
    with pytest.raises(UsageError, match="does not say at which site its vector is; give the site"):
        Direction.load(path)


@pytest.mark.parametrize(
    ("vector", "offset", "scale", "message"),
    [
        ([0, 0], 0.0, 1.0, "one that is not 0"),
        ([[1, 2]], 0.0, 1.0, "must have one axis"),
        ([1, np.nan], 0.0, 1.0, "finite entries"),
        ([1, 2], np.inf, 1.0, "offset and scale must be finite, scale not 0. Got inf and 1.0"),
        ([1, 2], 0.0, 0.0, "scale not 0"),
    ],
)
def test_what_is_no_direction(vector: Any, offset: float, scale: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Direction(SITE, np.array(vector, np.float32), offset, scale)


def test_only_directions_of_one_site_are_combined() -> None:
    with pytest.raises(UsageError, match=r"directions at L10.resid_post and L9.resid_post can't be combined"):
        make() + make(site=SiteId(9, "resid_post"))
    with pytest.raises(UsageError, match="directions of 4 and 2 entries can't be combined"):
        make() - make((1, 2))


def test_files_that_hold_no_direction(tmp_path: Path) -> None:
    broken, empty, two = (tmp_path / name for name in ("broken.json", "empty.json", "two.safetensors"))
    broken.write_text("{")
    empty.write_text("[]")
    save_file({"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}, two)
    (tmp_path / "short.safetensors").write_bytes(b"short")
    (tmp_path / "text.json").write_text(json.dumps({"site": "L1.resid_post", "vector": "x"}))
    for path in (broken, empty, two, tmp_path / "short.safetensors", tmp_path / "text.json"):
        with pytest.raises(UsageError, match=f"{path.name} holds no direction") as caught:
            Direction.load(path)
        assert "\n" not in str(caught.value)
    for name in ("none.json", "none.safetensors"):
        with pytest.raises(UsageError, match=rf"can't read .*{name}"):
            Direction.load(tmp_path / name)
    for action in (Direction.load, make().save):
        with pytest.raises(UsageError, match=r"must end in \.safetensors or \.json"):
            action(tmp_path / "happy.bin")
    with pytest.raises(StorageError, match="can't write"):
        make().save(tmp_path / "nowhere" / "happy.json")


def test_a_file_is_a_unit_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "happy.json"
    make().save(path)
    spec = f"L10.mlp_act:3, L10.resid_post:@{path}"
    assert parse_units(spec, 12, lambda site: 8, 0) == [
        UnitId(SiteId(10, "mlp_act"), 3),
        UnitId(SITE, "@happy"),
    ]
    unit = UnitId(SITE, "@happy")
    assert (str(unit), unit.number, UnitId.parse(str(unit))) == ("L10.resid_post:@happy", -1, unit)
    found = read_directions(spec)
    assert list(found) == [unit]
    assert found[unit].sha256 == make().sha256


def test_directions_that_can_not_be_units(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    make().save(tmp_path / "happy.json")
    make(scale=1.0).save(tmp_path / "other" / "happy.json")
    with pytest.raises(UsageError, match=r"two files give L10.resid_post:@happy, and they differ; rename one"):
        read_directions(f"L10.resid_post:@{tmp_path}/happy.json,L10.resid_post:@{tmp_path}/other/happy.json")
    with pytest.raises(UsageError, match=r"is at L10.resid_post, not at L9.resid_post"):
        read_directions(f"L9.resid_post:@{tmp_path}/happy.json")
    with pytest.raises(UsageError, match=r"'very happy.json' can't name a direction"):
        read_directions("L9.resid_post:@very happy.json")
    with pytest.raises(UnknownName, match="unknown site 'residual'"):
        read_directions("L9.residual:@happy.json")
    with pytest.raises(UsageError, match="can't name a direction"):
        parse_units("L9.resid_post:@", 12, lambda site: 8, 0)
