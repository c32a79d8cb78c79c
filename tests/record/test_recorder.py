from types import SimpleNamespace

import numpy as np
import pytest
import torch

from assay.core.ids import SiteId, UnitId
from assay.errors import ActivationError, StorageError, UnknownName, UsageError
from assay.model.units import Units
from assay.record import Recordable, SiteSketches, SketchSizes, record, stream
from assay.text import TokenTable

LOW, HIGH = SiteId(0, "mlp_act"), SiteId(3, "resid_post")
WIDTH = 6
SPECIAL = 5


class Fake:
    """Activations that are a known function of token, position and coordinate; counts its passes."""

    special_ids = frozenset({SPECIAL})
    device = torch.device("cpu")

    def __init__(self, broken=None):
        self.broken, self.passes = broken, 0
        self.units = Units(self.width, 1, lambda site: torch.eye(WIDTH), {}, {})

    def width(self, site):
        if site not in (LOW, HIGH):
            raise UnknownName("site", str(site), [str(LOW), str(HIGH)])
        return WIDTH

    def activations(self, ids, mask, sites):
        self.passes += 1
        given = {site: torch.from_numpy(truth(ids.numpy(), site)).to(torch.bfloat16) for site in sites}
        for values in given.values():
            values[mask == 0] = torch.nan  # what stands at padding means nothing
            if self.broken is not None:
                values[ids == self.broken] = torch.inf
        return given


def truth(ids, site):
    """(..., seq) ids to (..., seq, WIDTH), whole numbers below 256, which bf16 holds exactly."""
    positions = np.arange(ids.shape[-1])
    values = (ids[..., None] * 7 + positions[:, None] * 3 + np.arange(WIDTH) * 11 + site.layer) % 251
    return (values - 125).astype(np.float32)


def table_of(n, length=8, seed=0, n_documents=5):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, length + 1, n)
    ids = np.where(np.arange(length) < lengths[:, None], rng.integers(0, 90, (n, length)), -1).astype(np.int32)
    ids[0, 0] = SPECIAL
    documents = np.sort(rng.integers(0, n_documents, n))
    starts = (np.arange(n) - np.searchsorted(documents, documents)) * length
    return TokenTable(ids, lengths, documents, starts)


def expected(table, site):
    return table.flat(truth(np.maximum(table.ids, 0), site))


NAMES = [f"name{i}" for i in range(5)]
UNITS = [UnitId(LOW, 4), UnitId(HIGH, 1), UnitId(LOW, 0), UnitId(HIGH, 5)]


def test_stream_gives_each_token_once_at_full_width_and_without_padding():
    table, subject = table_of(50), Fake()
    assert isinstance(subject, Recordable)
    got = {site: np.full((table.n_tokens, WIDTH), np.nan, np.float32) for site in (LOW, HIGH)}
    blocks = list(stream(subject, table, [LOW, HIGH], batch_tokens=64))
    for block in blocks:
        for site, values in block.activations.items():
            assert values.dtype == np.float32
            assert np.isnan(got[site][block.flat]).all()
            got[site][block.flat] = values
        assert block.seconds > 0
    assert subject.passes == len(blocks) > 3
    for site in (LOW, HIGH):
        np.testing.assert_array_equal(got[site], expected(table, site))


def test_recording_equals_a_computation_by_hand(tmp_path):
    table, subject = table_of(60), Fake()
    predicates = np.random.default_rng(1).random((table.n_tokens, 3)) < 0.5
    told = []
    recording = record(
        subject,
        table,
        UNITS,
        document_ids=NAMES,
        columns=tmp_path / "columns.npy",
        predicates=predicates,
        thresholds={UNITS[1]: 40.0},
        sizes=SketchSizes(exemplars=2, sample=10_000),
        progress=lambda done, total: told.append((done, total)),
        batch_tokens=100,
    )
    whole = np.stack([expected(table, unit.site)[:, unit.index] for unit in UNITS], 1).astype(np.float64)
    first = table.flat_positions == 0
    special = (table.flat_ids == SPECIAL) & ~first
    counted = ~first & ~special
    assert special.any()
    assert (first & (table.flat_ids == SPECIAL)).any()

    assert recording.units == tuple(UNITS)
    assert recording.n_tokens == table.n_tokens
    assert recording.seconds_forward > 0
    assert told[-1] == (table.n_tokens, table.n_tokens)
    assert subject.passes == len(told)
    np.testing.assert_array_equal(recording.columns, whole)

    along = recording.gather
    np.testing.assert_allclose(along(lambda s: s.moments.mean), whole[counted].mean(0), rtol=1e-12)
    np.testing.assert_allclose(along(lambda s: s.moments.sd), whole[counted].std(0), rtol=1e-12)
    np.testing.assert_allclose(along(lambda s: s.first.mean), whole[first].mean(0), rtol=1e-12)
    assert {sketches.special.count for sketches in recording.sites.values()} == {special.sum()}
    np.testing.assert_allclose(along(lambda s: s.special.mean), whole[special].mean(0), rtol=1e-12)
    assert {sketches.first.count for sketches in recording.sites.values()} == {first.sum()}
    np.testing.assert_array_equal(along(lambda s: s.firing.rate), (whole[counted] > [0, 40, 0, 0]).mean(0))
    np.testing.assert_allclose(
        along(lambda s: s.rows.quantile([0.01, 0.99]).T), np.quantile(whole[counted], [0.01, 0.99], axis=0).T
    )
    held = predicates & counted[:, None]
    np.testing.assert_allclose(along(lambda s: s.predicates.sums.T), (held.T.astype(float) @ whole).T)
    np.testing.assert_array_equal(along(lambda s: s.exemplars.top.peaks[:, 0]), whole[counted].max(0))
    np.testing.assert_array_equal(along(lambda s: s.exemplars.bottom.peaks[:, 0]), whole[counted].min(0))
    for i, unit in enumerate(UNITS):
        top = recording.sites[unit.site].exemplars.top
        slot = recording.sites[unit.site].units.index(unit.index)
        window = np.flatnonzero(
            (table.documents == top.documents[slot, 0]) & (table.starts == top.starts[slot, 0])
        ).item()
        np.testing.assert_array_equal(top.ids[slot, 0], table.ids[window])
        np.testing.assert_array_equal(top.activations[slot, 0], table.padded(whole[:, i])[window])


def test_first_position_can_be_included():
    table = table_of(60)
    recording = record(Fake(), table, UNITS, document_ids=NAMES, first_position="included")
    counted = (table.flat_ids != SPECIAL).sum()  # special tokens stay out, first or not
    assert recording.sites[LOW].moments.count == counted
    assert recording.sites[LOW].first.count == 60


def sizes_of(recording):
    return {site: sum(a.nbytes for a in sketches.state().values()) for site, sketches in recording.sites.items()}


def test_state_does_not_grow_with_tokens():
    few, many = table_of(300), table_of(3000)
    small = SketchSizes(exemplars=3, sample=200)
    states = [sizes_of(record(Fake(), t, UNITS, document_ids=NAMES, sizes=small)) for t in (few, many)]
    assert many.n_tokens > 9 * few.n_tokens
    assert states[0] == states[1]


def test_parts_merge_to_the_whole_and_survive_being_stored():
    table = table_of(80)
    small = SketchSizes(exemplars=3, sample=40)

    def part(rows):
        return record(Fake(), table.take(rows), UNITS, document_ids=NAMES, sizes=small)

    whole = part(np.arange(80))
    halves = part(np.arange(0, 80, 2)), part(np.arange(1, 80, 2))
    merged = halves[0].merge(halves[1])
    assert merged.n_tokens == whole.n_tokens
    assert merged.columns is None
    for site, sketches in whole.sites.items():
        stored = SiteSketches.from_state(site, merged.sites[site].state())
        assert stored.units == sketches.units
        assert stored.predicates is None
        for name, values in sketches.state().items():
            np.testing.assert_allclose(stored.state()[name], values, rtol=1e-12, err_msg=name)
    with pytest.raises(ValueError, match="must have the same units"):
        whole.merge(record(Fake(), table, UNITS[:2], document_ids=NAMES))


@pytest.mark.parametrize("units", [UNITS, [UnitId(HIGH, 0)]])
def test_infinite_activations_are_refused_with_place_and_leave_no_file(tmp_path, units):
    table = table_of(60)
    token = int(np.flatnonzero(table.flat_positions == 2)[7])
    ids = table.ids.copy()
    ids[table.flat_windows[token], 2] = 99
    broken = TokenTable(ids, table.lengths, table.documents, table.starts)
    row = table.flat_windows[token]
    place = table.starts[row] + 2
    message = (
        f"{units[0].site}: NaN or infinite activation in document 'name{table.documents[row]}' at its token {place};"
    )
    with pytest.raises(ActivationError, match=message):
        record(Fake(broken=99), broken, units, document_ids=NAMES, columns=tmp_path / "columns.npy")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_no_file(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(Fake(), table_of(60), UNITS, document_ids=NAMES, columns=tmp_path / "columns.npy", progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("units", "error", "message"),
    [
        ([], UsageError, "needs units, each once. Got 0"),
        ([UNITS[0], UNITS[0]], UsageError, "Got 2, 1 of them different"),
        ([UnitId(LOW, WIDTH)], UsageError, r"L0.mlp_act:6 is out of range; L0.mlp_act has units 0 to 5"),
        ([UnitId(SiteId(0, "mlp_out"), 0)], UnknownName, "unknown site 'L0.mlp_out'; did you mean"),
    ],
)
def test_wrong_units(units, error, message):
    subject = Fake()
    with pytest.raises(error, match=message):
        record(subject, table_of(5), units, document_ids=NAMES)
    assert subject.passes == 0


def test_no_tokens():
    with pytest.raises(UsageError, match="no token to record"):
        record(Fake(), table_of(5).take(np.zeros(0, np.int64)), UNITS, document_ids=NAMES)


def test_columns_where_nothing_can_be_written(tmp_path):
    with pytest.raises(StorageError, match=r"can't write 0.0 MB of activations to .*No such file or directory"):
        record(Fake(), table_of(5), UNITS, document_ids=NAMES, columns=tmp_path / "no" / "columns.npy")


def test_a_full_disk_is_one_error_and_leaves_no_file(tmp_path, monkeypatch):
    import errno

    from assay.record import columns as module

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *rest):
            return None

        def write(self, data):
            (tmp_path / "columns.npy").touch()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "open", lambda self, mode: Full())
    with pytest.raises(StorageError, match=r"columns\.npy \(No space left on device\)"):
        module.create_columns(tmp_path / "columns.npy", 10, 10)
    assert list(tmp_path.iterdir()) == []


def test_a_real_model_in_bf16(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    from assay.model import Subject

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=90, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    tokenizer = SimpleNamespace(all_special_ids=[SPECIAL])
    subject = Subject.from_hf(model, tokenizer, name="tiny")
    table = table_of(40)
    units = [UnitId(SiteId(1, "mlp_act"), 23), UnitId(SiteId(0, "resid_post"), 3), UnitId(SiteId(1, "mlp_act"), 2)]
    recording = record(subject, table, units, document_ids=NAMES, columns=tmp_path / "c.npy", batch_tokens=64)

    ids = torch.from_numpy(np.maximum(table.ids, 0)).long()
    seen = {}
    hook = model.model.layers[1].mlp.down_proj.register_forward_pre_hook(lambda _, args: seen.update(act=args[0]))
    with torch.no_grad():
        hidden = model.model(ids, torch.from_numpy(table.real).long(), output_hidden_states=True).hidden_states
    hook.remove()
    by_hand = torch.stack([seen["act"][..., 23], hidden[1][..., 3], seen["act"][..., 2]], -1).float().numpy()
    # bf16 differs a little between batch shapes
    np.testing.assert_allclose(recording.columns, table.flat(by_hand), rtol=0.03, atol=0.002)
    assert np.std(recording.columns, 0).min() > 0
