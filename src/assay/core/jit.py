"""numba, where it works: compiled functions whose machine code is kept between runs.

A module that compiles something imports numba as soon as it is imported itself: import such modules late. They look
like this, and who calls them asks :func:`why_no_numba` first, to take another way and say so:

    @jit()
    def total(values): ...
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from assay.core.cache import cache_dir

CHUNK = 32  # units that a thread takes at a time: what is made of them stays in its cache


@cache
def why_no_numba() -> str | None:
    """Why compiled functions can't be had here, in words that can follow "because"; None if they can."""
    try:
        numba = importlib.import_module("numba")
    except (ImportError, OSError) as error:  # OSError: llvmlite found no library that fits the platform
        return f"numba can't be imported ({error})"
    return "NUMBA_DISABLE_JIT is set" if numba.config.DISABLE_JIT else None


def jit(*, inner: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Like ``numba.njit(**options)``: releases the interpreter's lock, and keeps machine code on disk.

    ``inner``: only other compiled functions call it. That spares the code that takes Python's arguments apart, which
    is most of the work of compiling a short function of long tuples.

    It is kept in ``$NUMBA_CACHE_DIR`` if that is set, else in ``numba`` under :func:`assay.core.cache.cache_dir`, else
    where numba may write. Where it may write nowhere, the function is compiled again in each process.

    numba looks machine code up by the file in which the function stands, and would not see a change of another that
    it calls: so each state of the files in its room has a directory of its own. It may call none of another room.

    Raises:
        ImportError: there is no numba; :func:`why_no_numba` says it before.
    """
    numba = importlib.import_module("numba")
    options |= {"nogil": True, "no_cfunc_wrapper": True, "no_cpython_wrapper": inner}

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher: Any
        plain = inspect.unwrap(function)  # of the type checks that the tests put around every function
        with _cache_at_home(numba.config, Path(inspect.getfile(plain)).parent):
            try:
                dispatcher = numba.njit(cache=True, **options)(plain)
            except RuntimeError:  # what numba raises where no directory is writable
                dispatcher = numba.njit(**options)(plain)
        if inner and not numba.config.DISABLE_JIT:
            dispatcher.__class__ = _only_inside(dispatcher.__class__)
        return dispatcher

    return compiled


@cache
def _only_inside(dispatcher: type) -> type:
    """The same kind of compiled function, but one that refuses a call from Python, of which the process would die."""

    def refuse(self: Any, *_: object, **__: object) -> None:
        raise TypeError(f"{self.__name__} is compiled for compiled functions only: jit(inner=True)")

    return type(dispatcher.__name__, (dispatcher,), {"__call__": refuse})


@cache
def _state_of(room: Path) -> str:
    """A digest of the sizes and times of the files beside a compiled function's."""
    stats = [(path.name, path.stat()) for path in sorted(room.glob("*.py"))]
    text = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _cache_at_home(config: Any, room: Path) -> Generator[None]:
    """Let numba look in assay's cache while a function is decorated, and leave other users of numba alone."""
    before = config.CACHE_DIR
    config.CACHE_DIR = before or str((cache_dir() / "numba" / _state_of(room)).absolute())
    try:
        yield
    finally:
        config.CACHE_DIR = before


def kernel_threads() -> int:
    """How many threads to run compiled functions in.

    ``$NUMBA_NUM_THREADS`` or ``$OMP_NUM_THREADS`` if set to a number, else the processors this process may use.
    """
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value):
            return int(value)
    usable = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(usable(0)) if usable else os.cpu_count() or 1


def spread(task: Callable[[int, int], None], units: int, threads: int | None = None, chunk: int = CHUNK) -> None:
    """Run ``task(first, last)`` over all units, a chunk at a time, in as many threads as the machine allows.

    Units are independent of each other: the number of threads changes no result.
    """
    spans = [(first, min(first + chunk, units)) for first in range(0, units, chunk)]
    workers = min(kernel_threads() if threads is None else threads, len(spans))
    if workers <= 1:
        for span in spans:
            task(*span)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(task, *span) for span in spans]:
            done.result()
