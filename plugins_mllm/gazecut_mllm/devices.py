"""Which device and floating type to compute with."""

from __future__ import annotations

import torch

from gazecut.errors import DeviceError

WAITING = ("cpu", "disk")
"""Where a device map may put what is brought to a GPU only while it computes."""


def present_devices() -> list[str]:
    """Devices of this machine, fastest first, as a recipe names them."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def resolve_device(name: str) -> torch.device:
    """The device that a name means; "auto" is the fastest present.

    Args:
        name: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        DeviceError: The name is none of those, or the machine has no such device.
    """
    present = present_devices()
    if name == "auto":
        return torch.device(present[0])
    full = "cuda:0" if name == "cuda" else name
    if full not in present:
        raise DeviceError(f'device "{name}" is not here; this machine has: {", ".join(present)}. Choose one of them, or "auto".')
    return torch.device(full)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The floating type that a name means on a device; "auto" is bfloat16 on a GPU and float32 on a CPU."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def peak_memory(device: torch.device) -> int:
    """Most memory in use on the device so far, in bytes; 0 where it does not tell."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
