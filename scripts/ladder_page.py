"""The models of the package, and the tables and the figure of docs/ladder.md.

    assay ladder --train DIR          # about two hours on one core, less where several seeds run beside each other
    python scripts/ladder_page.py --ship DIR

With ``--ship`` the models in DIR are copied into the package first, with one tokenizer for all. Written is
``docs/ladder.svg``; printed are the tables, which a test compares with what is stored beside the models.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import torch
import vl_convert
from numpy.typing import NDArray
from torch.nn import functional

from assay.core.bundled import PLACE, TOKENIZER
from assay.explain.figure import NULL, dressed
from assay.ladder import Trained, shipped
from assay.ladder.stream import Stream
from assay.ladder.tokenizer import documents_of
from assay.model import load
from assay.stats import document_weights, interval
from assay.text import load_corpus, split, tokenise

FIGURE = Path(__file__).parents[1] / "docs" / "ladder.svg"
FILES = ("config.json", "model.safetensors", "training.json")
COLOURS = ("#0072b2", "#009e73", "#e69f00", "#d55e00")
WIDTH, HEIGHT = 340, 260


def ship(directory: Path) -> None:
    """Copy the models of a directory into the package; its tokenizer once, without the copies beside the weights."""
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(directory / "tokenizer", TOKENIZER)
    for model in sorted(directory.glob("ladder-*")):
        (PLACE / model.name).mkdir()
        for name in FILES:
            shutil.copyfile(model / name, PLACE / model.name / name)


def layers(model: Trained) -> int:
    return model.record["recipe"]["shape"]["layers"]


def bounds(triple: Sequence[float], digits: int = 3) -> str:
    """A value with its interval, as the page writes it."""
    value, low, high = (f"{number:.{digits}f}".replace("-", "−") for number in triple)
    return f"{value} [{low} {high}]"


def tables(models: Sequence[Trained]) -> dict[str, str]:
    """Markdown by name: what each model is worth, the nulls, and what depth brings beside what another seed does."""
    return {"models": _models(models), "nulls": _nulls(models[0]), "depth": _depth(models)}


def _models(models: Sequence[Trained]) -> str:
    lines = [
        "| model | layers | parameters | test loss | below bigram | `~reinit` twin | kept after | fit, choose there |",
        "|---|--:|--:|---|---|--:|--:|---|",
    ]
    for model in models:
        row = model.summary()
        kept = next(point for point in model.record["curve"] if point["tokens"] == row["kept"])
        lines.append(
            f"| `{row['name']}` | {row['layers']} | {row['parameters']:,} | {bounds(row['loss'])} "
            f"| {bounds(row['below']['bigram'])} | {row['nulls']['reinit'][0]:.2f} "
            f"| {row['kept'] / 1e6:.1f} M | {kept['fit']:.2f}, {kept['choose']:.2f} |"
        )
    return "\n".join(lines)


def _nulls(model: Trained) -> str:
    loss = model.record["test"]["loss"]
    lines = ["| null | test loss |", "|---|---|"]
    lines += [f"| {name} | {bounds(loss[name])} |" for name in ("unigram", "bigram")]
    return "\n".join(lines)


def nats(model: Trained) -> NDArray[np.float64]:
    """(documents,) sums on the test documents."""
    return np.array(model.record["test"]["document_nats"]["model"])


def gap(models: Sequence[Trained], first: NDArray[np.float64], then: NDArray[np.float64]) -> list[float]:
    """How far the second is below the first, in nats a token, with the interval from documents drawn again."""
    tokens = np.array(models[0].record["test"]["document_tokens"], dtype=np.float64)
    weights = document_weights(len(tokens))
    found = interval(float((first - then).sum() / tokens.sum()), (weights @ (first - then)) / (weights @ tokens))
    return list(found)


def _depth(models: Sequence[Trained]) -> str:
    depths = sorted({layers(model) for model in models})
    by_depth = {depth: [nats(model) for model in models if layers(model) == depth] for depth in depths}
    lines = ["| layers | below the row above | seed 1 below seed 0 |", "|--:|---|---|"]
    previous = None
    for depth in depths:
        own = by_depth[depth]
        mean = np.mean(own, axis=0)
        step = "" if previous is None else bounds(gap(models, previous, mean))
        lines.append(f"| {depth} | {step} | {bounds(gap(models, own[0], own[1]))} |")
        previous = mean
    return "\n".join(lines)


def build_figure(models: Sequence[Trained]) -> alt.VConcatChart:
    """Choose and fit loss by tokens seen; a line a model, a colour a depth."""
    depths = sorted({layers(model) for model in models})
    colour = alt.Color(
        "layers:N",
        scale=alt.Scale(domain=[f"{depth} layers" for depth in depths], range=list(COLOURS[: len(depths)])),
        legend=alt.Legend(title=None, orient="top"),
    )
    panels = [
        _panel(models, colour, "choose", "Choose loss: documents to stop on"),
        _panel(models, colour, "fit", "Fit loss: documents trained on"),
    ]
    return dressed(alt.vconcat(alt.hconcat(*panels, spacing=30)))


def reach(name: str) -> dict[str, float]:
    """Nats a token on choose documents, for the same tokens in two ways: windows of 64 tokens with ``<|endoftext|>``
    before them and without, from the second token on; and the last 128 tokens of windows of 512, which training never
    had, with all of the window before them and with its last half only.
    """
    subject = load(name, dtype="fp32", device="cpu")
    documents = split(load_corpus("bundled"), seed=0).choose
    short = tokenise(documents, subject.tokenizer, length=64, tokens=20_000)
    ids = torch.from_numpy(short.ids[short.lengths == 64].astype(np.int64))
    begun = functional.pad(ids, (1, 0))
    long = torch.from_numpy(Stream(documents_of(documents, subject.tokenizer), 512, seed=0).epoch(0)[:48])
    half = functional.pad(long[:, 257:], (1, 0))
    return {
        "begun with <|endoftext|>": nats_of(subject, begun)[:, 1:].mean().item(),
        "without it": nats_of(subject, ids).mean().item(),
        "at the end of 256 tokens": nats_of(subject, half)[:, -128:].mean().item(),
        "of 512": nats_of(subject, long)[:, -128:].mean().item(),
    }


def nats_of(subject: Any, ids: torch.Tensor) -> torch.Tensor:
    """(n, length - 1) the loss at each token but a window's first."""
    with torch.no_grad():
        logits = torch.cat([subject.model(input_ids=some, use_cache=False).logits[:, :-1] for some in ids.split(4)])
    return functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(ids), -1)


def _panel(models: Sequence[Trained], colour: alt.Color, name: str, title: str) -> alt.LayerChart:
    rows: list[Mapping[str, Any]] = [
        {
            "tokens": point["tokens"] / 1e6,
            "loss": point[name],
            "layers": f"{layers(model)} layers",
            "model": model.record["name"],
            "kept": point["tokens"] == model.record["kept"],
        }
        for model in models
        for point in model.record["curve"][1:]
    ]
    lowest = min(point[each] for model in models for point in model.record["curve"][1:] for each in ("fit", "choose"))
    y = alt.Y("loss:Q", axis=alt.Axis(title="nats a token", tickCount=6)).scale(
        domain=[float(np.floor(lowest * 5) / 5), 6.0], nice=False, clamp=True
    )
    x = alt.X("tokens:Q", axis=alt.Axis(title="million tokens seen", tickCount=8))
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y, color=colour, detail="model:N")
    bigram = models[0].record["test"]["loss"]["bigram"][0]
    null = alt.Chart(alt.Data(values=[{"loss": bigram, "tokens": rows[-1]["tokens"], "text": "bigram (test)"}]))
    line = null.mark_rule(color=NULL, strokeWidth=1.2).encode(y=y)
    named = null.mark_text(color=NULL, align="right", dy=9).encode(x=x, y=y, text="text:N")
    kept = base.transform_filter("datum.kept").mark_point(filled=True, size=36, opacity=1)
    layered = alt.layer(line, named, base.mark_line(strokeWidth=1.4), kept)
    return layered.properties(width=WIDTH, height=HEIGHT, title=alt.Title(title, anchor="start"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ship", type=Path, metavar="DIR", help="copy the models of this directory first")
    asked = parser.parse_args()
    if asked.ship:
        ship(asked.ship)
    models = shipped()
    FIGURE.write_text(vl_convert.vegalite_to_svg(build_figure(models).to_dict()), encoding="utf-8")
    for name, table in tables(models).items():
        print(f"\n{name}\n\n{table}")
    for model in models:
        told = ", ".join(f"{what} {value:.3f}" for what, value in reach(model.record["name"]).items())
        print(f"{model.record['name']}: {told}")


if __name__ == "__main__":
    main()
