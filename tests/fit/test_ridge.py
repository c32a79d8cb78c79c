"""Ridge against scikit-learn, penalty by penalty."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Oracle

from assay.fit.ridge import PENALTIES, fit_ridge


def test_every_target_gets_the_penalty_that_is_best_on_the_choose_data() -> None:
    rng = np.random.default_rng(0)
    x, x_choose = (rng.normal(size=(n, 12)) * np.linspace(0.2, 3, 12) + 5 for n in (60, 40))
    true = rng.normal(size=(12, 3)) * np.array([1.0, 0.05, 0.0])
    y, y_choose = (part @ true + rng.normal(size=(len(part), 3)) for part in (x, x_choose))
    found = fit_ridge(x, y, x_choose, y_choose)
    scale = np.square(x - x.mean(0)).mean()
    for target in range(3):
        models = [Oracle(alpha=penalty * scale * len(x)).fit(x, y[:, target]) for penalty in PENALTIES]
        errors = [np.square(model.predict(x_choose) - y_choose[:, target]).sum() for model in models]
        best = int(np.argmin(errors))
        assert found.penalties[target] == PENALTIES[best]
        assert found.predict(x_choose)[:, target] == pytest.approx(models[best].predict(x_choose), abs=1e-8)
    assert found.penalties[2] > found.penalties[0]  # of noise nothing is learnt


def test_columns_that_never_vary_do_no_harm() -> None:
    x = np.concatenate([np.random.default_rng(1).normal(size=(30, 2)), np.ones((30, 2))], 1)
    y = x[:, :1] * 2 + 1
    found = fit_ridge(x, y, x, y)
    assert found.predict(x) == pytest.approx(y, abs=1e-4)
