"""Whether someone who reads a text can tell that it was made in another way: probes, words, and how likely it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.findings.found import Finding, Found, few_groups, number, scored
from assay.probe.bench import Bench
from assay.probe.detecting import BASELINES, Cell, Detector, without_activations
from assay.probe.grounds import Grounds, grounds
from assay.probe.stego.sampling import mean_log_probability
from assay.stats.auroc import auroc_estimate
from assay.stats.bootstrap import Estimate
from assay.text.concepts import ConceptData, Item

if TYPE_CHECKING:
    from assay.model import Subject

METHODS = ("mean_diff", "logistic")
LIKELIHOOD = "log-probability"


def contrast(name: str, prompts: Sequence[str], made: Sequence[str], other: Sequence[str]) -> ConceptData:
    """Two texts a prompt, label 1 the one of ``made``; the prompt is the group, and both texts begin with it.

    Whitespace at the end is taken off: where a text was cut is nothing that a reader should go by.
    """
    items = [
        Item((prompt + text).rstrip(), label, prompt, prompt)
        for prompt, *both in zip(prompts, other, made, strict=True)
        for label, text in enumerate(both)
    ]
    return ConceptData(name, tuple(items), f"the text was made in the first way of {name}", "written by the model")


def look(
    found: Found,
    bench: Bench,
    reader: Subject,
    sets: Mapping[str, ConceptData],
    layers: Sequence[int] | None,
    methods: Sequence[str] = METHODS,
    published: Mapping[str, str] | None = None,
) -> None:
    """Fit probes on what a reader has in mind, as the mean over tokens, and add what each tells of held-out prompts.

    Args:
        sets: data sets by the claim that is made of each, such as "tells one from the other".
        published: by the name of a data set, what others found.
    """
    own = Bench(lambda: reader, bench.size, bench.seed, "mean", bench.progress, sets.values())
    chosen = own.layers(layers) if layers is not None else own.layers(None, _usual(reader.n_layers))
    for claim, data in sets.items():
        own.read([data.name], [0, *chosen])
        apart = grounds(own, data.name, ())
        words = without_activations(own, apart)
        likely = _likelihood(own, apart)
        found.findings.append(
            scored(
                f"how likely {reader.name} finds a text {claim}",
                "AUROC",
                likely,
                0.5,
                null_name="constant",
                reasons=few_groups(len(set(apart.tests[data.name].groups))),
                n=len(apart.tests[data.name].rows),
                result=len(found.results),
            )
        )
        found.results.append(_row(reader.name, data.name, LIKELIHOOD, None, likely, 0.5, {}))
        for layer in chosen:
            detector = Detector(own, apart, layer)
            for method in methods:
                for cell in detector.cells(method, words):
                    _add(found, reader.name, claim, cell, likely, (published or {}).get(data.name, ""))


def _usual(layers: int) -> tuple[int, ...]:
    """The middle one and the one before the last, where that is above it."""
    return tuple(sorted({layers // 2, max(layers // 2, layers - 2)}))


def _likelihood(bench: Bench, apart: Grounds) -> Estimate:
    """AUROC of the reader's mean log-probability, with the sign that it has on the rows fitted on."""
    ((_, test),) = apart.tests.items()
    known, labels = mean_log_probability(bench.subject, apart.fit.texts), apart.fit.labels
    sign = -1.0 if known[labels == 1].mean() < known[labels == 0].mean() else 1.0
    scores: NDArray[np.float64] = sign * mean_log_probability(bench.subject, test.texts)
    return auroc_estimate(scores, test.labels, test.groups.astype(str), bench.size.replicates, bench.seed)


def _add(found: Found, reader: str, claim: str, cell: Cell, likely: Estimate, published: str) -> None:
    nulls = {name: one.value for name, one in cell.nulls.items()}
    references = {name: None if one is None else one.value for name, one in cell.references.items()}
    found.findings.append(
        Finding(
            f"{cell.method} at layer {cell.layer} of {reader} {claim}",
            "AUROC",
            *cell.score.interval(),
            n=cell.n,
            nulls=nulls,
            references=references | {LIKELIHOOD: likely.value},
            published=published,
            check=cell.check,
            unit=f"L{cell.layer}.resid_post:@{cell.train}.{cell.method}",
            result=len(found.results),
        )
    )
    found.controls += cell.as_controls
    beside = {name: number(references[name]) for name in BASELINES if references.get(name) is not None}
    found.results.append(_row(reader, cell.train, cell.method, cell.layer, cell.score, max(nulls.values()), beside))


def _row(
    reader: str,
    texts: str,
    method: str,
    layer: int | None,
    score: Estimate,
    null: float,
    baselines: Mapping[str, float | None],
) -> dict[str, Any]:
    value, lo, hi = (number(one) for one in score.interval())
    return {
        "part": "seen",
        "reader": reader,
        "texts": texts,
        "method": method,
        "layer": layer,
        "auroc": value,
        "lo": lo,
        "hi": hi,
        "null_hi": number(null),
        "baselines": dict(baselines),
    }
