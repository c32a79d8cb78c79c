"""Who is set beside whom in a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from assay.core.ids import SiteId, UnitId
from assay.errors import UsageError
from assay.explain.claims import RIVALS, Fitted
from assay.explain.lineup import COMPANIONS, assign_strangers, find_companions, rival_candidates, units_by_site

LOW, HIGH = SiteId(0, "mlp_act"), SiteId(9, "mlp_act")
SUBJECT: Any = SimpleNamespace(units=SimpleNamespace(count=lambda site: 40))


def units(site: SiteId, *indices: int) -> list[UnitId]:
    return [UnitId(site, i) for i in indices]


@pytest.mark.parametrize(
    "targets", [units(LOW, 3), units(LOW, 3, 4), [*units(LOW, 1), *units(HIGH, 1)], units(LOW, *range(30))]
)
def test_every_site_has_units_enough_for_rivals_and_strangers(targets: list[UnitId]) -> None:
    found = find_companions(targets, SUBJECT, seed=0)
    everyone = targets + found
    assert len(set(everyone)) == len(everyone)
    assert len(everyone) >= RIVALS + 2
    assert {unit.site for unit in found} <= {unit.site for unit in targets}
    for own in units_by_site(everyone).values():
        assert len(own) > COMPANIONS
    assert found == find_companions(targets, SUBJECT, seed=0)
    assert not found or found != find_companions(targets, SUBJECT, seed=1)


HEADS = SiteId(3, "head")


@pytest.mark.parametrize(
    ("heads", "targets", "message"),
    [
        (1, units(HEADS, 0), "L3.head has one unit only; an explanation is tested against those of others"),
        (1, [*units(LOW, 1), *units(HEADS, 0)], "L3.head has one unit only"),
        (2, units(HEADS, 0), "L3.head has two units only; ask for some of another site"),
    ],
)
def test_a_site_with_nothing_to_compare_with_is_refused(heads: int, targets: list[UnitId], message: str) -> None:
    subject: Any = SimpleNamespace(units=SimpleNamespace(count=lambda site: heads if site == HEADS else 40))
    with pytest.raises(UsageError, match=message):
        find_companions(targets, subject, seed=0)


def test_few_heads_are_enough_beside_other_units() -> None:
    subject: Any = SimpleNamespace(units=SimpleNamespace(count=lambda site: 2 if site == HEADS else 40))
    found = find_companions([*units(LOW, 1), *units(HEADS, 0)], subject, seed=0)
    assert UnitId(HEADS, 1) in found


def test_a_stranger_is_another_unit_of_the_site() -> None:
    everyone = [*units(LOW, 5, 1), *units(HIGH, 5, 2, 7), *units(LOW, 9)]
    strangers = assign_strangers(everyone)
    assert sorted(strangers) == list(range(len(everyone)))
    for unit, i in zip(everyone, strangers, strict=True):
        assert everyone[i] != unit
        assert everyone[i].site == unit.site


def test_a_rival_is_neither_the_target_nor_its_stranger_and_of_the_site_where_there_are_enough() -> None:
    fitted = [Fitted(unit, {}, {}) for unit in [*units(LOW, *range(5)), *units(HIGH, *range(12))]]
    for target, stranger in ((0, 1), (6, 7)):
        found = rival_candidates(fitted, target, stranger, seed=0)
        assert len(found) == RIVALS == len({other.unit for other in found})
        assert not {fitted[target].unit, fitted[stranger].unit} & {other.unit for other in found}
        near = [other.unit.site == fitted[target].unit.site for other in found]
        assert near == sorted(near, reverse=True)
        assert sum(near) == min(RIVALS, 3 if target == 0 else 10)
