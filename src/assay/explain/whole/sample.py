"""The random sample of units whose behaviour is tested: what the main job needs to know of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.explain.claims import Claim, Explanation, executed
from assay.explain.material import Material, Progress
from assay.explain.measure import Tested, run_behaviour, tested_arrays
from assay.explain.verdicts import ARMS
from assay.explain.whole.layer import EXPLAINERS
from assay.explain.whole.shards import Shards
from assay.referee import BehaviourCheck, behaviour_check
from assay.rules import Lookup, RuleList
from assay.stats import Calibration

if TYPE_CHECKING:
    from assay.model import Subject


def draw_sample(sites: Sequence[SiteId], width: int, size: int, seed: int) -> dict[SiteId, NDArray[np.int64]]:
    """``size`` units drawn from all, spread over the sites as evenly as can be."""
    rng = np.random.default_rng([seed, 7])
    share = np.full(len(sites), size // len(sites))
    share[rng.choice(len(sites), size % len(sites), replace=False)] += 1
    return {
        site: np.sort(rng.choice(width, min(int(n), width), replace=False))
        for site, n in zip(sites, share, strict=True)
    }


@dataclass(frozen=True)
class Sample:
    """The sampled units with their claims and controls, and what the test split said.

    ``ids``: the number of each claim in the run. ``rows``: its row of the claims table.
    """

    units: list[UnitId]
    ids: list[int]
    rows: list[dict[str, Any]]
    claims: list[Claim]
    tested: Tested
    means: Mapping[UnitId, float]


def read_sample(shards: Shards, sites: Sequence[SiteId], material: Material) -> Sample:
    """Put the sample together from the layers' shards."""
    view = material.test.full_view
    units: list[UnitId] = []
    ids: list[int] = []
    rows: list[dict[str, Any]] = []
    claims: list[Claim] = []
    means: dict[UnitId, float] = {}
    activations: list[NDArray[np.float32]] = []
    for site in sites:
        arrays = shards.read(site).arrays
        if not len(arrays["sampled"]):
            continue
        own, table = shards.table(site, "units"), shards.table(site, "claims")
        width = own.num_rows
        for k, unit in enumerate(arrays["sampled"].tolist()):
            units.append(UnitId(site, unit))
            activations.append(arrays["activations"][k])
            means[units[-1]] = own["mean"][unit].as_py()
            for kind in range(len(EXPLAINERS) + 1):
                row = table.slice(kind * width + unit, 1).to_pylist()[0]
                rival = UnitId.parse(row["rival"])
                line = arrays[f"{row['explainer']}.rival_line"][k]
                of_rival = table.slice(EXPLAINERS.index(row["explainer"]) * width + rival.index, 1).to_pylist()[0]
                ids.append(row["claim"])
                rows.append(row)
                claims.append(_claim(units[-1], row, of_rival, rival, Calibration(*map(float, line))))
    predictions = [claim.calibration(executed(claim.explanation, view)).astype(np.float32) for claim in claims]
    others = [claim.rival_calibration(executed(claim.rival, view)).astype(np.float32) for claim in claims]
    tested = Tested(np.stack(activations), np.stack(predictions), np.stack(others), (None,) * len(claims), 0.0)
    return Sample(units, ids, rows, claims, tested, means)


def _claim(
    unit: UnitId, row: Mapping[str, Any], of_rival: Mapping[str, Any], rival: UnitId, line: Calibration
) -> Claim:
    calibration = json.loads(row["calibration"])
    return Claim(
        unit=unit,
        explainer=row["explainer"],
        role=row["role"],
        explanation=_explanation(row["rules"]),
        calibration=Calibration(calibration["slope"], calibration["intercept"]),
        threshold=row["threshold"],
        rival=_explanation(of_rival["rules"]),
        rival_unit=rival,
        rival_calibration=line,
    )


def _explanation(text: str) -> Explanation:
    data = json.loads(text)
    return Lookup.from_json(data) if data["kind"] == "lookup" else RuleList.from_json(data)


def replace_units(
    subject: Subject, sample: Sample, material: Material, seed: int, progress: Progress
) -> tuple[dict[str, NDArray[Any]], dict[int, BehaviourCheck]]:
    """Replace the sampled units by their predictions: the stored arrays, and the check of each claim by its number."""
    arrays = run_behaviour(
        subject, material.test, sample.units, sample.claims, sample.tested, sample.means, seed, progress
    )
    checks: dict[int, BehaviourCheck] = {}
    for i, claim in enumerate(sample.ids):
        drawn = arrays["weights"][i] > 0
        checks[claim] = behaviour_check(
            dict(zip(ARMS, arrays["J"][i][:, drawn], strict=True)),
            arrays["documents"][i][drawn],
            arrays["weights"][i][drawn],
            arrays["floor"][i][drawn],
            seed=seed,
        )
    return arrays, checks


def stored_arrays(sample: Sample, material: Material) -> dict[str, NDArray[Any]]:
    """The arrays of ``tensors/test.safetensors``, of the sampled units."""
    return tested_arrays(material.test, sample.tested)
