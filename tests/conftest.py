"""What every test may lean on.

One thread per worker: two workers share the machine's cores, and torch in several threads sums in another order.
ASSAY_CACHE is left alone, so that the default model is converted once and not once a test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jaxtyping
import pytest

from typed import at_first

jaxtyping.jaxtyped = at_first

if TYPE_CHECKING:
    from playwright.sync_api import Browser

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium, as a playwright browser. Without one the test is skipped, or fails where CI is set."""
    from playwright.sync_api import sync_playwright

    from assay.cli.doctor import find_chromium

    path = find_chromium()
    if path is None:
        reason = "no Chromium on the PATH; install one (apt-get install chromium) to test pages in a browser"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _no_runs_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings don't reach the tests."""
    for name in ("ASSAY_RUNS", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def ladder() -> Any:
    """The smallest model of the package, two layers of width 96, in fp32; read once for all tests of a worker."""
    import assay

    return assay.load("ladder-2-0", "fp32")
