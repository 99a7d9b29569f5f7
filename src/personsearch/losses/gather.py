"""Rows from all processes of a run."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


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
