"""Who stands beside whom: a run's targets, the other units that are explained with them, rivals and strangers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.explain.claims import RIVALS, Fitted

if TYPE_CHECKING:
    from assay.model import Subject

LEAST_RIVALS = 2  # other units' sentences that a claim's rival is taken from, at least
COMPANIONS = 2  # a site's other units that are explained as well, so that each claim has a rival and a control there


def units_by_site(units: Sequence[UnitId]) -> dict[SiteId, list[UnitId]]:
    """Units by site, in the order given."""
    table: dict[SiteId, list[UnitId]] = {}
    for unit in units:
        table.setdefault(unit.site, []).append(unit)
    return table


def find_companions(targets: Sequence[UnitId], subject: Subject, seed: int) -> list[UnitId]:
    """Other units of the targets' sites: two at least explained beside each, and enough in all for the rivals.

    A site with few units, such as the heads of a layer, gives as many as it has.

    Raises:
        UsageError: a site with a single unit, or two units in all: there is nothing to compare with.
    """
    sites = units_by_site(targets)
    least = {site: max(COMPANIONS + 1 - len(own), 0) for site, own in sites.items()}
    short = RIVALS + 2 - len(targets) - sum(least.values())
    extra = -(-max(short, 0) // len(sites))
    found: list[UnitId] = []
    for site, own in sites.items():
        wanted = least[site] + extra
        rng = np.random.default_rng([seed, 5, *str(site).encode()])
        taken = {unit.index for unit in own}
        free = [int(i) for i in rng.permutation(subject.units.count(site)) if int(i) not in taken]
        if len(own) + len(free) < 2:
            raise UsageError(f"{site} has one unit only; an explanation is tested against those of others at its site")
        found += [UnitId(site, i) for i in free[:wanted]]
    if len(targets) + len(found) < 3:
        raise UsageError(f"{', '.join(map(str, sites))} has two units only; ask for some of another site beside them")
    return found


def assign_strangers(units: Sequence[UnitId]) -> list[int]:
    """For each unit, another of its site: the one whose explanation is asserted of it as a negative control."""
    where = {unit: i for i, unit in enumerate(units)}
    out = list(range(len(units)))
    for own in units_by_site(units).values():
        for unit, stranger in zip(own, own[1:] + own[:1], strict=True):
            out[where[unit]] = where[stranger]
    return out


def rival_candidates(fitted: Sequence[Fitted], target: int, stranger: int, seed: int) -> list[Fitted]:
    """Candidates for a target's rival: units of its site first, then of others, in an order drawn for the target."""
    return [fitted[i] for i in rival_places([one.unit for one in fitted], target, stranger, seed)]


def rival_places(units: Sequence[UnitId], target: int, stranger: int, seed: int) -> list[int]:
    """Which of the units those are."""
    order = np.random.default_rng([seed, 6, target]).permutation(len(units)).tolist()
    left = [i for i in order if i not in (target, stranger)]
    return sorted(left, key=lambda i: units[i].site != units[target].site)[:RIVALS]


def speakers(
    units: Sequence[UnitId], targets: int, strangers: Sequence[int], asserted: bool, given: Collection[UnitId] = ()
) -> list[int]:
    """Which units are given a sentence: the targets, and as few companions as the nulls need.

    Args:
        units: the targets come first.
        strangers: by unit, the one whose explanation is asserted of it as a control.
        asserted: whether it is this explainer's explanation that is so asserted.
        given: units of which somebody brought a sentence; if there are any, no other target is given one.
    """
    own = [i for i in range(targets) if not given or units[i] in given]
    chosen = set(own) | ({strangers[i] for i in own} if asserted else set())
    for extra in range(targets, len(units)):
        if not own or min(len(chosen - {i, strangers[i]}) for i in own) >= LEAST_RIVALS:
            break
        chosen.add(extra)
    return sorted(chosen)
