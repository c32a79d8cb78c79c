"""The grounds of a model and of its controls, made when they are first needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from assay.core.bundled import bundled_models
from assay.errors import UsageError
from assay.introspect.baselines import Parts
from assay.introspect.ground import Ground, Progress, cut_short, on_other_text, prepare
from assay.introspect.layer import Others
from assay.introspect.request import ReportRequest
from assay.introspect.room import Room
from assay.introspect.sentences import elsewhere, gather
from assay.introspect.wording import wording
from assay.model.placement import short

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.text import Corpus

_SMALL = 20_000_000  # parameters up to which bf16 gains nothing: products are too small


@dataclass(frozen=True)
class Grounds:
    """The ground of a model, and those of its controls; ``also``: the same with other text to test on."""

    main: Ground
    others: Others
    also: Ground | None = None


class Loader:
    """Models by name, each loaded once, and their grounds, of which those asked for last are kept."""

    def __init__(
        self, request: ReportRequest, given: Subject | None, progress: Progress, also: Corpus | None = None
    ) -> None:
        self.request, self.progress, self.room, self.also = request, progress, Room(progress), also
        self._subjects: dict[str, Subject] = {}
        self._meters: dict[str, Subject] = {}
        self._widened: set[str] = set()
        self._last: tuple[tuple[str, str, bool], Grounds] | None = None
        if given is not None:
            self._subjects[request.models[0]] = given

    def load(self, name: str) -> Subject:
        """The model, in the dtype in which reporters are taught."""
        if name not in self._subjects:
            from assay.model import load

            subject = load(name, self.request.dtype, self.request.device, self.progress)
            small = sum(weight.numel() for weight in subject.model.parameters()) <= _SMALL
            if small and self.request.dtype is None and subject.device.type == "cpu":
                subject = subject.with_dtype(torch.float32)
                self._widened.add(name)
            self._subjects[name] = subject
        return self._subjects[name]

    def meter(self, name: str) -> Subject:
        """The model in fp32, in which everything is measured."""
        if name not in self._meters:
            self._meters[name] = self.load(name).with_dtype(torch.float32)
        return self._meters[name]

    def arithmetic(self) -> str:
        """What was computed in what, and why."""
        how: dict[str, list[str]] = {}
        for name in self.request.models:
            how.setdefault(f"{short(self.load(name).dtype)} ({self._why(name)})", []).append(name)
        taught = "; ".join(f"{', '.join(names)} in {own}" for own, names in how.items())
        said = f"reporters taught: {taught}; answers, patches and slopes measured in fp32"
        if normed := [name for name in self.request.models if not self.load(name).adds_directly]:
            said += (
                f"; in {', '.join(normed)} a norm stands between neuron and residual, so that patches are no rank-1 "
                "change: the layer is run with the neuron edited"
            )
        return said

    def _why(self, name: str) -> str:
        return "small products gain nothing from bf16" if name in self._widened else self.load(name).reason

    def grounds(self, name: str, topology: str, trainable: str, corpus: Corpus) -> Grounds:
        """The ground of a model in a topology, and of its controls."""
        below = trainable == "question"
        key = (name, topology, below)
        if self._last is None or self._last[0] != key:
            self._last = None  # let go of the one before first
            self._last = (key, self._make(name, topology, below, corpus))
        return self._last[1]

    def _make(self, name: str, topology: str, below: bool, corpus: Corpus) -> Grounds:
        request, size = self.request, self.request.size
        learner, meter = self.load(name), self.meter(name)
        worded = wording(meter.tokenizer, topology, size.neurons if topology == "Q" else 1, name)
        counts = (size.wide, size.choose, size.test)
        sentences = Parts(*gather(meter, corpus, worded.stop, counts, request.seed))
        layers = request.layers_of(name, learner.n_layers)

        def made(learner: Subject, meter: Subject, read: Parts) -> Ground:
            return prepare(learner, meter, worded, read, layers, size.halves, below, self.progress, self.room)

        main = made(learner, meter, sentences)
        also: Ground | None = None
        if self.also is not None:
            other = elsewhere(meter, self.also, worded.stop, size.test, request.seed, sentences)
            also = on_other_text(main, other, layers, below, self.progress)
        if "nat" not in request.regimes:
            return Grounds(main, Others(None, None, False), also)
        taught = Parts(sentences.fit.first(size.sentences), sentences.choose, sentences.test)
        blind = made(learner, meter, cut_short(taught))
        sibling, same = self._sibling(name)
        self._check_sibling(learner, sibling)
        beside = made(self.load(sibling), self.meter(sibling), taught)
        return Grounds(main, Others(blind, beside, same), also)

    def _sibling(self, name: str) -> tuple[str, bool]:
        """The model that is taught the same numbers, and whether it is one of the same size that has learnt as much."""
        if self.request.sibling is not None:
            given = self.load(self.request.sibling)
            return self.request.sibling, given.n_layers == self.load(name).n_layers and "~" not in given.name
        stem, _, _ = name.rpartition("-")
        others = [other for other in bundled_models() if other != name and other.rpartition("-")[0] == stem]
        return (others[0], True) if others else (f"{name}~reinit", False)

    def _check_sibling(self, subject: Subject, name: str) -> None:
        other = self.load(name)
        if other.tokenizer.get_vocab() != subject.tokenizer.get_vocab() or other.n_layers < subject.n_layers:
            raise UsageError(
                f"{name} has another tokenizer or fewer layers than {subject.name} and can't stand beside it; "
                "name another --sibling"
            )


def make_loader(
    request: ReportRequest, subject: Subject | None, progress: Progress, also: Corpus | None = None
) -> Loader:
    """A loader for a request; ``subject`` stands for its one model, ``also`` is other text to test on.

    Raises:
        UsageError: a subject, and more than one model.
    """
    if subject is not None and len(request.models) != 1:
        raise UsageError("a subject was handed in and more than one model asked for; ask for one")
    return Loader(request, subject, progress, also)
