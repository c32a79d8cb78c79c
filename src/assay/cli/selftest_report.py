"""A selftest as tables, with plain words on what passes, what fails and what that means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from assay.cli.numbers import STYLES, interval_text, score_text
from assay.cli.plain import plain
from assay.cli.report import heading, print_files
from assay.cli.screen import screen
from assay.cli.selftest_judge import judge_parts
from assay.store.run import Run

_NAMES = {
    "r": "r, natural frequency",
    "r_context": "r in context",
    "f1": "F1 of firing",
    "auprc": "AUPRC of firing",
    "behaviour": "behaviour",
    "r_pos": "r of the positive part",
    "top_and_random": "top-and-random r, windows",
    "top_and_random_tokens": "top-and-random r, tokens",
    "detection_accuracy": "detection accuracy, 50/50",
    "iou": "IoU",
    "auc": "AUC",
    "spearman": "Spearman",
}
_FAMILIES = {"noisy": "noisy", "polysemantic": "several meanings", "beyond": "beyond the grammar"}
USELESS = 0.6  # AUC below which a statistic tells no liar
_MARKS = {True: ("passes", "green"), False: ("fails", "red")}


def is_selftest(run: Run) -> bool:
    """Whether a run is a selftest."""
    return run.spec["verb"] == "selftest"


def print_selftest(run: Run) -> None:
    """Print what a selftest found.

    Raises:
        RunError: the run holds no result, or it is damaged.
    """
    result, console = run.result(), screen()
    summary = result["summary"]
    console.print(heading(run))
    families = [(_FAMILIES.get(name, "that rules describe"), n) for name, n in summary["families"].items()]
    counts = ", ".join(f"{n} {family}" for family, n in families)
    console.print(f"{summary['units']} planted units: {counts}; {summary['decoys']} decoys\n", soft_wrap=True)
    for part in (
        _scores(result["scores"]),
        _failing(result["scores"], summary["needs"]),
        _rates(summary["by_rate"]),
        _elsewhere(result["scores"]),
        _beyond(result["units"], result["verdict"]["best_rules"]),
        _power(result["verdict"]),
        _support(result["verdict"]),
        _liars("Explainers that swap", result["dishonest"]["swap"]),
        _liars("Explainers that hide a meaning, beside honest ones of the same r", result["dishonest"]["hide"]),
        _detected(result["dishonest"]),
        *judge_parts(result["judge"]),
    ):
        console.print(part)
    console.print(
        f"{summary['tokens']:,} tokens of {summary['documents']:,} documents in {summary['seconds']:.0f} s, "
        f"{summary['peak_rss_mb'] / 1024:.1f} GiB of memory at most",
        style="dim",
    )
    print_files(run, console)


def _table(title: str, columns: Sequence[str], left: int = 1) -> Table:
    """A table whose first ``left`` columns stand left and all others right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=True, header_style="dim")
    return table


def _name(score: str) -> str:
    return _NAMES.get(score, score.replace("_", " "))


def _loss(row: Mapping[str, Any], change: str) -> Text:
    """The share of its score that the truth lost, with its interval over units."""
    value, lo, hi = (row[f"{change}_share{end}"] for end in ("", "_lo", "_hi"))
    if value is None:
        return Text("–")
    bounds = "" if lo is None else f" [{_signed(hi)} {_signed(lo)}]"
    return Text.assemble(f"{_signed(value)} %", (bounds, "dim"))


def _signed(share: float) -> str:
    return f"{-100 * share:.0f}".replace("-", "−") if round(100 * share) else "0"


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = ("score", "truth", "above decoys", "half missing", "as many extra", "")
    table = _table("Scores, on units that rules describe", columns)
    groups = [
        ("this project stands by", [n for n, row in scores.items() if row["primary"]]),
        ("computed beside them", [n for n, row in scores.items() if row["ours"] and not row["primary"]]),
        ("the literature’s", [n for n, row in scores.items() if not row["ours"]]),
    ]
    for title, names in groups:
        table.add_row(Text(title, style="italic dim"))
        for name in names:
            row = scores[name]
            table.add_row(
                f"  {_name(name)}",
                score_text(row["truth"]),
                f"{row['beaten']} of {row['pairs']}",
                _loss(row, "missing"),
                _loss(row, "extra"),
                Text(*_MARKS[row["passes"]]),
            )
    return table


def _failing(scores: Mapping[str, Mapping[str, Any]], needs: Mapping[str, float]) -> Text:
    primary = [name for name, row in scores.items() if row["primary"]]
    failing = [name for name in primary if not scores[name]["passes"]]
    share, fall = f"{100 * needs['share']:.0f} %", score_text(needs["fall"])
    text = Text(
        "A score passes if the truth is above every decoy of every unit, and if half of the labels being wrong, left "
        f"out or too many, costs it {share} of the truth’s score and {fall} at least. Intervals are over units.\n"
    )
    if not failing:
        text.append(f"All {len(primary)} scores that this project stands by pass.", style="green")
    for name in failing:
        text.append(f"{_name(name)} fails.", style="bold red")
        for one in scores[name]["failures"][:2]:
            text.append(f" {plain(one['unit'])}: the truth {score_text(one['truth'])}, {one['decoy']} ")
            text.append(f"{score_text(one['decoy_score'])}.")
    return text.append("\n").append(_blind(scores, needs["share"]))


def _blind(scores: Mapping[str, Mapping[str, Any]], share: float) -> Text:
    """Which of the others fail, and at what."""
    failing = {name: row for name, row in scores.items() if not row["primary"] and not row["passes"]}
    seen = {
        "Firings left out are seen too little, or not at all, by": [
            n for n, row in failing.items() if _lost(row, "missing") < share
        ],
        "Firings too many are seen too little, or not at all, by": [
            n for n, row in failing.items() if _lost(row, "extra") < share
        ],
        "A decoy gets as much as the truth from": [n for n, row in failing.items() if not row["truth_beats_decoys"]],
    }
    low = [name for name in failing if not any(name in names for names in seen.values())]
    seen["Even the truth gets next to nothing from"] = low
    text = Text()
    for what, names in seen.items():
        text.append(f"{what}: {'; '.join(map(_name, names))}.\n" if names else "")
    return text


def _lost(row: Mapping[str, Any], change: str) -> float:
    value = row[f"{change}_share"]
    return 0.0 if value is None else value


def _rates(rows: Sequence[Mapping[str, Any]]) -> Text:
    """What F1 and AUPRC make of the truth: they take the top hundredth of the tokens for firings."""
    text = Text("F1 and AUPRC take the top 1 % of tokens for firings. So even the truth gets less where a unit fires ")
    text.append("on more or fewer: ")
    parts = [
        f"{_span(row)} F1 {score_text(row['f1'])}, AUPRC {score_text(row['auprc'])} ({row['units']} units)"
        for row in rows
        if row["units"]
    ]
    return text.append("; ".join(parts) + ".\n")


def _span(row: Mapping[str, Any]) -> str:
    low, high = f"{100 * row['from']:g} %", f"{100 * row['to']:g} %"
    return f"under {high}" if not row["from"] else f"above {low}" if row["to"] >= 1 else f"{low} to {high}"


def _elsewhere(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = ("", *(_NAMES[name].split(",")[0] for name, row in scores.items() if row["primary"]))
    table = _table("Elsewhere: is the truth above its decoys, and what does it score?", columns)
    for family, title in _FAMILIES.items():
        cells = [
            f"{own['beaten']} of {own['pairs']}, {score_text(own['truth'])}"
            for row in scores.values()
            if row["primary"] and (own := row["elsewhere"].get(family))
        ]
        table.add_row(title, *cells)
    return table


def _beyond(units: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]]) -> Text:
    """Plainly: what no rule says, rules don't say."""
    own = [unit for unit in units if "best_rules_r" in unit]
    text = Text("Beyond the grammar the truth is a function that no list of rules says; the best rules found get r ")
    text.append(", ".join(f"{score_text(u['best_rules_r'])} ({plain(u['name'])})" for u in own))
    verdicts = [f"{n} {verdict}" for verdict, n in Counter(row["overall"] for row in judged).items()]
    text.append(f". The verdict on these rules: {', '.join(verdicts)}. " if verdicts else ". ")
    return text.append("What is supported predicts, and keeps the effect; that it is all of the truth nothing shows.\n")


def _power(verdict: Mapping[str, Any]) -> Table:
    title = f"The verdict: claims whose r lies d above the best null (margin {verdict['margin']:g})"
    rows = verdict["power"]
    table = _table(title, ("d", *(f"{row['effect']:g}" for row in rows)))
    table.add_row("prediction check passed", *(f"{100 * row['power']:.0f} %" for row in rows))
    bounds = [f"{100 * row['power_lo']:.0f}–{100 * row['power_hi']:.0f} %" for row in rows]
    table.add_row("", *(Text(bound, style="dim") for bound in bounds))
    table.add_row("prediction check refuted", *(f"{100 * row['refuted'] / max(row['n'], 1):.0f} %" for row in rows))
    for name, style in STYLES.items():
        counts = [row["overall"].get(name, 0) for row in rows]
        if any(counts):
            label = Text.assemble("with behaviour: ", (name, style))
            table.add_row(label, *(_of(n, row["both_n"]) for n, row in zip(counts, rows, strict=True)))
    return table


def _of(count: int, whole: int) -> str:
    return f"{100 * count / whole:.0f} %" if whole else "–"


def _support(verdict: Mapping[str, Any]) -> Text:
    value = f"{100 * verdict['false_support']:.1f} %"
    bounds = f"{100 * verdict['false_support_lo']:.1f} to {100 * verdict['false_support_hi']:.1f} %"
    text = Text.assemble(("False support: ", "bold"), f"{value} ({bounds}) of {verdict['false_support_n']:,} claims ")
    text.append("that lie no more than the margin above their nulls: ")
    kinds = [f"{row['passed']} of {row['n']} {kind}" for kind, row in verdict["false_by_kind"].items()]
    text.append(f"{', '.join(kinds)}. ")
    if verdict["false_support"] > 0.05:
        text.append("That is above the 5 % that the rule promises. ", style="bold red")
    text.append(f"{verdict['void_runs']} of {verdict['runs']} runs void. ")
    return text.append("A claim of small d is refuted by behaviour: what it keeps of a unit’s effect is about r².\n")


def _liars(title: str, cases: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    table = _table(f"{title}: AUC of what might give them away", ("", *cases))
    for statistic in next(iter(cases.values())):
        cells: list[Text] = []
        for found in cases.values():
            row = found[statistic]
            bounds = interval_text(row["lo"], row["hi"])
            cells.append(Text.assemble(score_text(row["auc"]), (f" {bounds}".rstrip(), "dim")))
        table.add_row(statistic, *cells)
    return table


def _detected(dishonest: Mapping[str, Any]) -> Text:
    blind = [name for name, row in dishonest["hide"]["all honest"].items() if (row["auc"] or 0.0) < USELESS]
    text = Text(f"Swapping is told by “{dishonest['swap_statistic']}”, AUC {score_text(dishonest['swap_auc'])}; ")
    text.append(f"hiding by “{dishonest['hide_statistic']}”, AUC {score_text(dishonest['hide_auc'])}. ")
    return text.append(f"Of no use against hiding: {', '.join(blind)}.\n" if blind else "\n")
