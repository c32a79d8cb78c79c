"""One direction, four jobs: does it detect, steer, erase and silence? Each in distribution and out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from assay.errors import UsageError
from assay.probe.attacks import run_attacks
from assay.probe.bench import Bench
from assay.probe.detecting import Cell, Detector, Ground, grounds, without_activations
from assay.probe.erasers.eraser import Eraser
from assay.probe.found import MATRIX, Finding, Found, Panel, Table, absent, from_interval, number, scored
from assay.probe.nulls import random_directions
from assay.probe.request import ProbeRequest
from assay.probe.saying import Edit, Prompts, scored_words
from assay.referee import exceeded_by_few
from assay.stats.bootstrap import Estimate, document_index, document_sums, document_weights

METHODS = ("mean_diff", "logistic", "lda", "lat", "ccs")
DOSE = 0.2  # length of what is added, as a share of the median length of the residual
GOOD = " good| great| beautiful| happy| perfect| fine| best| nice| lovely| amazing| positive| success".split("|")
BAD = " bad| worse| ugly| sad| wrong| poor| worst| nasty| disappointing| negative| failure| problem".split("|")
QUESTION = " All in all, I would call it"
VERBS = ("was", "seemed")
SUBJECTS = {
    "iid": (
        *("The film", "The movie", "The book", "The novel", "The hotel", "The meal", "The food", "The restaurant"),
        *("The story", "The room", "The ending", "The breakfast", "The acting", "The soup", "The second chapter"),
        *("The service", "The dessert", "The plot", "The view from the room", "The main course"),
    ),
    "ood": (
        *("The weather", "The sky", "My manager", "The meeting", "Our new neighbour", "The project", "The training"),
        *("My mother", "The forecast", "The driver", "The journey", "The audit", "My week", "The conference"),
        *("The wind", "Your cousin", "The morning", "The phone call", "Our talk", "The lodger"),
    ),
}
_LOADED = 120  # items that the gap is measured on, at an effort whose share of steps is 1
_RANDOM = 20
PUBLISHED = {
    "mean_diff": "AxBench: detects .942, steers .239",
    "logistic": "AxBench: detects .940, steers .098",
}
WHERE = {"iid": "same templates", "ood": "letters"}


class Job(NamedTuple):
    """One direction at one job: its score beside its null, and what deserves a place beside it."""

    score: Estimate
    null: Estimate | float
    n: int
    more: dict[str, Any]


def run(bench: Bench, request: ProbeRequest) -> Found:
    """Every method at one layer or several; random directions of the same length are the null of each job."""
    train = request.data or "sentiment"
    transfer = request.transfer or ("sentiment_letters",)
    if len(transfer) != 1:
        raise UsageError(f"--experiment jobs takes one data set to transfer to. Got {', '.join(transfer)}.")
    layers = bench.layers(request.layers, (12, 20))
    set_apart = grounds(bench, train, transfer)
    bench.read([train, *transfer], [0, *layers])
    words = without_activations(bench, set_apart)
    places = dict(zip(("iid", "ood"), set_apart.tests, strict=True))
    found = Found(
        "One direction, four jobs",
        f"Directions for {train}: each detects, steers, erases and silences, on held-out words in the same "
        "templates and on "
        f"{transfer[0]}.",
        notes=[
            f"Detect: AUROC. Steer: rise of the log odds of twelve good over twelve bad words when {DOSE:g} of the "
            "median "
            "length of the residual is added at every token, in nats. Erase: AUC of the best attack on what is "
            "left when the "
            "direction is projected off; .5 is gone. Silence: share of the gap in those log odds between praise and "
            "complaint that goes when the direction is held at its mean at every token. None of the words scored "
            "stands in "
            "the data that directions are fitted on.",
        ],
    )
    for at, layer in enumerate(layers):
        tools = _Tools(bench, layer, set_apart.fit, {where: set_apart.tests[name] for where, name in places.items()})
        detector = Detector(bench, set_apart, layer)
        for step, method in enumerate(request.methods or METHODS):
            bench.progress(f"{method} at layer {layer}", (at + step / len(METHODS)) / len(layers))
            cells = {cell.test: cell for cell in detector.cells(method, words)}
            for where, name in places.items():
                row = _row(found, tools, detector.last.coef_[0], cells[name], where)
                found.results.append({"method": method, "layer": layer, "where": where, **row})
    found.panels = [_panel(found.results, layer) for layer in layers]
    found.tables = [_table(found.results)]
    return found


def _row(found: Found, tools: _Tools, weights: NDArray[np.float64], cell: Cell, where: str) -> dict[str, Any]:
    """All four jobs of one direction, as findings and as a row."""
    unit = weights / np.linalg.norm(weights)
    about = f"{cell.method}, layer {cell.layer}, {WHERE[where]}"
    common: dict[str, Any] = {"unit": f"L{cell.layer}.resid_post:@{cell.train}.{cell.method}"}
    published = PUBLISHED.get(cell.method, "") if where == "iid" else ""
    found.findings.append(
        Finding(
            f"{about}: it detects",
            "AUROC",
            *cell.score.interval(),
            n=cell.n,
            nulls={name: one.value for name, one in cell.nulls.items()},
            check=cell.check,
            published=published,
            **common,
        )
    )
    row: dict[str, Any] = {"detect": _told(cell.score, max(one.value for one in cell.nulls.values()))}
    steer, silence = tools.steer(unit, where), tools.silence(unit, where)
    for name, job, measure in (("steer", steer, "nats / 10"), ("silence", silence, "share of the gap")):
        found.findings.append(
            scored(f"{about}: it {name}s", measure, job.score, job.null, null_name="random", n=job.n, **common)
        )
        row[name] = _told(job.score, job.null.value if isinstance(job.null, Estimate) else job.null) | job.more
    attack, value, lo, hi, null = tools.left(unit, where)
    estimate = from_interval(value, lo, hi)
    found.findings.append(
        Finding(
            f"{about}: projected off, nothing is left that {attack} finds",
            "AUC",
            value,
            lo,
            hi,
            n=cell.n,
            nulls={"shuffled": null},
            check=absent(estimate, {"shuffled": null}),
            **common,
        )
    )
    row["erase"] = {"value": value, "lo": lo, "hi": hi, "null": null, "attack": attack}
    return row


def _told(score: Estimate, null: float) -> dict[str, Any]:
    value, lo, hi = score.interval()
    return {"value": number(value), "lo": number(lo), "hi": number(hi), "null": number(null)}


class _Tools:
    """The model at one layer: what it says with something added, and with a direction held still."""

    def __init__(self, bench: Bench, layer: int, fit: Ground, tests: dict[str, Ground]) -> None:
        self.bench, self.layer, self.tests = bench, layer, tests
        self.words = [scored_words(bench.exact, words, fit.texts) for words in (GOOD, BAD)]
        x = bench.acts(fit.data.name, layer)[fit.rows].astype(np.float64)
        self.mean = x.mean(0)
        self.length = float(np.median(np.linalg.norm(x, axis=1)))
        self.random = random_directions(x.shape[1], _RANDOM, bench.seed + 7)
        self.neutral = {where: _Said(self, texts) for where, texts in _neutral().items()}
        self.loaded = {where: _Said(self, self._loaded(ground)) for where, ground in tests.items()}

    def steer(self, unit: NDArray[np.float64], where: str) -> Job:
        """Rise of the log odds at neutral prompts, tens of nats, beside random directions of the same length."""
        said = self.neutral[where]
        rise = said.odds(self.adding(unit)) - said.base
        null = said.random(self.adding) - said.base
        index = document_index(np.repeat(np.arange(len(SUBJECTS[where])), len(VERBS)))
        weights = document_weights(index.n_documents, self.bench.size.replicates, self.bench.seed)
        drawn = weights @ document_sums(
            [*np.vstack([rise, null]) / 10, np.ones(len(rise))], index.of_token, index.n_documents
        )
        means = drawn[:, :-1] / drawn[:, -1:]
        value = float(exceeded_by_few(null.mean(1)[None] / 10)[0])
        more = {
            "nats": float(rise.mean()),
            "wrong_way": float((rise < 0).mean()),
            "dose": DOSE,
            "kl": said.prompts.kl(self.adding(unit)),
        }
        score = Estimate(float(rise.mean() / 10), means[:, 0])
        return Job(score, Estimate(value, exceeded_by_few(means[:, 1:])), len(rise), more)

    def silence(self, unit: NDArray[np.float64], where: str) -> Job:
        """Share of the gap between praise and complaint that goes."""
        said, ground = self.loaded[where], self.tests[where]
        rows = self._some(ground)
        labels, groups = ground.data.labels[rows], ground.data.groups[rows].astype(str)
        every = np.stack([said.base, said.odds(self.holding(unit)), *said.random(self.holding)])
        index = document_index(groups)
        weights = document_weights(index.n_documents, self.bench.size.replicates, self.bench.seed)
        gap = _gaps(every, labels, index, weights)
        shares = 1 - gap[1:] / gap[0]
        score = Estimate(float(shares[0, 0]), shares[0, 1:])
        null = Estimate(float(exceeded_by_few(shares[1:, 0][None])[0]), exceeded_by_few(shares[1:, 1:].T))
        return Job(score, null, len(rows), {"gap": float(gap[0, 0])})

    def left(self, unit: NDArray[np.float64], where: str) -> tuple[str, float, float, float, float]:
        """The attack that finds most when the direction is projected off: its name, AUC, bounds and null."""
        ground = self.tests[where]
        x = self.bench.acts(ground.data.name, self.layer)[ground.rows].astype(np.float64)
        attacked = run_attacks(self._eraser(unit)(x), ground.labels, ground.groups, seed=self.bench.seed)
        name = max(attacked, key=lambda one: attacked[one].auc - attacked[one].null)
        one = attacked[name]
        return name, one.auc, one.lo, one.hi, one.null

    def _some(self, ground: Ground) -> NDArray[np.int64]:
        """Whole groups, about :data:`_LOADED` items."""
        most = max(24, round(_LOADED * min(1.0, self.bench.size.steps)))
        names, where = np.unique(ground.groups.astype(str), return_inverse=True)
        order = np.random.default_rng(self.bench.seed).permutation(len(names))
        counts = np.bincount(where)[order].cumsum()
        return ground.rows[np.isin(where, order[: max(2, int((counts <= most).sum()))])]

    def _loaded(self, ground: Ground) -> list[str]:
        return [f"{ground.data.texts[row]}{QUESTION}" for row in self._some(ground)]

    def _eraser(self, unit: NDArray[np.float64]) -> Eraser:
        return Eraser(unit[:, None], unit[None], self.mean, "direction")

    def adding(self, unit: NDArray[np.float64]) -> Edit:
        """Adds the direction, at every token."""
        push = torch.from_numpy(DOSE * self.length * unit).float()
        return lambda tensor: tensor + push.to(tensor)

    def holding(self, unit: NDArray[np.float64]) -> Edit:
        """Holds what lies along the direction at its mean, at every token."""
        eraser = self._eraser(unit)
        return lambda tensor: eraser(tensor)


class _Said:
    """Prompts, their log odds, and those with random directions, which are made when they are first needed."""

    def __init__(self, tools: _Tools, texts: Sequence[str]) -> None:
        self.tools = tools
        self.prompts = Prompts(tools.bench.exact, tools.layer, texts)
        self.base = self.odds()
        self._random: NDArray[np.float64] | None = None

    def odds(self, edit: Edit | None = None) -> NDArray[np.float64]:
        """Good over bad words, nats."""
        good, bad = self.tools.words
        return self.prompts.odds(good, bad, edit)

    def random(self, edit: Callable[[NDArray[np.float64]], Edit]) -> NDArray[np.float64]:
        """(k, n) log odds with each random direction."""
        if self._random is None:
            self._random = np.stack([self.odds(edit(one)) for one in self.tools.random])
        return self._random


def _neutral() -> dict[str, list[str]]:
    return {where: [f"{name} {verb}" for name in names for verb in VERBS] for where, names in SUBJECTS.items()}


def _gaps(
    odds: NDArray[np.float64], labels: NDArray[np.int64], index: Any, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(k, 1 + b): mean log odds of praise less that of complaint, on all and on each resample of groups."""
    every = np.concatenate([np.ones((1, index.n_documents)), weights])
    sides: list[NDArray[np.float64]] = []
    for label in (1, 0):
        own = (labels == label).astype(np.float64)
        sums = document_sums([*(odds * own), own], index.of_token, index.n_documents)
        drawn = every @ sums
        with np.errstate(divide="ignore", invalid="ignore"):
            sides.append((drawn[:, :-1] / drawn[:, -1:]).T)
    return sides[0] - sides[1]


_JOBS = ("detect", "steer", "erase", "silence")


def _panel(results: list[dict[str, Any]], layer: int) -> Panel:
    rows: list[dict[str, Any]] = []
    for row in results:
        if row["layer"] != layer:
            continue
        for job in _JOBS:
            one = row[job]
            value = {
                "detect": one["value"],
                "steer": None if one["value"] is None else float(np.clip(0.5 + one["value"] - one["null"], 0, 1)),
                "erase": 1 - 2 * max(0.0, one["value"] - 0.5),
                "silence": None if one["value"] is None else float(np.clip(one["value"], 0, 1)),
            }[job]
            times, signs = (10, "+.1f") if job == "steer" else (1, ".2f")
            lo, hi = (format(times * (one[end] or 0.0), signs) for end in ("lo", "hi"))
            shown = f"{times * (one['value'] or 0.0):{signs}} [{lo} {hi}]"
            rows.append({"x": f"{job}, {row['where']}", "y": row["method"], "value": value, "text": shown})
    rows.sort(key=lambda row: [f"{job}, {where}" for job in _JOBS for where in WHERE].index(row["x"]))
    return Panel(MATRIX, f"Layer {layer}: blue does the job, vermilion does not", "", "", rows)


def _table(results: list[dict[str, Any]]) -> Table:
    def told(one: dict[str, Any], times: float = 1.0) -> str:
        value, lo, hi, null = (times * (one[name] or 0.0) for name in ("value", "lo", "hi", "null"))
        return f"{value:.2f} [{lo:.2f} {hi:.2f}], null {null:.2f}"

    rows = [
        [
            f"{row['layer']} {row['method']}, {row['where']}",
            told(row["detect"]),
            told(row["steer"], 10.0),
            f"{row['steer']['kl']:.2f}",
            f"{told(row['erase'])} ({row['erase']['attack']})",
            told(row["silence"]),
        ]
        for row in results
    ]
    titles = ("detect, AUROC", "steer, nats", "KL", "erase, AUC left", "silence, share of the gap")
    return Table("Every direction at every job", ("layer, method", *titles), rows)
