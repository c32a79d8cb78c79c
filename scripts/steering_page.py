"""The figures of docs/findings/steering.md, from stored trials of ``assay steer``, one a concept.

    assay steer --concept CONCEPT --layers 6,12,18,24 --methods \\
        actadd,mean_diff,lat,logistic,lda,ccs,arithmetic,neuron,iti,prompt,few_shot,lora,random
    python scripts/steering_page.py RUN [RUN ...]

RUN are such runs, in any order. Written are ``steering.json`` and ``steering.svg``; printed are the tables of the page,
which a test compares with the JSON. Intervals are from concepts drawn again. Methods are ranked within each concept;
one that can't be carried out, or whose KL is surely above the cap, shares the last places.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from assay.referee import exceeded_by_few
from assay.stats import interval, spearman
from assay.store import Run, open_run

PLACE = Path(__file__).parents[1] / "docs" / "findings"
PUBLISHED = {"prompt": 0.894, "lora": 0.615, "mean_diff": 0.239, "logistic": 0.098}  # AxBench (Wu et al. 2025)
KEPT = ("method", "layer", "dose", "effect", "lo", "hi", "null_hi", "nulls", "kl", "kl_lo", "kl_hi", "kl_random")
KEPT += ("perplexity_ratio", "wrong_way", "slope", "reversal", "agreement", "off_target", "coherent", "shows", "hits")
KEPT += ("hits_null", "verdict", "reason")
DRAWS, SEED = 2000, 0

Floats = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]


def told(run: Run) -> dict[str, Any]:
    """What is kept of a run."""
    result = run.result()
    summary = {name: result["summary"][name] for name in ("concept", "untreated")}
    rows: list[dict[str, Any]] = []
    for row in result["results"]:
        own = {name: row.get(name) for name in KEPT}
        if row["effect"] is not None:
            wrote = json.loads(run.file(f"parts/{row['method']}-writes.json").read_text(encoding="utf-8"))
            own["placebo_hits"] = np.mean(wrote["placebo_hits"], axis=1).tolist()
        rows.append(own)
    summary["prompts"] = result["summary"]["setting"]["prompts"]
    summary["shown_by"] = result["summary"]["setting"]["shown_by"]
    summary["untreated"] = summary["untreated"]["hits"]
    return rounded({**summary, "results": rows, "model": run.spec["subject"]["name"], "run": run.id})


def rounded(value: Any) -> Any:
    """With four decimals."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {name: rounded(one) for name, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def counts(row: Mapping[str, Any], cap: float = 0.5) -> bool:
    """Whether a method has an effect in a concept that may be ranked."""
    return row["effect"] is not None and not row["kl_lo"] > cap


def ranks(concepts: Rows, methods: Sequence[str], name: str) -> Floats:
    """(concepts, methods) rank of each by a score, 1 the best; what does not count shares the last places."""
    table = [[row[name] if counts(row) else -np.inf for row in in_order(concept, methods)] for concept in concepts]
    return np.array([rankdata(np.negative(row), method="average") for row in table])


def in_order(concept: Mapping[str, Any], methods: Sequence[str]) -> Rows:
    """The rows of a concept by method."""
    rows = {row["method"]: row for row in concept["results"]}
    return [rows[method] for method in methods]


def over_concepts(values: Sequence[float] | Floats, of: Callable[..., Any] = np.mean) -> dict[str, float]:
    """The mean, or another measure, with its bounds from concepts drawn again."""
    known = np.asarray(values, np.float64)
    drawn = np.random.default_rng([SEED, 91]).integers(len(known), size=(DRAWS, len(known)))
    found = interval(float(of(known)), of(known[drawn], axis=1))
    return dict(zip(("value", "lo", "hi"), map(float, found), strict=True))


def concordance(table: Floats) -> dict[str, float]:
    """Kendall's W of the ranks, and what one in twenty tables of shuffled ranks exceeds."""
    rng = np.random.default_rng([SEED, 92])
    null = [kendall(np.array([rng.permutation(row) for row in table], np.float64)) for _ in range(DRAWS)]
    return {"value": kendall(table), "null": float(np.quantile(null, 0.95))}


def kendall(table: Floats) -> float:
    """Kendall's W without its correction for ties, which are few."""
    judges, n = table.shape
    sums = table.sum(0)
    return float(12 * ((sums - sums.mean()) ** 2).sum() / (judges**2 * (n**3 - n)))


def of_method(method: str, concepts: Rows) -> dict[str, Any]:
    """A method over all concepts."""
    rows = [in_order(concept, [method])[0] for concept in concepts]
    known = [row for row in rows if row["effect"] is not None]
    prompts = [in_order(concept, ["prompt"])[0] for concept in concepts]
    pairs = [(row, other) for row, other in zip(rows, prompts, strict=True) if counts(row) and counts(other)]
    aside = [
        float(np.mean([not one["lo"] <= one["rise"] <= one["hi"] for one in row["off_target"].values()]))
        for row in known
        if row["off_target"]
    ]
    placebos = np.array([row["placebo_hits"] for row in known]).mean(0)
    return {
        "concepts": len(known),
        "supported": sum(row["verdict"] == "supported" for row in known),
        "effect": over_concepts([row["effect"] for row in known], np.median),
        "null": float(np.median([row["null_hi"] for row in known])),
        "above_prompt": sum(row["lo"] > other["hi"] for row, other in pairs),
        "below_prompt": sum(row["hi"] < other["lo"] for row, other in pairs),
        "kl": over_concepts([row["kl"] for row in known], np.median),
        "perplexity_ratio": over_concepts([row["perplexity_ratio"] for row in known], np.median),
        "wrong_way": over_concepts([row["wrong_way"] for row in known]),
        "aside": over_concepts(aside) if aside else None,
        "layers": dict(Counter(str(row["layer"]) for row in known if row["layer"] is not None)),
        "hits": over_concepts([row["hits"] for row in known]),
        "hits_null": float(exceeded_by_few(placebos[None])[0]),
        "coherent": over_concepts([row["coherent"] for row in known]),
        "published": PUBLISHED.get(method),
    }


def found_in(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything on the page."""
    return over_all(sorted((told(run) for run in runs), key=lambda one: one["concept"]))


def over_all(concepts: Rows) -> dict[str, Any]:
    """Everything on the page, from what was kept of each run."""
    methods = [row["method"] for row in concepts[0]["results"]]
    by_effect, by_hits = (ranks(concepts, methods, name) for name in ("effect", "hits"))
    found = {method: of_method(method, concepts) for method in methods}
    for at, method in enumerate(methods):
        found[method]["rank"] = over_concepts(by_effect[:, at])
        found[method]["rank_hits"] = over_concepts(by_hits[:, at])
    both = [in_order(concept, ["mean_diff"])[0] for concept in concepts]
    return {
        "concepts": concepts,
        "methods": dict(sorted(found.items(), key=lambda item: item[1]["rank"]["value"])),
        "concordance": {"effect": concordance(by_effect), "hits": concordance(by_hits)},
        "untreated": over_concepts([concept["untreated"] for concept in concepts]),
        "agreement": related(both),
    }


def related(rows: Rows) -> dict[str, float]:
    """Rank correlation, over concepts, of how well pairs agree with what their mean difference then does."""
    table = np.array([(row["agreement"], row["effect"]) for row in rows])
    drawn = np.random.default_rng([SEED, 93]).integers(len(table), size=(DRAWS, len(table)))
    values = np.array([float(spearman(*table[some].T)) for some in drawn])
    found = interval(float(spearman(*table.T)), values)
    return dict(zip(("value", "lo", "hi"), map(float, found), strict=True))


def figure(value: float | None) -> str:
    """.92, -.03, 6.80"""
    if value is None:
        return "–"
    text = f"{value:.2f}"
    text = text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
    return ".00" if text == "-.00" else text


def bounded(one: Mapping[str, float], digits: int = 2) -> str:
    """A figure with its interval."""
    value, lo, hi = (figure(one[name]) if digits == 2 else f"{one[name]:.1f}" for name in ("value", "lo", "hi"))
    return f"{value} [{lo} {hi}]"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    methods: Mapping[str, Any] = found["methods"]
    concepts = found["concepts"]
    names = [concept["concept"] for concept in concepts]
    head = ("method", "mean rank", "supported", "effect, median", "null, median", "above prompt", "below", "published")
    harm = ("method", "KL, median", "perplexity", "wrong way", "other words moved", "layers chosen")
    writes = ("method", "hits", "random", "coherent", "rank by hits")
    cell = {
        name: {row["method"]: _cell(row) for row in one["results"]} for name, one in zip(names, concepts, strict=True)
    }
    nulls = [figure(in_order(one, ["mean_diff"])[0]["null_hi"]) for one in concepts]
    return {
        "ranks": table(head, [[name, *_ranked(one)] for name, one in methods.items()]),
        "effects": table(
            ("method", *names),
            [
                *([name, *(cell[concept][name] for concept in names)] for name in methods),
                ["*null of mean_diff*", *nulls],
            ],
        ),
        "harm": table(harm, [[name, *_harmed(one)] for name, one in methods.items()]),
        "writes": table(
            writes,
            [
                *(
                    [name, *_written(one)]
                    for name, one in sorted(methods.items(), key=lambda item: -item[1]["hits"]["value"])
                ),
                ["untreated", bounded(found["untreated"]), "–", "–", "–"],
            ],
        ),
    }


def _cell(row: Mapping[str, Any]) -> str:
    if row["effect"] is None:
        return "–"
    text = figure(row["effect"]) + ("" if counts(row) else " (KL)")
    return f"**{text}**" if row["verdict"] == "supported" else text


def _ranked(one: Mapping[str, Any]) -> list[str]:
    return [
        bounded(one["rank"], 1),
        f"{one['supported']} of {one['concepts']}",
        bounded(one["effect"]),
        figure(one["null"]),
        str(one["above_prompt"]),
        str(one["below_prompt"]),
        "–" if one["published"] is None else f"{one['published']:.3f}".lstrip("0"),
    ]


def _harmed(one: Mapping[str, Any]) -> list[str]:
    layers = ", ".join(f"{layer}: {count}" for layer, count in sorted(one["layers"].items(), key=lambda at: int(at[0])))
    names = ("kl", "perplexity_ratio", "wrong_way", "aside")
    return [*("–" if one[name] is None else bounded(one[name]) for name in names), layers or "–"]


def _written(one: Mapping[str, Any]) -> list[str]:
    return [bounded(one["hits"]), figure(one["hits_null"]), bounded(one["coherent"]), bounded(one["rank_hits"], 1)]


if __name__ == "__main__":
    from steering_figure import draw

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    given = parser.parse_args()
    everything = found_in([open_run(path) for path in given.runs])
    text = json.dumps(everything, indent=1, ensure_ascii=False)
    (PLACE / "steering.json").write_text(text + "\n", encoding="utf-8")
    (PLACE / "steering.svg").write_text(draw(everything) + "\n", encoding="utf-8")
    for made in tables(everything).values():
        print(made, end="\n\n")
