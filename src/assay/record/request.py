"""What ``assay record`` is asked for, and what that comes to on a subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.ids import KINDS, SiteId
from assay.core.jit import why_no_numba
from assay.errors import CorpusError, UnknownName, UsageError
from assay.record.recorder import SketchSizes
from assay.text import Corpus, TokenTable, split, tokenise

if TYPE_CHECKING:
    from assay.model import Subject

LENGTH = 64  # tokens in a window
BATCH_TOKENS = 1536
BLOCK_BYTES = 512 << 20  # of sketches held at a time, where the number of layers is not given


@dataclass(frozen=True)
class RecordRequest:
    """What is asked for; the same names as the options of ``assay record``."""

    out: str
    model: str = "smollm2-135m"
    sites: str = "mlp_act"
    tokens: int = 120_000
    corpus: str = "bundled"
    seed: int = 0
    dtype: str | None = None
    block_layers: int | None = None

    def check(self) -> None:
        """Refuse what can't be done before anything is loaded.

        Raises:
            UnknownName: a site of no known kind.
            UsageError: a number out of range, or no site.
        """
        for spec in _specs(self.sites):
            if spec not in KINDS and "." not in spec:
                raise UnknownName("kind of site", spec, KINDS, "(or a single site, such as L5.mlp_act)")
            if spec not in KINDS:
                SiteId.parse(spec)
        for name, value, least in (("tokens", self.tokens, 1), ("seed", self.seed, 0)):
            if value < least:
                raise UsageError(f"--{name} must be {least} or more, got {value}")
        if self.block_layers is not None and self.block_layers < 1:
            raise UsageError(f"--block-layers must be 1 or more, got {self.block_layers}")

    def asked(self) -> dict[str, Any]:
        """The request as the spec stores it; where it is stored is no part of it."""
        asked = asdict(self)
        del asked["out"]
        return asked


@dataclass(frozen=True)
class RecordOutcome:
    """Where the recording is, the JSON that the command prints, and whether it was there already."""

    path: Path
    result: dict[str, Any]
    already: bool


@dataclass(frozen=True)
class Plan:
    """A request on a subject and a corpus: which tokens, which sites, and which layers at a time.

    ``blocks``: from layer 0 to the last that is needed, each (first, one past the last).
    """

    subject: Subject
    table: TokenTable
    document_ids: tuple[str, ...]
    sites: tuple[SiteId, ...]
    blocks: tuple[tuple[int, int], ...]
    sizes: SketchSizes
    spec: dict[str, Any]

    @property
    def n_units(self) -> int:
        """Units of all sites."""
        return sum(self.subject.units.count(site) for site in self.sites)

    @property
    def stop(self) -> int:
        """One past the last layer that is needed."""
        return self.blocks[-1][1]

    def sites_of(self, block: int) -> list[SiteId]:
        """The sites of a block's layers."""
        first, stop = self.blocks[block]
        return [site for site in self.sites if first <= site.layer < stop]


def make_plan(request: RecordRequest, subject: Subject, corpus: Corpus) -> Plan:
    """What the request comes to.

    Raises:
        UnknownName: the subject has no such site.
        CorpusError: the corpus has fewer tokens.
    """
    import torch

    sites = chosen_sites(request.sites, subject)
    length = min(LENGTH, subject.context_length)
    table = tokenise(
        corpus.documents, subject.tokenizer, length, request.tokens, request.seed, request.tokens, corpus.name
    )
    sizes = SketchSizes(seed=request.seed)
    costs = [0] * (sites[-1].layer + 1)
    for site in sites:
        costs[site.layer] += sketch_bytes(subject.units.count(site), length, sizes)
    blocks = cut_blocks(costs, request.block_layers)
    try:
        splits = split(corpus, request.seed).sha256
    except CorpusError:  # too few documents to be split
        splits = None
    spec = {
        "asked": request.asked(),
        "resolved": {
            "sites": [str(site) for site in sites],
            "blocks": [list(block) for block in blocks],
            "length": length,
            "batch_tokens": BATCH_TOKENS,
            "first_position": "apart",
            "sketches": sizes._asdict(),
            "threads": torch.get_num_threads(),
            "attention": subject.attention,
            "kernels": why_no_numba() or f"numba {metadata.version('numba')}",
        },
        "subject": {
            "name": subject.name,
            "architecture": subject.architecture,
            "fingerprint": subject.fingerprint,
            "dtype": str(subject.dtype).removeprefix("torch."),
            "device": str(subject.device),
            "reason": subject.reason,
            "n_layers": subject.n_layers,
        },
        "corpus": {
            "name": corpus.name,
            "sha256": corpus.sha256,
            "source": dict(corpus.source),
            "splits_sha256": splits,
            "documents": len(corpus.documents),
            "tokens": table.n_tokens,
        },
    }
    names = tuple(document.id for document in corpus.documents)
    return Plan(subject, table, names, tuple(sites), tuple(blocks), sizes, spec)


def _specs(sites: str) -> list[str]:
    specs = [spec.strip() for spec in sites.split(",") if spec.strip()]
    if not specs:
        raise UsageError(f"--sites names none; give kinds such as {KINDS[0]}, or single sites such as L5.{KINDS[0]}")
    return specs


def chosen_sites(sites: str, subject: Subject) -> list[SiteId]:
    """The sites that a comma-separated list of kinds and single sites names, in the order of a pass.

    Raises:
        UnknownName: the subject has no such site.
    """
    chosen: set[SiteId] = set()
    for spec in _specs(sites):
        layers = range(subject.n_layers)
        named = [SiteId(layer, spec) for layer in layers] if spec in KINDS else [SiteId.parse(spec)]
        for site in named:
            subject.check_site(site)
        chosen.update(named)
    return [site for site in subject.sites() if site in chosen]


def sketch_bytes(width: int, length: int, sizes: SketchSizes) -> int:
    """Memory that the sketches of a site hold: excerpts at both ends, the row sample, and three sets of moments."""
    exemplar = 4 * length + 36
    return width * (2 * sizes.exemplars * exemplar + 4 * sizes.sample + 3 * 7 * 8)


def cut_blocks(costs: Sequence[int], layers: int | None) -> list[tuple[int, int]]:
    """Cut layers, of which each costs so many bytes, into blocks of ``layers``.

    Where that is None a block takes layers as long as they fit into BLOCK_BYTES together, and one in any case.
    """
    blocks: list[tuple[int, int]] = []
    first, held = 0, 0
    for layer, cost in enumerate(costs):
        full = layer - first == layers if layers else held + cost > BLOCK_BYTES
        if full and layer > first:
            blocks.append((first, layer))
            first, held = layer, 0
        held += cost
    return [*blocks, (first, len(costs))]
