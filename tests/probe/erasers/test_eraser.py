from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from assay.errors import StorageError, UsageError
from assay.probe import Eraser


@pytest.fixture
def eraser() -> Eraser:
    """Oblique, of rank 2 in 5 dimensions."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal((5, 2))
    right = np.linalg.solve((other := rng.standard_normal((2, 5))) @ left, other)
    return Eraser(left, right, rng.standard_normal(5), "mine")


def naive(eraser: Eraser, x: np.ndarray) -> np.ndarray:
    projection = np.eye(5) - eraser.proj_left @ eraser.proj_right
    return (x - eraser.bias) @ projection.T + eraser.bias


def test_it_is_the_affine_map_that_it_says(eraser: Eraser) -> None:
    x = np.random.default_rng(1).standard_normal((3, 4, 5))
    assert eraser.rank == 2
    np.testing.assert_allclose(eraser(x), naive(eraser, x), atol=1e-12)
    np.testing.assert_allclose(eraser(eraser(x)), eraser(x), atol=1e-12)
    np.testing.assert_allclose(eraser(x) + eraser.erased(x), x, atol=1e-12)
    np.testing.assert_allclose(eraser(eraser.bias), eraser.bias, atol=1e-12)


def test_a_swap_keeps_the_rest_and_takes_the_concept(eraser: Eraser) -> None:
    into, source = np.random.default_rng(2).standard_normal((2, 6, 5))
    swapped = eraser.swap(into, source)
    np.testing.assert_allclose(swapped, eraser(into) + source - eraser(source), atol=1e-12)
    np.testing.assert_allclose(eraser(swapped), eraser(into), atol=1e-12)
    np.testing.assert_allclose(eraser.erased(swapped), eraser.erased(source), atol=1e-12)
    tensors = eraser.swap(torch.from_numpy(into), torch.from_numpy(source))
    np.testing.assert_allclose(tensors.numpy(), swapped, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numpy_dtypes_are_kept(eraser: Eraser, dtype: type) -> None:
    x = np.random.default_rng(3).standard_normal((7, 5)).astype(dtype)
    found = eraser(x)
    assert found.dtype == dtype
    exact = naive(eraser, x.astype(np.float64))
    np.testing.assert_allclose(found, exact, atol=20 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_torch_dtypes_are_kept_and_halves_are_computed_in_float32(eraser: Eraser, dtype: torch.dtype) -> None:
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = eraser(x)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == dtype
    exact = torch.from_numpy(naive(eraser, x.double().numpy()))
    assert (
        torch.equal(found, exact.to(dtype)) or (found.double() - exact).abs().max() < 1e-6 + torch.finfo(dtype).eps * 4
    )
    # In bf16 arithmetic the error of a sum would be several times that of one rounding.
    assert ((found.double() - exact).abs() <= torch.finfo(dtype).eps * exact.abs() * 0.51 + 1e-6).all()


def test_a_gradient_goes_through_a_torch_call(eraser: Eraser) -> None:
    x = torch.zeros(2, 5, dtype=torch.float64, requires_grad=True)
    eraser(x)[:, 0].sum().backward()
    assert x.grad is not None
    expected = (np.eye(5) - eraser.proj_left @ eraser.proj_right)[0]
    np.testing.assert_allclose(x.grad.numpy(), np.stack([expected, expected]), atol=1e-12)


def test_it_is_frozen(eraser: Eraser) -> None:
    with pytest.raises(ValueError, match="read-only"):
        eraser.bias[0] = 1.0
    with pytest.raises(AttributeError):
        eraser.method = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_it_comes_back_from_a_file_as_it_was(eraser: Eraser, tmp_path: Path) -> None:
    eraser.save(tmp_path / "one.safetensors")
    again = Eraser.load(tmp_path / "one.safetensors")
    assert again.method == "mine"
    for name in ("proj_left", "proj_right", "bias"):
        assert np.array_equal(getattr(again, name), getattr(eraser, name))
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]


def test_one_that_takes_nothing_can_be_saved_too(tmp_path: Path) -> None:
    nothing = Eraser(np.empty((3, 0)), np.empty((0, 3)), np.ones(3), "leace")
    nothing.save(tmp_path / "none.safetensors")
    again = Eraser.load(tmp_path / "none.safetensors")
    assert again.rank == 0
    x = np.random.default_rng(0).standard_normal((4, 3))
    assert np.array_equal(again(x), x)


@pytest.mark.parametrize(
    ("left", "right", "bias", "message"),
    [
        (np.ones((3, 1)), np.ones((1, 4)), np.ones(3), "must be"),
        (np.ones((3, 1)), np.ones((1, 3)), np.ones(4), "must be"),
        (np.ones((3, 1)), np.full((1, 3), np.nan), np.ones(3), "proj_right of an eraser must be finite"),
    ],
)
def test_parts_that_do_not_fit_are_refused(left: np.ndarray, right: np.ndarray, bias: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Eraser(left, right, bias, "mine")


def test_rows_that_do_not_fit_are_refused(eraser: Eraser) -> None:
    with pytest.raises(UsageError, match=r"rows of 5 entries. Got shape \(2, 4\)"):
        eraser(np.ones((2, 4)))
    with pytest.raises(UsageError, match="floating point, got int64"):
        eraser(np.ones((2, 5), np.int64))
    with pytest.raises(UsageError, match=r"floating point, got torch\.int64"):
        eraser(torch.ones(2, 5, dtype=torch.int64))


def test_files_that_hold_no_eraser_are_refused(tmp_path: Path, eraser: Eraser) -> None:
    with pytest.raises(UsageError, match="can't read"):
        Eraser.load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("no")
    with pytest.raises(UsageError, match="holds no eraser"):
        Eraser.load(tmp_path / "text")
    from safetensors.numpy import save_file

    save_file({"bias": np.ones(3)}, tmp_path / "other")
    with pytest.raises(UsageError, match="does not say 'assay eraser 1'"):
        Eraser.load(tmp_path / "other")
    with pytest.raises(StorageError, match="can't write"):
        eraser.save(tmp_path / "missing" / "one")
