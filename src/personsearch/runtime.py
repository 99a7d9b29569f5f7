"""How arithmetic is run: the device, precision by what it can do, memory that is kept, and several processes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from personsearch.errors import PersonSearchError, SettingError

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
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise SettingError(f"{name}: no GPU that torch can use is here: give cpu")
        if (device.index or 0) >= count:
            raise SettingError(f"there is no device {name}: give one from cuda:0 to cuda:{count - 1}, or cpu")
    return str(device)


def reading_processes(device: str) -> int:
    """How many processes read pictures for training: one beside a network on the CPU, most cores beside a GPU."""
    return 1 if torch.device(device).type == "cpu" else max(1, min(16, (os.cpu_count() or 2) - 2))


_exact = False


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Within it networks are loaded and run in float32, as on a machine without fast bfloat16."""
    global _exact
    before, _exact = _exact, True
    try:
        yield
    finally:
        _exact = before


def has_fast_bfloat16(device: torch.device) -> bool:
    """True where bfloat16 is faster than float32, not merely possible; never within `exact_arithmetic`."""
    if _exact:
        return False
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


def gather_rows(rows: Tensor) -> Tensor:
    """Tensors [N_r, ...] of every rank r, of different lengths, as one, in order of ranks; every rank gets the same.

    With one process the tensor itself.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.zeros_like(count) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, count)
    longest = max(int(c) for c in counts)
    padded = rows.new_zeros((longest, *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.zeros_like(padded) for _ in counts]
    distributed.all_gather(parts, padded)
    return torch.cat([part[: int(c)] for part, c in zip(parts, counts, strict=True)])


_PATIENCE = timedelta(hours=4)
"""How long processes wait for the first one, which evaluates checkpoints alone."""


@contextmanager
def joined(device: str) -> Iterator[tuple[int, int]]:
    """Joins the processes that torchrun started; yields this one's rank and their number, (0, 1) without torchrun.

    With "cuda" each process has a GPU of its own. Raises SettingError when there are too few, PersonSearchError when
    another process ends early.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        yield 0, 1
        return
    on_gpu, local = device.startswith("cuda"), int(os.environ.get("LOCAL_RANK", "0"))
    if on_gpu and local >= torch.cuda.device_count():
        raise SettingError(
            f"process {local + 1} has no GPU, as there are {torch.cuda.device_count()}: start fewer processes, or give "
            "--device cpu"
        )
    if on_gpu:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield distributed.get_rank(), processes
        # not after an error: this process would wait for the others, and they for it
        distributed.barrier()
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise PersonSearchError("another process of this run has ended: the line of that one says why") from None
    distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process writes files; true without others."""
    return not _together() or distributed.get_rank() == 0


def all_agree(fine: bool, device: torch.device) -> bool:
    """Whether `fine` is true in every process, so that all stop at the same step if one must."""
    if not _together():
        return fine
    flag = torch.tensor(int(fine), device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MIN)
    return bool(flag)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Gives every process the mean of all gradients; a missing one counts as zero. Nothing with a single process.

    In one message: the search network's gradients are 100 MB, and a step takes far longer than sending them.
    """
    if not _together():
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
