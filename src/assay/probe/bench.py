"""What experiments work with: the model, concept data, and activations that are read once and kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from assay.core.direction import Direction
from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.findings.asked import named_layers, spread
from assay.findings.carried import Progress, keep_directions, kept
from assay.model.reading import log_odds, read
from assay.probe.request import Effort
from assay.text.concepts import ConceptData, concept_names, load_concept

if TYPE_CHECKING:
    from assay.model import Subject
    from assay.store import RunWriter


class Bench:
    """One model and the concept data of one run; nothing is read twice.

    Attributes:
        size: what the effort comes to.
        seed: of everything that is drawn.
        passes: how often the model has read a data set, by its name.
        writer: of the run that parts are kept in; None where nothing is stored.
    """

    def __init__(
        self,
        load: Callable[[], Subject],
        size: Effort,
        seed: int,
        position: str,
        progress: Progress,
        data: Iterable[ConceptData] = (),
    ) -> None:
        self._load = load
        self._subject: Subject | None = None
        self._exact: Subject | None = None
        self.size, self.seed, self.position, self.progress = size, seed, position, progress
        self.passes: dict[str, int] = {}
        self.writer: RunWriter | None = None
        self._data = {one.name: one for one in data}
        self._acts: dict[str, dict[SiteId, NDArray[np.float32]]] = {}
        self._answers: dict[str, NDArray[np.float64] | None] = {}

    @property
    def subject(self) -> Subject:
        """The model, in the dtype asked for; loaded when it is first needed."""
        if self._subject is None:
            self._subject = self._load()
        return self._subject

    @property
    def exact(self) -> Subject:
        """The model in fp32, to measure effects in."""
        if self._exact is None:
            self._exact = self.subject.with_dtype(torch.float32)
        return self._exact

    def arithmetic(self) -> str:
        """What was computed in which dtype, and why; empty where no model was needed."""
        if self._subject is None:
            return ""
        read = f"read in {str(self._subject.dtype).removeprefix('torch.')} ({self._subject.reason})"
        return read + ("; effects measured in float32" if self._exact is not None else "")

    def part(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, fit for JSON; of a run that was broken off what it gave then."""
        return kept(self.writer, name, make)

    def keep_directions(self, directions: Mapping[str, Direction]) -> None:
        """Store directions with the run, each as a file that any verb takes as ``L10.resid_post:@FILE``."""
        keep_directions(self.writer, directions)

    def layers(self, asked: Sequence[int] | None, usual: Sequence[int] | None = None) -> tuple[int, ...]:
        """The layers asked for, else the usual ones that the model has, else some spread evenly.

        Raises:
            UsageError: the model has no such layer.
        """
        if asked is not None:
            return named_layers(self.subject, asked)
        n = self.subject.n_layers
        if usual is not None and max(usual) < n:
            return tuple(usual)
        return spread(len(usual) if usual else self.size.layers, n)

    def layer(self, asked: Sequence[int] | None, usual: int) -> int:
        """The one layer asked for, else the usual one, as :meth:`layers`.

        Raises:
            UsageError: several are asked for, or the model has no such layer.
        """
        if asked is not None and len(set(asked)) > 1:
            raise UsageError(f"this experiment is about one layer, and --layers names {', '.join(map(str, asked))}")
        return self.layers(asked, (usual,))[0]

    def data(self, name: str) -> ConceptData:
        """A data set, at most as many items as the effort takes: whole groups, drawn by the seed."""
        if name not in self._data:
            self._data[name] = some(load_concept(name), self.size.items, self.seed)
        return self._data[name]

    def take(self, name: str) -> str:
        """Take in a data set by its name or file; returns the name that it goes by, which names files as well.

        Raises:
            UsageError: another data set goes by that name.
        """
        found = self.data(name)
        called = re.sub(r"[^\w.-]+", "_", found.name)
        if called != name:
            if called in self._data and self._data[called].sha256 == found.sha256:
                return called  # the same set, by another path
            if called in self._data or called in concept_names():
                raise UsageError(f"{name} would go by the name of {called}, as another data set does; rename the file")
            self.add(replace(found, name=called))
        return called

    def add(self, data: ConceptData) -> None:
        """Take in a data set that was made on the way."""
        self._data[data.name] = data

    def read(self, names: Iterable[str], layers: Iterable[int]) -> None:
        """Read data sets at all these layers, each in one pass, unless that was done before."""
        for name in dict.fromkeys(names):
            known = self._acts.setdefault(name, {})
            sites = [site for layer in dict.fromkeys(layers) if (site := SiteId(layer, "resid_post")) not in known]
            if sites:
                texts = self.data(name).texts
                told = _teller(self.progress, f"reading {name}: {len(texts):,} texts")
                known |= read(self.subject, texts, sites, self.position, told)
                self.passes[name] = self.passes.get(name, 0) + 1

    def acts(self, name: str, layer: int) -> Float[NDArray[np.float32], "n d"]:
        """What stands at the ``resid_post`` of a layer, a row an item of the data set."""
        self.read([name], [layer])
        return self._acts[name][SiteId(layer, "resid_post")]

    def answers(self, name: str) -> Float[NDArray[np.float64], " n"] | None:
        """The model's own answer to what the data set asks, in log odds; None where it asks nothing."""
        if name not in self._answers:
            data = self.data(name)
            texts = [data.ask.format(text=text) for text in data.texts] if data.ask else []
            told = _teller(self.progress, f"asking about {name}")
            self._answers[name] = log_odds(self.subject, texts, data.answers, told) if texts else None
        return self._answers[name]


def some(data: ConceptData, most: int, seed: int) -> ConceptData:
    """At most so many items of a data set, of as many groups as possible: contrast pairs, and items that are of none,
    in rounds of one a group, in an order that is drawn by the seed. The order of the items stays."""
    if len(data) <= most:
        return data
    names = np.array([f"pair {item.pair}" if item.pair else f"item {i}" for i, item in enumerate(data.items)])
    _, first, unit, sizes = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(first))
    turns: Counter[str] = Counter()
    rank = np.zeros(len(first), np.int64)
    for one in order:
        group = str(data.groups[first[one]])
        rank[one], turns[group] = turns[group], turns[group] + 1
    by_turn = order[np.argsort(rank[order], kind="stable")]
    kept = by_turn[np.cumsum(sizes[by_turn]) <= most]
    return data.select(np.flatnonzero(np.isin(unit, kept)))


def _teller(progress: Progress, message: str) -> Any:
    return lambda share: progress(message, share)
