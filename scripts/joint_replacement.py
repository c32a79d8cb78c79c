"""The figures of docs/findings/joint-replacement.md, from stored runs.

    assay explain --units L0.mlp_act:all,L10.mlp_act:all,L20.mlp_act:all --tokens 150000 --no-behaviour --joint \\
        --explainer rules,lookup
    assay explain --units L5.mlp_act:all,L15.mlp_act:all,L25.mlp_act:all,L29.mlp_act:all --tokens 150000 \\
        --no-behaviour --joint --explainer rules,lookup
    assay explain --units L29.mlp_act:random16 --no-behaviour --joint
    python scripts/joint_replacement.py --spoken SPOKEN --left-out L10.mlp_act:222 WHOLE [WHOLE ...]

WHOLE are directories of runs of whole layers, of one text and seed, that together hold each layer once; SPOKEN is that
of single units, with what the model says of itself. For the unit of --left-out the model runs again: its whole layer is
replaced by the stored rules, with and without those of this unit. Every other score is made again from the stored
losses. Written are ``joint-replacement.json`` and ``joint-replacement.svg``; printed are the tables of the page, which
a test compares with the JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import torch
import vl_convert

from assay.core.ids import SiteId, UnitId
from assay.explain.figure import EXPLAINERS, NOISE, NULL, dressed
from assay.explain.joint.arms import PREDICTION, Arms
from assay.explain.joint.losses import JointRuns
from assay.explain.joint.scores import joint_entries, recompute_joint
from assay.explain.joint.stored import arm_names, pack, site_arrays
from assay.explain.joint.text import draw_text
from assay.explain.material import WHOLE_SHARES, gather_material
from assay.model import Subject, load
from assay.rules import RuleList
from assay.rules.apply import Applier
from assay.stats.many_choose import Lines, many_calibrated
from assay.store import Run, open_run
from assay.store.query import answer
from assay.text import load_corpus

PLACE = Path(__file__).parents[1] / "docs" / "findings"
SHOWN = (0, 1, 2, 3, 5, 10, 15, 20, 25, 28, 29)
SHARES = (0.02, 0.1, 0.25, 0.5, 1.0)
SAME = ("recovered_from_zero", "mean_ablation", "mean_ablation_lo", "mean_ablation_hi", "zero_ablation", "unscored")
_R = """
    select u.layer, c.explainer, avg(e.value) as r, avg(e.value * abs(e.value)) as r2, avg(c.bits) as bits
    from claims c join units u using (unit) join evidence e using (claim)
    where c.role = 'claim' and e.measure = 'r' and e.value is not null group by all order by all"""

_EACH = """
    select c.unit, c.explainer, e.value from claims c join evidence e using (claim)
    where c.role = 'claim' and e.measure = 'r' and e.value is not null"""
_ONE = """
    select e.value from claims c join evidence e using (claim)
    where c.unit = '{}' and c.role = 'claim' and c.explainer = 'rules' and e.measure = 'r'"""


def short(value: Any) -> Any:
    """Numbers to five places."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, list):
        return [short(part) for part in value]
    return {name: short(part) for name, part in value.items()} if isinstance(value, dict) else value


def score(own: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One measure of one entry, as it is kept."""
    kept = {"recovered": own[name], **{key: own[key] for key in ("lo", "hi", *SAME)}}
    nulls = [null for null in own["nulls"].values() if null is not None]
    kept |= {"null": max(nulls, default=None), "shuffled": own["nulls"]["shuffled"], "noise": own["noise_equal_r"]}
    return kept | {key: own[key] for key in ("over_noise", "above_nulls", "above")}


def entries(run: Run) -> list[dict[str, Any]]:
    """What a run says, made again from its losses."""
    return [
        short(
            {key: entry[key] for key in ("layer", "share", "units", "explainer", "held_at_mean", "tokens", "documents")}
            | {"unedited_loss": entry["unedited_loss"]}
            | {"loss": score(entry, "loss_recovered"), "kl": score(entry["kl"], "recovered")}
        )
        for entry in recompute_joint(run)
    ]


def whole(runs: Sequence[Run]) -> dict[str, Any]:
    """All layers of some runs, in order."""
    same = [{key: run.spec["corpus"][key] for key in ("sha256", "splits_sha256", "tokens")} for run in runs]
    if any(corpus != same[0] for corpus in same):
        raise SystemExit("the runs are not of the same text")
    found = sorted(
        (entry for run in runs for entry in entries(run)), key=lambda entry: (entry["layer"], entry["share"])
    )
    r = sorted((row for run in runs for row in answer(_R, [run]).table.to_pylist()), key=lambda row: row["layer"])
    if len({(entry["layer"], entry["share"], entry["explainer"]) for entry in found}) < len(found):
        raise SystemExit("a layer is in two of the runs")
    resolved = runs[0].spec["resolved"]
    return {
        "corpus": same[0] | {"name": runs[0].spec["corpus"]["name"]},
        "effects": resolved["effects"],
        "seed": resolved["seed"],
        "r": short(r),
        "entries": found,
    }


def at(found: Mapping[str, Any], explainer: str, share: float) -> list[dict[str, Any]]:
    """The layers at one share, in order."""
    return [e for e in found["entries"] if e["explainer"] == explainer and e["share"] == share]


def weighted(runs: Sequence[Run], subject: Subject) -> list[dict[str, Any]]:
    """By layer, what explanations explain of the units' variance, each weighted by the square of what it writes.

    ``largest`` is the share of this sum that one unit has, ``unit`` its name: known from the fit split.
    """
    rows: list[dict[str, Any]] = []
    for run in runs:
        r = answer(_EACH, [run]).table.to_pandas()
        units = run.table("units").to_pandas()
        for layer, own in units[units.role == "target"].groupby("layer"):
            writes = subject.write_matrix(SiteId(int(layer), "mlp_act")).float().norm(dim=0).numpy()
            weight = (own.sd.to_numpy() * writes[own["index"].to_numpy()]) ** 2
            row: dict[str, Any] = {"layer": int(layer), "largest": float(weight.max() / weight.sum())}
            row["unit"] = str(own.unit.iloc[int(weight.argmax())])
            for name, told in r[r.unit.isin(own.unit)].groupby("explainer"):
                by_unit = told.set_index("unit").value.reindex(own.unit).fillna(0).clip(lower=0).to_numpy()
                row[str(name)] = float(weight @ by_unit**2 / weight.sum())
            rows.append(short(row))
    return sorted(rows, key=lambda row: row["layer"])


def left_out(run: Run, unit: UnitId, subject: Subject) -> dict[str, Any]:
    """A whole layer at the predictions of its stored rules, and without those of one unit."""
    spec = run.spec["resolved"]
    material = gather_material(subject, load_corpus(spec["corpus"]), spec["tokens"], spec["seed"], WHOLE_SHARES)
    text = draw_text(material.test, material.test.scored, spec["seed"])
    claims = run.table("claims").to_pandas()
    claims = claims[(claims.role == "claim") & (claims.explainer == "rules")]
    own = claims[claims.unit.str.startswith(f"{unit.site}:")]
    rules = [RuleList.from_json(json.loads(row)) for row in own.rules]
    lines = Lines(*(np.array([json.loads(row)[name] for row in own.calibration]) for name in ("slope", "intercept")))
    raw = Applier(material.test.full_view).predict_rules(rules)[:, text.flat]
    said = many_calibrated(np.ascontiguousarray(raw), lines)
    units = run.table("units").to_pandas()
    means = units[units.unit.str.startswith(f"{unit.site}:")]["mean"].to_numpy(np.float32)
    silent = lines.slopes == 0
    said[silent] = means[silent][:, None]
    without = said.copy()
    without[unit.index] = means[unit.index]
    arms = Arms(
        unit.site,
        np.arange(len(said)),
        means,
        {("rules", PREDICTION): said, ("without", PREDICTION): without},
        {"rules": silent, "without": silent | (np.arange(len(said)) == unit.index)},
    )
    losses = JointRuns(subject.with_dtype(torch.float32), material.test, text, spec["seed"]).run(
        arms, lambda *_: None, (1.0,)
    )
    stored = pack({unit.site: site_arrays(losses, arms)}, {unit.site: arm_names(losses)})
    by_name = {entry["explainer"]: entry for entry in joint_entries(stored, spec["seed"])}
    r = next(row["value"] for row in answer(_ONE.format(unit), [run]).table.to_pylist())
    kept = ("loss_recovered", "lo", "hi", "held_at_mean")
    return {
        "unit": str(unit),
        "r": short(r),
        **{
            name: short({key: entry[key] for key in kept} | {"kl": [entry["kl"][k] for k in ("recovered", "lo", "hi")]})
            for name, entry in by_name.items()
        },
        "fall": short(by_name["rules"]["above"]["without"]),
    }


def figure(value: float | None) -> str:
    """A score as it stands in a table."""
    if value is None:
        return "–"
    text = f"{value:.2f}".replace("0.", ".", 1)
    return ".00" if text == "-.00" else text


def bounded(value: float | None, lo: float | None, hi: float | None) -> str:
    """A score with its interval."""
    return figure(value) if lo is None or hi is None else f"{figure(value)} [{figure(lo)} {figure(hi)}]"


def cost(own: Mapping[str, Any]) -> str:
    """What the units at their means cost, in nats, with its interval."""
    value, lo, hi = (own[f"mean_ablation{end}"] for end in ("", "_lo", "_hi"))
    return f"{value:.2f} [{lo:.2f} {hi:.2f}]"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [" | ".join(head), "|".join(["---", *["--:"] * (len(head) - 1)]), *(" | ".join(row) for row in body)]
    return "\n".join(f"| {line} |" if i != 1 else f"|{line}|" for i, line in enumerate(lines))


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of the page."""
    layers, r = found["whole"], {(row["layer"], row["explainer"]): row["r"] for row in found["whole"]["r"]}
    lookups = {entry["layer"]: entry for entry in at(layers, "lookup", 1.0)}
    weights = {row["layer"]: row for row in found["weighted"]}
    depth: list[list[str]] = []
    for entry in at(layers, "rules", 1.0):
        if entry["layer"] not in SHOWN:
            continue
        own, kl = entry["loss"], entry["kl"]
        lookup = lookups[entry["layer"]]["loss"]
        depth.append(
            [
                str(entry["layer"]),
                figure(r[entry["layer"], "rules"]),
                figure(weights[entry["layer"]]["rules"]),
                f"{weights[entry['layer']]['largest']:.0%}",
                cost(own),
                f"{own['zero_ablation']:.2f}",
                bounded(own["recovered"], own["lo"], own["hi"]),
                bounded(lookup["recovered"], lookup["lo"], lookup["hi"]),
                *(figure(own[name]) for name in ("null", "noise")),
                bounded(*(own["over_noise"] or (None, None, None))),
                figure(own["recovered_from_zero"]),
                bounded(kl["recovered"], kl["lo"], kl["hi"]),
                figure(kl["noise"]),
            ]
        )
    head = [
        "layer",
        "mean r",
        "weighted r²",
        "largest unit",
        "mean costs",
        "zero costs",
        "rules",
        "lookup",
        "null",
        "noise",
        "rules - noise",
    ]
    head += ["rules, from zero", "KL, rules", "KL, noise"]
    return {
        "depth": table(head, depth),
        "share": table(
            [
                *("share", "mean costs", "scored", "above null", "above lookup", "below lookup", "below noise"),
                *("KL, rules", "KL, lookup", "KL, noise", "KL, above null", "KL, below noise"),
            ],
            [by_share(layers, share) for share in SHARES],
        ),
        "spoken": table(
            ["units", "explainer", "loss", "KL", "KL, null", "KL, noise", "KL, above self"],
            spoken_rows(found["spoken"]),
        ),
    }


def by_share(found: Mapping[str, Any], share: float) -> list[str]:
    """One share over all layers: means of the divergence, and in how many layers an interval lies on one side."""
    rules, lookup = at(found, "rules", share), at(found, "lookup", share)
    scored = [entry["loss"] for entry in rules if entry["loss"]["recovered"] is not None]
    kl = [entry["kl"] for entry in rules]
    above = [own["above"]["lookup"] for own in scored]

    def mean(values: Sequence[Mapping[str, Any]], name: str) -> str:
        return figure(float(np.mean([own[name] for own in values])))

    cost = float(np.median([entry["loss"]["mean_ablation"] for entry in rules]))
    return [
        f"{share:.0%}",
        f"{cost:.3f}",
        f"{len(scored)} of {len(rules)}",
        str(sum(own["above_nulls"][1] > 0 for own in scored)),
        str(sum(gap[1] > 0 for gap in above)),
        str(sum(gap[2] < 0 for gap in above)),
        str(sum(own["over_noise"][2] < 0 for own in scored)),
        mean(kl, "recovered"),
        mean([entry["kl"] for entry in lookup], "recovered"),
        mean(kl, "noise"),
        f"{sum(own['above_nulls'][1] > 0 for own in kl)} of {len(kl)}",
        f"{sum(own['over_noise'][2] < 0 for own in kl)} of {len(kl)}",
    ]


def spoken_rows(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The single units: all explainers at each share."""
    rows: list[list[str]] = []
    for entry in found:
        loss, kl = entry["loss"], entry["kl"]
        rows.append(
            [
                str(entry["units"]),
                entry["explainer"],
                bounded(loss["recovered"], loss["lo"], loss["hi"]),
                bounded(kl["recovered"], kl["lo"], kl["hi"]),
                *(figure(kl[name]) for name in ("null", "noise")),
                bounded(*(kl["above"].get("self") or (None, None, None))),
            ]
        )
    return rows


def drawing(found: Mapping[str, Any]) -> alt.VConcatChart:
    """By layer, all units replaced: the loss recovered; below, what the units at their means cost."""
    layers = found["whole"]
    lines: list[dict[str, Any]] = []
    for name in ("rules", "lookup"):
        for entry in at(layers, name, 1.0):
            own = entry["loss"]
            same = {"layer": entry["layer"], "explainer": name}
            lines.append(same | {"line": "prediction", "score": own["recovered"], "lo": own["lo"], "hi": own["hi"]})
            lines.append(same | {"line": "truth plus noise, at equal r", "score": own["noise"]})
            lines.append(same | {"line": "its best null", "score": own["null"]})
    lines = [row for row in lines if row["score"] is not None]
    ends = [-0.5, max(row["layer"] for row in lines) + 0.5]
    x = alt.X("layer:Q", scale=alt.Scale(domain=ends, nice=False), axis=alt.Axis(format="d", tickMinStep=1))
    colour = alt.Color(
        "explainer:N",
        scale=alt.Scale(domain=["rules", "lookup"], range=[EXPLAINERS[name][0] for name in ("rules", "lookup")]),
        legend=alt.Legend(title=None),
    )
    names = ["prediction", "truth plus noise, at equal r", "its best null"]
    dash = alt.StrokeDash(
        "line:N",
        scale=alt.Scale(domain=names, range=[[1, 0], [5, 3], [1, 3]]),
        legend=alt.Legend(title=None, symbolStrokeColor=NOISE),
    )
    base = alt.Chart(alt.Data(values=lines)).encode(x=x, color=colour)
    own = base.transform_filter(alt.datum.line == "prediction")
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=NULL).encode(y="zero:Q")
    top = alt.layer(
        zero,
        base.mark_line(strokeWidth=1.5).encode(
            y=alt.Y("score:Q", axis=alt.Axis(title="loss recovered"), scale=alt.Scale(domain=[-0.2, 1], clamp=True)),
            strokeDash=dash,
        ),
        own.mark_rule(strokeWidth=1.5).encode(y=alt.Y("lo:Q"), y2="hi:Q"),
        own.mark_point(filled=True, size=34, opacity=1).encode(y=alt.Y("score:Q")),
    ).properties(width=800, height=260, title=alt.Title("All 1,536 neurons of a layer at once", anchor="start"))
    costs = [
        {"layer": entry["layer"], "nats": max(entry["loss"][f"{arm}_ablation"], 1e-4), "arm": f"at {told}"}
        for entry in at(layers, "rules", 1.0)
        for arm, told in (("mean", "their means"), ("zero", "zero"))
    ]
    bottom = (
        alt.Chart(alt.Data(values=costs))
        .mark_line(point=True, color=NOISE)
        .encode(
            x=x,
            y=alt.Y("nats:Q", scale=alt.Scale(type="log"), axis=alt.Axis(title="nats a token", tickCount=4)),
            strokeDash=alt.StrokeDash("arm:N", legend=alt.Legend(title=None)),
        )
        .properties(width=800, height=120, title=alt.Title("What the neurons cost", anchor="start"))
    )
    return dressed(alt.vconcat(top, bottom, spacing=22).resolve_scale(color="independent", strokeDash="independent"))


def main() -> None:
    """Read the runs, write the figures, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("whole", nargs="+", help="directories of runs of whole layers")
    parser.add_argument("--spoken", required=True, help="directory of the run of single units")
    parser.add_argument("--left-out", required=True, metavar="UNIT", help="a unit whose rules are left out")
    asked = parser.parse_args()
    runs = [open_run(path) for path in asked.whole]
    unit = UnitId.parse(asked.left_out)
    subject = load(runs[0].spec["subject"]["name"])
    [holds] = [run for run in runs if f"{unit.site}:all" in run.spec["resolved"]["targets"]]
    found = {
        "whole": whole(runs),
        "spoken": entries(open_run(asked.spoken)),
        "weighted": weighted(runs, subject),
        "left_out": left_out(holds, unit, subject),
    }
    PLACE.mkdir(exist_ok=True)
    (PLACE / "joint-replacement.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
    svg = vl_convert.vegalite_to_svg(drawing(found).to_dict())
    (PLACE / "joint-replacement.svg").write_text(svg + "\n", encoding="utf-8")
    for name, text in tables(found).items():
        print(f"{name}\n\n{text}\n")


if __name__ == "__main__":
    main()
