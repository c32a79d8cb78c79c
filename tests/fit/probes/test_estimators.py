"""What holds of every probe."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import _num_samples

import assay.probe
from assay.core.direction import Direction
from assay.core.ids import SiteId
from assay.errors import FitError, UnknownName, UsageError
from assay.fit.probes import METHODS, UNSUPERVISED
from assay.probe import CCS, LAT, LDA, Logistic, MeanDifference, RandomDirection, RecursiveCCS, make_probe
from fit.probes.planted import cosine, negations, planted

SITE = SiteId(3, "resid_post")


class PairedCCS(CCS):
    """scikit-learn's checks know no pairs, and CCS refuses to do without: rows that follow each other are a pair."""

    def fit(self, X, y=None):  # noqa: N803
        return super().fit(X, y, pairs=np.arange(_num_samples(X)) // 2)


class PairedRecursiveCCS(RecursiveCCS):
    def fit(self, X, y=None):  # noqa: N803
        return super().fit(X, y, pairs=np.arange(_num_samples(X)) // 2)


CHECKED = [
    MeanDifference(),
    LDA(),
    Logistic(),
    Logistic(C=1.0),
    LAT(),
    RandomDirection(),
    PairedCCS(n_init=2),
    PairedRecursiveCCS(n_directions=1, n_init=2),
]
TYPED = {
    "check_do_not_raise_errors_in_init_or_set_params": "types run in the tests, and a constructor's refuse objects"
}
UNPAIRED = "it fits, and CCS needs contrast pairs"
FITTING = """
check_classifier_data_not_an_array check_classifiers_classes check_classifiers_train check_dict_unchanged
check_dont_overwrite_parameters check_dtype_object check_estimators_dtypes check_estimators_fit_returns_self
check_estimators_nan_inf check_estimators_overwrite_params check_estimators_pickle check_f_contiguous_array_estimator
check_fit2d_1feature check_fit2d_predict1d check_fit_check_is_fitted check_fit_idempotent check_fit_score_takes_y
check_methods_sample_order_invariance check_methods_subset_invariance check_n_features_in
check_n_features_in_after_fitting check_pipeline_consistency check_positive_only_tag_during_fit
check_readonly_memmap_input check_supervised_y_2d
""".split()


@pytest.mark.parametrize("probe", CHECKED, ids=repr)
@pytest.mark.filterwarnings("ignore")  # the checks warn of what they do themselves
def test_scikit_learn_accepts_it(probe):
    results = check_estimator(probe, expected_failed_checks=TYPED, on_skip=None)
    assert len(results) > 50
    assert {one["check_name"] for one in results if one["status"] != "passed"} <= {"check_array_api_input", *TYPED}


@pytest.mark.parametrize("probe", [CCS(n_init=2), RecursiveCCS(n_directions=1, n_init=2)], ids=["ccs", "recursive"])
@pytest.mark.filterwarnings("ignore")
def test_without_pairs_ccs_fails_those_checks_that_fit_and_no_others(probe):
    expected = TYPED | dict.fromkeys(FITTING, UNPAIRED)
    results = check_estimator(probe, expected_failed_checks=expected, on_skip=None)
    failed = [one for one in results if one["status"] == "xfail" and one["check_name"] not in TYPED]
    assert {one["check_name"] for one in failed} == set(FITTING)
    for one in failed:
        assert "CCS needs contrast pairs" in f"{one['exception']} {one['exception'].__cause__}", one["check_name"]


@pytest.fixture(scope="module")
def data():
    return negations(60, 24, 3.0)


def fitted(name, data, seed=0, labels=True):
    probe = make_probe(name, seed)
    if name == "ccs_recursive":
        probe.set_params(n_directions=3)
    return probe.fit(data.x, data.y if labels else None, pairs=data.pairs)


@pytest.mark.parametrize("name", METHODS)
def test_the_direction_says_what_the_probe_says(name, data):
    probe = fitted(name, data)
    direction = probe.direction(SITE, {"data": "planted"})
    h = np.random.default_rng(1).normal(size=(4, 7, 24)) * 100
    said = probe.decision_function(h.reshape(-1, 24)).reshape(4, 7)
    np.testing.assert_allclose(direction.value(h), said, rtol=1e-12, atol=1e-12 * np.abs(said).max())
    assert (direction.site, dict(direction.provenance)) == (SITE, {"method": name, "data": "planted"})
    assert probe.coef_.shape == (1, 24)
    assert probe.intercept_.shape == (1,)
    assert probe.classes_.tolist() == [0, 1]
    assert probe.n_features_in_ == 24


@pytest.mark.parametrize("name", METHODS)
def test_the_seed_decides(name, data):
    one, again = fitted(name, data, 5), fitted(name, data, 5)
    np.testing.assert_array_equal(one.coef_, again.coef_)
    np.testing.assert_array_equal(one.intercept_, again.intercept_)
    other = fitted(name, data, 6)
    assert (one.coef_ == other.coef_).all() == (name not in ("ccs", "ccs_recursive", "random"))
    assert clone(one).get_params() == one.get_params()


@pytest.mark.parametrize("name", METHODS)
def test_other_labels_turn_the_probe_round(name, data):
    one = fitted(name, data)
    other = fitted(name, data._replace(y=1 - data.y))
    np.testing.assert_allclose(other.coef_, -one.coef_, rtol=1e-5, atol=1e-7 * np.abs(one.coef_).max())
    np.testing.assert_allclose(other.intercept_, -one.intercept_, rtol=1e-5, atol=1e-5)
    assert (one.predict(data.x) != other.predict(data.x)).all()


@pytest.mark.parametrize("name", METHODS)
def test_labels_settle_no_more_than_the_sign_of_those_that_are_unsupervised(name, data):
    if name not in UNSUPERVISED:
        with pytest.raises(FitError, match="requires y to be passed, but the target y is None"):
            fitted(name, data, labels=False)
        return
    bare, told = fitted(name, data, labels=False), fitted(name, data)
    assert cosine(bare.coef_[0], told.coef_[0]) == pytest.approx(1, abs=1e-12)
    assert bare.classes_.tolist() == [0, 1]
    gap = data.x[data.y == 1].mean(0) - data.x[data.y == 0].mean(0)
    assert told.coef_[0] @ gap > 0


def test_labels_may_have_names(data):
    probe = MeanDifference().fit(data.x, np.where(data.y == 1, "yes", "no"))
    assert probe.classes_.tolist() == ["no", "yes"]
    assert (probe.predict(data.x) == np.where(MeanDifference().fit(data.x, data.y).predict(data.x), "yes", "no")).all()


def bad(x):
    x = x.copy()
    x[3, 0], x[5, 1] = np.nan, np.inf
    return x


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d._replace(x=bad(d.x)), r"X has NaN or inf in 2 of 120 rows; leave them out"),
        (lambda d: d._replace(x=np.ones_like(d.x)), r"activations don't vary: all 120 rows are equal"),
        (lambda d: d._replace(y=np.ones_like(d.y)), "y holds one class only, 1; a probe needs"),
        (lambda d: d._replace(y=np.arange(120) % 3), r"Only binary classification .* 3 labels \(0, 1, 2\); keep two"),
        (lambda d: d._replace(x=d.x[:1], y=d.y[:1], pairs=d.pairs[:1]), r"1 sample\(s\)"),
        (lambda d: d._replace(pairs=d.pairs[:5]), r"one id a row: got shape \(5,\) for 120 rows"),
    ],
    ids=["nan", "constant", "one class", "three classes", "one row", "pairs"],
)
def test_bad_input_is_one_line(name, data, change, message):
    with pytest.raises(FitError, match=message) as caught:
        fitted(name, change(data))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, ValueError)


def test_a_probe_refuses_rows_of_another_width_on_one_line(data):
    with pytest.raises(FitError, match="X has 23 features, but MeanDifference is expecting 24") as caught:
        fitted("mean_diff", data).decision_function(data.x[:, 1:])
    assert "\n" not in str(caught.value)


def test_equal_means_are_a_probe_that_says_nothing_and_no_direction():
    probe = MeanDifference().fit([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [0, 0, 1, 1])
    assert probe.decision_function([[3.0, 4.0]]).tolist() == [0.0]
    with pytest.raises(FitError, match="all weights of the mean_diff probe are 0"):
        probe.direction(SITE)


def test_weights_that_float32_can_t_hold_are_refused():
    with pytest.raises(FitError, match="weights of the mean_diff probe overflow; scale the activations"):
        MeanDifference().fit([[0.0], [1e39]], [0, 1])


def test_a_saved_direction_decides_as_the_probe_does(tmp_path):
    data = planted(200, 30, 0.5)
    probe = Logistic(C=1.0).fit(data.x, data.y)
    path = tmp_path / "probe.safetensors"
    probe.direction(SITE).save(path)
    np.testing.assert_array_equal(Direction.load(path).value(data.x) > 0, probe.predict(data.x) == 1)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_knows_its_name(name):
    probe = make_probe(name, 7)
    assert probe.method == name
    assert probe.uses_labels == (name not in UNSUPERVISED)
    assert probe.get_params().get("random_state", 7) == 7


def test_an_unknown_method_gets_a_suggestion():
    with pytest.raises(UnknownName, match=r"unknown method 'logistics'; did you mean 'logistic'\?"):
        make_probe("logistics")


def test_seeds_are_whole_numbers():
    with pytest.raises(FitError, match=r"random_state must be None or an integer from 0 on. Got -1 instead."):
        RandomDirection(-1).fit([[0.0], [1.0]], [0, 1])
    drawn = [RandomDirection(None).fit(np.eye(5)).coef_ for _ in range(2)]
    assert (drawn[0] != drawn[1]).any()


def test_the_door_of_the_lab():
    names = assay.probe.__all__
    assert set(names) == set(assay.probe._PLACES)
    assert names == [*sorted(n for n in names if n.isupper()), *sorted(n for n in names if not n.isupper())]
    tree = ast.parse(Path(assay.probe.__file__).read_text(encoding="utf-8"))
    checking = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in checking.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module.removeprefix("assay.probe.") for node in imports for alias in node.names}
    assert seen == assay.probe._PLACES
    for name in names:
        assert getattr(assay.probe, name) is not None


def test_probes_need_no_torch():
    code = """
import sys
from assay.fit.probes import METHODS, make_probe
assert "sklearn" not in sys.modules
for name in METHODS:
    make_probe(name)
assert not {"torch", "transformers"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
