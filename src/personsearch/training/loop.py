"""The training loop: step, log, checkpoint, and go on exactly where a stopped run was."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from personsearch.data.batches import Batch
from personsearch.errors import PersonSearchError, SettingError
from personsearch.models.runtime import mixed_precision
from personsearch.models.search_network import Targets
from personsearch.training.checkpoints import load_checkpoint, save_checkpoint
from personsearch.training.processes import all_agree, average_gradients, is_first
from personsearch.training.recipes import OptimizerSettings

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"


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


def _nothing(_step: int) -> None:
    pass


@dataclass
class Training:
    """What a run is made of. `model(*inputs of a batch, targets)` gives what `criterion` judges and remembers."""

    model: nn.Module
    criterion: nn.Module
    batches: Dataset[Batch]
    settings: OptimizerSettings
    facts: Mapping[str, Any]
    """Stored with each checkpoint."""

    def __post_init__(self) -> None:
        everything = [*self.model.parameters(), *self.criterion.parameters()]
        self._trained = [p for p in everything if p.requires_grad]
        if self.settings.kind not in _OPTIMIZERS:
            raise SettingError(f"optimizer.kind {self.settings.kind}: choose one of {', '.join(_OPTIMIZERS)}")
        if self.settings.schedule not in _SCHEDULES:
            raise SettingError(f"optimizer.schedule {self.settings.schedule}: choose one of {', '.join(_SCHEDULES)}")
        if self.settings.accumulate < 1:
            raise SettingError(f"optimizer.accumulate {self.settings.accumulate}: give 1 or more parts")
        self.optimizer = _OPTIMIZERS[self.settings.kind](self._groups(), self.settings)

    def _groups(self) -> list[dict[str, Any]]:
        """Trained parameters by how fast they move: those that were handed over, and those that start at random."""
        named = [*self.model.named_parameters(), *self.criterion.named_parameters()]
        factors = {"given": 1.0, "fresh": self.settings.fresh_factor, "correlation": self.settings.correlation_factor}
        groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in factors}
        for name, parameter in named:
            if parameter.requires_grad:
                groups[_kind(name)].append(parameter)
        return [{"params": groups[kind], "factor": factors[kind]} for kind in groups if groups[kind]]

    def run(
        self,
        out: Path,
        *,
        resume: bool,
        every: int = 200,
        workers: int = 1,
        on_step: Callable[[int], None] = _nothing,
        on_checkpoint: Callable[[int], None] = _nothing,
    ) -> None:
        """Trains to the last step; checkpoints each `every` steps and at the end, logs every 10 steps to log.jsonl.

        Of several processes the first writes and is heard.
        """
        start = self._resume(out) if resume else 0
        log = _Log(out / LOG, start) if is_first() else None
        for step, batch in self._from(start, workers):
            losses = self._step(step, batch)
            if log is None:
                continue
            log.add(step, learning_rate(step, self.settings), losses)
            if (step + 1) % every == 0 or step + 1 == self.settings.steps:
                on_checkpoint(step + 1)
                self._save(out, step + 1)  # last: what a kill leaves undone is then done again
            on_step(step + 1)

    def _step(self, step: int, batch: Batch) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.settings) * group["factor"]
        self.optimizer.zero_grad()
        parts = batch.parts(self.settings.accumulate)
        outputs, means = [], Counter[str]()
        for part in parts:
            output = self._forward(part)
            losses: dict[str, Tensor] = self.criterion(output)
            total = torch.stack(list(losses.values())).sum()
            if not all_agree(bool(total.isfinite()), total.device):
                raise PersonSearchError(
                    f"the loss is {total.item()} at step {step}: lower optimizer.rate and use --resume"
                )
            share = len(part.images) / len(batch.images)
            (total * share).backward()  # type: ignore[no-untyped-call]
            outputs.append(output)
            means.update({name: loss.item() * share for name, loss in losses.items()})
        average_gradients(self._trained)
        nn.utils.clip_grad_norm_(self._trained, self.settings.clip)
        self.optimizer.step()
        self.criterion.remember(outputs)  # type: ignore[operator]
        return dict(means)

    def _forward(self, batch: Batch) -> Any:
        device = next(self.model.parameters()).device
        # what is drawn at random is a function of seed, step and scene, not of who trains which scene when
        targets = [
            Targets(boxes.to(device), identities.to(device), torch.Generator().manual_seed(seed))
            for boxes, identities, seed in zip(batch.boxes, batch.identities, batch.seeds, strict=True)
        ]
        with mixed_precision(device):
            return self.model(*(tensor.to(device) for tensor in batch.inputs()), targets)

    def _from(self, start: int, workers: int) -> Iterator[tuple[int, Batch]]:
        steps = range(start, self.settings.steps)
        loader = DataLoader(self.batches, batch_size=None, sampler=steps, num_workers=workers)
        return zip(steps, _one_line_errors(loader), strict=True)

    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "criterion": self.criterion}

    def _resume(self, out: Path) -> int:
        path = out / CHECKPOINT
        if not path.exists():
            return 0
        return int(load_checkpoint(path, self._modules(), self.optimizer)["step"])

    def _save(self, out: Path, step: int) -> None:
        save_checkpoint(out / CHECKPOINT, self._modules(), self.optimizer, {**self.facts, "step": step})


def _one_line_errors(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Errors of a loader's process come with its whole traceback as their message; the last line is the error's."""
    try:
        yield from batches
    except PersonSearchError as error:
        last = str(error).strip().splitlines()[-1]
        raise type(error)(last.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")) from None


class _Log:
    """One JSON line per ten steps: step, rate, seconds, mean losses."""

    EVERY = 10

    def __init__(self, path: Path, start: int) -> None:
        kept = []
        if path.exists() and start:
            # a run killed after its checkpoint has logged steps that are about to be done again
            kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= start]
        path.write_text("".join(line + "\n" for line in kept))
        self._path = path
        self._pending: list[dict[str, float]] = []
        self._since = time.perf_counter()

    def add(self, step: int, rate: float, losses: dict[str, float]) -> None:
        self._pending.append(losses)
        if (step + 1) % self.EVERY:
            return
        now = time.perf_counter()
        means = {k: round(sum(p[k] for p in self._pending) / len(self._pending), 5) for k in losses}
        line = {"step": step + 1, "rate": rate, "seconds": round(now - self._since, 2), **means}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._pending, self._since = [], now
