"""The trained model as a directory in the cache, which loads like any other."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from assay.core.cache import cache_dir
from assay.errors import RunError
from assay.ladder.model import configuration
from assay.probe.quirky.cells import accuracies
from assay.probe.quirky.data import draw_sums
from assay.probe.quirky.recipe import Recipe
from assay.probe.quirky.tokenizer import make_tokenizer
from assay.probe.quirky.train import Progress, Row, Taught, teach
from assay.store.atomic import make_directory, storage_error, write_json

if TYPE_CHECKING:
    from assay.model import Subject

WEIGHTS, RECORD = "model.safetensors", "training.json"
_TESTED = 1000  # pairs of operands


def quirky_subject(recipe: Recipe | None = None, progress: Progress = lambda _: None) -> Subject:
    """The quirky model of a recipe, in fp32 on the CPU; trained where the cache lacks it.

    Raises:
        UsageError: a recipe that can't be trained.
        StorageError: the cache can't be written.
    """
    from assay.model import load

    recipe = recipe or Recipe()
    subject = load(quirky_directory(recipe, progress), dtype="fp32", device="cpu")
    subject.name = recipe.name
    return subject


def quirky_record(directory: Path) -> dict[str, Any]:
    """What is known of a training: ``recipe``, ``seconds``, ``curve``, and ``accuracy`` by name and level.

    Accuracies are on operands of the test part, which nothing was learnt or chosen on: the share of right answers, mean
    over yes and no; of Bob's items right is what Bob says.

    Raises:
        RunError: there is none, or it is damaged.
    """
    path = directory / RECORD
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read; remove {directory} and train again") from error
    return found


def quirky_directory(recipe: Recipe, progress: Progress = lambda _: None) -> Path:
    """Where the model of a recipe stands, as a Hugging Face directory; trained first if it doesn't.

    The first stage is kept as well, under its own recipe, for others that share it. Each appears as a whole: one that
    was interrupted leaves nothing under its name.

    Raises:
        UsageError: a recipe that can't be trained.
        StorageError: the cache can't be written.
    """
    recipe.check()
    target = cache_dir() / "quirky" / recipe.sha256[:16]
    if target.is_dir():
        return target
    make_directory(target.parent)
    what = f"a quirk, layers {recipe.quirk_from} up" if recipe.quirky.steps else "a model to judge sums"
    progress(f"{recipe.name}: teaching {what}; done once, on one core")
    taught = _taught(recipe, progress)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as temporary:
            made = Path(temporary) / "model"
            make_directory(made)
            _write(recipe, taught, made)
            try:
                made.rename(target)
            except OSError:
                if not target.is_dir():  # another process may have finished first
                    raise
    except (OSError, SafetensorError) as error:
        raise storage_error(target, error) from error
    return target


def _taught(recipe: Recipe, progress: Progress) -> Taught:
    from safetensors.torch import load_file

    if not recipe.quirky.steps:
        return teach(recipe, progress)
    first = quirky_directory(recipe.truthful_alone, progress)
    record = quirky_record(first)
    taught = teach(recipe, progress, load_file(first / WEIGHTS))
    known = [Row(**row) for row in record["curve"]]
    later = [row._replace(seconds=round(row.seconds + record["seconds"], 1)) for row in taught.curve]
    return taught._replace(curve=[*known, *later])


def _write(recipe: Recipe, taught: Taught, directory: Path) -> None:
    from safetensors.torch import save_file

    from assay.model import load

    config = configuration(recipe.shape)
    config.dtype = torch.float32
    write_json(directory / "config.json", json.loads(config.to_json_string()))
    weights = {name: weight.detach().contiguous() for name, weight in taught.model.named_parameters()}
    save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})
    make_tokenizer().save_pretrained(directory)
    subject = load(directory, dtype="fp32", device="cpu")
    sums = draw_sums((recipe.seed, 5), _TESTED, "test", digits=recipe.digits)
    record = {
        "name": recipe.name,
        "recipe": recipe.as_json(),
        "seconds": taught.curve[-1].seconds,
        "accuracy": accuracies(subject, sums),
        "curve": [row._asdict() for row in taught.curve],
    }
    write_json(directory / RECORD, record)
