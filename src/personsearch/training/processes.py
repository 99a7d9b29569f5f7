"""Training in several processes, as torchrun starts them: who this one is, and gradients of all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from personsearch.errors import SettingError

_PATIENCE = timedelta(hours=4)
"""How long processes wait for the first one, which evaluates checkpoints alone."""


@contextmanager
def joined(device: str) -> Iterator[tuple[int, int]]:
    """Joins the processes that torchrun started; yields this one's rank and their number, (0, 1) without torchrun.

    With "cuda" each process has a GPU of its own. Raises SettingError when there are too few.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        yield 0, 1
        return
    on_gpu, local = device.startswith("cuda"), int(os.environ.get("LOCAL_RANK", "0"))
    if on_gpu and local >= torch.cuda.device_count():
        raise SettingError(
            f"process {local + 1} has no GPU of {torch.cuda.device_count()}: start fewer, or --device cpu"
        )
    if on_gpu:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    yield distributed.get_rank(), processes
    # not after an error: the others would be waited for, who wait themselves
    distributed.barrier()
    distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process writes files; true without others."""
    return not _together() or distributed.get_rank() == 0


def all_agree(fine: bool, device: torch.device) -> bool:
    """Whether it is fine for every process; so that all stop at one step if one must."""
    if not _together():
        return fine
    flag = torch.tensor(int(fine), device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MIN)
    return bool(flag)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Gives every process the mean of all gradients. One without a gradient counts as zero. Nothing without others.

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
