"""Layer after layer equals one pass, goes on where it was stopped, and refuses what is not its own."""

import json
import resource
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId
from assay.errors import ActivationError, StorageError, UnknownName, UsageError
from assay.record import LayerActivations, stream, walk
from assay.store.lock import locked
from assay.text import TokenTable, batches
from model.tiny_models import CONFIGS, LAYERS, VOCAB, count_hooks, tiny

KINDS = ("mlp_act", "resid_pre", "attn_out")


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def table_of(n=30, length=12, seed=0):
    rng = np.random.default_rng(seed)
    lengths = np.where(rng.random(n) < 0.6, length, rng.integers(1, length + 1, n))
    ids = np.where(np.arange(length) < lengths[:, None], rng.integers(2, VOCAB, (n, length)), -1).astype(np.int32)
    documents = np.sort(rng.integers(0, 6, n))
    starts = (np.arange(n) - np.searchsorted(documents, documents)) * length
    return TokenTable(ids, lengths, documents, starts)


def streamed(subject, table, kinds, batch_tokens):
    sites = [SiteId(layer, kind) for layer in range(subject.n_layers) for kind in kinds]
    whole = {site: np.full((subject.width(site), table.n_tokens), np.nan, np.float32) for site in sites}
    for block in stream(subject, table, sites, batch_tokens=batch_tokens):
        for site, values in block.activations.items():
            whole[site][:, block.flat] = values.T
    return whole


def copied(step):
    return LayerActivations(step.layer, {site: v.copy() for site, v in step.values.items()}, step.seconds_forward)


def borders(scratch):
    return sorted(path.name for path in scratch.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CONFIGS)
def test_equals_a_stream_bit_for_bit(tmp_path, name, dtype):
    subject, table = tiny(name, dtype), table_of()
    truth = streamed(subject, table, KINDS, 100)
    told = []
    steps = [
        copied(step)
        for step in walk(
            subject, table, KINDS, scratch=tmp_path, batch_tokens=100, progress=lambda *tell: told.append(tell)
        )
    ]
    assert [step.layer for step in steps] == list(range(LAYERS))
    for step in steps:
        assert list(step.values) == [SiteId(step.layer, kind) for kind in KINDS]
        assert step.seconds_forward > 0
        for site, values in step.values.items():
            assert values.flags.c_contiguous
            np.testing.assert_array_equal(values, truth[site])
    assert told[-1] == (LAYERS * table.n_tokens,) * 2
    assert borders(tmp_path) == []
    assert count_hooks(subject) == 0


def test_one_layer_in_memory_and_two_borders_on_disk(tmp_path):
    subject, table = tiny("llama"), table_of()
    held, seen = None, []
    for step in walk(subject, table, scratch=tmp_path, batch_tokens=100):
        values = step.values[SiteId(step.layer, "mlp_act")]
        held = values if held is None else held
        assert values is held
        seen.append(borders(tmp_path))
    assert seen[0] == ["border-001.bin", "border-001.json"]
    assert seen[1] == ["border-001.bin", "border-001.json", "border-002.bin", "border-002.json"]
    assert seen[2] == ["border-002.bin", "border-002.json"]


@pytest.mark.parametrize("stopped_at", range(LAYERS))
@pytest.mark.parametrize("again", [0, 1])
def test_goes_on_from_the_spilled_residual(tmp_path, stopped_at, again):
    """``again`` 1: the layer that was out is done with; 0: it is wanted once more."""
    subject, table = tiny("qwen3", torch.bfloat16), table_of()
    truth = streamed(subject, table, ["mlp_act"], 100)
    for step in walk(subject, table, scratch=tmp_path, batch_tokens=100):
        if step.layer == stopped_at:
            break
    first = stopped_at + again
    if first == LAYERS:
        return
    calls = []
    handles = [layer.register_forward_hook(lambda *_, i=i: calls.append(i)) for i, layer in enumerate(subject._layers)]
    rest = [copied(step) for step in walk(subject, table, scratch=tmp_path, first=first, batch_tokens=100)]
    for handle in handles:
        handle.remove()
    assert min(calls) == first
    assert [step.layer for step in rest] == list(range(first, LAYERS))
    for step in rest:
        for site, values in step.values.items():
            np.testing.assert_array_equal(values, truth[site])


def test_some_layers_alone_and_then_the_rest(tmp_path):
    subject, table = tiny("gpt2"), table_of()
    truth = streamed(subject, table, ["mlp_act"], 100)
    for first, last in ((1, 1), (2, None)):
        for step in walk(subject, table, scratch=tmp_path, first=first, last=last, batch_tokens=100):
            site = SiteId(first, "mlp_act")
            assert list(step.values) == [site]
            np.testing.assert_array_equal(step.values[site], truth[site])
    assert borders(tmp_path) == []


def test_half_a_border_does_not_count(tmp_path):
    subject, table = tiny("llama"), table_of()

    def stop(done, total):
        if done > 1.6 * table.n_tokens:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(walk(subject, table, scratch=tmp_path, batch_tokens=100, progress=stop))
    assert borders(tmp_path) == ["border-001.bin", "border-001.json", "border-002.part"]
    (tmp_path / "border-001.bin").write_bytes((tmp_path / "border-001.bin").read_bytes()[:-1])
    (tmp_path / ".border-001.json.12ab.tmp").touch()
    calls = []
    handle = subject._layers[0].register_forward_hook(lambda *_: calls.append(0))
    steps = list(walk(subject, table, scratch=tmp_path, first=1, batch_tokens=100))
    handle.remove()
    assert calls  # the damaged border was not taken
    assert [step.layer for step in steps] == [1, 2]
    assert borders(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": tiny("llama", torch.bfloat16)}, "fingerprint is '.*' there and '.*' now"),
        ({"table": table_of(seed=1)}, "table is '.*' there and '.*' now"),
        ({"batch_tokens": 90}, "batch_tokens is 100 there and 90 now"),
    ],
)
def test_a_border_of_another_pass_is_refused(tmp_path, change, message):
    given = {"subject": tiny("llama"), "table": table_of(), "batch_tokens": 100}
    for _ in walk(**given, scratch=tmp_path):
        break
    with pytest.raises(UsageError, match=f"holds a residual of another pass: {message}; give the same command"):
        list(walk(**given | change, scratch=tmp_path, first=1))
    (tmp_path / "border-001.json").write_text(json.dumps({"layer": "x"}))
    with pytest.raises(UsageError, match=r"border-001.json is damaged; remove"):
        list(walk(**given, scratch=tmp_path, first=1))


def test_two_walks_in_one_directory(tmp_path):
    with locked(tmp_path), pytest.raises(UsageError, match=r"is in use by process \d+; wait"):
        list(walk(tiny("llama"), table_of(), scratch=tmp_path))


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_infinite_activations_name_site_and_document(tmp_path, value):
    subject, table = tiny("llama"), table_of()
    site = SiteId(1, "mlp_act")
    batch = next(batches(table, 100))

    def broken(values):
        values = values.clone()
        values[2, 5, 40] = value
        return values

    document, place = int(table.documents[batch.rows[2]]), int(table.starts[batch.rows[2]]) + 5
    names = [f"name{i}" for i in range(6)]
    steps = walk(subject, table, scratch=tmp_path, first=1, last=1, batch_tokens=100, document_ids=names)
    message = f"{site}: NaN or infinite activation in document 'name{document}' at its token {place};"
    with subject.edit(site, broken), pytest.raises(ActivationError, match=message):
        next(steps)


@contextmanager
def files_of_at_most(size):
    """The disk fills up: no file may grow past ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_is_one_line_and_the_walk_goes_on(tmp_path):
    subject, table = tiny("llama"), table_of()
    truth = streamed(subject, table, ["mlp_act"], 100)
    steps = walk(subject, table, scratch=tmp_path, batch_tokens=100)
    next(steps)
    with (
        files_of_at_most(20_000),
        pytest.raises(StorageError, match=r"can't spill .*border-002.part: .*; a layer's border takes 0.0 MB and two"),
    ):
        next(steps)
    assert "border-002.json" not in borders(tmp_path)
    rest = [copied(step) for step in walk(subject, table, scratch=tmp_path, first=1, batch_tokens=100)]
    assert [step.layer for step in rest] == [1, 2]
    for step in rest:
        for site, values in step.values.items():
            np.testing.assert_array_equal(values, truth[site])


def test_wrong_arguments(tmp_path):
    subject, table = tiny("llama"), table_of()
    with pytest.raises(UsageError, match=r"layers run from 0 to 2. Got 1 to 3"):
        next(walk(subject, table, scratch=tmp_path, first=1, last=3))
    with pytest.raises(UsageError, match=r"Got 2 to 1"):
        next(walk(subject, table, scratch=tmp_path, first=2, last=1))
    with pytest.raises(UnknownName, match=r"unknown site 'L0.mlp_acts'"):
        next(walk(subject, table, ["mlp_acts"], scratch=tmp_path))
    with pytest.raises(UsageError, match="no token to walk over"):
        next(walk(subject, table.take(np.zeros(0, np.int64)), scratch=tmp_path))


def test_a_layer_of_the_default_model(tmp_path):
    import assay

    subject = assay.load("smollm2-135m")
    table = table_of(n=40, length=64)
    sites = [SiteId(layer, "mlp_act") for layer in (2, 3)]
    truth = {site: np.zeros((1536, table.n_tokens), np.float32) for site in sites}
    for block in stream(subject, table, sites):
        for site, values in block.activations.items():
            truth[site][:, block.flat] = values.T
    for step in walk(subject, table, scratch=tmp_path, first=2, last=3):
        for site, values in step.values.items():
            np.testing.assert_array_equal(values, truth[site])
            assert values.std() > 0
