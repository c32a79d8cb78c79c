"""Joint replacement of the units that a run was asked for: those of each site together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.explain.claims import Claim
from assay.explain.joint.arms import Arms, make_arms
from assay.explain.joint.losses import JointRuns
from assay.explain.joint.stored import Stored, arm_names, pack, site_arrays
from assay.explain.joint.text import JointText, draw_text
from assay.explain.lineup import units_by_site
from assay.explain.names import SIMULATED
from assay.referee.checks import MAX_UNSCORED

if TYPE_CHECKING:
    from assay.explain.material import Part, Progress
    from assay.explain.measure import Tested
    from assay.model import Subject

FEWEST = 4  # units of a site


def joint_units(targets: Sequence[UnitId]) -> dict[SiteId, list[UnitId]]:
    """Units to replace together, by site: four or more coordinates of one.

    Heads and directions are left out: a norm or a projection does not say what the whole of them writes, and
    directions of a site can't be set independently of each other.

    Raises:
        UsageError: there are none.
    """
    fit = [unit for unit in targets if unit.site.kind != "head" and isinstance(unit.index, int)]
    sites = {site: own for site, own in units_by_site(fit).items() if len(own) >= FEWEST}
    if not sites:
        most = max(map(len, units_by_site(fit).values()), default=0)
        got = f"at most {most} at one" if fit else "heads and directions only, which can't be set together"
        raise UsageError(
            f"--joint replaces {FEWEST} or more neurons (or coordinates) of one site at once; got {got}. "
            "Ask for more of a site, such as --units L10.mlp_act:random64"
        )
    return sites


def left_out(targets: Sequence[UnitId]) -> list[str]:
    """Names of the units that are not replaced with others. Raises UsageError as :func:`joint_units` does."""
    together = {unit for own in joint_units(targets).values() for unit in own}
    return [str(unit) for unit in targets if unit not in together]


def replace_claimed(
    subject: Subject,
    part: Part,
    targets: Sequence[UnitId],
    claims: Sequence[Claim],
    tested: Tested,
    means: Mapping[UnitId, float],
    seed: int,
    progress: Progress,
) -> Stored:
    """The losses of every site with units enough.

    Where a judge simulates, units are replaced only at tokens of its sample of which it said something of all units
    that it speaks of; all explainers and arms are compared on these.

    Args:
        subject: in fp32.
        targets, tested: as :func:`assay.explain.measure.run_test_pass` has them.
        means: by unit, on the fit split.

    Raises:
        UsageError: no site has units enough.
    """
    kept: dict[SiteId, dict[str, NDArray[Any]]] = {}
    names: dict[SiteId, list[str]] = {}
    runs: tuple[JointText, JointRuns] | None = None
    for site, units in joint_units(targets).items():
        usable = _usable(units, claims, tested, part.scored)
        text = draw_text(part, _tokens(usable, tested, part.scored), seed)
        if runs is None or not np.array_equal(runs[0].replaced, text.replaced):
            runs = text, JointRuns(subject, part, text, seed)
        arms = _arms(site, units, targets, usable, tested, means, text, seed)
        losses = runs[1].run(arms, progress)
        kept[site], names[site] = site_arrays(losses, arms), arm_names(losses)
    return pack(kept, names)


Usable = Mapping[str, Mapping[UnitId, int]]


def _usable(
    units: Sequence[UnitId], claims: Sequence[Claim], tested: Tested, scored: NDArray[np.bool_]
) -> dict[str, dict[UnitId, int]]:
    """By explainer and unit, the number of the claim that says something of it.

    An explanation whose prediction never changes says nothing, and neither does one that was not simulated on more
    than 5 % of the sample.
    """
    out: dict[str, dict[UnitId, int]] = {}
    for i, claim in enumerate(claims):
        if claim.role != "claim" or claim.unit not in units:
            continue
        own = out.setdefault(claim.explainer, {})
        wanted = scored & tested.sampled if claim.explainer in SIMULATED and tested.sampled is not None else scored
        answered = tested.tokens(i, claim.explainer, scored)
        missing = wanted.sum() - answered.sum()
        if claim.unscored is not None or missing > MAX_UNSCORED * wanted.sum():
            continue
        if np.ptp(tested.predictions[i][answered]) > 0:
            own[claim.unit] = i
    return out


def _tokens(usable: Usable, tested: Tested, scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wanted = scored.copy()
    for explainer, own in usable.items():
        for i in own.values():
            wanted &= tested.tokens(i, explainer, scored)
    return wanted


def _arms(
    site: SiteId,
    units: Sequence[UnitId],
    targets: Sequence[UnitId],
    usable: Usable,
    tested: Tested,
    means: Mapping[UnitId, float],
    text: JointText,
    seed: int,
) -> Arms:
    flat = text.flat
    place = {unit: i for i, unit in enumerate(targets)}

    def taken(source: NDArray[np.float32], own: Mapping[UnitId, int]) -> NDArray[np.float32]:
        nothing = np.full(len(flat), np.nan, np.float32)
        return np.stack([source[own[unit]][flat] if unit in own else nothing for unit in units])

    return make_arms(
        site,
        [int(unit.index) for unit in units],
        np.array([means[unit] for unit in units]),
        np.stack([tested.activations[place[unit]][flat] for unit in units]),
        {name: taken(tested.predictions, own) for name, own in usable.items()},
        {name: taken(tested.other_unit, own) for name, own in usable.items()},
        seed,
    )
