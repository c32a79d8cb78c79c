"""The tables of docs/findings/self-report.md, from the JSON that scripts/self_report.py wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BASELINES = ("text", "other_model", "blind", "shuffled", "probe_before", "probe_after")
TRAINED = {
    "finetune": "all weights",
    "above": "LoRA above",
    "question": "LoRA, question alone",
    "full": "LoRA everywhere",
}
TAUGHT = {"nat": "natural values", "int": "patches ×1", "int10": "patches ×10", "swap": "values swapped"}


def figure(value: float | None) -> str:
    """.92, -.03"""
    if value is None:
        return "–"
    text = f"{value:.2f}"
    text = text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
    return ".00" if text == "-.00" else text


def bounded(own: Mapping[str, float | None] | None) -> str:
    """A figure with its interval."""
    if own is None:
        return "–"
    return figure(own["value"]) + ("" if own["lo"] is None else f" [{figure(own['lo'])} {figure(own['hi'])}]")


def plain(own: Mapping[str, float] | None) -> str:
    """A figure."""
    return figure(None if own is None else own["value"])


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])


def verdicts(own: Mapping[str, int]) -> str:
    """3 reads, 1 fails."""
    return ", ".join(f"{n} {word}" for word, n in own.items())


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the page."""

    def scores(row: Mapping[str, Any]) -> list[str]:
        return [row["model"], str(row["trials"]), bounded(row["bits"]), *(plain(row[name]) for name in BASELINES)]

    def slope(row: Mapping[str, Any]) -> list[str]:
        return [bounded(row["relative_slope"]), verdicts(row["verdicts"])]

    heads = ("model", "trials", "bits", "text", "other model", "blind", "shuffled", "probe before", "probe after")
    natural = [row for row in found["asked"] if row["regime"] == "nat"]
    patched = [row for row in found["asked"] if row["regime"] != "nat"]
    across = ("nat_bits", "int_bits", "int10_bits", "int_relative_slope", "int10_relative_slope")
    return {
        "literal": table(
            (heads[0], "trained", *heads[1:], "bits, its value now", "drift", "relative slope", "verdicts"),
            [
                [
                    *(row["model"], TRAINED[row["trainable"]], *scores(row)[1:]),
                    *(bounded(row["bits_own"]), figure(row["drift"]), *slope(row)),
                ]
                for row in found["literal"]
            ],
        ),
        "natural": table((*heads, "relative slope", "verdicts"), [[*scores(row), *slope(row)] for row in natural]),
        "patched": table(
            (
                "model",
                "taught",
                "trials",
                "bits",
                "relative slope",
                "by seed",
                "k*",
                "k*, neurons drawn again",
                "verdicts",
            ),
            [
                [
                    *(row["model"], TAUGHT[row["regime"]], str(row["trials"]), bounded(row["bits"])),
                    *(bounded(row["relative_slope"]), " ".join(plain(one) for one in row["slopes_by_seed"])),
                    *(*least(found, row), verdicts(row["verdicts"])),
                ]
                for row in patched
            ],
        ),
        "reach": reach(found),
        "strata": table(
            ("taught", "drawn", "trials", "readable", "read", "bits", "relative slope"),
            [
                [
                    *(
                        TAUGHT[row["regime"]],
                        row["stratum"],
                        str(row["trials"]),
                        str(row["readable"]),
                        str(row["read"]),
                    ),
                    *(bounded(row["bits"]), bounded(row["relative_slope"])),
                ]
                for row in found["strata"]
            ],
        ),
        "amounts": table(
            ("sentences", "trials", "bits", "text", "blind", "probe after", "relative slope", "verdicts"),
            [
                [
                    *(f"{row['sentences']:,}", str(row["trials"]), bounded(row["bits"])),
                    *(plain(row[name]) for name in ("text", "blind", "probe_after")),
                    *(bounded(row["relative_slope"]), verdicts(row["verdicts"]) or "–"),
                ]
                for row in found["amounts"]
            ],
        ),
        "also": table(
            (
                "taught",
                "trials",
                "bits",
                "on the novel",
                "drop",
                "probe",
                "on the novel",
                "slope",
                "on the novel",
                "drop",
            ),
            [
                [
                    *(TAUGHT[row["taught"]], str(row["trials"]), plain(row["bits"]), plain(row["bits_there"])),
                    *(bounded(row["bits_drop"]), plain(row["probe"]), plain(row["probe_there"])),
                    *(plain(row["relative_slope"]), plain(row["relative_slope_there"])),
                    bounded(row["relative_slope_drop"]),
                ]
                for row in found["also"]
            ],
        ),
        "otherwise": table(
            (
                *("trained", "taught", "trials", "bits", "LoRA above", "relative slope", "LoRA above"),
                *("bits, its value now", "drift", "verdicts"),
            ),
            [
                [
                    *(TRAINED[row["trainable"]], TAUGHT[row["regime"]], str(row["trials"])),
                    *(bounded(own[part]) for part in ("bits", "relative_slope") for own in (row, row["usual"])),
                    *(bounded(row["bits_own"]), figure(row["drift"]), verdicts(row["verdicts"])),
                ]
                for row in found["otherwise"]
            ],
        ),
        "matrix": table(
            ("models", "taught", "trials", "bits, natural", "bits ×1", "bits ×10", "slope ×1", "slope ×10"),
            [
                [row["models"], TAUGHT[row["taught"]], str(row["trials"]), *(bounded(row[name]) for name in across)]
                for row in found["matrix"]
            ],
        ),
    }


def least(found: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """k*, and how often each value comes out when neurons are drawn again."""
    way = f"{row['model']} Q {row['regime']} above"
    k, shares = found["k_star"][way], found["k_star_shares"][way]
    return ["none" if k is None else str(k), ", ".join(f"{n} {figure(share)}" for n, share in shares.items())]


def reach(found: Mapping[str, Any]) -> str:
    """By layers left, model by model: how many of the readable trials taught by patches ×10 read, and their slope."""
    rows = [row for row in found["asked_layers"] if row["regime"] == "int10"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    known = {
        (row["layers_left"], row["model"]): f"{row['read']} of {row['readable']}, {plain(row['relative_slope'])}"
        for row in rows
    }
    lefts = sorted({row["layers_left"] for row in rows})
    body = [[str(left), *(known.get((left, model), "") for model in models)] for left in lefts]
    return table(("layers left", *models), body)
