"""Which device to compute on, and with what precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from gazecut.errors import DeviceError


def resolve_device(name: str) -> torch.device:
    """The device that a name means; "auto" is the fastest present.

    Args:
        name: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        DeviceError: The name is none of those, or the machine has no such device.
    """
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    present = [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    full = {"auto": present[0], "cuda": "cuda:0"}.get(name, name)
    if full not in present:
        raise DeviceError(f'device "{name}" is not here; this machine has: {", ".join(present)}. Choose one of them, or "auto".')
    return torch.device(full)


def peak_memory(device: torch.device) -> int:
    """Most memory in use on the device so far, in bytes; 0 where it does not tell."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


@contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """Inference, with matrix products in that precision; never held across a `yield` of the caller's.

    On a CUDA device convolutions are exact and repeatable meanwhile: by default torch lets cuDNN round them to ten bits (TF32).
    """
    convolutions: Any = torch.backends.cudnn  # untyped
    exact = convolutions.flags(enabled=True, deterministic=True, allow_tf32=False) if device.type == "cuda" else nullcontext()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"), exact:
        yield
