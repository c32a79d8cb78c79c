"""``--units all``: every neuron explained and tested, layer by layer, in memory for one layer at a time."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from assay.core.ids import SiteId, UnitId
from assay.core.memory import peak_rss_mb
from assay.errors import UsageError
from assay.explain.claims import LINEAR
from assay.explain.elsewhere import drops_of
from assay.explain.joint.losses import JointRuns, described
from assay.explain.joint.of_layer import replace_layer
from assay.explain.joint.scores import joint_entries
from assay.explain.joint.text import draw_text
from assay.explain.joint.write import write_joint
from assay.explain.material import Material, Progress
from assay.explain.related.neighbours import Neighbours, find_neighbours
from assay.explain.request import ExplainOutcome, ExplainRequest
from assay.explain.verdicts import ARMS
from assay.explain.whole.bench import REPLICATES, Bench, make_bench
from assay.explain.whole.joined import Joined, join
from assay.explain.whole.layer import EXPLAINERS, study_layer
from assay.explain.whole.sample import Sample, draw_sample, read_sample, replace_units, stored_arrays
from assay.explain.whole.scope import Scope
from assay.explain.whole.shards import Shard, Shards
from assay.explain.whole.sketches import exemplar_arrays, natural_arrays, sample_arrays, sketch_layer
from assay.explain.whole.tables import KINDS
from assay.explain.whole.verdicts import Verdicts, deciding_rows, judge_all, mean_beside_null, numbered, per_layer
from assay.model.changes import arithmetic
from assay.model.fingerprint import describe
from assay.record.layers import LayerActivations, walk
from assay.referee import BehaviourCheck
from assay.store import RunWriter, runs_root
from assay.store.atomic import make_directory, remove_unfinished, write_tensors
from assay.store.lock import locked
from assay.store.schema import build_table

if TYPE_CHECKING:
    from assay.model import Subject

WORK = "work"


def explain_whole(
    request: ExplainRequest,
    subject: Subject,
    corpus: Mapping[str, Any],
    material: Material,
    scope: Scope,
    progress: Progress,
) -> ExplainOutcome:
    """Explain and test every unit of the sites, and store the run.

    A run of the same request that was broken off in the same place is taken up again after its last whole layer.
    ``corpus`` is what the spec says of the text.

    Raises:
        UsageError: what was asked for can't be done, or another process is at work on the run.
        ActivationError: NaN or infinite activations, with site and document.
        StorageError: the disk is full.
    """
    asked = asdict(replace(request, written={}))
    if request.calibration != LINEAR:
        raise UsageError(f"whole layers are calibrated linearly; leave out --calibration {request.calibration}")
    if left := [name for name in request.explainers if name not in EXPLAINERS]:
        progress(f"{', '.join(left)} is left out: whole layers are explained by {' and '.join(EXPLAINERS)} only")
    resolved = asked | {
        "explainers": list(EXPLAINERS),
        "targets": [f"{site}:all" for site in scope.sites],
        "length": material.fit.table.length,
        "arms": list(ARMS),
        "effects": arithmetic(subject) if request.edits else None,
        "joint": described() if request.joint else None,
        "whole": True,
        "replicates": REPLICATES,
    }
    writer = RunWriter.take_up(
        runs_root(request.out),
        "explain",
        asked=asked,
        resolved=resolved,
        subject=describe(subject),
        corpus=corpus,
    )
    with writer, locked(writer.path):
        if writer.taken_up:
            progress(f"going on with run {writer.id}, which was broken off")
            remove_unfinished(writer.path)
        study = _Whole(request, subject, material, scope, writer, progress)
        study.layers()
        result = study.finish()
    shutil.rmtree(writer.path / WORK, ignore_errors=True)
    return ExplainOutcome(writer.path, result)


def _exemplars(site: SiteId) -> str:
    return f"tensors/exemplars-{site}.safetensors"


class _Whole:
    """One process at work on a whole run."""

    def __init__(
        self,
        request: ExplainRequest,
        subject: Subject,
        material: Material,
        scope: Scope,
        writer: RunWriter,
        progress: Progress,
    ) -> None:
        self.request, self.subject, self.material, self.scope = request, subject, material, scope
        self.writer, self.progress = writer, progress
        self.begun = time.monotonic()
        self.shards = Shards(writer.path / WORK)
        self.shards.directory.mkdir(exist_ok=True)
        self._found_done = {site for site in scope.sites if self.shards.done(site)}
        self.sampled = draw_sample(scope.sites, scope.width, request.sample if request.behaviour else 0, request.seed)

    def layers(self) -> None:
        """Do the layers that are not there yet."""
        left = [site for site in self.scope.sites if not self.shards.done(site)]
        if not left:
            return
        joined = join(self.material)
        self.progress("reading the text as rules see it")
        bench = make_bench(self.material, joined, self.subject.vocab_size, self.request.rules, self.request.seed)
        wanted = {site.layer: site for site in left}
        first, last = min(wanted), max(wanted)
        since = time.monotonic()
        passes = walk(
            self.subject,
            joined.table,
            (left[0].kind,),
            scratch=self.writer.path / WORK / "residual",
            first=first,
            last=last,
            document_ids=joined.names,
            progress=self._tell_forward(first, last, joined),
        )
        for passed in passes:
            if passed.layer in wanted:
                self._layer(bench, wanted[passed.layer], passed, since)
            since = time.monotonic()

    def _tell_forward(self, first: int, last: int, joined: Joined) -> Any:
        each = joined.table.n_tokens

        def tell(done: int, total: int) -> None:
            layer = min(first + done // each, last)
            self.progress(f"layer {layer}: recording", self._share(layer))

        return tell

    def _share(self, layer: int) -> float:
        return sum(site.layer < layer for site in self.scope.sites) / len(self.scope.sites)

    def _layer(self, bench: Bench, site: SiteId, passed: LayerActivations, since: float) -> None:
        def told(what: str) -> None:
            self.progress(f"layer {site.layer}: {what}", self._share(site.layer))

        values = passed.values[site]
        found = study_layer(bench, site, values, told)
        told("keeping exemplars")
        sketches = sketch_layer(self.subject, self.material.fit, site, values, self.request.seed)
        if self.request.joint:
            means = sketches.moments.mean
            self.shards.keep_joint(site, *replace_layer(self._at_once, found, means, self.progress))
        make_directory(self.writer.path / "tensors")
        write_tensors(self.writer.path / _exemplars(site), exemplar_arrays(sketches) | natural_arrays(sketches))
        first = next(n for at, _, n in numbered(self.scope.sites, self.scope.width) if at == site)
        self.shards.write(
            found, sketches, first, self.sampled[site], (time.monotonic() - since, passed.seconds_forward)
        )

    @cached_property
    def _in_fp32(self) -> Subject:
        import torch

        return self.subject.with_dtype(torch.float32)

    @cached_property
    def _at_once(self) -> JointRuns:
        """Made for the first layer that is replaced, kept for the others."""
        part, seed = self.material.test, self.request.seed
        return JointRuns(self._in_fp32, part, draw_text(part, part.scored, seed), seed)

    def finish(self) -> dict[str, Any]:
        """Judge all claims together and write the run."""
        sites, width = self.scope.sites, self.scope.width
        behaviours: dict[int, BehaviourCheck] = {}
        arrays: dict[str, Any] | None = None
        sample: Sample | None = None
        if any(len(own) for own in self.sampled.values()):
            sample = read_sample(self.shards, sites, self.material)
            arrays, behaviours = replace_units(self._in_fp32, sample, self.material, self.request.seed, self.progress)
        every = [UnitId(site, i) for site in sites for i in range(width)]
        near = find_neighbours(self.subject, self.material.fit, every, self.request.seed, self.progress)
        self.progress("judging all claims together")
        verdicts = judge_all(self.shards, sites, width, behaviours)
        self._tables(verdicts)
        if sample is not None and arrays is not None:
            self.writer.tensors("test", stored_arrays(sample, self.material))
            self.writer.tensors("behaviour", arrays, {"arms": ",".join(ARMS)})
        self.writer.arrow("neighbours", near.table)
        self.writer.tensors("sample", sample_arrays(self.subject, self.material.fit, self.request.seed))
        result = self._result(verdicts, sample, near)
        svg = None
        if self.request.joint:
            stored = self.shards.joint(sites)
            result["joint"] = joint_entries(stored, self.request.seed)
            svg = write_joint(self.writer, stored, result["joint"])
        self.writer.result(result)
        from assay.explain.whole.figure import depth_figure
        from assay.explain.whole.page import whole_page

        self.progress("drawing the figure and the page")
        figure = depth_figure(result["summary"]["per_layer"])
        self.writer.file("figure.json", figure.json)
        self.writer.file("figure.svg", figure.svg)
        page = whole_page(self.writer.spec, result, figure.svg, svg, self.shards, sites)
        self.writer.file("page.html", page)
        return result

    def _tables(self, verdicts: Verdicts) -> None:
        sites, width = self.scope.sites, self.scope.width
        firsts = {(site, kind): first for site, kind, first in numbered(sites, width)}
        for site in sites:
            self.writer.adopt(_exemplars(site))
        for name in ("units", "claims"):
            self.writer.arrow(name, pa.concat_tables([self.shards.table(site, name) for site in sites]))
        parts: list[Any] = []
        for site in sites:
            rows = deciding_rows(self.shards.read(site), verdicts, width, {kind: firsts[site, kind] for kind in KINDS})
            parts += [self.shards.table(site, "evidence"), build_table("evidence", rows)]
        self.writer.arrow("evidence", pa.concat_tables(parts).sort_by("claim"))
        texts = self.subject.token_texts()
        seen = np.unique(np.concatenate([self.material.fit.table.flat_ids, self.material.test.table.flat_ids]))
        self.writer.table("tokens", [{"id": int(i), "text": texts[i]} for i in seen])

    def _result(self, verdicts: Verdicts, sample: Sample | None, near: Neighbours) -> dict[str, Any]:
        layers = per_layer(self.shards, self.scope.sites, verdicts, self.scope.width)
        read = [self.shards.read(site) for site in self.scope.sites]
        r, nulls = (
            np.concatenate([shard.arrays[f"{EXPLAINERS[0]}.{name}"] for shard in read]) for name in ("r", "nulls")
        )
        firsts = {kind: [n for _, k, n in numbered(self.scope.sites, self.scope.width) if k == kind] for kind in KINDS}
        by_explainer = {
            name: dict(
                Counter(
                    str(verdicts.overall[first + i].verdict) for first in firsts[name] for i in range(self.scope.width)
                )
            )
            for name in EXPLAINERS
        }
        behaviour = verdicts.behaviour
        controls = {
            "prediction": verdicts.prediction.summary._asdict(),
            "behaviour": behaviour.summary._asdict() if behaviour else None,
        }
        return {
            "run": self.writer.id,
            "subject": self.subject.name,
            "units": None,
            "summary": {
                "units": len(r),
                **mean_beside_null(r[:, 0], nulls),
                "median_r": float(np.nanmedian(r[:, 0])),
                "verdicts": by_explainer,
                "controls": controls,
                "per_layer": layers,
                "behaviour_sample": len(sample.units) if sample else 0,
                "also": self._also(read),
                "neighbours": near.summary,
                "tokens": sum(self.material.n_tokens.values()),
                "seconds": round(time.monotonic() - self.begun + self._seconds_before(read), 1),
                "forward_seconds": round(sum(shard.seconds_forward for shard in read), 1),
                "peak_rss_mb": round(peak_rss_mb(), 1),
                "dtype": str(self.subject.dtype).removeprefix("torch."),
            },
        }

    def _also(self, read: Sequence[Shard]) -> dict[str, Any] | None:
        if self.material.other is None:
            return None
        r = {
            name: (
                np.concatenate([shard.arrays[f"{name}.r"][:, 0] for shard in read]),
                np.concatenate([shard.arrays[f"{name}.also_r"] for shard in read]),
            )
            for name in EXPLAINERS
        }
        return drops_of(r, self.material.other.table.n_tokens)

    def _seconds_before(self, read: Sequence[Any]) -> float:
        """What layers took that another process had done."""
        return sum((shard.seconds for shard in read if shard.site in self._found_done), 0.0)
