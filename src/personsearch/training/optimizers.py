"""Optimizers: their settings, which parameters move how fast, and how the rate changes over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch

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


_CORRELATION = ("similarity.", "regression.")
"""IGPN's correlation layers, which ImageNet weights lack, too."""


_FRESH = ("rpn.", "score.", "fit.", "delta.", "relation.", "local.", "search.", "reduce.", "classifiers.")
"""All else that they lack, in any network or criterion, and the embedding that IGPN compares by, which has to learn
another thing than it was taught; the embedding of a search network is no part of it."""


def _kind(name: str) -> str:
    """Where a parameter starts, by its name."""
    if any(part in name for part in _CORRELATION):
        return "correlation"
    return "fresh" if any(part in name for part in _FRESH) else "given"
