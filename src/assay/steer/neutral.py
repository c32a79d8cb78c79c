"""Text that has nothing to do with what is steered to, of two corpora: a model wrote the one, people the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from assay.steer.harm import Window
from assay.text.corpus import Corpus, Document, load_corpus
from assay.text.manual import python_manual
from assay.text.sentences import sentences
from assay.text.split import split
from assay.text.windows import tokenise

if TYPE_CHECKING:
    from assay.model import Subject

LENGTH = 28  # tokens of a window
_MEASURED = 24  # windows that the length of the residual is measured on
_WORDS = (8, 16)  # of a sentence that stands in the place of an instruction


class NeutralText(NamedTuple):
    """Windows of documents that share none: to ``measure`` the residual on, to ``choose`` doses on, to ``report`` on.

    ``others``: sentences to stand in the place of an instruction. ``hashes``: of the corpora, by name.
    """

    measure: list[tuple[int, ...]]
    choose: list[Window]
    report: list[Window]
    others: list[str]
    hashes: dict[str, str]


def neutral_text(subject: Subject, count: int, others: int, seed: int) -> NeutralText:
    """``count`` windows of each corpus for either half, each of another document where there are as many; ``others``
    sentences, as many as there are placebos."""
    corpora = [load_corpus("bundled"), python_manual()]
    halves: dict[str, list[Window]] = {"choose": [], "report": []}
    parts = {corpus.name: split(corpus, seed, (0.2, 0.4, 0.4)) for corpus in corpora}
    for corpus in corpora:
        for half, documents in (("choose", parts[corpus.name].choose), ("report", parts[corpus.name].test)):
            halves[half] += _windows(subject, corpus, documents, count, seed)
    fit = parts["bundled"].fit
    measured = [window.ids for window in _windows(subject, corpora[0], fit, _MEASURED, seed)]
    hashes = {corpus.name: corpus.sha256 for corpus in corpora}
    return NeutralText(measured, halves["choose"], halves["report"], _sentences(fit, others), hashes)


def _windows(subject: Subject, corpus: Corpus, documents: Sequence[Document], count: int, seed: int) -> list[Window]:
    table = tokenise(documents, subject.tokenizer, LENGTH, seed=seed)
    found: dict[int, list[Window]] = {}
    for row in range(len(table)):
        if table.lengths[row] == LENGTH:
            document = int(table.documents[row])
            ids = tuple(int(i) for i in table.ids[row])
            found.setdefault(document, []).append(Window(corpus.name, documents[document].id, ids))
    rounds = [
        windows[turn]
        for turn in range(max(map(len, found.values()), default=0))
        for windows in found.values()
        if turn < len(windows)
    ]
    return rounds[:count]


def _sentences(documents: Sequence[Document], count: int) -> list[str]:
    found: list[str] = []
    for document in documents:
        fitting = [
            one for one in sentences(document.text) if _WORDS[0] <= len(one.split()) <= _WORDS[1] and one.endswith(".")
        ]
        found += fitting[1:2]
        if len(found) == count:
            break
    return [" ".join(one.split()) for one in found]
