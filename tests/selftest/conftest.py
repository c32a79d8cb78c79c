from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.explain.behaviour import Size
from assay.judge import RemoteJudge
from assay.selftest import experiment
from assay.selftest import request as asked
from assay.selftest.bench import Bench
from assay.selftest.experiment import SelftestOutcome, SelftestRequest
from assay.selftest.request import Effort
from assay.testing import Gallery, gallery

TINY = Effort(260, 100, Size(24, 4, 32), 1, 1, 8, 2, 1, 2)
FEW = (0, 3, 7, 25, 28, 29, 36, 41)  # exhibits of every family, a silent one and a dense one among them


def quiet(*_: object) -> None:
    """Progress that goes nowhere."""


@pytest.fixture(scope="session")
def bench() -> Bench:
    """The gallery with 400 documents, 200 of them to test on."""
    return Bench(gallery(0, 400), 0, 200, quiet)


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> SelftestOutcome:
    """A whole selftest, as small as it can be, with a judge whose recording is empty."""

    def few(seed: int, documents: int) -> Gallery:
        whole = gallery(seed, documents)
        return replace(whole, exhibits=tuple(whole.exhibits[i] for i in FEW))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asked, "EFFORTS", {"smoke": TINY})
        patch.setattr(experiment, "gallery", few)
        return experiment.selftest(
            SelftestRequest("smoke", 3, str(tmp_path_factory.mktemp("runs"))), judge=RemoteJudge("mute", None, {})
        )


@pytest.fixture(scope="session")
def stored(outcome: SelftestOutcome) -> dict[str, Any]:
    """What that selftest wrote."""
    return json.loads(Path(outcome.run_path, "result.json").read_text(encoding="utf-8"))
