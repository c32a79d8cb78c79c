"""What is asked of the lab."""

from __future__ import annotations

from pathlib import Path

from assay.introspect.request import EFFORTS


def test_the_page_says_what_an_effort_comes_to() -> None:
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    for name, e in EFFORTS.items():
        numbers = (e.layers, e.neurons, f"{e.sentences:,}", e.epochs, e.patched_epochs, f"{e.test:,}")
        assert f"| `{name}` | " + " | ".join(map(str, numbers)) + " |" in page
