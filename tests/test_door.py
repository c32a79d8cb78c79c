from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import assay


def test_all_is_sorted_and_is_what_dir_shows() -> None:
    assert assay.__all__ == sorted(assay.__all__)
    assert dir(assay) == sorted(assay.__all__)


def test_all_is_equal_to_the_public_names() -> None:
    """Those that can be had, those that a type checker sees, and those that are listed are the same."""
    tree = ast.parse(Path(assay.__file__).read_text(encoding="utf-8"))
    checking = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname for node in checking.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"__version__"} == set(assay.__all__)
    assert set(assay._PLACES) | {"__version__"} == set(assay.__all__)


def test_a_type_checker_sees_the_object_that_is_given_out() -> None:
    tree = ast.parse(Path(assay.__file__).read_text(encoding="utf-8"))
    checking = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: f"{node.module}:{alias.name}"
        for node in checking.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == assay._PLACES


@pytest.mark.parametrize("name", assay.__all__)
def test_every_name_resolves(name: str) -> None:
    value = getattr(assay, name)
    assert value is not None
    if name not in ("__version__", "explain_units"):
        assert value.__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'assay' has no attribute 'nope'"):
        _ = assay.nope
    assert not hasattr(assay, "torch")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_the_door_imports_nothing_heavy() -> None:
    done = run_python("""
import sys, assay
print([name for name in ("torch", "numpy", "pyarrow", "scipy", "rich", "click") if name in sys.modules])
""")
    assert done.stdout == "[]\n", done.stderr


def test_score_needs_no_torch() -> None:
    """Also where there is none: importing torch is made impossible."""
    done = run_python("""
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
import assay
import numpy as np
draw = np.random.default_rng(0)
truth = draw.normal(size=4000)
predicted = 0.6 * truth + 0.8 * draw.normal(size=4000)
scores = assay.score(predicted, truth, np.repeat(np.arange(40), 100), replicates=50)
assert isinstance(scores, assay.Scores)
print(round(scores.r.value - np.corrcoef(predicted, truth)[0, 1], 6))
""")
    assert done.stdout.strip() in ("0.0", "-0.0"), done.stderr


def test_names_of_the_other_rooms_need_no_torch_either() -> None:
    done = run_python("""
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
import assay
for name in ("open_run", "Run", "load_corpus", "Rule", "RuleList", "Lookup", "Verdict", "SiteId", "cache_dir"):
    getattr(assay, name)
""")
    assert done.returncode == 0, done.stderr


def test_python_m_assay_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "assay", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout == f"assay {assay.__version__}\n"
