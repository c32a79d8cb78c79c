"""Every unit of whole sites, in blocks of layers, into a directory; resumable after any kill.

The sketches of one block of layers are in memory at a time, the residual at its end is spilled. At batch borders the
sketches and the length of the spilled residual are checkpointed; a process that finds a checkpoint takes it up from
there. A checkpoint is the state itself, nothing is merged, so that the result is the same, bit for bit, as if nothing
had happened, as long as shapes, threads and packages are: which is checked, from ``spec.json``.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.ids import SiteId
from assay.core.memory import peak_rss_mb
from assay.record.checkpoint import Mark, Work, resumable
from assay.record.hashing import document_keys
from assay.record.layers import advance, border, spill_of
from assay.record.packing import pack
from assay.record.recorder import counted_rows, empty_sketches
from assay.record.recording import SiteSketches
from assay.record.request import BATCH_TOKENS, Plan, RecordOutcome, RecordRequest, make_plan, sketch_bytes
from assay.record.sketch import Activations, Halves
from assay.record.spill import Spill
from assay.record.stored import DOCUMENTS, TABLE, check_same, spec_at
from assay.store.atomic import make_directory, remove_unfinished, write_json, write_tensors
from assay.store.lock import locked
from assay.store.provenance import provenance
from assay.store.run import open_path
from assay.store.schema import SCHEMA
from assay.store.writer import DONE, RESULT, SPEC, sha256
from assay.text import Corpus, load_corpus

if TYPE_CHECKING:
    from torch import Tensor

    from assay.model import Subject

EVERY = 60.0  # seconds between two checkpoints
WORK = "work"

Progress = Callable[..., None]


def _quiet(message: str, share: float | None = None) -> None:
    """Progress that goes nowhere."""


def record_sites(
    request: RecordRequest,
    progress: Progress = _quiet,
    *,
    subject: Subject | None = None,
    corpus: Corpus | None = None,
    every: float = EVERY,
) -> RecordOutcome:
    """Record every unit of the sites asked for into ``request.out``, going on from what is there.

    ``subject`` and ``corpus`` may be handed in instead of being loaded by name. ``every`` is how many seconds lie
    between two checkpoints. ``progress`` is told messages, and the share that is done where it is known.

    Raises:
        UsageError: what was asked for can't be done; the directory holds something else, or is in use by another
            process.
        ActivationError: NaN or infinite activations, with site and document.
        MachineError: a fetch failed, or the disk is full.
    """
    request.check()
    out = Path(request.out).expanduser()
    make_directory(out)
    with locked(out):
        spec = spec_at(out)
        remove_unfinished(out)
        if spec is not None:
            check_same(out, {"asked": request.asked()}, spec)
        corpus = corpus or load_corpus(request.corpus, progress, tokens=request.tokens)
        if spec is not None:
            check_same(out, {"corpus": {"sha256": corpus.sha256}}, spec)
        if (out / DONE).is_file():
            result = open_path(out).result()
            shutil.rmtree(out / WORK, ignore_errors=True)
            return RecordOutcome(out, result, True)
        if subject is None:
            from assay.model import load

            subject = load(request.model, dtype=request.dtype, progress=progress)
        plan = make_plan(request, subject, corpus)
        now = {**provenance(), **plan.spec}
        if spec is None:
            started = datetime.now(UTC).isoformat(timespec="seconds")
            head = {"schema": SCHEMA, "id": out.resolve().name, "verb": "record"}
            write_json(out / SPEC, head | now | {"started": started})
        else:
            check_same(out, {name: now[name] for name in ("packages", "python", *plan.spec)}, spec)
        result = _Recorder(plan, out, progress, every).run()
        return RecordOutcome(out, result, False)


class _Recorder:
    """One process at work on a recording."""

    def __init__(self, plan: Plan, out: Path, progress: Progress, every: float) -> None:
        self.plan, self.out, self.progress, self.every = plan, out, progress, every
        self.spill: Spill = spill_of(plan.subject, plan.table, out / WORK, BATCH_TOKENS)
        self.work = Work(out / WORK)
        self.mark = self.work.read()
        self.keys = document_keys(plan.document_ids)
        self.special_ids = sorted(plan.subject.special_ids)
        self.begun = self.since = time.monotonic()
        self.share_before = self._share()
        units = plan.subject.units
        per_site = {site: sketch_bytes(units.count(site), plan.table.length, plan.sizes) for site in plan.sites}
        held = max(sum(per_site[site] for site in plan.sites_of(i)) for i in range(len(plan.blocks)))
        self.megabytes = (sum(per_site.values()) + held + 2 * self.spill.size) / 1e6

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and give the result."""
        files = [SPEC, DOCUMENTS, TABLE]
        with resumable(self.megabytes):
            table = self.plan.table
            if not self.mark.files:
                make_directory(self.out / "tensors")
                write_json(self.out / DOCUMENTS, list(self.plan.document_ids))
                arrays = {"ids": table.ids, "lengths": table.lengths}
                write_tensors(self.out / TABLE, arrays | {"documents": table.documents, "starts": table.starts})
                self._mark(files={name: sha256(self.out / name) for name in files})
        while self.mark.block < len(self.plan.blocks):
            self._block()
        return self._finish()

    def _block(self) -> None:
        """Take the block at work to its end."""
        plan, mark = self.plan, self.mark
        first, stop = plan.blocks[mark.block]
        sites = plan.sites_of(mark.block)
        self.spill.drop_outside([first, stop])
        sketches = self._begin(sites)
        with border(self.spill, stop, plan.stop, mark.batches) as sink:
            for passed in advance(
                plan.subject, plan.table, (first, stop), sites, self.spill, sink, BATCH_TOKENS,
                plan.document_ids, mark.batches,
            ):  # fmt: skip
                rows = counted_rows(plan.table, passed.flat, self.keys, self.special_ids)
                for site in sites:
                    sketches[site].update(_for_sketches(passed.values.pop(site)), *rows)
                self.mark = replace(
                    self.mark,
                    batches=self.mark.batches + 1,
                    forward_seconds=self.mark.forward_seconds + passed.seconds,
                )
                self._tell()
                if time.monotonic() - self.since > self.every and self.mark.batches < len(self.spill.sizes):
                    if sink is not None:
                        sink.sync()
                    with resumable(self.megabytes):
                        self.mark = self.work.save(self._timed(), sketches)
            if sink is not None:
                sink.finish()
        self._store(sketches)

    def _begin(self, sites: list[SiteId]) -> dict[SiteId, SiteSketches]:
        plan, mark = self.plan, self.mark
        if mark.batches:
            return self.work.load(mark, sites)
        units = plan.subject.units
        return {site: empty_sketches(site, range(units.count(site)), plan.table.length, plan.sizes) for site in sites}

    def _store(self, sketches: dict[SiteId, SiteSketches]) -> None:
        """Write the files of a block that is done, and say so."""
        files = dict(self.mark.files)
        with resumable(self.megabytes):
            for site in list(sketches):
                name = f"tensors/{site}.safetensors"
                write_tensors(self.out / name, pack(sketches.pop(site)))
                files[name] = sha256(self.out / name)
            self._mark(block=self.mark.block + 1, batches=0, files=files)

    def _finish(self) -> dict[str, Any]:
        with resumable(self.megabytes):
            mark, tokens = self._timed(), self.plan.table.n_tokens
            files = dict(mark.files)
            size = sum((self.out / name).stat().st_size for name in files) / 1e6
            result = {
                "recording": str(self.out),
                "tokens": tokens,
                "seconds": round(mark.seconds, 2),
                "forward_seconds": round(mark.forward_seconds, 2),
                "ratio": round(mark.seconds / mark.forward_seconds, 3),
                "peak_rss_mb": round(mark.peak_rss_mb, 1),
                "disk_mb": round(size, 1),
            }
            write_json(self.out / RESULT, result)
            files[RESULT] = sha256(self.out / RESULT)
            finished = datetime.now(UTC).isoformat(timespec="seconds")
            write_json(self.out / DONE, {"finished": finished, "files": files})
        shutil.rmtree(self.out / WORK)
        return result

    def _mark(self, **changes: Any) -> None:
        self.mark = self.work.note(replace(self._timed(), **changes))

    def _timed(self) -> Mark:
        """The mark with what this process has used since the last one."""
        now = time.monotonic()
        seconds, self.since = self.mark.seconds + now - self.since, now
        self.mark = replace(self.mark, seconds=seconds, peak_rss_mb=max(self.mark.peak_rss_mb, peak_rss_mb()))
        return self.mark

    def _share(self) -> float:
        """Share of all batches through all layers that is done."""
        blocks, mark, sizes = self.plan.blocks, self.mark, self.spill.sizes
        if mark.block == len(blocks):
            return 1.0
        first, stop = blocks[mark.block]
        return (first + (stop - first) * sum(sizes[: mark.batches]) / sum(sizes)) / self.plan.stop

    def _tell(self) -> None:
        first, stop = self.plan.blocks[self.mark.block]
        share, spent = self._share(), time.monotonic() - self.begun
        left = spent * (1 - share) / (share - self.share_before)
        self.progress(
            f"recording {self.plan.n_units:,} units, layers {first} to {stop - 1} of {self.plan.stop}, "
            f"{_duration(left)} left",
            share,
        )


def _for_sketches(values: Tensor) -> Activations | Halves:
    """(n, width) as float32, or the bits of bf16, which say the same."""
    import torch

    if values.dtype == torch.bfloat16:
        return values.contiguous().cpu().view(torch.uint16).numpy()
    return values.float().cpu().numpy()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
