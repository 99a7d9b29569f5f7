"""Training in several processes, as torchrun starts them: who this one is, and gradients of all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn


@contextmanager
def joined() -> Iterator[tuple[int, int]]:
    """Joins the processes that torchrun started; yields this one's rank and their number, (0, 1) without torchrun."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        yield 0, 1
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield distributed.get_rank(), processes
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process writes files; true without others."""
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_rank() == 0


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Gives every process the mean of all gradients. One without a gradient counts as zero. Nothing without others.

    In one message: the search network's gradients are 100 MB, and a step takes far longer than sending them.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
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
