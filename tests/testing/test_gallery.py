"""The gallery's units do what their labels say: rules on text and hand-set weights agree, token by token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.rules import View
from assay.testing import Exhibit, Gallery, gallery
from assay.testing.gallery import DECOYS, SITE, read_rules
from assay.testing.gallery_language import KINDS, LENGTH, START, TOKEN_ID, VOCABULARY, gallery_tokens, tokenizer
from assay.testing.gallery_rules import Compiler
from assay.testing.gallery_weights import Circuit, tokens

NOISELESS = slice(1, 9)  # positions before which nothing stands nine back, so that no noise is carried


@pytest.fixture(scope="module")
def shown() -> Gallery:
    return gallery(seed=0, documents=50)


@pytest.fixture(scope="module")
def ids() -> np.ndarray:
    """(250, 64) token ids of documents that the gallery's own corpus has not, -1 behind their ends."""
    table = np.full((250, LENGTH), -1)
    for row, words in enumerate(gallery_tokens(seed=77, documents=250)):
        table[row, : len(words)] = [TOKEN_ID[word] for word in words]
    return table


@pytest.fixture(scope="module")
def activations(shown: Gallery, ids: np.ndarray) -> np.ndarray:
    """(250, 64, units) of the gallery's site."""
    text, real = torch.as_tensor(np.maximum(ids, 0)), torch.as_tensor(ids >= 0).long()
    with torch.inference_mode():
        return shown.subject.activations(text, real, [SITE])[SITE].numpy()


def truth(exhibit: Exhibit, ids: np.ndarray) -> np.ndarray:
    """(250, 64) what an exhibit computes, 0 behind the documents' ends."""
    out = np.zeros(ids.shape)
    out[ids >= 0] = exhibit.truth.predict(View(ids, VOCABULARY))
    return out


def counted(ids: np.ndarray) -> np.ndarray:
    return (ids >= 0) & (np.arange(LENGTH) > 0)


def test_there_is_enough_of_every_kind(shown: Gallery) -> None:
    families = {name: len(shown.family(name)) for name in ("rules", "noisy", "polysemantic", "beyond")}
    assert families["rules"] >= 20
    assert sum(families.values()) - families["rules"] >= 10
    assert sum(families.values()) == len(shown.exhibits)
    assert all(2 <= len(exhibit.meanings) <= 3 for exhibit in shown.family("polysemantic"))
    assert any(not exhibit.writes for exhibit in shown.exhibits)


def test_every_unit_has_all_decoys_in_words_and_in_rules(shown: Gallery) -> None:
    for exhibit in shown.exhibits:
        wanted = DECOYS if not exhibit.dense else ("opposite", "another unit's", "nonsense")
        assert tuple(exhibit.decoys) == wanted, exhibit.name
        assert len({said.sentence for said in exhibit.decoys.values()} | {exhibit.told.sentence}) == len(wanted) + 1
        assert all(said.rules is not None and said.sentence.endswith(".") for said in exhibit.decoys.values())
        assert (exhibit.told.rules is None) == (exhibit.family == "beyond")


def test_where_no_noise_is_carried_the_weights_compute_the_truth(
    shown: Gallery, ids: np.ndarray, activations: np.ndarray
) -> None:
    for exhibit in shown.exhibits:
        want = truth(exhibit, ids)[:, NOISELESS]
        got = activations[:, NOISELESS, exhibit.unit.number]
        assert got == pytest.approx(want, abs=0.015 * max(1.0, np.abs(want).max())), exhibit.name


def test_clean_units_follow_the_truth_on_every_token(shown: Gallery, ids: np.ndarray, activations: np.ndarray) -> None:
    where = counted(ids)
    for exhibit in shown.family("rules", "polysemantic", "beyond"):
        real, want = activations[..., exhibit.unit.number][where], truth(exhibit, ids)[where]
        assert np.corrcoef(want, real)[0, 1] > 0.99, exhibit.name
        if not exhibit.dense:
            assert ((real > 0.5) == (want > 0.5)).all(), exhibit.name


def test_noisy_units_have_the_r_that_they_claim(shown: Gallery, ids: np.ndarray, activations: np.ndarray) -> None:
    where = counted(ids)
    for exhibit in shown.family("noisy"):
        real, want = activations[..., exhibit.unit.number][where], truth(exhibit, ids)[where]
        assert np.corrcoef(want, real)[0, 1] == pytest.approx(exhibit.r, abs=0.07), exhibit.name


def test_noise_is_decided_by_the_token_nine_back_alone(
    shown: Gallery, ids: np.ndarray, activations: np.ndarray
) -> None:
    [exhibit] = [one for one in shown.family("noisy") if one.r == 0.5]
    noise = activations[..., exhibit.unit.number] - truth(exhibit, ids)
    here = (ids >= 0) & (np.arange(LENGTH) >= 10)
    residual = []
    for back in (0, 1, 8, 9, 10):
        seen = np.roll(ids, back, axis=1)[here]
        size = len(VOCABULARY)
        means = np.bincount(seen, noise[here], size) / np.maximum(np.bincount(seen, minlength=size), 1)
        residual.append(float(((noise[here] - means[seen]) ** 2).sum() / noise[here].var() / here.sum()))
    assert residual[3] < 0.01
    assert min(residual[:3] + residual[4:]) > 0.7


def test_units_fire_at_realistic_rates(shown: Gallery, ids: np.ndarray) -> None:
    for exhibit in shown.exhibits:
        if not exhibit.dense:
            rate = (np.abs(truth(exhibit, ids)[counted(ids)]) > 0.5).mean()
            assert 0.0005 < rate < 0.06, exhibit.name


def test_beyond_is_beyond_the_rules_near_it(shown: Gallery, ids: np.ndarray) -> None:
    """No decoy of such a unit, each a good guess at it in rules, comes near its function."""
    where, view = counted(ids), View(ids, VOCABULARY)
    for exhibit in shown.family("beyond"):
        want = truth(exhibit, ids)[where]
        for kind, said in exhibit.decoys.items():
            guess = np.zeros(ids.shape)
            guess[ids >= 0] = said.rules.predict(view)
            if np.ptp(guess[where]):
                assert np.corrcoef(want, guess[where])[0, 1] < 0.75, (exhibit.name, kind)


def test_the_meanings_of_a_polysemantic_unit_make_up_its_truth(shown: Gallery, ids: np.ndarray) -> None:
    view = View(ids, VOCABULARY)
    for exhibit in shown.family("polysemantic"):
        parts = [meaning.predict(view) for meaning in exhibit.meanings]
        assert np.array_equal(sum(parts), exhibit.truth.predict(view))
        assert all(np.abs(part).sum() >= 8 for part in parts), exhibit.name


def test_what_fires_raises_the_words_it_writes_and_a_silent_unit_nothing(shown: Gallery, ids: np.ndarray) -> None:
    text, real = torch.as_tensor(np.maximum(ids[:40], 0)), torch.as_tensor(ids[:40] >= 0).long()
    with torch.inference_mode():
        whole = shown.subject.logits(text, real)
    for exhibit in (shown.exhibits[0], shown.exhibits[3], shown.exhibits[7]):

        def silence(values: torch.Tensor, at: int = exhibit.unit.number) -> torch.Tensor:
            values = values.clone()
            values[..., at] = 0
            return values

        with torch.inference_mode(), shown.subject.edit(SITE, silence):
            change = (whole - shown.subject.logits(text, real)).numpy()
        fires = truth(exhibit, ids[:40]) > 0.5
        assert fires.any()
        for kind, words in KINDS.items():
            rise = change[fires][:, [TOKEN_ID[word] for word in words]].mean()
            assert rise == pytest.approx(exhibit.writes.get(kind, 0.0), abs=0.25), (exhibit.name, kind)
    assert not change[~fires].any() or np.abs(change[~fires]).max() < 1.0


def test_the_model_speaks_its_language(shown: Gallery, ids: np.ndarray) -> None:
    text, real = torch.as_tensor(np.maximum(ids[:60], 0)), torch.as_tensor(ids[:60] >= 0).long()
    with torch.inference_mode():
        logits = shown.subject.logits(text, real)
    known = real[:, 1:].bool()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1][known], text[:, 1:][known])
    assert loss < 3.2  # log(176) is 5.2


def test_equal_seeds_give_equal_galleries(shown: Gallery) -> None:
    again, other = gallery(seed=0, documents=50), gallery(seed=1, documents=50)
    assert again.subject.fingerprint == shown.subject.fingerprint
    assert again.corpus == shown.corpus
    assert other.subject.fingerprint != shown.subject.fingerprint
    assert [one.told for one in other.exhibits] == [one.told for one in shown.exhibits]


def test_documents_are_windows_that_the_tokenizer_reads_back() -> None:
    reader = tokenizer()
    for words in gallery_tokens(seed=3, documents=60):
        assert words[0] == START
        assert START not in words[1:]
        assert len(words) <= LENGTH
        assert [VOCABULARY[i] for i in reader("".join(words))["input_ids"]] == words


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["nonsense"]], "no condition of the gallery"),
        ([["token @adjective", "not nearby @noun"]], "too much is listed under 'not'"),
    ],
)
def test_shorthand_that_can_not_be_read_is_refused(rows: list[list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rules(rows)


def test_long_lists_are_cut_into_rules_that_hold_where_one_would() -> None:
    rules = read_rules([[2.0, "token @noun", "previous token @determiner"]])
    assert len(rules.rules) > 1
    ids = np.array([[TOKEN_ID[word] for word in (START, " the", " dog", " a", " bridge", " dog")]])
    assert rules.predict(View(ids, VOCABULARY)).tolist() == [0, 0, 2, 0, 2, 0]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (["token @noun", "flag a repetition of an earlier token"], "known for names only"),
        (["token @topic", "earlier @topic"], "must not be one of them"),
        (["flag past the 32nd token of the window"], "knows no 'flag'"),
    ],
)
def test_what_can_not_be_compiled_is_refused(row: list[str], why: str) -> None:
    circuit = Circuit(2)
    with pytest.raises(NotImplementedError, match=why):
        Compiler(circuit).compile(read_rules([row]), circuit.axis())


def test_a_staircase_holds_its_steps_at_whole_numbers() -> None:
    circuit = Circuit(1)
    circuit.staircase(0, tokens([" dog"]), (0.0, 1.0, 0.0, 3.0))
    for count, want in enumerate((0.0, 1.0, 0.0, 3.0)):
        total = 0.0
        for neuron in circuit.neurons[0]:
            gate = neuron.gate.get(TOKEN_ID[" dog"], 0.0) * count + sum(
                weight for axis, weight in neuron.gate.items() if axis >= len(VOCABULARY)
            )
            [out] = neuron.writes.values()
            total += gate / (1 + np.exp(-gate)) * sum(neuron.up.values()) * out
        assert total == pytest.approx(want, abs=1e-6)
