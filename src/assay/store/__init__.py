"""Run directories: what was asked, what came out, and where it came from. Plain files, never pickle."""

from assay.store.run import Run, RunInfo, list_runs, open_run
from assay.store.writer import RunWriter, runs_root

__all__ = ["Run", "RunInfo", "RunWriter", "list_runs", "open_run", "runs_root"]
