"""Which units ``--units all`` means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core.ids import SiteId
from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.model import Subject

KIND = "mlp_act"


@dataclass(frozen=True)
class Scope:
    """Every unit of these sites, which are all of one width."""

    sites: Sequence[SiteId]
    width: int


def whole_scope(units: str, subject: Subject) -> Scope | None:
    """The sites that are asked for as a whole: ``all``, or ``L10.mlp_act:all`` for one; None where none is.

    Raises:
        UsageError: whole sites and single units together, or sites of another kind.
        UnknownName: the subject has no such site.
    """
    specs = [spec.strip() for spec in units.split(",")]
    whole = [spec for spec in specs if spec == "all" or spec.endswith(":all")]
    if not whole:
        return None
    if len(whole) < len(specs):
        raise UsageError(f"{units!r} mixes whole layers with single units; ask for one kind a run")
    wanted: set[SiteId] = set()
    for spec in whole:
        if spec == "all":
            wanted |= {SiteId(layer, KIND) for layer in range(subject.n_layers)}
            continue
        site = SiteId.parse(re.sub(r":all$", "", spec))
        if site.kind != KIND:
            raise UsageError(f"{spec!r}: whole layers are explained at {KIND} only; name the units of {site.kind}")
        wanted.add(site)
    sites = sorted(wanted)
    widths = {subject.width(site) for site in sites}
    if len(widths) > 1:
        raise UsageError(f"{subject.name} has layers of different width ({widths}); ask for one layer a run")
    return Scope(sites, widths.pop())
