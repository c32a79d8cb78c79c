"""What every reporter of a model is taught and tested on: sentences, read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.ids import UnitId
from assay.introspect.baselines import Parts
from assay.introspect.kept import Batch, Kept, keep
from assay.introspect.patches import lowest_kept, patches
from assay.introspect.room import Room
from assay.introspect.sentences import Sentences
from assay.introspect.wording import Wording

if TYPE_CHECKING:
    from assay.model import Subject

Progress = Callable[..., None]


@dataclass(frozen=True)
class Ground:
    """A model, the sentences, and what the model made of them.

    ``learner`` is the subject in the dtype in which reporters are trained, ``meter`` the same in fp32, in which all is
    measured; ``room`` is what both have in memory. ``fit`` was read by the learner, ``choose`` and ``test`` by the
    meter.
    """

    learner: Subject
    meter: Subject
    wording: Wording
    sentences: Parts
    fit: Kept
    choose: Kept
    test: Kept
    room: Room = field(default_factory=Room)

    @property
    def parts(self) -> Parts:
        """The three splits as read."""
        return Parts(self.fit, self.choose, self.test)

    def stop(self, layer: int) -> Parts:
        """The ``resid_pre`` of a layer at the full stops of each split, (n, d_model)."""
        return Parts(*(part.stops[layer] for part in self.parts))

    def before(self, layer: int) -> Parts:
        """What the neurons of a layer are computed from, at the full stops of each split, (n, d_model)."""
        return Parts(*(part.before[layer] for part in self.parts))

    def kept_layers(self) -> list[int]:
        """The layers whose ``resid_pre`` at the full stop was kept."""
        return sorted(self.test.stops)

    def values(self, units: Sequence[UnitId]) -> Parts:
        """The values of some neurons of one layer at the full stops of each split, (n, units)."""
        layer, numbers = units[0].site.layer, [unit.number for unit in units]
        return Parts(*(part.values[layer][:, numbers] for part in self.parts))

    def adds(self, unit: UnitId) -> Parts:
        """For each split the function from a change of the neuron in every sentence, (n,), to what that adds, (n,
        d_model)."""

        def of(subject: Subject, kept: Kept) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
            return lambda change: _added(subject, kept.batches, unit, change)

        return Parts(of(self.learner, self.fit), of(self.meter, self.choose), of(self.meter, self.test))


def _added(
    subject: Subject, batches: Sequence[Batch], unit: UnitId, change: Float[np.ndarray, " n"]
) -> Float[NDArray[np.float64], "n d_model"]:
    if subject.adds_directly:
        return change.astype(np.float64)[:, None] * subject.write_vector(unit).double().cpu().numpy()
    found = np.full((len(change), subject.d_model), np.nan)
    for batch in batches:
        rows = batch.rows.numpy()
        own = torch.from_numpy(change[rows])[:, None]
        found[rows] = patches(subject, [unit], batch, own)[:, 0].double().cpu().numpy()
    return found


def prepare(
    learner: Subject,
    meter: Subject,
    wording: Wording,
    sentences: Parts,
    layers: Sequence[int],
    sizes: Sequence[int],
    below: bool,
    progress: Progress,
    room: Room | None = None,
) -> Ground:
    """Read every sentence and every question once, for neurons of ``layers``.

    ``sizes``: numbers of fit sentences that reporters will be taught on. ``below``: keep what adapters under the
    neurons need.
    """
    wanted = _wanted(learner, layers)
    found: list[Kept] = []
    for name, part, subject in zip(sentences._fields, sentences, (learner, meter, meter), strict=True):
        told = _reading(progress, subject, len(part), f"{name} split")
        taught, blocks = (max(sizes), tuple(sizes)) if name == "fit" else (None, ())
        if not subject.adds_directly:
            taught = None  # what a patch adds is measured sentence by sentence, for which each must be in a batch
        found.append(
            keep(subject, part, wording.questions, wanted, layers, taught=taught, blocks=blocks, below=below, told=told)
        )
    return Ground(learner, meter, wording, sentences, *found, room=room or Room())


def on_other_text(
    ground: Ground, sentences: Sentences, layers: Sequence[int], below: bool, progress: Progress
) -> Ground:
    """The same ground with other sentences in the place of the test split: what was taught is asked on other text."""
    told = _reading(progress, ground.meter, len(sentences), "other text")
    wanted = _wanted(ground.meter, layers)
    test = keep(ground.meter, sentences, ground.wording.questions, wanted, layers, below=below, told=told)
    return replace(ground, sentences=ground.sentences._replace(test=sentences), test=test)


def _wanted(subject: Subject, layers: Sequence[int]) -> list[int]:
    """The layers whose residual is kept for neurons of ``layers``."""
    return sorted({layer + 1 for layer in layers} | {lowest_kept(subject, layer) for layer in layers})


def _reading(progress: Progress, subject: Subject, count: int, what: str) -> Callable[[float], None]:
    return lambda share: progress(f"{subject.name}: reading {count:,} sentences, {what}", share)


def cut_short(sentences: Parts) -> Parts:
    """The sentences without their full stop, for a reporter that is blind to it."""
    return Parts(*(Sentences(tuple(row[:-1] for row in part.ids), part.texts, part.documents) for part in sentences))
