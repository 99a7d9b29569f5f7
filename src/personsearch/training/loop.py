"""The training loop: step, log, checkpoint, and go on exactly where a stopped run was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from personsearch.errors import PersonSearchError, SettingError
from personsearch.files import alone_in
from personsearch.losses.criteria import Criterion
from personsearch.models.search_network import Targets
from personsearch.runtime import all_agree, average_gradients, is_first, keep_memory, mixed_precision
from personsearch.training.batches.scenes import Batch
from personsearch.training.checkpoints import broken_part, load_checkpoint, read_facts, save_checkpoint
from personsearch.training.logs import StepLog
from personsearch.training.optimizers import OptimizerSettings, build_optimizer, learning_rate
from personsearch.training.stopping import leave_stopping_to_others, stop_requests

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"


def _nothing(_step: int) -> None:
    pass


@dataclass
class Training:
    """What a run is made of. `model(*inputs of a batch, targets)` gives what `criterion` judges and remembers."""

    model: nn.Module
    criterion: Criterion
    batches: Dataset[Batch]
    settings: OptimizerSettings
    facts: Mapping[str, Any]
    """Stored with each checkpoint."""

    def __post_init__(self) -> None:
        everything = [*self.model.parameters(), *self.criterion.parameters()]
        self._trained = [p for p in everything if p.requires_grad]
        if self.settings.accumulate < 1:
            raise SettingError(f"optimizer.accumulate {self.settings.accumulate}: give 1 or more parts")
        self.optimizer = build_optimizer([self.model, self.criterion], self.settings)

    def run(
        self,
        out: Path,
        *,
        resume: bool,
        every: int = 200,
        workers: int = 1,
        on_step: Callable[[int], None] = _nothing,
        on_checkpoint: Callable[[int], None] = _nothing,
        judge: Callable[[int], None] = _nothing,
    ) -> None:
        """Trains to the last step; checkpoints each `every` steps and at the end, logs every 10 steps to log.jsonl.

        On Ctrl-C or SIGTERM the current step is finished and checkpointed, without the slow `judge`, and
        KeyboardInterrupt is raised. Of several processes only the first writes files and makes the calls.

        Raises PersonSearchError where the run diverges; files then hold the last good state. Raises SettingError
        where another run is in the folder, OSError.
        """
        keep_memory()
        with alone_in(out) if is_first() else nullcontext(), _readers_alive(out), stop_requests() as asked:
            start, pending = self._resume(out) if resume else (0, [])
            log = StepLog(out / LOG, start, pending) if is_first() else None
            for step, batch in self._from(start, workers):
                try:
                    losses = self._step(step, batch)
                    stop = not all_agree(not asked(), self._device)
                    due = (step + 1) % every == 0 or step + 1 == self.settings.steps
                    if log is not None:
                        log.add(step, learning_rate(step, self.settings), losses)
                        if due or stop:
                            self._keep(out, step + 1, log, on_checkpoint, judge if due else _nothing)
                        on_step(step + 1)
                except _DivergedError as error:
                    raise PersonSearchError(f"{error}: {self._way_back(out)}") from None
                if stop and step + 1 < self.settings.steps:
                    raise KeyboardInterrupt

    def _keep(self, out: Path, step: int, log: StepLog, *calls: Callable[[int], None]) -> None:
        """Makes the calls of a checkpoint, then writes it."""
        broken = broken_part(self._modules(), self.optimizer)
        if broken is not None:
            raise _DivergedError(f"{broken} is not finite any more after step {step}")
        for call in calls:
            call(step)
        self._save(out, step, log)  # last: after a kill before it, a resumed run makes the calls again

    def _way_back(self, out: Path) -> str:
        """What to do about a run that diverged, in options of the command."""
        lower = f"--set optimizer.rate={self.settings.rate / 10:g}"
        if not (out / CHECKPOINT).exists():
            return f"start again with {lower}"
        kept = read_facts(out / CHECKPOINT)["step"]
        return f"go on from step {kept} with --resume {lower}; if that fails again, start anew with it in another --out"

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

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
                raise _DivergedError(f"the loss is {total.item()} at step {step}")
            share = len(part.images) / len(batch.images)
            (total * share).backward()  # type: ignore[no-untyped-call]
            outputs.append(output)
            told = {**losses, **self.criterion.watched(output)}
            means.update({name: number.item() * share for name, number in told.items()})
        average_gradients(self._trained)
        nn.utils.clip_grad_norm_(self._trained, self.settings.clip)
        self.optimizer.step()
        self.criterion.remember(outputs)
        return dict(means)

    def _forward(self, batch: Batch) -> Any:
        device = self._device
        # what is drawn at random is a function of seed, step and scene, not of the process that trains the scene
        targets = [
            Targets(boxes.to(device), identities.to(device), torch.Generator().manual_seed(seed))
            for boxes, identities, seed in zip(batch.boxes, batch.identities, batch.seeds, strict=True)
        ]
        with mixed_precision(device):
            return self.model(*(tensor.to(device) for tensor in batch.inputs()), targets)

    def _from(self, start: int, workers: int) -> Iterator[tuple[int, Batch]]:
        steps = range(start, self.settings.steps)
        loader = DataLoader(
            _Told(self.batches),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            worker_init_fn=leave_stopping_to_others,
        )
        return zip(steps, _raised(loader), strict=True)

    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "criterion": self.criterion}

    def _resume(self, out: Path) -> tuple[int, list[dict[str, float]]]:
        """The steps done, and the losses of the last ones, which are not logged yet."""
        path = out / CHECKPOINT
        if not path.exists():
            return 0, []
        facts = load_checkpoint(path, self._modules(), self.optimizer)
        return int(facts["step"]), facts.get("pending", [])

    def _save(self, out: Path, step: int, log: StepLog) -> None:
        facts = {**self.facts, "step": step, "pending": log.pending}
        save_checkpoint(out / CHECKPOINT, self._modules(), self.optimizer, facts)


class _DivergedError(Exception):
    """Numbers of a run are not finite."""


class _Told(Dataset["Batch | PersonSearchError | OSError"]):
    """Batches, or why one cannot be read. Raised in another process, an error would come as the text of a traceback,
    and torch would keep that process until the end of the program, which then waits for it."""

    def __init__(self, batches: Dataset[Batch]) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> Batch | PersonSearchError | OSError:
        try:
            return self._batches[step]
        except (PersonSearchError, OSError) as error:
            return error


def _raised(told: Iterable[Batch | PersonSearchError | OSError]) -> Iterator[Batch]:
    for one in told:
        if not isinstance(one, Batch):
            raise one
        yield one


@contextmanager
def _readers_alive(out: Path) -> Iterator[None]:
    """Says in one line that a process that reads pictures was killed. torch raises that whatever is being done."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise PersonSearchError(
            "the process that reads pictures was killed, probably for lack of memory: close other programs; "
            + way_on(out)
        ) from None


def has_begun(out: Path) -> bool:
    """Whether a run goes on in a folder, and not from its first step."""
    return (out / CHECKPOINT).exists()


def way_on(out: Path) -> str:
    """How a run that ended early goes on, as a command."""
    if not has_begun(out):
        return "no checkpoint was written yet: the same command starts again"
    return f"the same command with --resume goes on from step {read_facts(out / CHECKPOINT)['step']}"
