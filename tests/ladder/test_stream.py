from __future__ import annotations

import numpy as np
import pytest

from assay.errors import CorpusError
from assay.ladder.stream import Place, Stream

DOCUMENTS = [np.arange(1, 60) + 100 * i for i in range(12)]
START = Place(0, 0)


def test_windows_begin_with_the_end_token_and_hold_runs_of_documents() -> None:
    windows = Stream(DOCUMENTS, 16, seed=3).epoch(0)
    assert windows.shape[1] == 16
    assert not windows[:, 0].any()
    following = (windows[:, 1:-1] > 0) & (windows[:, 2:] > 0)
    assert (np.diff(windows[:, 1:])[following] == 1).all()


def test_every_epoch_is_cut_elsewhere_and_holds_nearly_all_of_the_text() -> None:
    stream = Stream(DOCUMENTS, 16, seed=3)
    epochs = [stream.epoch(i) for i in range(8)]
    total = sum(map(len, DOCUMENTS))
    for windows in epochs:
        tokens = windows[:, 1:][windows[:, 1:] > 0]
        assert len(np.unique(tokens)) == len(tokens) >= total - 2 * 15
    firsts = [frozenset(windows[:, 1].tolist()) for windows in epochs]
    assert len(set(firsts)) == len(epochs)


def test_the_place_alone_says_what_comes() -> None:
    whole, place = Stream(DOCUMENTS, 16, seed=3).take(START, 150)
    assert place.epoch >= 2
    parts, place = [], START
    for count in (1, 46, 47, 3, 53):
        some, place = Stream(DOCUMENTS, 16, seed=3).take(place, count)
        parts.append(some)
    assert np.array_equal(np.concatenate(parts), whole)


def test_seeds_give_other_orders() -> None:
    one, other = (Stream(DOCUMENTS, 16, seed).take(START, 20)[0] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_too_little_text_is_refused() -> None:
    with pytest.raises(CorpusError, match="hold 60 tokens, and training needs 64 or more"):
        Stream(DOCUMENTS[:1], 32, seed=0)
