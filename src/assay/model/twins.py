"""Randomised twins: a subject whose weights are drawn anew, and all else is as before.

What a method says of a model that never learnt anything is what it says of anything. Twins follow Heap et al. 2025,
"Automated interpretability metrics do not distinguish trained and random transformers" (arXiv:2501.17727), who draw
each matrix from a Gaussian of its own mean and variance, with the embeddings or without.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from assay.errors import UnknownName, UsageError
from assay.model import large
from assay.model.subject import Subject

KINDS = ("shuffled", "reinit")

_EMBEDDINGS = "+embeddings"
_SUFFIX = re.compile(r"(?P<base>.+)~(?P<kind>[A-Za-z_]+)(?:-(?P<seed>\d+))?(?P<all>\+embeddings)?")


class TwinName(NamedTuple):
    """``smollm2-135m~reinit-3+embeddings`` in its parts."""

    base: str
    kind: str
    seed: int
    keep_embeddings: bool

    @classmethod
    def parse(cls, name: str) -> TwinName | None:
        """The parts of a name with a twin's suffix ``~KIND[-SEED][+embeddings]``; None if it has none.

        An existing directory is a directory, whatever its name.

        Raises:
            UnknownName: a suffix of another kind.
        """
        found = _SUFFIX.fullmatch(name)
        if not found or Path(name).expanduser().is_dir():
            return None
        if found["kind"] not in KINDS:
            raise UnknownName("twin", found["kind"], KINDS, f"(in {name!r}; write {found['base']}~shuffled)")
        return cls(found["base"], found["kind"], int(found["seed"] or 0), found["all"] is None)

    def __str__(self) -> str:
        return f"{self.base}~{self.kind}-{self.seed}{'' if self.keep_embeddings else _EMBEDDINGS}"


@torch.no_grad()
def twin(subject: Subject, kind: str, seed: int = 0, *, keep_embeddings: bool = True) -> Subject:
    """A subject with the same configuration, tokenizer and dtype, and new weights.

    Every parameter of two or more dimensions is drawn anew, each from a generator of its own seed; biases and the
    weights of norms are kept. A matrix that holds several, such as GPT-2's queries, keys and values, is one matrix.

    Args:
        kind: "shuffled" permutes the entries of each matrix among themselves; "reinit" draws them from a Gaussian
            with the mean and variance of that matrix.
        seed: with the kind and a parameter's name it decides the draw, whatever else is drawn and on any device.
        keep_embeddings: keep the embeddings of tokens and positions and the head, so that a twin still sees which
            token is which. Tied weights stay tied either way.

    Raises:
        UnknownName: no such kind.
        UsageError: an edit or a capture is open, or the model is spread over devices and disk.
        UnsupportedModel, ActivationError: the twin fails :func:`assay.model.validate`.
    """
    if kind not in KINDS:
        raise UnknownName("twin", kind, KINDS)
    if subject._board.in_use:
        raise UsageError("a twin was asked for inside a capture or edit block; ask outside")
    if large.is_spread(subject.model):
        raise UsageError(f"{subject.name} is spread over devices and can't have a twin; load it on one device")
    kept = {id(weight) for weight in _embeddings(subject.model)} if keep_embeddings else set[int]()
    memo: dict[int, Any] = {}
    for name, weight in subject.model.named_parameters():
        fresh = weight.ndim >= 2 and id(weight) not in kept
        values = _drawn(weight, kind, _generator(seed, kind, name)) if fresh else weight.detach().clone()
        memo[id(weight)] = nn.Parameter(values, requires_grad=False)
    model = copy.deepcopy(subject.model, memo)
    name = str(TwinName(subject.name, kind, seed, keep_embeddings))
    made = Subject.from_hf(model, subject.tokenizer, name, f"{subject.reason}; weights {kind} with seed {seed}")
    made.revision = subject.revision
    return made


def _embeddings(model: Any) -> Iterator[Tensor]:
    """The weights of every embedding and of the head."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            yield module.weight
    yield model.get_output_embeddings().weight


def _generator(seed: int, kind: str, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}\0{kind}\0{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def _drawn(weight: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """New values, drawn on the CPU so that every device gives the same."""
    if kind == "shuffled":
        order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
        return weight.detach().reshape(-1)[order].reshape(weight.shape)
    mean, sd = weight.double().mean(), weight.double().std(correction=0)
    values = torch.randn(weight.shape, generator=generator).to(weight.device)
    return (values * sd + mean).to(weight.dtype)
