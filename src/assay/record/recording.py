"""What a pass over a corpus leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from assay.core.ids import SiteId, UnitId
from assay.core.jit import why_no_numba
from assay.record.exemplars import Exemplars
from assay.record.firing import FiringRate
from assay.record.fused import take_in
from assay.record.moments import Moments
from assay.record.predicates import PredicateSums
from assay.record.rows import RowSample
from assay.record.sketch import Activations, Context, Halves, Sketch, State, check_alike, widened

if TYPE_CHECKING:
    from assay.record.notebook import RecordingView

_KINDS: dict[str, type[Sketch]] = {
    "moments": Moments,
    "first": Moments,
    "special": Moments,
    "firing": FiringRate,
    "exemplars": Exemplars,
    "rows": RowSample,
    "predicates": PredicateSums,
}


@dataclass(frozen=True, eq=False)
class SiteSketches:
    """The sketches of some units of one site; ``units`` are their indices there, in the order of all arrays.

    Only units that have a number can be stored: ``state`` raises ValueError for directions.

    ``first`` are the moments at the first position of a window and ``special`` those at other special tokens,
    which none of the other sketches contains if they are kept apart.
    """

    site: SiteId
    units: tuple[int | str, ...]
    moments: Moments
    first: Moments
    special: Moments
    firing: FiringRate
    exemplars: Exemplars
    rows: RowSample
    predicates: PredicateSums | None = None

    def update(
        self,
        activations: Activations | Halves,
        context: Context,
        first: Bool[NDArray[np.bool_], " n"],
        special: Bool[NDArray[np.bool_], " n"],
    ) -> None:
        """Take in a block: the counted rows in every sketch, and two sets of rows in those kept apart.

        Compiled code does it where there is numba (:func:`assay.core.jit.why_no_numba`), else the sketches themselves.
        """
        self.rows.update(activations, context)
        if why_no_numba() is None:
            take_in(self, activations, context, first, special)
        else:
            self.update_each(widened(activations), context, first, special)

    def update_each(
        self,
        activations: Activations,
        context: Context,
        first: Bool[NDArray[np.bool_], " n"],
        special: Bool[NDArray[np.bool_], " n"],
    ) -> None:
        """What :meth:`update` does, but for the row sample, by the sketches' own numpy code."""
        for name, sketch in self._named().items():
            if name not in ("first", "special", "rows"):
                sketch.update(activations, context)
        self.first.update(activations, context.counting(first))
        self.special.update(activations, context.counting(special))

    def merge(self, other: SiteSketches) -> SiteSketches:
        """The sketches of both parts of a corpus."""
        mine, theirs = self._named(), other._named()
        check_alike("site, units and sketches", (self.site, self.units, *mine), (other.site, other.units, *theirs))
        merged: dict[str, Any] = {name: sketch.merge(theirs[name]) for name, sketch in mine.items()}
        return replace(self, **merged)

    def state(self) -> State:
        """Every array of every sketch, as ``moments.mean`` and so on, with the units' indices."""
        named = self._named().items()
        state = {f"{name}.{key}": array for name, sketch in named for key, array in sketch.state().items()}
        return {"units": np.array(self.units, np.int64), **state}

    @classmethod
    def from_state(cls, site: SiteId, state: Mapping[str, NDArray[Any]]) -> SiteSketches:
        parts: dict[str, State] = {}
        for key, array in state.items():
            name, dot, rest = key.partition(".")
            if dot:
                parts.setdefault(name, {})[rest] = array
        sketches: dict[str, Any] = {name: _KINDS[name].from_state(part) for name, part in parts.items()}
        return cls(site=site, units=tuple(state["units"].tolist()), **sketches)

    def _named(self) -> dict[str, Sketch]:
        named = {name: getattr(self, name) for name in _KINDS}
        return {name: cast(Sketch, sketch) for name, sketch in named.items() if sketch is not None}


@dataclass(frozen=True, eq=False)
class Recording:
    """What ``units`` did on a corpus.

    ``sites``: the sketches, by site, each with its units in the order in which they stand in ``units``.
    ``n_tokens``: tokens seen, the ones kept apart included. ``seconds_forward``: spent in the model.
    ``columns``: (n_tokens, units) every activation in the flat order of the table, if they were asked for.
    """

    units: tuple[UnitId, ...]
    sites: Mapping[SiteId, SiteSketches]
    n_tokens: int
    seconds_forward: float
    columns: Float32[NDArray[np.float32], "n_tokens units"] | None = None

    def gather(self, read: Callable[[SiteSketches], NDArray[Any]]) -> NDArray[Any]:
        """Something that each site has along its units, along all units of the recording.

        ``recording.gather(lambda site: site.moments.mean)`` is (units,); what is read must have a site's units as
        its first axis, and the other axes alike at all sites.
        """
        values = np.concatenate([read(sketches) for sketches in self.sites.values()])
        stands = [UnitId(site, index) for site, sketches in self.sites.items() for index in sketches.units]
        place = {unit: i for i, unit in enumerate(stands)}
        return values[[place[unit] for unit in self.units]]

    def merge(self, other: Recording) -> Recording:
        """The recording of both parts of a corpus, without columns.

        The parts must number their documents alike: see :class:`assay.record.Context`.

        Raises:
            ValueError: they are of other units, or with sketches of other sizes.
        """
        check_alike("units", self.units, other.units)
        return Recording(
            units=self.units,
            sites={site: sketches.merge(other.sites[site]) for site, sketches in self.sites.items()},
            n_tokens=self.n_tokens + other.n_tokens,
            seconds_forward=self.seconds_forward + other.seconds_forward,
        )

    def reading(
        self, texts: Mapping[int, str] | Sequence[str], units: Sequence[UnitId] = (), exemplars: int = 3
    ) -> RecordingView:
        """The recording as a notebook shows it, with the text of its tokens, which it does not hold itself.

        Args:
            texts: the text of each token id.
            units: those to show; the first twelve by default.
            exemplars: how many a unit.
        """
        from assay.record.notebook import RecordingView

        return RecordingView(self, texts, units, exemplars)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from assay.record.notebook import recording_html

        return recording_html(self)
