"""What can be said of a neuron's value without asking the model: from the text, and by probes of its residual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from assay.fit.ridge import fit_ridge
from assay.introspect.scores import expected_digit
from assay.introspect.sentences import Sentences

_ALPHAS = (0.1, 1.0, 10.0, 100.0)
_FEWEST = 2  # sentences in which a word must stand


class Told(NamedTuple):
    """Log-probabilities of the ten digits in nats on the choose and the test split."""

    choose: Float[NDArray[np.float64], "m units 10"]
    test: Float[NDArray[np.float64], "n units 10"]


class Parts(NamedTuple):
    """One thing for each split."""

    fit: Any
    choose: Any
    test: Any


def told_by_probe(x: Parts, digits: Parts) -> Told:
    """A ridge probe of residuals, (n, d_model) a split, on the digit, and what it says of the ten digits.

    ``digits``: (n, units) a split.
    """
    ridge = fit_ridge(x.fit, digits.fit, x.choose, digits.choose)
    return calibrated(ridge.predict(x.choose), ridge.predict(x.test), digits.choose)


def told_by_text(kind: str, sentences: Parts, digits: Parts) -> Told:
    """Ridge on what the words are: "word" is the last word and the length, "tfidf" all words and pairs of words.

    ``digits``: (n, units) a split.
    """
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    columns = [[_last_word(text) if kind == "word" else text for text in part.texts] for part in sentences]
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 1) if kind == "word" else (1, 2), min_df=_FEWEST, token_pattern=r"(?u)\w+", sublinear_tf=True
    )
    lengths = [_lengths(part) for part in sentences]
    mean, sd = lengths[0].mean(), max(float(lengths[0].std()), 1e-9)
    rows: list[Any] = [vectorizer.fit_transform(columns[0]), *(vectorizer.transform(column) for column in columns[1:])]
    x = [sparse.hstack([row, ((own - mean) / sd)[:, None]]).tocsr() for row, own in zip(rows, lengths, strict=True)]
    models = [Ridge(alpha=alpha).fit(x[0], digits.fit) for alpha in _ALPHAS]
    said = [np.asarray(model.predict(x[1])).reshape(digits.choose.shape) for model in models]
    errors = np.stack([np.square(one - digits.choose).sum(0) for one in said])
    best = errors.argmin(0)
    tests = [np.asarray(model.predict(x[2])).reshape(digits.test.shape) for model in models]
    own = [np.stack([part[b][:, u] for u, b in enumerate(best)], 1) for part in (said, tests)]
    return calibrated(own[0], own[1], digits.choose)


def _last_word(text: str) -> str:
    words = text.lower().rstrip(" .").split()
    return words[-1] if words else ""


def _lengths(sentences: Sentences) -> Float[NDArray[np.float64], " n"]:
    return np.array([len(row) for row in sentences.ids], np.float64)


def calibrated(
    said_choose: Float[np.ndarray, "m units"],
    said_test: Float[np.ndarray, "n units"],
    right: Int64[np.ndarray, "m units"],
) -> Told:
    """From one number a sentence to the probabilities of ten digits.

    Multinomial logistic regression on the number and its square, so that a spread that grows to one side can be told,
    fitted on the choose split.
    """
    pairs = [
        _calibrate(said_choose[:, unit], said_test[:, unit], right[:, unit]) for unit in range(said_choose.shape[1])
    ]
    return Told(np.stack([pair[0] for pair in pairs], 1), np.stack([pair[1] for pair in pairs], 1))


def _calibrate(
    choose: Float[np.ndarray, " m"], test: Float[np.ndarray, " n"], right: Int64[np.ndarray, " m"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    centre, scale = choose.mean(), max(float(choose.std()), 1e-9)

    def features(values: NDArray[np.float64]) -> NDArray[np.float64]:
        z = np.clip((values - centre) / scale, -4, 4)
        return np.stack([z, z * z], 1)

    model = LogisticRegression(C=1.0, max_iter=1000).fit(features(choose), right)
    # a digit that the choose split has never seen as right answer gets the share of one sentence in all
    floor = np.log(1.0 / (len(right) + 10))
    both: list[NDArray[np.float64]] = []
    for values in (choose, test):
        logs = np.full((len(values), 10), floor)
        logs[:, model.classes_] = model.predict_log_proba(features(values))
        both.append(logs - np.log(np.exp(logs).sum(1, keepdims=True)))
    return both[0], both[1]


def at_best(said: Told, right: Int64[np.ndarray, "m units"]) -> Told:
    """What somebody says, or what its mean digit is worth once calibrated: by the choose split, unit by unit.

    A null that has learnt something and is badly calibrated would else be beaten by anybody.
    """
    told = {"said": said, "calibrated": calibrated(expected_digit(said.choose), expected_digit(said.test), right)}
    return of_each(told, best_by_choose(told, right))


def of_each(told: Mapping[str, Told], names: Sequence[str]) -> Told:
    """For each unit what the named one says."""
    parts = [(told[name].choose[:, unit], told[name].test[:, unit]) for unit, name in enumerate(names)]
    return Told(*(np.stack(part, 1) for part in zip(*parts, strict=True)))


def best_by_choose(told: Mapping[str, Told], right: Int64[np.ndarray, "m units"]) -> list[str]:
    """For each unit the name of whoever has the most bits on the choose split."""
    means = {name: _bits(one.choose, right) for name, one in told.items()}
    return [max(means, key=lambda name: means[name][unit]) for unit in range(right.shape[1])]


def _bits(logs: Float[np.ndarray, "m units 10"], right: Int64[np.ndarray, "m units"]) -> Float[np.ndarray, " units"]:
    return np.take_along_axis(logs, right[..., None], -1)[..., 0].mean(0)
