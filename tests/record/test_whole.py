"""A recording on disk: equal to the recorder in memory, the same however it was cut, and refused where it differs."""

import fcntl
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId, UnitId
from assay.errors import CorpusError, RunError, StorageError, UnknownName, UsageError
from assay.record import RecordRequest, SketchSizes, open_recording, record, record_sites
from assay.record import whole as module
from assay.record.checkpoint import Work
from assay.record.packing import pack, unpack
from assay.record.request import BLOCK_BYTES, cut_blocks, sketch_bytes
from model.tiny_models import LAYERS, tiny
from record.small import letters, record_small
from record.test_layers import files_of_at_most


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def contents(out: Path) -> dict[str, bytes]:
    """The bytes of the files, but for those that tell the time."""
    timed = ("result.json", "done.json", "spec.json", ".lock")
    files = {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
    kept = {name: data for name, data in files.items() if name not in timed}
    spec = json.loads(files["spec.json"])
    del spec["started"], spec["id"]
    return kept | {"spec": json.dumps(spec).encode(), "names": "\n".join(files).encode()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_the_recorder_in_memory(tmp_path, dtype):
    made = record_small(tmp_path / "r", dtype=dtype, seed=5)
    subject = tiny("llama", dtype)
    assert not made.already
    found = open_recording(tmp_path / "r")
    assert found.sites == (
        SiteId(0, "mlp_act"), SiteId(1, "mlp_act"), SiteId(1, "mlp_out"), SiteId(2, "mlp_act")
    )  # fmt: skip
    assert list(found) == list(found.sites)
    assert found.document_ids == [document.id for document in letters().documents]
    assert found.n_tokens == made.result["tokens"] >= 5500
    units = [UnitId(site, i) for site in found.sites for i in range(subject.width(site))]
    whole = record(
        subject, found.table, units, document_ids=found.document_ids, sizes=SketchSizes(seed=5), batch_tokens=1536
    )
    for site in found.sites:
        mine, theirs = found[site].state(), whole.sites[site].state()
        assert mine.keys() == theirs.keys()
        for name, values in mine.items():
            np.testing.assert_array_equal(values, theirs[name], err_msg=f"{site} {name}")
            assert values.dtype == theirs[name].dtype
    assert (found["L1.mlp_out"].exemplars.top.ids >= 0).any()


def test_the_result_and_the_spec(tmp_path):
    made = record_small(tmp_path / "r")
    result = made.result
    assert list(result) == [
        "recording", "tokens", "seconds", "forward_seconds", "ratio", "peak_rss_mb", "disk_mb"
    ]  # fmt: skip
    assert result["recording"] == str(tmp_path / "r")
    assert 0 < result["forward_seconds"] < result["seconds"]
    assert result["ratio"] > 1
    assert result["peak_rss_mb"] > 100
    listed = json.loads((tmp_path / "r" / "done.json").read_text())["files"]
    size = sum((tmp_path / "r" / name).stat().st_size for name in listed if name != "result.json")
    assert result["disk_mb"] == round(size / 1e6, 1)
    assert not (tmp_path / "r" / "work").exists()
    recording = open_recording(tmp_path / "r")
    spec = recording.spec
    assert recording.result() == result
    assert spec["asked"] == {
        "model": "tiny", "sites": "mlp_act,L1.mlp_out", "tokens": 5500, "corpus": "letters", "seed": 0, "dtype": None,
        "block_layers": 1,
    }  # fmt: skip
    resolved = spec["resolved"]
    assert resolved["sites"] == [str(site) for site in recording.sites]
    assert resolved["blocks"] == [[0, 1], [1, 2], [2, 3]]
    assert (resolved["batch_tokens"], resolved["length"], resolved["threads"]) == (1536, 64, 1)
    assert resolved["attention"] == "sdpa"
    assert resolved["kernels"].startswith("numba ")
    assert spec["subject"]["fingerprint"] == tiny("llama", torch.bfloat16).fingerprint
    assert spec["subject"]["dtype"] == "bfloat16"
    assert spec["subject"]["reason"]
    assert spec["corpus"]["sha256"] == letters().sha256
    assert len(spec["corpus"]["splits_sha256"]) == 64
    assert spec["packages"]["torch"]


@pytest.mark.parametrize("changes", [{"block_layers": 3}, {"block_layers": None}, {"every": 0.0}])
def test_blocks_and_checkpoints_change_nothing(tmp_path, changes):
    record_small(tmp_path / "r")
    record_small(tmp_path / "other", **changes)
    one, other = contents(tmp_path / "r"), contents(tmp_path / "other")
    del one["spec"], other["spec"]
    assert one == other


def test_done_is_done(tmp_path, monkeypatch):
    first = record_small(tmp_path / "r")
    (tmp_path / "r" / "work").mkdir()  # the process was killed between its last two steps
    before = contents(tmp_path / "r")
    monkeypatch.setattr(module, "make_plan", None)
    again = record_small(tmp_path / "r")
    assert again.already
    assert again.result == first.result
    assert contents(tmp_path / "r") == before
    assert not (tmp_path / "r" / "work").exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 2, 5])
def test_goes_on_from_the_last_checkpoint_and_does_nothing_twice(tmp_path, monkeypatch, after):
    record_small(tmp_path / "whole")
    saved = Work.save
    count = 0

    def save_and_die(self, mark, sketches):
        nonlocal count
        mark = saved(self, mark, sketches)
        count += 1
        if count == after:
            raise Killed
        return mark

    monkeypatch.setattr(Work, "save", save_and_die)
    with pytest.raises(Killed):
        record_small(tmp_path / "r", every=0.0)
    monkeypatch.setattr(Work, "save", saved)
    mark = Work(tmp_path / "r" / "work").read()
    assert mark.batches > 0
    passes = []
    advance = module.advance
    monkeypatch.setattr(module, "advance", lambda *given: passes.append((given[2], given[8])) or advance(*given))
    told = []
    request = RecordRequest(out=str(tmp_path / "r"), model="tiny", sites="mlp_act,L1.mlp_out", tokens=5500,
                            corpus="letters", block_layers=1)  # fmt: skip
    made = record_sites(
        request, lambda *tell: told.append(tell), subject=tiny("llama", torch.bfloat16), corpus=letters()
    )
    assert passes[0] == ((mark.block, mark.block + 1), mark.batches)
    assert [layers for layers, _ in passes] == [(i, i + 1) for i in range(mark.block, LAYERS)]
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")
    assert made.result["seconds"] >= mark.seconds > 0
    shares = [share for message, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert told[-1][0] == "recording 176 units, layers 2 to 2 of 3, 0 s left"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": 2000}, "asked.tokens 5500, and now it is 2000"),
        ({"sites": "mlp_act"}, "asked.sites 'mlp_act,L1.mlp_out', and now it is 'mlp_act'"),
        ({"seed": 1}, "asked.seed 0, and now it is 1"),
        ({"block_layers": 2}, "asked.block_layers 1, and now it is 2"),
        ({"corpus": letters(seed=1)}, r"corpus.sha256 '0+', and now it is '0+1'"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_another_recording_in_the_same_place_is_refused(tmp_path, monkeypatch, changes, message, finished):
    out = tmp_path / "r"
    record_small(out)
    if not finished:
        (out / "done.json").unlink()
    before = contents(out)
    with pytest.raises(UsageError, match=rf"was recorded with {message}; give the same as then, or another --out"):
        record_small(out, **changes)
    assert contents(out) == before


def test_other_weights_or_threads_are_refused_while_it_is_not_done(tmp_path):
    out = tmp_path / "r"
    record_small(out)
    (out / "done.json").unlink()
    with pytest.raises(UsageError, match=r"was recorded with subject.fingerprint '.*', and now it is '.*'; give"):
        record_small(out, dtype=torch.float32)
    torch.set_num_threads(2)
    with pytest.raises(UsageError, match=r"was recorded with resolved.threads 1, and now it is 2; give"):
        record_small(out)


def test_two_processes_in_one_directory(tmp_path):
    out = tmp_path / "r"
    out.mkdir()
    with (out / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711\n")
        file.flush()
        with pytest.raises(UsageError, match=r"r is in use by process 4711; wait until it has ended"):
            record_small(out)
        assert [path.name for path in out.iterdir()] == [".lock"]
    assert not record_small(out).already


def test_a_directory_with_something_else_in_it(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds notes.txt and is no recording; give an empty or new directory"):
        record_small(tmp_path)
    (tmp_path / "spec.json").write_text('{"schema": 1, "id": "x", "verb": "explain"}')
    with pytest.raises(UsageError, match="holds a run of 'assay explain' and is no recording"):
        record_small(tmp_path)
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(RunError, match=r"spec.json is damaged; remove"):
        record_small(tmp_path)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path):
    record_small(tmp_path / "whole")
    out = tmp_path / "r"
    message = r"can't spill .*border-001.part: .*; a layer's border takes 0.4 MB .* the same command goes on from here"
    with files_of_at_most(300_000), pytest.raises(StorageError, match=message):
        record_small(out)
    message = r"can't write .*: .*; free some space.*; the recording takes up to \d+ MB, and the same command goes on"
    with files_of_at_most(500_000), pytest.raises(StorageError, match=message):
        record_small(out)
    record_small(out)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sites": "mlp_acts"}, UnknownName, "unknown kind of site 'mlp_acts'; did you mean 'mlp_act'"),
        ({"sites": "L9.mlp_act"}, UnknownName, r"unknown site 'L9.mlp_act'.*layers of tiny llama run from 0 to 2"),
        ({"sites": "L0.mlp"}, UnknownName, "unknown site 'mlp'"),
        ({"sites": " , "}, UsageError, "--sites names none; give kinds such as mlp_act"),
        ({"tokens": 0}, UsageError, "--tokens must be 1 or more, got 0"),
        ({"seed": -1}, UsageError, "--seed must be 0 or more, got -1"),
        ({"block_layers": 0}, UsageError, "--block-layers must be 1 or more, got 0"),
        ({"tokens": 10**6}, CorpusError, r"letters needs 1,000,000 tokens, has [\d,]+ in 20 documents"),
    ],
)
def test_wrong_requests(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        record_small(tmp_path / "r", **changes)
    assert not (tmp_path / "r" / "spec.json").exists()


def test_blocks_are_cut_by_memory_or_by_number():
    third = BLOCK_BYTES // 3
    assert cut_blocks([third] * 7, None) == [(0, 3), (3, 6), (6, 7)]
    assert cut_blocks([0, 0, third, 2 * BLOCK_BYTES, third], None) == [(0, 3), (3, 4), (4, 5)]
    assert cut_blocks([1] * 5, 2) == [(0, 2), (2, 4), (4, 5)]
    assert cut_blocks([10 * BLOCK_BYTES] * 2, 5) == [(0, 2)]


def test_layers_above_the_last_site_are_not_run(tmp_path):
    made = record_small(tmp_path / "r", sites="L1.mlp_out")
    assert open_recording(made.path).spec["resolved"]["blocks"] == [[0, 1], [1, 2]]


def test_the_estimate_of_memory_is_that_of_the_sketches(tmp_path):
    record_small(tmp_path / "r")
    held = open_recording(tmp_path / "r")["L0.mlp_act"]
    sizes = SketchSizes(sample=len(held.rows))
    size = sum(array.nbytes for array in held.state().values())
    assert sketch_bytes(48, 64, sizes) == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packing_loses_nothing(tmp_path, dtype):
    record_small(tmp_path / "r", dtype=dtype)
    recording = open_recording(tmp_path / "r")
    held = recording["L1.mlp_act"]
    packed = pack(held)
    assert ("rows.values@bf16" in packed) == (dtype == torch.bfloat16)
    assert packed.get("rows.values@bf16", np.zeros(0, np.uint16)).dtype == np.uint16
    again = unpack(held.site, packed)
    for name, values in held.state().items():
        np.testing.assert_array_equal(again.state()[name], values, err_msg=name)
    assert len(held.rows) == 4096 < recording.n_tokens  # the sample is full


def test_reading_what_is_no_recording(tmp_path):
    with pytest.raises(RunError, match="holds no recording; make one with 'assay record --out"):
        open_recording(tmp_path)
    record_small(tmp_path / "r")
    recording = open_recording(str(tmp_path / "r"))
    with pytest.raises(UnknownName, match=r"unknown site 'L0.mlp_out'; did you mean 'L1.mlp_out'"):
        recording["L0.mlp_out"]
    path = tmp_path / "r" / "tensors" / "L0.mlp_act.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"L0.mlp_act.safetensors is damaged"):
        open_recording(tmp_path / "r")["L0.mlp_act"]
    (tmp_path / "r" / "done.json").unlink()
    with pytest.raises(RunError, match="is incomplete"):
        open_recording(tmp_path / "r")
    shutil.rmtree(tmp_path / "r")
