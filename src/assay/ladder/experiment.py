"""Training a family: one tokenizer, and a directory a model."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from assay.errors import RunError, UsageError
from assay.ladder.finish import How, finish
from assay.ladder.model import CONTEXT, Shape
from assay.ladder.nulls import Null, count, nulls
from assay.ladder.recipe import Recipe
from assay.ladder.shipped import CURVE, Trained, read_trained
from assay.ladder.stream import Stream
from assay.ladder.tokenizer import documents_of, read_tokenizer, train_tokenizer, windows_of
from assay.ladder.train import Progress, train
from assay.model.placement import Placement, place, short
from assay.store.atomic import make_directory, remove_unfinished, storage_error, write_json
from assay.store.lock import locked
from assay.text import Splits, load_corpus, split

SPLIT_SEED = 0
LOOKS = 16  # choose losses in a training, but for the first
TOKENIZER = "tokenizer"
_MADE_OF = "made_of.json"


@dataclass(frozen=True)
class LadderRequest:
    """A family to train: a model for each number of layers and each seed.

    Attributes:
        out: the directory that gets a directory a model, and one for the tokenizer.
        layers, seeds: one model for each pair. tokens: that each one sees.
        width, vocabulary: of all of them. corpus: as :func:`assay.text.load_corpus` takes it.
        device: None takes CUDA if there is one.
        products: dtype of matrix products, "bf16" or "fp32"; None takes bf16 where the processor computes in it.
    """

    out: Path
    layers: tuple[int, ...] = (2, 4, 8, 12)
    seeds: tuple[int, ...] = (0, 1)
    tokens: int = Recipe.tokens
    width: int = 96
    vocabulary: int = 4096
    corpus: str = "bundled"
    device: str | None = None
    products: str | None = None


class Text(NamedTuple):
    """What all models of a family share: documents, tokenizer, and what their names and hashes are."""

    splits: Splits
    tokenizer: Any
    stored: Path
    source: dict[str, Any]


def train_ladder(request: LadderRequest, progress: Progress) -> list[Trained]:
    """Train the models that ``request.out`` does not hold yet, each to its end, and read back all that were asked for.

    A training that was interrupted goes on where its last checkpoint left it.

    Raises:
        UsageError: a size that can't be trained, or a directory that holds models of other settings or of other text.
        UnknownName, CorpusError, DownloadError: the corpus or the dtype can't be had.
        RunError: what an interrupted training left is damaged.
        StorageError: the directory can't be written.
    """
    placement = place(request.products, request.device)
    products = {torch.bfloat16: "bf16", torch.float32: "fp32"}.get(placement.dtype)
    if products is None:
        raise UsageError(f"products are computed in bf16 or fp32. Got {request.products!r} instead.")
    recipes = [
        Recipe(
            Shape(layers, request.width, request.vocabulary),
            seed,
            request.tokens,
            every=max(1, request.tokens // LOOKS),
            products=products,
        )
        for layers in request.layers
        for seed in request.seeds
    ]
    if not recipes:
        raise UsageError("a family needs a number of layers and a seed; got none")
    for recipe in recipes:
        recipe.check()
    text = _text(request, progress)
    reason = _reason(placement, request.products is not None)
    progress(f"training in {request.out} ({reason})")
    measured: dict[str, Null] = {}
    for recipe in recipes:
        asked = {"recipe": recipe.as_json(), "text": text.source}
        if _is_there(request.out / recipe.name, asked):
            progress(f"{recipe.name} is there already")
            continue
        measured = measured or _nulls(text, recipe)
        _train_one(recipe, text, request.out, placement.device, How(asked, reason), measured, progress)
    return [read_trained(request.out / recipe.name) for recipe in recipes]


def _reason(placement: Placement, asked: bool) -> str:
    """Which dtypes and which device, and why, in one line."""
    why = "asked for" if asked else "the processor computes in it"
    if not asked and placement.dtype != torch.bfloat16:
        why = "the processor has no bf16 arithmetic"
    device = placement.reason.partition("; ")[2]
    return f"weights in fp32; matrix products in {short(placement.dtype)}: {why}; {device}"


def _train_one(
    recipe: Recipe,
    text: Text,
    out: Path,
    device: torch.device,
    how: How,
    measured: dict[str, Null],
    progress: Progress,
) -> None:
    work = out / f".{recipe.name}.partial"
    make_directory(work)
    with locked(work):
        if not _is_there(out / recipe.name, how.asked):  # else another process has ended it meanwhile
            made = _train_locked(recipe, text, work, device, how, measured, progress)
            try:
                made.rename(out / recipe.name)
            except OSError as error:
                raise storage_error(out / recipe.name, error) from error
        shutil.rmtree(work, ignore_errors=True)


def _train_locked(
    recipe: Recipe,
    text: Text,
    work: Path,
    device: torch.device,
    how: How,
    measured: dict[str, Null],
    progress: Progress,
) -> Path:
    """Train in ``work``, and give the directory in it that holds the model."""
    remove_unfinished(work)
    fit = Stream(documents_of(text.splits.fit, text.tokenizer), recipe.window, recipe.seed)
    choose = windows_of(text.splits.choose, text.tokenizer, recipe.window, recipe.choose)
    state = train(recipe, fit, choose, work, device, how.asked, progress)
    test = windows_of(text.splits.test, text.tokenizer, recipe.window)
    progress(f"{recipe.name}: measuring the test loss")
    losses = {name: null.losses for name, null in measured.items()}
    return finish(recipe, state, text.stored, work / "model", test, losses, how)


def _nulls(text: Text, recipe: Recipe) -> dict[str, Null]:
    parts = [windows_of(part, text.tokenizer, recipe.window) for part in text.splits]
    return nulls(count(parts[0], recipe.shape.vocabulary), parts[1], parts[2])


def _is_there(directory: Path, asked: Mapping[str, Any]) -> bool:
    """Whether a finished model of this request is there."""
    if not (directory / CURVE).is_file():
        if directory.exists():
            raise UsageError(f"{directory} is there and holds no model of a family; choose another place")
        return False
    stored = read_trained(directory).record
    if {name: stored[name] for name in asked} != json.loads(json.dumps(asked)):
        raise UsageError(f"{directory} holds a model of other settings or other text; choose another place")
    return True


def _text(request: LadderRequest, progress: Progress) -> Text:
    corpus = load_corpus(request.corpus, progress)
    splits = split(corpus, SPLIT_SEED)
    source = {
        "corpus": corpus.name,
        "corpus_sha256": corpus.sha256,
        "split_seed": SPLIT_SEED,
        "splits_sha256": splits.sha256,
        "vocabulary": request.vocabulary,
    }
    stored = request.out / TOKENIZER
    if not stored.is_dir():
        progress(f"training a tokenizer of {request.vocabulary:,} entries on {len(splits.fit):,} fit documents")
        _store_tokenizer(train_tokenizer(splits.fit, request.vocabulary, CONTEXT), stored, source)
    try:
        made_of = json.loads((stored / _MADE_OF).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{stored} holds no tokenizer of a family; remove it, or choose another place") from error
    if made_of != source:
        raise UsageError(f"{stored} holds a tokenizer of other text or another size; choose another place")
    spelling = hashlib.sha256((stored / "tokenizer.json").read_bytes()).hexdigest()
    return Text(splits, read_tokenizer(stored), stored, {**source, "tokenizer_sha256": spelling})


def _store_tokenizer(tokenizer: Any, directory: Path, source: dict[str, Any]) -> None:
    """Whole or not at all; of two processes that store the same one, the first does."""
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}.partial")
    make_directory(temporary)
    try:
        tokenizer.save_pretrained(temporary)
        write_json(temporary / _MADE_OF, source)
        if not directory.is_dir():
            os.rename(temporary, directory)
    except OSError as error:
        if not directory.is_dir():
            raise storage_error(directory, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
