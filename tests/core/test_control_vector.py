"""Directions as GGUF control vectors: both ways, and what is refused."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.control_vector import load_control_vector, save_control_vector
from assay.core.direction import Direction, read_directions
from assay.core.ids import SiteId, UnitId, parse_units
from assay.errors import StorageError, UsageError

H = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def at(layer: int, kind: str = "resid_post") -> SiteId:
    return SiteId(layer, kind)


def make(layer: int = 10, seed: int = 1, offset: float = 0.0, scale: float = 1.0, width: int = 4) -> Direction:
    vector = np.random.default_rng(seed).standard_normal(width).astype(np.float32)
    return Direction(at(layer), vector, offset, scale, {"from": "a test"})


def write_raw(
    path: Path, tensors: dict[str, Any], architecture: str = "controlvector", hint: str = "mistral", own: str = ""
) -> Path:
    """As repeng's export does: hint, number of layers, tensors in the order given."""
    writer = GGUFWriter(path, architecture)
    writer.add_string(f"{architecture}.model_hint", hint)
    writer.add_uint32(f"{architecture}.layer_count", len(tensors))
    writer.add_string("assay.directions", own)
    for name, values in tensors.items():
        writer.add_tensor(name, np.asarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    saved, path = [make(27, 1), make(1, 2, offset=0.1), make(9, 3)], tmp_path / "happy.gguf"
    save_control_vector(path, saved, "llama")
    found = load_control_vector(path)
    assert list(found) == [at(1), at(9), at(27)]
    for one in saved:
        again = found[one.site]
        assert again.vector.tobytes() == one.vector.tobytes()
        assert again.sha256 == one.sha256
        assert again.provenance == {"from": "a test", "model_hint": "llama"}
    assert list(tmp_path.iterdir()) == [path]


@settings(deadline=None, max_examples=30)
@given(st.floats(-100, 100).filter(lambda x: abs(x) > 1e-3), st.floats(-5, 5))
def test_scale_goes_into_the_tensor_and_the_value_stays(
    tmp_path_factory: pytest.TempPathFactory, scale: float, offset: float
) -> None:
    path, one = tmp_path_factory.mktemp("scaled") / "d.gguf", make(3, offset=offset, scale=scale)
    one.save(path)
    again = Direction.load(path)
    assert again.scale == 1
    assert again.vector.tolist() == (scale * one.vector.astype(float)).astype(np.float32).tolist()
    np.testing.assert_allclose(again.value(H), one.value(H), rtol=1e-5, atol=1e-5 * abs(scale))


def test_files_add_up_as_directions_do(tmp_path: Path) -> None:
    """What llama.cpp adds for two files is what it adds for the file of the sum."""
    a, b = make(3, 1, scale=2.0), make(3, 2, scale=-0.5)
    for name, one in (("a", a), ("b", b), ("sum", a + b), ("twice", 2 * a)):
        one.save(tmp_path / f"{name}.gguf")
    loaded = {path.stem: Direction.load(path).vector for path in tmp_path.iterdir()}
    np.testing.assert_allclose(loaded["sum"], loaded["a"] + loaded["b"], rtol=1e-6)
    assert np.array_equal(loaded["twice"], 2 * loaded["a"])


def test_the_file_is_what_llama_cpp_and_repeng_look_for(tmp_path: Path) -> None:
    one, path = make(10, scale=3.0), tmp_path / "happy.gguf"
    one.save(path)
    reader = GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    assert fields["general.architecture"] == "controlvector"
    assert fields["controlvector.model_hint"] == ""  # repeng refuses a file without the key
    assert fields["controlvector.layer_count"] == 1
    (tensor,) = reader.tensors
    assert (tensor.name, tensor.tensor_type.name, tensor.shape.tolist()) == ("direction.10", "F32", [4])
    assert np.array_equal(tensor.data, (3 * one.vector.astype(float)).astype(np.float32))


def test_the_hint_that_was_read_is_written_again(tmp_path: Path) -> None:
    write_raw(tmp_path / "theirs.gguf", {"direction.2": np.ones(4, np.float32)})
    Direction.load(tmp_path / "theirs.gguf").save(tmp_path / "ours.gguf")
    assert GGUFReader(tmp_path / "ours.gguf").fields["controlvector.model_hint"].contents() == "mistral"


def test_a_file_of_repeng_is_read(tmp_path: Path) -> None:
    vectors = {k: make(k, k).vector for k in (31, 30, 1)}
    found = load_control_vector(write_raw(tmp_path / "r.gguf", {f"direction.{k}": v for k, v in vectors.items()}))
    assert list(found) == [at(1), at(30), at(31)]
    for k, vector in vectors.items():
        one = found[at(k)]
        assert one.vector.tobytes() == vector.tobytes()
        assert (one.offset, one.scale, one.provenance) == (0.0, 1.0, {"model_hint": "mistral"})


def test_one_layer_is_summed_and_zeros_add_nothing(tmp_path: Path) -> None:
    a, b = np.array([1, 2], np.float32), np.array([10, -2], np.float32)
    zero = np.zeros(2, np.float32)
    path = write_raw(
        tmp_path / "s.gguf", {"direction.5": a, "direction.05": b, "direction.6": zero, "direction.7.x": a}
    )
    assert {site: one.vector.tolist() for site, one in load_control_vector(path).items()} == {
        at(5): [11, 0],
        at(7): [1, 2],
    }


def test_axes_of_one_at_the_end_are_none(tmp_path: Path) -> None:
    """ggml counts the axes of [4, 1], which numpy calls (1, 4), as one; those of [1, 4] as two."""
    row = np.arange(4, dtype=np.float32)[None]
    assert Direction.load(write_raw(tmp_path / "row.gguf", {"direction.1": row})).vector.tolist() == [0, 1, 2, 3]
    with pytest.raises(UsageError, match=r"direction.1 in .* must have one axis. Got 2, of \[1, 4\]."):
        load_control_vector(write_raw(tmp_path / "column.gguf", {"direction.1": row.T}))


def test_one_of_many_layers_is_picked_by_its_site(tmp_path: Path) -> None:
    path = tmp_path / "many.gguf"
    save_control_vector(path, [make(2, 2), make(4, 4)])
    assert Direction.load(path, at(4)).sha256 == make(4, 4).sha256
    with pytest.raises(UsageError, match=r"holds directions at L2.resid_post, L4.resid_post; give the site of one"):
        Direction.load(path)
    for site in (at(3), at(4, "mlp_out")):
        with pytest.raises(UsageError, match=rf"are at L2.resid_post, L4.resid_post, not at {site}"):
            Direction.load(path, site)


def test_a_file_is_a_unit_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "happy.gguf"
    save_control_vector(path, [make(2, 2), make(4, 4)])
    spec, unit = f"L4.resid_post:@{path}", UnitId(at(4), "@happy")
    assert parse_units(spec, 12, lambda site: 4, 0) == [unit]
    assert read_directions(spec)[unit].sha256 == make(4, 4).sha256


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ([], "needs at least one direction. Got none."),
        ([make(0)], r"holds directions at L1.resid_post and above. Got one at L0.resid_post."),
        ([Direction(at(3, "mlp_out"), np.ones(4, np.float32))], "Got one at L3.mlp_out."),
        ([make(2), make(2, 5)], "one direction a layer; add up those at L2.resid_post first"),
        ([make(2), make(3, width=6)], r"must have one width. Got \[4, 6\]."),
        ([make(2, scale=1e39)], r"scale \* vector of the direction at L2.resid_post must be finite in float32"),
        ([make(2, scale=1e-60)], "must be finite in float32, and not 0"),
    ],
)
def test_what_can_not_be_written(directions: list[Direction], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        save_control_vector(tmp_path / "bad.gguf", directions)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_where_it_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't write"):
        make().save(tmp_path / "nowhere" / "happy.gguf")
    with pytest.raises(UsageError, match=r"must end in \.gguf"):
        save_control_vector(tmp_path / "happy.json", [make()])


ONE = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda p: write_raw(p, {"direction.0": ONE, "direction.1": ONE}),
            r"has direction.0: direction.K is at LK.resid_post, K from 1, and llama.cpp takes none at L0.resid_post",
        ),
        (lambda p: write_raw(p, {"direction.1": ONE.astype(np.float16)}), "must be F32. Got F16 instead"),
        (lambda p: write_raw(p, {"direction.1": ONE.astype(np.float64)}), "must be F32. Got F64 instead"),
        (lambda p: write_raw(p, {"direction.1": np.ones((2, 4), np.float32)}), r"one axis. Got 2, of \[4, 2\]"),
        (lambda p: write_raw(p, {"direction.1": ONE, "direction.2": ONE[:3]}), r"must have one width. Got \[3, 4\]."),
        (lambda p: write_raw(p, {"direction.1": ONE}, "llama"), "architecture 'controlvector'. Got 'llama' instead"),
        (lambda p: write_raw(p, {"blk.1.bias": ONE}), "named direction.K, K from 1. Got 'blk.1.bias' instead"),
        (lambda p: write_raw(p, {"direction.x": ONE}), "Got 'direction.x' instead"),
        (lambda p: write_raw(p, {}), "holds no direction: it has 0 tensors"),
        (lambda p: write_raw(p, {"direction.1": 0 * ONE}), "has 1 tensors, none that is not 0 throughout"),
        (lambda p: write_raw(p, {"direction.1": np.nan * ONE}), "direction.1 in .*: the vector of a direction must"),
        (
            lambda p: write_raw(p, {"direction.1": ONE}, own="[1]"),
            "holds no control vector: TypeError: its assay.directions is no",
        ),
        (lambda p: write_raw(p, {"direction.1": ONE}, own="{"), "holds no control vector: JSONDecodeError"),
        (lambda p: p.write_bytes(b""), "holds no control vector"),
        (lambda p: p.write_bytes(b"safetensors or so"), "holds no control vector: ValueError: GGUF magic invalid"),
        (lambda p: None, r"can't read .*bad.gguf"),
        (lambda p: p.mkdir(), r"can't read .*bad.gguf"),
    ],
)
def test_files_that_are_no_control_vector(write: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    write(path)
    for load in (load_control_vector, Direction.load):
        with pytest.raises(UsageError, match=message) as caught:
            load(path)
        assert "\n" not in str(caught.value)


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "twice.gguf", {"direction.1": ONE, "direction.2": ONE})
    path.write_bytes(path.read_bytes().replace(b"direction.2", b"direction.1"))
    with pytest.raises(UsageError, match=r"duplicated tensor with name direction.1"):
        load_control_vector(path)


def test_a_file_cut_or_damaged_anywhere_is_one_clear_line(tmp_path: Path) -> None:
    whole = write_raw(tmp_path / "whole.gguf", {"direction.1": ONE, "direction.2": ONE}).read_bytes()
    data, path = whole.index(struct.pack("<4f", *ONE)), tmp_path / "damaged.gguf"
    end = whole.rindex(struct.pack("<4f", *ONE)) + 16
    rng = np.random.default_rng(0)
    for n in range(end):
        path.write_bytes(whole[:n])
        with pytest.raises(UsageError) as caught:
            load_control_vector(path)
        assert "\n" not in str(caught.value)
    for n in range(data):
        path.write_bytes(whole[:n] + rng.bytes(8) + whole[n + 8 :])
        try:
            load_control_vector(path)
        except UsageError as error:
            assert "\n" not in str(error)  # noqa: PT017 (damage to a hint, or to padding, is not seen)


def test_directions_cost_no_gguf_until_a_file_is_read() -> None:
    code = "import sys, assay.core.control_vector as _; print(sorted({'gguf', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
