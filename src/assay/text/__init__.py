"""Text as this house uses it: corpora, splits by document, windows of tokens, batches, sentences. No torch."""

from assay.text.batches import Batch, batches
from assay.text.corpus import BUNDLED, Corpus, Document, load_corpus
from assay.text.pieces import pieces
from assay.text.sentences import sentences
from assay.text.split import Splits, split
from assay.text.windows import Tokenizer, TokenTable, Window, tokenise

__all__ = [
    "BUNDLED",
    "Batch",
    "Corpus",
    "Document",
    "Splits",
    "TokenTable",
    "Tokenizer",
    "Window",
    "batches",
    "load_corpus",
    "pieces",
    "sentences",
    "split",
    "tokenise",
]
