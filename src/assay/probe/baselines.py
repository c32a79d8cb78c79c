"""What a probe must be held against: words, length, and what the model itself says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression


def bag_of_words(
    texts: Sequence[str], labels: Int[np.ndarray, " n"], tests: Sequence[Sequence[str]]
) -> list[Float[NDArray[np.float64], " m"]]:
    """Log odds of each test text from the counts of its words and pairs of words, by logistic regression with C = 1."""
    counter = CountVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), lowercase=True)
    model = LogisticRegression(C=1.0, max_iter=1000).fit(counter.fit_transform(texts), labels)
    return [np.asarray(model.decision_function(counter.transform(test)), np.float64) for test in tests]


def lengths(
    texts: Sequence[str], labels: Int[np.ndarray, " n"], tests: Sequence[Sequence[str]]
) -> list[Float[NDArray[np.float64], " m"]]:
    """The number of letters of each test text, with the sign that it has for the labels of the texts fitted on."""
    known = np.array([len(text) for text in texts], np.float64)
    sign = -1.0 if known[labels == 1].mean() < known[labels == 0].mean() else 1.0
    return [sign * np.array([len(text) for text in test], np.float64) for test in tests]
