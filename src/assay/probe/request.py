"""What is asked of the lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.errors import UnknownName, UsageError
from assay.findings.asked import check_names
from assay.fit.probes import METHODS
from assay.model.reading import POSITIONS
from assay.probe.attacks import ATTACKS
from assay.probe.erasers import ERASERS

if TYPE_CHECKING:
    from assay.probe.studies import Experiment

SPLITS = ("group", "row")


class Effort(NamedTuple):
    """What an effort comes to.

    ``items``: most of a data set that are used. ``replicates`` of the bootstrap. ``nulls``: random directions, and
    shuffles of the labels. ``seeds`` of what is drawn. ``steps`` of training, as a share of the usual number.
    ``layers``: how many, where none are named.
    """

    items: int
    replicates: int
    nulls: int
    seeds: int
    steps: float
    layers: int


EFFORTS: Mapping[str, Effort] = {
    "smoke": Effort(120, 300, 20, 2, 0.1, 2),
    "quick": Effort(600, 1000, 20, 3, 1.0, 4),
    "standard": Effort(2000, 2000, 20, 5, 1.0, 8),
    "full": Effort(100_000, 5000, 40, 10, 2.0, 12),
}
PROBED = ("mean_diff", "logistic", "lat")
ERASED = ("mean", "leace", "rlace")
_RANKED = ("inlp", "rlace", "cde")
_MOST_SEEDS = 1000
_BY_ALL = ("experiment", "effort", "seed", "out")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What both verbs are asked; the same names as their options.

    ``layers``: of ``resid_post``; evenly spread, by effort, if left out. ``experiment``: one of
    :data:`assay.probe.studies.EXPERIMENTS`; what it is not asked otherwise it takes from the protocol.
    """

    data: str | None = None
    experiment: str | None = None
    layers: tuple[int, ...] | None = None
    methods: tuple[str, ...] | None = None
    seeds: int | None = None
    position: str = "last"
    items: int | None = None
    model: str = "smollm2-135m"
    dtype: str | None = None
    device: str | None = None
    effort: str = "quick"
    seed: int = 0
    out: str | None = None

    @property
    def size(self) -> Effort:
        """What the effort comes to, with what was asked for otherwise."""
        effort = EFFORTS[self.effort]
        return effort._replace(items=self.items or effort.items, seeds=self.seeds or effort.seeds)

    def check(self, verb: str, known: Mapping[str, Any]) -> None:
        """Refuse what can't be done before anything is loaded.

        Raises:
            UnknownName: an experiment, effort, method or position of no known name.
            UsageError: a number out of range, a name twice, or an option that the experiment doesn't take.
        """
        from assay.probe.studies import EXPERIMENTS, USUAL

        if self.experiment is not None:
            own = [name for name, one in EXPERIMENTS.items() if one.verb == verb]
            if self.experiment not in own:
                raise UnknownName(f"experiment of assay {verb}", self.experiment, own)
        if self.effort not in EFFORTS:
            raise UnknownName("effort", self.effort, EFFORTS)
        if self.position not in POSITIONS:
            raise UnknownName("position", self.position, POSITIONS)
        check_names("--methods", "method", self.methods, known)
        if self.layers is not None and not self.layers:
            raise UsageError("--layers must name one or more, such as 4,12,20. Got none.")
        for option, value, least in (("--seed", self.seed, 0), ("--seeds", self.seeds, 1), ("--items", self.items, 20)):
            if value is not None and value < least:
                raise UsageError(f"{option} must be {least} or more, got {value}")
        if self.seeds is not None and self.seeds > _MOST_SEEDS:
            raise UsageError(f"--seeds must be {_MOST_SEEDS:,} or fewer, got {self.seeds:,}")
        self._check_heeded(USUAL[verb] if self.experiment is None else EXPERIMENTS[self.experiment])

    def _check_heeded(self, one: Experiment) -> None:
        """Refuse what the experiment would ignore."""
        for own in fields(self):
            if own.name in _BY_ALL or own.name in one.options or getattr(self, own.name) == own.default:
                continue
            what = f"--experiment {self.experiment}" if self.experiment else f"assay {one.verb} without --experiment"
            taken = ", ".join(f"--{name}" for name in one.options)
            raise UsageError(f"{what} takes no --{own.name}; leave it out. It takes {taken}.")


@dataclass(frozen=True, kw_only=True)
class ProbeRequest(_Asked):
    """What ``assay probe`` is asked.

    ``transfer``: data sets that nothing is fitted on. ``split``: by ``group``, or by ``row`` as long as ``tear`` says
    that groups may be torn.
    """

    transfer: tuple[str, ...] = ()
    split: str = "group"
    tear: bool = False

    def verify(self) -> None:
        """Refuse what can't be done before anything is loaded. Raises UsageError."""
        self.check("probe", METHODS)
        if self.split not in SPLITS:
            raise UnknownName("split", self.split, SPLITS)
        if self.tear and self.split != "row":
            raise UsageError("--tear says that --split row may tear groups; add --split row, or leave out --tear")
        check_names("--transfer", "data", self.transfer or None, None)


@dataclass(frozen=True, kw_only=True)
class EraseRequest(_Asked):
    """What ``assay erase`` is asked. ``rank``: of every eraser, so that they can be compared."""

    attacks: tuple[str, ...] | None = None
    rank: int = 1

    def verify(self) -> None:
        """Refuse what can't be done before anything is loaded. Raises UsageError."""
        self.check("erase", ERASERS)
        check_names("--attacks", "attack", self.attacks, ATTACKS)
        if self.rank < 1:
            raise UsageError(f"--rank must be 1 or more, got {self.rank}")
        if self.rank > 1 and not set(self.methods or ERASED) & set(_RANKED):
            raise UsageError(f"--rank is for {', '.join(_RANKED)}; the rank of the others follows from the concept")
