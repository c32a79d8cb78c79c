"""LEACE and rare concepts: with the usual absolute tolerance a concept of one token in a thousand is not erased, and
nothing says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.findings.found import LINES, Finding, Found, Panel, Table, absent, number, scored
from assay.probe.bench import Bench
from assay.probe.erasers.leace import LeaceFitter
from assay.probe.request import EraseRequest
from assay.stats.auroc import auroc, auroc_estimate
from assay.stats.bootstrap import Estimate
from assay.stats.nulls import shuffled_labels
from assay.text import batches, load_corpus, split, tokenise

TOLERANCES = {"absolute .01": (0.01, False), "absolute 1e-6": (1e-6, False), "relative 1e-6": (1e-6, True)}
FREQUENCIES = (0.1, 0.01, 0.001)
PUBLISHED = {"absolute .01": "AUC .945", "absolute 1e-6": "AUC .500", "relative 1e-6": "AUC .500"}
_ROWS, _D = 60_000, 16
_TOKENS = 120_000
_SHUFFLES = 20


def run(bench: Bench, request: EraseRequest) -> Found:
    """Planted concepts of three frequencies, then words of the bundled corpus in the model's activations."""
    found = Found(
        "A rare concept escapes LEACE with an absolute tolerance",
        "The tolerance decides which singular values of the whitened cross-covariance count as nothing. They are at "
        "most the concept's standard deviation, √(p(1-p)): .03 for one row in a thousand, and less where it is told "
        "badly.",
        notes=[
            "The attack is a logistic probe, fitted on other documents than it is scored on, after erasure with an "
            "eraser that was fitted on the documents that the probe is fitted on. A rank of 0 means that nothing was "
            "erased."
        ],
    )
    for frequency in FREQUENCIES:
        bench.progress(f"planted concepts of frequency {frequency:g}")
        x, z = planted(_rows(bench), frequency, bench.seed)
        documents = np.arange(len(x)) // 20
        _case(found, bench, f"planted, {frequency:g}", x, z, documents, frequency == FREQUENCIES[-1])
    for name, x, z, documents in _words(bench, request):
        _case(found, bench, name, x, z, documents, False)
    found.panels = [_panel(found.results)]
    found.tables = [_table(found.results)]
    return found


def _rows(bench: Bench) -> int:
    return max(20_000, round(_ROWS * min(1.0, bench.size.steps)))


def planted(n: int, frequency: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """n rows of noise, and a concept of that frequency along one direction, 2.3 standard deviations away: AUC .948."""
    rng = np.random.default_rng([seed, round(1 / frequency)])
    z = (rng.random(n) < frequency).astype(np.int64)
    x = rng.standard_normal((n, _D))
    x[:, 0] += 2.3 * z
    return x, z


def _words(bench: Bench, request: EraseRequest) -> list[tuple[str, NDArray[Any], NDArray[np.int64], NDArray[np.int64]]]:
    """Residuals of the bundled corpus with, for each token, whether it is a certain one: of three frequencies."""
    subject = bench.subject
    layer = bench.layer(request.layers, 10)
    site = SiteId(layer, "resid_post")
    documents = split(load_corpus("bundled"), 0)
    table = tokenise((*documents.fit, *documents.choose), subject.tokenizer, 64, tokens=_count(bench))
    acts: list[NDArray[np.float32]] = []
    ids: list[NDArray[np.int64]] = []
    owners: list[NDArray[np.int64]] = []
    done = 0
    for batch in batches(table):
        given = torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
        with torch.inference_mode():
            tensor = subject.activations(*given, [site])[site].float().cpu().numpy()
        kept = batch.mask.astype(bool)
        acts.append(tensor[kept])
        ids.append(batch.ids[kept])
        owners.append(np.broadcast_to(table.documents[batch.rows][:, None], kept.shape)[kept])
        done += int(kept.sum())
        bench.progress(f"reading the corpus at layer {layer}", done / table.n_tokens)
    x, tokens, owner = np.concatenate(acts), np.concatenate(ids), np.concatenate(owners)
    # The token that follows is the concept, not the token itself: one step off, it is told, but not perfectly.
    follows = np.roll(tokens, -1)
    last = np.flatnonzero(np.diff(owner, append=-1) != 0)
    inner = np.ones(len(tokens), bool)
    inner[last] = False
    x, follows, owner = x[inner].astype(np.float64), follows[inner], owner[inner]
    return [
        (f"next token is {_quoted(subject, token)} ({share:.4f})", x, (follows == token).astype(np.int64), owner)
        for token, share in _tokens(follows)
    ]


def _count(bench: Bench) -> int:
    return max(15_000, round(_TOKENS * min(1.0, bench.size.steps)))


def _tokens(follows: NDArray[np.int64]) -> list[tuple[int, float]]:
    """The token whose frequency is nearest to each of the frequencies."""
    names, counts = np.unique(follows, return_counts=True)
    shares = counts / len(follows)
    if shares.max() < FREQUENCIES[1]:
        raise UsageError("the corpus has no token that is frequent enough; give a larger one")
    picked = [int(np.argmin(np.abs(np.log(shares / frequency)))) for frequency in FREQUENCIES[1:]]
    return [(int(names[i]), float(shares[i])) for i in dict.fromkeys(picked)]


def _quoted(subject: Any, token: int) -> str:
    return f"“{subject.token_texts()[token].strip()}”"


def _case(
    found: Found,
    bench: Bench,
    name: str,
    x: NDArray[Any],
    z: NDArray[np.int64],
    documents: NDArray[np.int64],
    shown: bool,
) -> None:
    rng = np.random.default_rng(bench.seed)
    names = rng.permutation(np.unique(documents))
    fit = np.isin(documents, names[: len(names) // 2])
    before = _attack(bench, x, z, documents, fit)
    row: dict[str, Any] = {"case": name, "frequency": float(z.mean()), "before": _told(before), "after": {}}
    null = _null(bench, x, z, documents, fit)
    row["null"] = null
    found.findings.append(
        scored(f"{name}: told before it is erased", "AUC", before, null, null_name="shuffled", n=int(z.sum()))
    )
    for label, (tolerance, relative) in TOLERANCES.items():
        eraser = LeaceFitter(x.shape[1], tolerance=tolerance, relative=relative).update(x[fit], z[fit]).eraser
        after = _attack(bench, eraser(x), z, documents, fit)
        row["after"][label] = {"rank": eraser.rank, **_told(after)}
        found.findings.append(
            Finding(
                f"{name}: LEACE with a tolerance of {label} (rank {eraser.rank}) leaves nothing to a logistic probe",
                "AUC",
                *after.interval(),
                n=int(z.sum()),
                nulls={"shuffled": null},
                references={"before": before.value},
                published=PUBLISHED[label] if shown else "",
                check=absent(after, {"shuffled": null}),
            )
        )
    found.results.append(row)


def _attack(
    bench: Bench, x: NDArray[Any], z: NDArray[np.int64], documents: NDArray[np.int64], fit: NDArray[np.bool_]
) -> Estimate:
    """AUC of a logistic probe, fitted on one half of the documents, on the other."""
    weights = _logistic(x[fit], z[fit])
    size = min(bench.size.replicates, 500)
    return auroc_estimate(x[~fit] @ weights, z[~fit], documents[~fit], size, bench.seed)


def _logistic(x: NDArray[Any], z: NDArray[np.int64]) -> NDArray[np.float64]:
    scale = np.sqrt(np.square(x - x.mean(0)).mean())
    return LogisticRegression(C=1.0, max_iter=300).fit((x - x.mean(0)) / scale, z).coef_[0] / scale


def _null(
    bench: Bench, x: NDArray[Any], z: NDArray[np.int64], documents: NDArray[np.int64], fit: NDArray[np.bool_]
) -> float:
    """The highest AUC of the same attack on shuffled labels."""
    rng = np.random.default_rng([bench.seed, 2])
    values: list[float] = []
    for at in range(_SHUFFLES):
        bench.progress("attacking shuffled labels", at / _SHUFFLES)
        labels = shuffled_labels(z, np.zeros(len(z), np.int64), rng)
        weights = _logistic(x[fit], labels[fit])
        values.append(auroc(x[~fit] @ weights, labels[~fit]))
    return max(0.5, *values)


def _told(estimate: Estimate) -> dict[str, Any]:
    return dict(zip(("auc", "lo", "hi"), map(number, estimate.interval()), strict=True))


def _table(results: list[dict[str, Any]]) -> Table:
    rows = [
        [
            row["case"],
            f"{row['frequency']:.4f}",
            row["before"]["auc"],
            row["null"],
            *(f"{row['after'][label]['auc']:.3f} (rank {row['after'][label]['rank']})" for label in TOLERANCES),
        ]
        for row in results
    ]
    return Table(
        "AUC of a logistic probe before and after LEACE", ("concept", "frequency", "before", "null", *TOLERANCES), rows
    )


def _panel(results: list[dict[str, Any]]) -> Panel:
    rows: list[dict[str, Any]] = []
    for row in results:
        for label, one in (("before", row["before"]), *row["after"].items()):
            rows.append({"x": row["case"], "y": one["auc"], "lo": one["lo"], "hi": one["hi"], "series": label})
        rows.append({"x": row["case"], "y": row["null"], "series": "shuffled labels"})
    return Panel(LINES, "What a logistic probe finds", "", "AUC, held out", rows, ("shuffled labels",))
