"""One reporter and everything that it is held against: the neurons of one layer, asked about together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from assay.introspect.asking import ask, control_slopes
from assay.introspect.baselines import Parts
from assay.introspect.evidence import Said
from assay.introspect.ground import Ground, Progress
from assay.introspect.kept import Batch
from assay.introspect.neurons import Neuron
from assay.introspect.regimes import REGIMES, Doses, doses
from assay.introspect.reporter import WHOLE, Reporter, reporter
from assay.introspect.scores import MOST_BITS
from assay.introspect.training import Lesson, Plan, Trained, train
from assay.introspect.whole import WholeReporter, whole_reporter

if TYPE_CHECKING:
    from assay.model import Subject

NULL = "shuffled"


class Trial(NamedTuple):
    """What a reporter is taught: ``regime`` of the labels, what is ``trainable``, ``size`` fit sentences."""

    trainable: str
    regime: str
    size: int


@dataclass
class Heard:
    """What one reporter said.

    ``logs``: for each regime it was tested in, (draws, n, units, 10) log-probabilities of the digits on the test
    split. ``controls``: (units, controls) slopes on patches that are not of the neuron. ``choose``: (m, units, 10) in
    the regime it was taught, on the choose split, and ``choose_bits``, (units,), what that is worth. ``weights``:
    what was learnt, by name.
    """

    logs: dict[str, Float[NDArray[np.float64], "draws n units 10"]]
    choose: Float[NDArray[np.float64], "m units 10"]
    choose_bits: Float[NDArray[np.float64], " units"]
    controls: Float[NDArray[np.float64], "units controls"] | None = None
    weights: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    trained: Trained = Trained([], False)  # noqa: RUF009  it is immutable
    own: Float[NDArray[np.float64], "n units"] | None = None

    @property
    def said(self) -> Said:
        """What there is to be stored of it."""
        how = len(self.trained.losses), self.trained.by_heart
        return Said(self.logs, self.choose_bits, *how, self.controls, self.own)

    def placed(self, places: list[int], units: int) -> Heard:
        """The same as if so many neurons had been asked about, of which these were; of the others there is NaN."""

        def spread(array: NDArray[Any], axis: int) -> NDArray[Any]:
            shape = (*array.shape[:axis], units, *array.shape[axis + 1 :])
            found = np.full(shape, np.nan, array.dtype)
            found[(slice(None),) * axis + (places,)] = array
            return found

        return replace(
            self,
            logs={name: spread(logs, 2) for name, logs in self.logs.items()},
            choose=spread(self.choose, 1),
            choose_bits=spread(self.choose_bits, 0),
            controls=None if self.controls is None else spread(self.controls, 0),
            own=None if self.own is None else spread(self.own, 1),
        )


def doses_drawn(
    regimes: Mapping[str, int], neurons: list[Neuron], values: Float[np.ndarray, "n units"], seed: int
) -> dict[str, list[Doses]]:
    """For each regime so many draws of patches on the test split: the same for whoever is tested."""

    def drawn(regime: str, draw: int) -> Doses:
        return doses(regime, neurons, values, np.random.default_rng([seed, 11, REGIMES.index(regime), draw]))

    return {regime: [drawn(regime, draw) for draw in range(draws)] for regime, draws in regimes.items()}


class Learnt(NamedTuple):
    """What a reporter has learnt, by name, and how that went."""

    weights: dict[str, NDArray[np.float32]]
    trained: Trained


class Course(NamedTuple):
    """What there is to learn: ``values`` of the neurons at the sentences of each split, (n, units)."""

    ground: Ground
    neurons: list[Neuron]
    trial: Trial
    plan: Plan
    values: Parts
    seed: int

    @property
    def regime(self) -> str:
        """What the neurons are made to be when the model is taught."""
        return "nat" if self.trial.regime == NULL else self.trial.regime

    @property
    def examples(self) -> int:
        """How many sentences will be seen, those seen again counted again."""
        return self.plan.epochs_of(self.regime) * self.trial.size

    def chosen(self) -> Doses:
        """Patches and right answers on the choose split."""
        return doses(self.regime, self.neurons, self.values.choose, np.random.default_rng([self.seed, 13]))

    def reporter(self, subject: Subject) -> AbstractContextManager[Reporter]:
        """One that has learnt nothing yet."""
        trainable = self.trial.trainable
        make = whole_reporter if trainable in WHOLE else reporter
        return make(subject, self.neurons, self.ground.wording, trainable, self.plan.rank, self.seed, self.ground.room)


Teacher = Callable[[Course, "Progress"], Learnt]


def course(
    ground: Ground, neurons: list[Neuron], trial: Trial, plan: Plan, seed: int, labels: Parts | None = None
) -> Course:
    """What one reporter is taught; ``labels`` are the neurons' values in each split, if not this model's own."""
    values = labels or ground.values([neuron.unit for neuron in neurons])
    fit, choose = np.asarray(values.fit), np.asarray(values.choose)
    if trial.regime == NULL:
        rng = np.random.default_rng([seed, 5])
        fit, choose = rng.permutation(fit[: trial.size]), rng.permutation(choose)
    return Course(ground, neurons, trial, plan, Parts(fit, choose, values.test), seed)


def teach(lessons: Course, progress: Progress) -> Learnt:
    """Train a reporter; what it is at its best on the choose split is kept."""
    ground, trial, chosen = lessons.ground, lessons.trial, lessons.chosen()
    with ExitStack() as stack:
        student = stack.enter_context(lessons.reporter(ground.learner))
        same = ground.meter is ground.learner
        asked = student if same else stack.enter_context(lessons.reporter(ground.meter))

        def judged() -> float:
            asked.load(student.state())
            return float(_bits(ask(asked, ground.choose.batches, chosen), chosen).mean())

        def told(share: float, loss: float) -> None:
            what = f"teaching {trial.regime}, layer {student.layer}, {trial.size:,} sentences"
            progress(f"{what} (loss {loss:.2f})", share)

        spread = float(np.sqrt(ground.fit.stops[student.layer + 1].var(0).sum()))
        lesson = Lesson(ground.fit.first(trial.size), lessons.values.fit, spread)
        trained = train(student, lessons.neurons, lesson, lessons.regime, lessons.plan, lessons.seed, judged, told)
        return Learnt(student.state(), trained)


def hear(
    lessons: Course,
    learnt: Learnt,
    tests: Mapping[str, Sequence[Doses]],
    controls: Sequence[Batch] = (),
    control_regime: str = "int",
) -> Heard:
    """Ask a reporter that has learnt; ``controls`` are test batches on which control patches are tried, if any."""
    ground, chosen = lessons.ground, lessons.chosen()
    with lessons.reporter(ground.meter) as asked:
        asked.load(learnt.weights)
        logs = {
            name: np.stack([ask(asked, ground.test.batches, one) for one in given]) for name, given in tests.items()
        }
        said = ask(asked, ground.choose.batches, chosen)
        heard = Heard(logs, said, _bits(said, chosen), weights=learnt.weights, trained=learnt.trained)
        if isinstance(asked, WholeReporter):
            heard.own = _own_values(asked, ground.test.batches)
        if controls:
            heard.controls = control_slopes(asked, lessons.neurons, controls, control_regime, lessons.seed)
    return heard


@torch.no_grad()
def _own_values(asked: WholeReporter, batches: Sequence[Batch]) -> Float[NDArray[np.float64], "n units"]:
    """What the neurons do at the full stops of the test split now that the model has been trained."""
    found = np.zeros((sum(map(len, batches)), len(asked.units)))
    for batch in batches:
        found[batch.rows.numpy()] = asked.own_values(batch).double().cpu().numpy()
    return found


def _bits(said: Float[np.ndarray, "m units 10"], given: Doses) -> Float[NDArray[np.float64], " units"]:
    right = np.take_along_axis(said, given.digits[..., None], -1)[..., 0]
    return MOST_BITS + right.mean(0) / np.log(2)
