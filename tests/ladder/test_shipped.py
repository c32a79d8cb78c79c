"""The models that come with the package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from assay.core.bundled import PLACE, bundled_models
from assay.errors import UnknownName
from assay.ladder import Trained, shipped
from assay.ladder.loss import measure
from assay.ladder.nulls import count, nulls
from assay.ladder.tokenizer import read_tokenizer, windows_of
from assay.model import load, validate
from assay.text import TokenTable, load_corpus, split

ROOT = Path(__file__).parents[2]
NAMES = [f"ladder-{layers}-{seed}" for layers in (2, 4, 8, 12) for seed in (0, 1)]
SOME = 12  # test documents that are measured again


@pytest.fixture(scope="module")
def page() -> Any:
    spec = importlib.util.spec_from_file_location("ladder_page", ROOT / "scripts/ladder_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def windows() -> tuple[TokenTable, TokenTable, TokenTable]:
    """Of the fit, choose and test documents."""
    tokenizer = read_tokenizer(PLACE / "tokenizer")
    fit, choose, test = (windows_of(part, tokenizer, 256) for part in split(load_corpus("bundled"), seed=0))
    return fit, choose, test


def test_they_are_all_there_and_small() -> None:
    assert list(bundled_models()) == NAMES
    assert sum(path.stat().st_size for path in PLACE.rglob("*.safetensors")) < 20_000_000
    assert not [path for path in PLACE.rglob("*") if path.suffix not in ("", ".json", ".safetensors")]


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_in_every_dtype_and_has_its_size(name: str) -> None:
    layers, seed = map(int, name.split("-")[1:])
    [stored] = [trained.record for trained in shipped() if trained.record["name"] == name]
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        subject = load(name, dtype=dtype, device="cpu")
        validate(subject)
        assert subject.dtype == dtype
    assert (subject.name, subject.n_layers, subject.d_model, subject.vocab_size) == (name, layers, 96, 4096)
    assert sum(weight.numel() for weight in subject.model.parameters()) == stored["parameters"] <= 1_750_000
    assert (stored["recipe"]["shape"]["layers"], stored["recipe"]["seed"]) == (layers, seed)
    assert subject.tokenizer.decode(subject.tokenizer("As it was, 1984.")["input_ids"]) == "As it was, 1984."


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_losses_are_what_measuring_gives(
    name: str, windows: tuple[TokenTable, TokenTable, TokenTable]
) -> None:
    test = windows[2]
    few = test.take(test.documents < SOME)
    found = measure(load(name, dtype="fp32", device="cpu").model, few)
    [trained] = [trained for trained in shipped() if trained.record["name"] == name]
    stored = trained.record["test"]
    assert found.tokens.tolist() == stored["document_tokens"][:SOME]
    own = np.array(stored["document_nats"]["model"][:SOME])
    assert found.nats == pytest.approx(own, rel=1e-4)
    assert own.sum() < sum(stored["document_nats"]["bigram"][:SOME])


def test_the_stored_means_are_those_of_the_stored_documents() -> None:
    for trained in shipped():
        test = trained.record["test"]
        tokens = np.array(test["document_tokens"])
        assert (len(tokens), int(tokens.sum())) == (test["documents"], test["tokens"])
        for name, (value, low, high) in test["loss"].items():
            assert np.sum(test["document_nats"][name]) / tokens.sum() == pytest.approx(value, abs=1e-4)
            assert low < value < high
        for name in ("unigram", "bigram", "reinit"):
            value, low, _ = test["below"][name]
            assert value == pytest.approx(test["loss"][name][0] - test["loss"]["model"][0], abs=2e-4)
            assert low > 0.3


def test_the_stored_nulls_are_what_counting_gives(windows: tuple[TokenTable, TokenTable, TokenTable]) -> None:
    fit, choose, test = windows
    found = nulls(count(fit, 4096), choose, test)
    for trained in shipped():
        for name, null in found.items():
            assert null.losses.interval() == pytest.approx(trained.record["test"]["loss"][name], abs=1e-4)


def test_they_were_trained_on_the_fit_documents_and_kept_where_choose_was_lowest() -> None:
    corpus = load_corpus("bundled")
    for trained in shipped():
        text = trained.record["text"]
        assert (text["corpus_sha256"], text["split_seed"]) == (corpus.sha256, 0)
        assert text["splits_sha256"] == split(corpus, seed=0).sha256
        curve = trained.record["curve"]
        assert trained.record["kept"] == min(curve, key=lambda row: row["choose"])["tokens"]


def test_twins_and_a_slip_of_the_pen() -> None:
    trained, twin = load("ladder-4-0", dtype="fp32"), load("ladder-4-0~reinit", dtype="fp32")
    assert twin.name == "ladder-4-0~reinit-0"
    assert twin.fingerprint != trained.fingerprint
    with pytest.raises(UnknownName, match="unknown model 'lader-12-0'; did you mean 'ladder-12-0'"):
        load("lader-12-0")


def test_the_page_has_the_tables_and_the_figure(page: Any) -> None:
    models = shipped()
    text = (ROOT / "docs/ladder.md").read_text(encoding="utf-8")
    for name, table in page.tables(models).items():
        assert table in text, name
    figure = page.vl_convert.vegalite_to_svg(page.build_figure(models).to_dict())
    assert (ROOT / "docs/ladder.svg").read_text(encoding="utf-8") == figure


def test_what_the_page_says_of_windows_holds(page: Any) -> None:
    begun, without, half, whole = page.reach("ladder-2-1").values()
    assert 0.05 <= without - begun <= 0.08
    assert 0.46 <= round(whole - half, 2) <= 0.63


def test_shipping_takes_one_tokenizer_for_all(
    page: Any, family: list[Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PLACE", tmp_path)
    monkeypatch.setattr(page, "TOKENIZER", tmp_path / "tokenizer")
    page.ship(family[0].directory.parent)
    assert sorted(path.name for path in (tmp_path / "ladder-1-1").iterdir()) == sorted(page.FILES)
    assert (tmp_path / "tokenizer" / "tokenizer.json").is_file()
    assert json.loads((tmp_path / "ladder-1-0" / "training.json").read_text()) == family[0].record


def test_the_wheel_and_the_source_archive_hold_them() -> None:
    builders = (
        WheelBuilder,
        SdistBuilder,
    )
    wanted = {path.relative_to(ROOT / "src").as_posix() for path in PLACE.rglob("*") if path.is_file()}
    assert len(wanted) == 3 * len(NAMES) + 3
    for builder in builders:
        packed = {file.distribution_path for file in builder(str(ROOT)).recurse_included_files()}
        assert wanted <= {path.removeprefix("src/") for path in packed}
