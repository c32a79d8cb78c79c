"""Which dtype and which device, and why."""

from __future__ import annotations

import platform
from typing import NamedTuple

import torch

from assay.errors import UnknownName, UsageError

_SHORT = {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float16: "fp16", torch.float64: "fp64"}
_NAMES = {name: dtype for dtype, short in _SHORT.items() for name in (short, str(dtype).removeprefix("torch."))}


class Placement(NamedTuple):
    """A choice of dtype and device with the reason for each, as one printable line."""

    dtype: torch.dtype
    device: torch.device
    reason: str


def short(dtype: torch.dtype) -> str:
    """ "bf16" for ``torch.bfloat16``, and so on."""
    return _SHORT.get(dtype, str(dtype).removeprefix("torch."))


def place(dtype: torch.dtype | str | None, device: torch.device | str | None) -> Placement:
    """Choose what was not asked for: CUDA if there is one, bf16 where the processor computes in it, else fp32.

    Raises:
        UnknownName: no such dtype.
        UsageError: no such device, or none of its kind on this machine.
    """
    chosen_device, why_device = _device(device)
    chosen_dtype, why_dtype = _dtype(dtype, chosen_device)
    return Placement(chosen_dtype, chosen_device, f"{short(chosen_dtype)}: {why_dtype}; {chosen_device}: {why_device}")


def place_anywhere(dtype: torch.dtype | str | None) -> Placement:
    """The same for a model that is spread over devices: ``device`` is the one that computes first.

    Raises:
        UnknownName: no such dtype.
        UsageError: no arithmetic in it here.
    """
    device, _ = _device(None)
    chosen, why = _dtype(dtype, device)
    return Placement(chosen, device, f"{short(chosen)}: {why}; auto: asked for")


def as_given(dtype: torch.dtype, device: torch.device) -> str:
    """The reason for a model that came as an object."""
    return f"{short(dtype)} and {device}: as the model came"


def converted(dtype: torch.dtype, device: torch.device) -> str:
    """The reason for a converted copy."""
    why = "effects are measured in fp32" if dtype == torch.float32 else "asked for"
    return f"{short(dtype)}: {why}; {device}: as before"


def _device(asked: torch.device | str | None) -> tuple[torch.device, str]:
    cuda = torch.cuda.is_available()
    if asked is None:
        return (
            (torch.device("cuda", torch.cuda.current_device()), "a CUDA device is there")
            if cuda
            else (
                torch.device("cpu"),
                "no CUDA device is there",
            )
        )
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise UsageError(f"{asked!r} is not a device; write cpu, cuda, cuda:0 or auto") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if cuda else 0
        if (device.index or 0) >= count:
            raise UsageError(f"device {str(device)!r} was asked for, but torch sees {count} CUDA devices; try cpu")
        if device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device 'mps' was asked for, but torch sees none; try cpu")
    elif device.type not in ("cpu", "mps"):
        raise UsageError(f"device {str(device)!r} is not supported; write cpu, cuda or mps")
    return device, "asked for"


def _dtype(asked: torch.dtype | str | None, device: torch.device) -> tuple[torch.dtype, str]:
    if isinstance(asked, str):
        if asked not in _NAMES:
            raise UnknownName("dtype", asked, _NAMES)
        asked = _NAMES[asked]
    if asked is not None:
        if asked not in _SHORT:
            raise UsageError(f"dtype must be one of {', '.join(_SHORT.values())}. Got {asked} instead.")
        if asked == torch.float16 and device.type == "cpu" and not _computes_fp16_on_cpu():
            raise UsageError("this torch has no fp16 arithmetic on the CPU; ask for bf16 or fp32")
        return asked, "asked for"
    if computes_bf16(device):
        return torch.bfloat16, "fastest here for recording and generating"
    return torch.float32, "this processor has no bf16 arithmetic"


def _computes_fp16_on_cpu() -> bool:
    x = torch.eye(2, dtype=torch.float16)
    try:
        torch.nn.functional.scaled_dot_product_attention(torch.nn.functional.layer_norm(x @ x, (2,))[None], x, x)
    except RuntimeError:
        return False
    return True


def computes_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 itself, not by emulation: there it is the fast way."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if platform.machine() in ("x86_64", "AMD64"):  # here oneDNN also accepts bf16 that it has to emulate
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
