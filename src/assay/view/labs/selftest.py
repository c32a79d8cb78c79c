"""The page of a run of ``assay selftest``: do the scores, the verdict and the lie detectors see what was planted?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.view.evidence import Column, EvidenceRow, Section, Table, as_row, counted, forest, paged
from assay.view.labs.lab import Told, lab_page, number
from assay.view.opened import Opened
from assay.view.pages import Ask, Page

_FAMILIES = {"noisy": "noisy", "polysemantic": "several meanings", "beyond": "beyond the grammar"}
_GROUPS = ("what this project stands by", "computed beside them", "the literature’s")
_SCORES = (
    Column("label", "score"),
    Column("value", "truth", "score"),
    Column("interval", "95 % interval", "interval"),
    Column("beaten", "above decoys", "count"),
    Column("pairs", "of", "count"),
    Column("missing", "half missing costs", "share"),
    Column("extra", "as many extra cost", "share"),
    Column("word", "", "verdict"),
)
_POWER = (
    Column("effect", "d above the best null"),
    Column("power", "prediction check passed", "share"),
    Column("bounds", "95 % interval", "shares"),
    Column("refuted", "refuted", "share"),
    Column("supported", "supported", "share"),
    Column("predicts", "predicts", "share"),
)


def selftest_page(opened: Opened, ask: Ask) -> Page:
    """Scores with what wrong labels cost them, power and false support, and what gives liars away."""
    run, result = opened.run, opened.run.result()
    summary, needs = result["summary"], result["summary"].get("needs", {})
    scores = [_score(name, row) for name, row in result["scores"].items()]
    scores.sort(key=lambda row: _GROUPS.index(row["group"]))
    table = paged(_SCORES, scores, ask.query, 1)
    sections = [
        Section("Scores, on units that rules describe", _needs(needs), _drawn(table), table),
        _elsewhere(result["scores"]),
        *_power(result["verdict"]),
        *_liars(result["dishonest"]),
        *_judge(result.get("judge")),
    ]
    primary = [row for row in scores if row["group"] == _GROUPS[0]]
    passing = sum(row["word"] == "passes" for row in primary)
    thresholds = [(name, value, _NEEDS.get(name, "")) for name, value in needs.items()]
    thresholds.append(("margin", result["verdict"]["margin"], "how far above its best null a claim must lie"))
    said = f"Of the {len(primary)} scores that this project stands by, {passing} pass."
    counts = counted([(row["verdict"], row["word"]) for row in scores])
    return lab_page(run, ask, Told("Testing the tests", [*_words(result, summary), said], sections, counts, thresholds))


def _drawn(table: Table) -> dict[str, str] | None:
    """On the scale of scores; a difference of activations, which has another, is drawn at its edge."""
    rows = [{**row, "verdict": ""} for row in table.rows]
    return forest(rows, "score of the truth", domain=(-0.05, 1.05))


_NEEDS = {
    "share": "least share of the truth’s score that wrong labels must cost",
    "fall": "and the least that it must fall",
}


def _needs(needs: Mapping[str, float]) -> str:
    told = f"{100 * needs['share']:.0f} % of the truth’s score and {needs['fall']:g} at least" if needs else "enough"
    return (
        "A score passes if the truth is above every decoy of every unit, and if half of the labels being wrong, left "
        f"out or too many, costs it {told}. Ticks are what is left of the score then."
    )


def _words(result: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    families = ", ".join(
        f"{count} {_FAMILIES.get(name, 'that rules describe')}" for name, count in summary["families"].items()
    )
    verdict = result["verdict"]
    return [
        "A model’s units do what was planted in them. True and false things are said about them, and it is counted how "
        "often each check is right.",
        f"{summary['units']} planted units: {families}; {summary['decoys']} decoys. {number(summary['tokens'])} tokens "
        f"of {number(summary['documents'])} documents.",
        f"False support: {100 * verdict['false_support']:.1f} % ({100 * verdict['false_support_lo']:.1f} to "
        f"{100 * verdict['false_support_hi']:.1f} %) of {verdict['false_support_n']:,} claims that lie no more than "
        "the margin above their nulls.",
    ]


def _score(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A score of the truth; its nulls are what is left of it when labels are wrong, so that the fall is seen."""
    left = {
        what: row["truth"] - row[f"{key}_drop"]
        for key, what in (("missing", "half missing"), ("extra", "as many extra"))
        if row["truth"] is not None and row[f"{key}_drop"] is not None
    }
    group = _GROUPS[0] if row["primary"] else _GROUPS[1] if row["ours"] else _GROUPS[2]
    evidence = EvidenceRow(
        name.replace("_", " "),
        "selftest",
        name,
        row["truth"],
        row["truth_lo"],
        row["truth_hi"],
        row["units"],
        left,
        verdict="supported" if row["passes"] else "refuted",
        word="passes" if row["passes"] else "fails",
        group=group,
        more={
            **{name: row[name] for name in ("beaten", "pairs")},
            "missing": row["missing_share"],
            "extra": row["extra_share"],
        },
    )
    return as_row(evidence)


def _elsewhere(scores: Mapping[str, Mapping[str, Any]]) -> Section:
    """The truth beside its decoys where units are noisy, mean several things, or are beyond the grammar."""
    primary = {name: row["elsewhere"] for name, row in scores.items() if row["primary"]}
    columns = [Column("family", "units"), *(Column(name, name.replace("_", " ")) for name in primary)]
    rows = [
        {"family": title}
        | {
            name: f"{own['beaten']} of {own['pairs']}" + ("" if own["truth"] is None else f", {own['truth']:.2f}")
            for name, elsewhere in primary.items()
            if (own := elsewhere.get(family))
        }
        for family, title in _FAMILIES.items()
    ]
    return Section("Elsewhere", "Truth above its decoys, and its own score.", None, Table(columns, rows, len(rows)))


def _power(verdict: Mapping[str, Any]) -> Iterator[Section]:
    rows: list[Mapping[str, Any]] = []
    for row in verdict["power"]:
        both, n = row["both_n"], row["n"]
        shares = {name: row["overall"].get(name, 0) / both if both else None for name in ("supported", "predicts")}
        rows.append(
            {
                "effect": f"{row['effect']:g}",
                "power": row["power"],
                "bounds_lo": row["power_lo"],
                "bounds_hi": row["power_hi"],
                "refuted": row["refuted"] / n if n else None,
                **shares,
            }
        )
    note = (
        "Claims whose r lies d above the best of their nulls. “Supported” and “predicts” are the verdict where "
        "behaviour was run as well: what a claim keeps of a unit’s effect is about r squared, so that a small d is "
        "rightly refuted there."
    )
    yield Section("The verdict", note, None, Table(_POWER, rows, len(rows)))


def _liars(dishonest: Mapping[str, Any]) -> Iterator[Section]:
    titles = {"swap": "Explainers that swap", "hide": "Explainers that hide a meaning"}
    for kind, title in titles.items():
        yield _auc(title, dishonest[kind])


def _auc(title: str, cases: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Section:
    columns = [Column("told", "told by"), *(Column(f"auc{i}", name, "bounds") for i, name in enumerate(cases))]
    rows: list[Mapping[str, Any]] = []
    for statistic in next(iter(cases.values()), {}):
        row: dict[str, Any] = {"told": statistic}
        for i, found in enumerate(cases.values()):
            own = found[statistic]
            row |= {f"auc{i}": own["auc"], f"auc{i}_lo": own["lo"], f"auc{i}_hi": own["hi"]}
        rows.append(row)
    return Section(title, "AUC of what might give them away; ½ is chance.", None, Table(columns, rows, len(rows)))


_OF_JUDGE: Sequence[tuple[str, str, str]] = (
    ("simulator", "r", "the truth in words"),
    ("simulator", "r_null", "another unit’s truth"),
    ("simulator", "truth_above_decoys", "truth above its decoys, by unit (chance ½)"),
    ("explainer", "r", "its own sentences"),
    ("explainer", "above_truth", "less the truth in words"),
    ("explainer", "above_null", "less its sentences on other units"),
)


def _judge(found: Mapping[str, Any] | None) -> Iterator[Section]:
    if not found:
        return
    rows = [
        as_row(EvidenceRow(says, part, name, *(found[part].get(f"{name}{end}") for end in ("", "_lo", "_hi"))))
        for part, name, says in _OF_JUDGE
    ]
    columns = (
        Column("label", "score"),
        Column("value", "value", "score"),
        Column("interval", "95 % interval", "interval"),
    )
    yield Section(f"The judge: {found['judge']}", "", forest(rows, "score"), Table(columns, rows, len(rows)))
