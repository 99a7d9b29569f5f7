"""Optimizers: their settings, which parameters move how fast, and how the rate changes over a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import nn

from personsearch.errors import SettingError
from personsearch.models.paces import PacedModule
from personsearch.settings import Count, MayBeEmpty, Positive, Range

Momentum = Annotated[float, Range(0, 0.9999)]


@dataclass(frozen=True)
class OptimizerSettings:
    """An optimizer, a linear warm-up, and how the rate falls after it."""

    kind: str = "sgd"
    """"sgd" or "adamw"."""
    rate: Positive = 0.001
    fresh_factor: Positive = 1.0
    """The rate of what ImageNet weights lack (proposal network, person score, box, …) is this many times larger."""
    correlation_factor: Positive = 1.0
    """The same of IGPN's correlation layers: products of three layers, which must not run away from each other."""
    momentum: Momentum = 0.9
    """Of SGD, and Adam's first."""
    weight_decay: float = 0.0001
    steps: Count = 50_000
    schedule: str = "drops"
    """"drops": the rate falls to a tenth at each of `drops`; "cosine": it falls to zero at the last step."""
    drops: Annotated[tuple[int, ...], MayBeEmpty] = (40_000,)
    warmup: int = 500
    accumulate: Count = 1
    """In how many parts a step's scenes go through the network, one after the other: for less memory.

    Losses are means over each part, weighted by its scenes; the OIM memory moves once, as without parts.
    """
    clip: Positive = 10.0
    """Largest norm of the gradient."""
    frozen_stages: Annotated[int, Range(0, 4)] = 2
    """How many of conv1, layer1, layer2, layer3 stay as ImageNet made them."""


def _sgd(parameters: list[dict[str, Any]], s: OptimizerSettings) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, s.rate, s.momentum, weight_decay=s.weight_decay)


def _adamw(parameters: list[dict[str, Any]], s: OptimizerSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, s.rate, (s.momentum, 0.999), weight_decay=s.weight_decay, fused=True)


_OPTIMIZERS = {"sgd": _sgd, "adamw": _adamw}


def _drops(step: int, s: OptimizerSettings) -> float:
    return float(0.1 ** sum(step >= drop for drop in s.drops))


def _cosine(step: int, s: OptimizerSettings) -> float:
    return (1 + math.cos(math.pi * step / s.steps)) / 2


_SCHEDULES = {"drops": _drops, "cosine": _cosine}


def learning_rate(step: int, settings: OptimizerSettings) -> float:
    """The rate of a step, counted from 0: linear warm-up, and from there as the schedule says."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup))
    return settings.rate * warm * _SCHEDULES[settings.schedule](step, settings)


def build_optimizer(parts: Iterable[nn.Module], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """An optimizer of a network and its criterion. Raises SettingError for an unknown kind or schedule."""
    for name, value, known in (
        ("kind", settings.kind, _OPTIMIZERS),
        ("schedule", settings.schedule, _SCHEDULES),
    ):
        if value not in known:
            raise SettingError(f"optimizer.{name} {value}: choose one of {', '.join(known)}")
    return _OPTIMIZERS[settings.kind](parameter_groups(parts, settings), settings)


def parameter_groups(parts: Iterable[nn.Module], settings: OptimizerSettings) -> list[dict[str, Any]]:
    """The trained parameters of a network and its criterion by how fast they learn, which the parts say themselves.

    Each group has a "factor" that multiplies its rate. The order of groups is that of the factors below, and that of
    parameters within a group is the network's: checkpoints number parameters so.
    """
    factors = {"given": 1.0, "fresh": settings.fresh_factor, "correlation": settings.correlation_factor}
    parts = list(parts)
    pace_of = {
        parameter: pace
        for part in parts
        if isinstance(part, PacedModule)
        for pace, modules in part.paces().items()
        for module in modules
        for parameter in module.parameters()
    }
    groups: dict[str, list[nn.Parameter]] = {pace: [] for pace in factors}
    for part in parts:
        for parameter in part.parameters():
            if parameter.requires_grad:
                groups[pace_of.get(parameter, "given")].append(parameter)
    return [{"params": groups[pace], "factor": factors[pace]} for pace in groups if groups[pace]]
