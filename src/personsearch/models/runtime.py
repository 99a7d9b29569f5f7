"""How arithmetic is run: precision by what the machine can do, and memory that stays with the process."""

from __future__ import annotations

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn

from personsearch.errors import SettingError
from personsearch.models.resnet import ConvFrozenNorm

M = TypeVar("M", bound=nn.Module)

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def best_device() -> str:
    """cuda where there is one, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def checked_device(name: str | torch.device | None = None) -> str:
    """A device by name, the best one for None. Raises SettingError for one that is not here, or of another kind."""
    if name is None:
        return best_device()
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise SettingError(f"there is no device {name}: give cpu, or cuda where there is a GPU")
    if device.type == "cuda":
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if there == 0:
            raise SettingError(f"{name}: no GPU that torch can use is here: give cpu")
        if (device.index or 0) >= there:
            raise SettingError(f"there is no device {name}: give one from cuda:0 to cuda:{there - 1}, or cpu")
    return str(device)


def has_fast_bfloat16(device: torch.device) -> bool:
    """True where bfloat16 is faster than float32, not merely possible."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where that is fast, else nothing."""
    if has_fast_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def keep_memory() -> None:
    """Tells glibc to keep big buffers instead of handing them back after each layer: page faults cost much of the time.

    Does nothing on other systems.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another libc
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 256 << 20)


def prepare_for_inference(model: M) -> M:
    """The same function, faster, in place: frozen norms folded into their convolutions, channels last, eval mode.

    In bfloat16 where mixed precision would be used anyway, so that weights are not converted at each call.
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ConvFrozenNorm):
                setattr(module, name, child.folded())
    if has_fast_bfloat16(next(model.parameters()).device):
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.to(torch.bfloat16)
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
