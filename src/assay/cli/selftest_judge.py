"""How good a judge is, as a selftest found it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from assay.cli.numbers import interval_text, score_text
from assay.cli.plain import plain

SHOWN = 4  # sentences


def judge_parts(found: Mapping[str, Any] | None) -> Iterator[Table | Text]:
    """What to print of the part ``judge`` of a result; nothing where no judge was tried."""
    if found is None:
        return
    simulator, explainer = found["simulator"], found["explainer"]
    yield Text.assemble(("The judge: ", "bold"), plain(found["judge"]))
    yield _simulator(simulator)
    yield _explainer(explainer, simulator)
    for one in explainer["sentences"][:SHOWN]:
        text = Text(f"  {plain(one['unit'])}: “{plain(one['said'])}”")
        yield text.append(f"  r {score_text(one['r'])}, the truth’s {score_text(one['r_truth'])}", style="dim")
    for reason, count in {**simulator["unscored"], **explainer["unscored"]}.items():
        yield Text(f"  unscored {count} times: {plain(reason)}", style="yellow")
    yield Text("")


def _bounded(found: Mapping[str, Any], name: str) -> str:
    return f"{score_text(found[name])} {interval_text(found[f'{name}_lo'], found[f'{name}_hi'])}".rstrip()


def _simulator(found: Mapping[str, Any]) -> Text:
    text = Text(f"As a simulator ({found['name']}), of {found['units']} units: ")
    if found["r"] is None:
        return text.append("no unit could be scored.")
    text.append(
        f"the truth in words gets r {_bounded(found, 'r')}, another unit’s {_bounded(found, 'r_null')}; a perfect "
    )
    text.append(
        f"simulator of the truth gets {score_text(found['r_perfect'])}. The truth is above {found['beaten']} of "
    )
    text.append(f"{found['pairs']} decoys (by unit {_bounded(found, 'truth_above_decoys')}, chance .50): ")
    kinds = [f"{row['beaten']} of {row['pairs']} {plain(kind)}" for kind, row in found["by_decoy"].items()]
    return text.append(f"{', '.join(kinds)}.{_useless(found)}")


def _useless(found: Mapping[str, Any]) -> str:
    lo = found["truth_above_decoys_lo"]
    if lo is None or lo > 0.5:
        return ""
    return " That is not shown to be above chance: scores that rest on what this judge simulates say little."


def _explainer(found: Mapping[str, Any], simulator: Mapping[str, Any]) -> Text:
    text = Text(f"As an explainer, of {found['units']} units: ")
    if found["r"] is None:
        return text.append("no sentence could be scored.")
    own, truth = _bounded(found, "r"), _bounded(found, "r_truth")
    text.append(f"its sentences get r {own} when it simulates them itself, the truth {truth} (difference ")
    text.append(
        f"{_bounded(found, 'above_truth')}), its sentences on other units {_bounded(found, 'r_null')} (difference "
    )
    text.append(f"{_bounded(found, 'above_null')}).")
    if _useless(simulator):
        text.append(
            " As its simulations are not shown to be above chance, this does not say how good its sentences are."
        )
    return text
