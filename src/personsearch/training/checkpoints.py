"""A run's state in one safetensors file: written beside, then renamed, so that a kill leaves the old or the new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from personsearch.errors import SettingError, WeightsError


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Writes the modules, the optimizer and some JSON facts (the step, the recipe)."""
    tensors = {f"{name}/{key}": t.contiguous() for name, m in modules.items() for key, t in m.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": t.contiguous() for key, t in state.items() if isinstance(t, Tensor)}
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={"facts": json.dumps(facts)})
    part.replace(path)


def read_facts(path: Path) -> dict[str, Any]:
    """The facts stored with a checkpoint. Raises WeightsError when it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a readable checkpoint ({error}); start the run again without --resume"
        ) from None
    return facts


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Puts everything back, bit for bit, and returns the facts."""
    facts = read_facts(path)
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    try:
        for name, module in modules.items():
            module.load_state_dict(_under(tensors, name))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingError(
            f"{path}: the run had other settings ({reason}); give the same ones or another --out"
        ) from None
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _under(tensors, "optimizer").items():
        index, _, field = key.partition("/")
        states.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    _match_memory_formats(optimizer)
    return facts


def _match_memory_formats(optimizer: torch.optim.Optimizer) -> None:
    """Lays each state tensor out in memory as its parameter is: fused optimizers read both in storage order."""
    for parameter, state in optimizer.state.items():
        for name, tensor in state.items():
            if isinstance(tensor, Tensor) and tensor.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(tensor)


def _under(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
