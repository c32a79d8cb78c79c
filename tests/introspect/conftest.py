"""Planted models whose neuron can be told in three ways, read once for all tests of this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from assay.introspect.baselines import Parts
from assay.introspect.ground import Ground, prepare
from assay.introspect.sentences import gather
from assay.introspect.wording import wording
from assay.testing.planted_reports import UNIT, PlantedReports, planted_reports
from assay.text import Corpus


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def planted_text() -> tuple[PlantedReports, Corpus]:
    planted = planted_reports(0)
    return planted, Corpus("planted", tuple(planted.corpus), "0" * 64)


@pytest.fixture(scope="session")
def grounds(planted_text: tuple[PlantedReports, Corpus]) -> dict[str, Ground]:
    planted, corpus = planted_text
    subject = planted.subject
    found: dict[str, Ground] = {}
    for topology in ("S", "Q"):
        worded = wording(subject.tokenizer, topology, 1, subject.name)
        sentences = Parts(*gather(subject, corpus, worded.stop, (800, 250, 250), 0))
        layers = [UNIT.site.layer]
        found[topology] = prepare(subject, subject, worded, sentences, layers, [400, 800], False, lambda *_: None)
    return found
