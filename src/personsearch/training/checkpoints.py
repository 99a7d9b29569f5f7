"""A run's state in one safetensors file: written beside, then renamed, so that a kill leaves the old or the new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from personsearch.errors import SettingError, WeightsError
from personsearch.models.tensor_files import first_not_finite, halved, save_tensors


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Writes the modules, the optimizer and some JSON facts (the step, the recipe). Raises OSError."""
    tensors = {name: tensor.contiguous() for name, tensor in _state(modules, optimizer).items()}
    save_tensors(path, tensors, {"facts": json.dumps(facts)})


def broken_part(modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> str | None:
    """The name of a part of a run's state that is not finite, or, in the model, too large for weights in float16."""
    state = _state(modules, optimizer)
    return first_not_finite({k: halved(t) if k.startswith("model/") else t for k, t in state.items()})


def _state(modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"{name}/{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": t for key, t in state.items() if isinstance(t, Tensor)}
    return tensors


def read_facts(path: Path) -> dict[str, Any]:
    """The facts stored with a checkpoint, its step among them. Raises WeightsError when it cannot be read."""
    return _read(path)[0]


def _read(path: Path, *, whole: bool = False) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts, and with `whole` the tensors. Raises WeightsError."""
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
            names = file.keys() if whole else ()
            tensors = {name: file.get_tensor(name) for name in names}
        if type(facts["step"]) is not int or facts["step"] < 0:
            raise ValueError(f"step {facts['step']!r}")
        for name in ("recipe", "training_data"):
            if not isinstance(facts.get(name, {}), dict):
                raise ValueError(f"{name} {facts[name]!r}")
        if not all(isinstance(losses, dict) for losses in facts.get("pending", [])):
            raise ValueError(f"pending {facts['pending']!r}")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    return facts, tensors


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())[:160]
    return WeightsError(f"{path}: not a readable checkpoint ({reason}); delete it and start the run again")


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restores everything, bit for bit, and returns the facts.

    Raises WeightsError for a damaged file, SettingError for a run with other settings.
    """
    facts, tensors = _read(path, whole=True)
    try:
        for name, module in modules.items():
            module.load_state_dict(_under(tensors, name))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingError(
            f"{path}: the run had other settings ({reason}); give the same ones or another --out"
        ) from None
    states: dict[int, dict[str, Tensor]] = {}
    try:
        for key, tensor in _under(tensors, "optimizer").items():
            index, _, field = key.partition("/")
            states.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        _match_memory_formats(optimizer)
    except (ValueError, RuntimeError) as error:
        raise _damaged(path, error) from None
    return facts


def _match_memory_formats(optimizer: torch.optim.Optimizer) -> None:
    """Lays each state tensor out in memory as its parameter is: fused optimizers read both in storage order."""
    for parameter, state in optimizer.state.items():
        for name, tensor in state.items():
            if isinstance(tensor, Tensor) and tensor.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(tensor)
            elif isinstance(tensor, Tensor) and tensor.dim():
                raise ValueError(f"{name} of the optimizer is {list(tensor.shape)}, not {list(parameter.shape)}")


def _under(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
