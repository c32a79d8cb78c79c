"""What experiments work with: a model, a behaviour in two halves, neutral text, and a writer of continuations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from assay.core.direction import Direction
from assay.core.ids import SiteId
from assay.errors import UsageError
from assay.findings.asked import named_layers, spread
from assay.findings.carried import Progress, kept
from assay.steer.classify import Classifier, classifier_of
from assay.steer.continuing import Borders, Writer, Written, borders
from assay.steer.half import Half
from assay.steer.harm import Neutral
from assay.steer.kit import Kit
from assay.steer.neutral import NeutralText, neutral_text
from assay.steer.outcome import Setting
from assay.steer.placebos import Placebos, posing
from assay.steer.request import SteerRequest
from assay.steer.scoring import Scored, Words, scored_words
from assay.steer.script import Script
from assay.steer.treatment import Pushes
from assay.steer.trial import told
from assay.text.behaviours import Behaviour, behaviour_names, load_behaviour, stems

if TYPE_CHECKING:
    from assay.judge import Judge
    from assay.model import Subject
    from assay.store import RunWriter


_NO_WORD = r"[^\w.-]+"


class Bench:
    """One model and one behaviour.

    Args:
        subject: as loaded: it writes; effects are measured in a copy in fp32.
        behaviour: to steer to.
        prefix: of the names of its parts.

    Attributes:
        writer: of the run that parts are kept in; None where nothing is stored.
        judge: of what is written; None where there is none.
        kept: directions that were stored, by method.
    """

    def __init__(
        self,
        subject: Subject,
        behaviour: Behaviour,
        request: SteerRequest,
        progress: Progress,
        writer: RunWriter | None = None,
        prefix: str = "",
    ) -> None:
        self.subject, self.behaviour, self.request, self.progress = subject, behaviour, request, progress
        self.writer, self.prefix = writer, prefix
        self.judge: Judge | None = None
        self.kept: dict[str, Direction] = {}
        self.size, self.seed = request.size, request.seed

    @cached_property
    def exact(self) -> Subject:
        """The model in fp32, to measure effects in."""
        return self.subject.with_dtype(torch.float32)

    @cached_property
    def script(self) -> Script:
        return Script(self.exact, self.behaviour)

    @cached_property
    def neutral(self) -> NeutralText:
        self.progress("cutting neutral text")
        return neutral_text(self.exact, self.size.windows, self.size.placebos + posing(self.size.placebos), self.seed)

    @cached_property
    def kit(self) -> Kit:
        return Kit(
            self.script,
            self.neutral.measure,
            self.neutral.others,
            position=self.request.position,
            where=self.request.where,
            pad=self.request.pad,
            steps=self.size.steps,
            seed=self.seed,
        )

    @cached_property
    def given(self) -> dict[str, Direction]:
        """Directions of one's own, by the names of their files with an @ before them, as methods have none.

        Raises:
            UsageError: a file that can't be read, or two of one name.
        """
        found: dict[str, Direction] = {}
        for spec in self.request.directions:
            site, _, file = spec.rpartition(":@")
            name = f"@{re.sub(_NO_WORD, '_', Path(file or spec).stem)}"
            if name in found:
                raise UsageError(f"--direction names two files {name[1:]}; rename one")
            found[name] = Direction.load(file or spec, SiteId.parse(site) if site else None)
        return found

    def own(self, direction: Direction) -> Pushes:
        """A direction of one's own as a treatment: a dose of 1 adds the median length of the residual of its layer.

        Raises:
            UsageError: it is of another width than its site, or not at the residual.
        """
        self.exact.check_site(direction.site)
        if direction.vector.size != self.exact.width(direction.site):
            raise UsageError(
                f"the direction at {direction.site} has {direction.vector.size} entries, and {self.subject.name} has "
                f"{self.exact.width(direction.site)} there; take a direction of this model"
            )
        if direction.site.kind != "resid_post":
            raise UsageError(f"a direction to steer by must be at resid_post of a layer. Got one at {direction.site}.")
        return self.kit.push(direction.site.layer, direction.scale * direction.vector)

    @cached_property
    def rows(self) -> tuple[list[int], list[int]]:
        """Prompts to choose on, and prompts to report on, drawn by the seed."""
        count = min(len(self.behaviour.prompts), self.size.prompts)
        if count < 2:
            raise UsageError(f"the concept {self.behaviour.name} has {count} prompts; give at least two, better forty")
        drawn = np.random.default_rng([self.seed, 83]).permutation(len(self.behaviour.prompts))[:count].tolist()
        return sorted(drawn[: count // 2]), sorted(drawn[count // 2 :])

    @cached_property
    def off_target(self) -> dict[str, Words]:
        """Words of the other behaviours of the package that are scored by next words at texts, by name; without those
        that are scored for this behaviour."""
        found: dict[str, Words] = {}
        if self.behaviour.style == "chat" or self.behaviour.choices:
            return found
        own = stems((*self.behaviour.more, *self.behaviour.less))
        for name in behaviour_names():
            other = load_behaviour(name)
            if name != self.behaviour.name and other.style != "chat" and not other.choices:
                more, less = (tuple(w for w in side if not stems([w]) & own) for side in (other.more, other.less))
                try:
                    found[name] = scored_words(self.exact, replace(other, more=more, less=less))
                except UsageError:  # too few of its words are left, or are tokens of this model
                    continue
        return found

    @cached_property
    def to_choose(self) -> Half:
        """The half that layer and dose are chosen on."""
        return self._half(self.rows[0], self.neutral.choose)

    @cached_property
    def to_report(self) -> Half:
        """The half that is reported, whose words of other behaviours are scored as well."""
        return self._half(self.rows[1], self.neutral.report, list(self.off_target.values()))

    def scored(self, texts: Sequence[str], others: Sequence[Words] = ()) -> Scored:
        """Other prompts of the behaviour, scored by the same words, or by the same choices in their order."""
        behaviour = replace(self.behaviour, prompts=tuple(texts))
        return Scored(Script(self.exact, behaviour), range(len(texts)), others)

    def _half(self, rows: Sequence[int], windows: Any, others: Sequence[Words] = ()) -> Half:
        return Half(Scored(self.script, rows, others), Neutral(self.script, windows))

    @cached_property
    def placebos(self) -> Placebos:
        """As many as the effort has; 20 at least. Each behaviour has its own."""
        first = int(np.random.default_rng([self.seed, 97, *self.behaviour.name.encode()]).integers(1 << 31))
        return Placebos(self.size.placebos, lambda: self.to_choose, lambda: self.to_report, self.request.kl_cap, first)

    @cached_property
    def setting(self) -> Setting:
        """What scores are made with."""
        neutral = self.to_report.neutral
        return Setting(
            self.request.kl_cap,
            self.size.replicates,
            self.seed,
            neutral.documents,
            neutral.corpora,
            tuple(self.off_target),
        )

    @cached_property
    def written(self) -> Writer:
        """Writes continuations, and says how likely they are."""
        trusted = self.classifier if self.classifier is not None and self.classifier.trusted else None
        return Writer(self.script, self.subject, self.size.tokens, trusted, self.size.draws, self.seed)

    @cached_property
    def classifier(self) -> Classifier | None:
        """Of what is written, where there are texts to train one on; whether it is listened to is another matter."""
        return classifier_of(self.kit, self.subject)

    @property
    def shown_by(self) -> str:
        """What says whether a continuation shows the behaviour."""
        if self.behaviour.pattern:
            return "pattern"
        if self.behaviour.choices:
            return "choice"
        return "words" if self.written.classifier is None else "classifier"

    @cached_property
    def usual(self) -> Written:
        """What the untreated model writes at the prompts that are chosen on."""
        return self.written.write(self.rows[0])

    @cached_property
    def borders(self) -> Borders:
        """Of coherence, by what the untreated model usually writes."""
        return borders(self.usual, self.behaviour)

    @cached_property
    def untreated(self) -> dict[str, Any]:
        """What the untreated model writes at the prompts that are reported."""
        return self.part("untreated", lambda: told(self.written.write(self.rows[1]), self.borders))

    def part(self, name: str, make: Any) -> Any:
        """What ``make`` gives, fit for JSON; of a run that was broken off what it gave then."""
        return kept(self.writer, f"{self.prefix}{name}", make)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers asked for, or some spread evenly.

        Raises:
            UsageError: the model has no such layer.
        """
        if self.request.layers is not None:
            return named_layers(self.subject, self.request.layers)
        return spread(self.size.layers, self.subject.n_layers)
