"""A run that is stopped, killed, or out of disk, on a model of one number: what is kept, and that it goes on."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from personsearch import experiment
from personsearch.errors import ImageError, PersonSearchError, SettingError, WeightsError
from personsearch.models import tensor_files
from personsearch.training.batches.scenes import Batch
from personsearch.training.checkpoints import load_checkpoint, read_facts
from personsearch.training.curves import draw_losses
from personsearch.training.logs import lines_up_to
from personsearch.training.loop import CHECKPOINT, LOG, Training, way_on
from personsearch.training.optimizers import OptimizerSettings
from personsearch.training.stopping import leave_stopping_to_others


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    """A shell starts what runs in its background with Ctrl-C ignored, and that would stay so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Brightness(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor, _targets: object) -> Tensor:
        return self.factor * images.float().mean(dim=(1, 2, 3))


class Square(nn.Module):
    def forward(self, output: Tensor) -> dict[str, Tensor]:
        return {"square": output.square().mean()}

    def remember(self, _outputs: list[Tensor]) -> None:
        pass

    def watched(self, _output: Tensor) -> dict[str, Tensor]:
        return {}


class Batches:
    """A batch of one picture a step; `before` is called when it is read."""

    def __init__(self, before: Callable[[int], None] = lambda step: None) -> None:
        self.before = before

    def __getitem__(self, step: int) -> Batch:
        self.before(step)
        images = torch.full((1, 3, 2, 2), step % 5 + 1, dtype=torch.uint8)
        return Batch(images, [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)], [step])


def training(steps: int = 30, rate: float = 0.001, before: Callable[[int], None] = lambda step: None) -> Training:
    settings = OptimizerSettings(rate=rate, steps=steps, warmup=0, drops=())
    return Training(Brightness(), Square(), Batches(before), settings, {"recipe": {}})  # type: ignore[arg-type]


def run(out: Path, made: Training, *, resume: bool = False, every: int = 10, **more: Any) -> Training:
    made.run(out, resume=resume, every=every, workers=0, **more)
    return made


def same(one: Path, two: Path) -> bool:
    a, b = load_file(one / CHECKPOINT), load_file(two / CHECKPOINT)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stop", [3, 9, 13])
def test_a_stop_keeps_the_step_and_the_run_goes_on_bit_for_bit(tmp_path: Path, stop: int, number: int) -> None:
    def ask(step: int) -> None:
        if step == stop:
            os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    kept: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", training(before=ask), on_checkpoint=kept.append)
    assert signal.getsignal(number) is handler
    assert read_facts(tmp_path / "parts" / CHECKPOINT)["step"] == stop + 1 == kept[-1]
    assert way_on(tmp_path / "parts") == f"the same command with --resume goes on from step {stop + 1}"
    run(tmp_path / "parts", training(), resume=True)
    run(tmp_path / "whole", training())
    assert same(tmp_path / "parts", tmp_path / "whole")
    assert [line["step"] for line in lines_up_to(tmp_path / "parts" / LOG)] == [10, 20, 30]
    parts, whole = (lines_up_to(tmp_path / name / LOG) for name in ("parts", "whole"))
    assert [{**line, "seconds": 0} for line in parts] == [{**line, "seconds": 0} for line in whole]


def test_a_second_request_stops_at_once_and_the_last_step_is_the_end(tmp_path: Path) -> None:
    def twice(step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", training(before=twice))
    assert not (tmp_path / "a" / CHECKPOINT).exists()
    assert "no checkpoint was written yet" in way_on(tmp_path / "a")
    run(tmp_path / "a", training())  # as the line says
    run(tmp_path / "b", training(before=lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 29 else None))
    assert same(tmp_path / "a", tmp_path / "b")


def test_judging_is_left_to_regular_checkpoints(tmp_path: Path) -> None:
    judged: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run(
            tmp_path,
            training(before=lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 12 else None),
            judge=judged.append,
        )
    assert judged == [10]


GARBAGE = ['{"step": 10, "ra', "\x00\x00", "[1, 2]", '{"step": "x"}', '{"step": true}', "5", "\xff\xfe{", "[" * 100_000]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_lines_that_are_cut_are_dropped_and_the_run_goes_on(tmp_path: Path, garbage: str) -> None:
    run(tmp_path, training(steps=20))
    log = tmp_path / LOG
    first, second = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + garbage.encode("latin-1") + b"\n" + second + garbage.encode("latin-1"))
    draw_losses(log, tmp_path / "losses.png")
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    run(tmp_path, training(steps=30), resume=True)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [10, 20, 30]


def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tensor_files.save_file

    def full(tensors: Any, path: Path, **options: Any) -> None:
        if json.loads(options["metadata"]["facts"])["step"] > 10:
            path.write_bytes(b"half")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        whole(tensors, path, **options)

    monkeypatch.setattr(tensor_files, "save_file", full)
    with pytest.raises(OSError, match="No space") as caught:
        run(tmp_path, training())
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / CHECKPOINT))
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKPOINT, LOG]
    monkeypatch.setattr(tensor_files, "save_file", whole)
    assert way_on(tmp_path).endswith("--resume goes on from step 10")
    run(tmp_path, training(), resume=True)
    run(tmp_path / "whole", training())
    assert same(tmp_path, tmp_path / "whole")


@pytest.mark.parametrize("at", [9, 10, 14])
def test_numbers_that_are_not_finite_are_never_kept(tmp_path: Path, at: int) -> None:
    """Spoilt at or after a checkpoint: the last good state stays, and the message names the way that works."""
    made = training()

    def spoil(step: int) -> None:
        if step == at:
            with torch.no_grad():
                made.model.factor.fill_(1e30)  # type: ignore[union-attr]

    made.batches.before = spoil  # type: ignore[attr-defined]
    with pytest.raises(PersonSearchError, match=r"--set optimizer\.rate=0\.0001") as caught:
        run(tmp_path, made, every=5)
    kept = at // 5 * 5
    assert f"go on from step {kept} with --resume" in str(caught.value)
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / CHECKPOINT).values())
    assert read_facts(tmp_path / CHECKPOINT)["step"] == kept
    run(tmp_path, training(rate=0.0001), resume=True)


def test_weights_too_large_for_float16_are_not_kept_either(tmp_path: Path) -> None:
    made = training()
    with torch.no_grad():
        made.model.factor.fill_(1e6)  # type: ignore[union-attr]
    with pytest.raises(PersonSearchError, match=r"start again with --set optimizer\.rate"):
        run(tmp_path, made, every=1)
    assert not (tmp_path / CHECKPOINT).exists()


@pytest.mark.parametrize("damage", ["cut", "step", "recipe", "pending", "facts", "optimizer", "shape"])
def test_a_damaged_checkpoint_is_one_line_and_deleting_it_helps(tmp_path: Path, damage: str) -> None:
    run(tmp_path, training(steps=10))
    path = tmp_path / CHECKPOINT
    tensors, facts = load_file(path), read_facts(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif damage == "facts":
        save_file(tensors, path, {"facts": "[1]"})
    elif damage in ("step", "recipe", "pending"):
        save_file(tensors, path, {"facts": json.dumps({**facts, damage: "x"})})
    else:
        (name,) = (name for name in tensors if name.startswith("optimizer/"))
        value = tensors.pop(name)
        tensors |= {"optimizer/x/y": value} if damage == "optimizer" else {name: value.repeat(3)}
        save_file(tensors, path, {"facts": json.dumps(facts)})
    with pytest.raises(WeightsError, match=r"delete it and start the run again") as caught:
        run(tmp_path, training(), resume=True)
    assert "\n" not in str(caught.value)
    path.unlink()
    run(tmp_path, training())
    assert load_checkpoint(path, training()._modules(), training().optimizer)["step"] == 30


def test_what_of_a_benchmark_was_left_out_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise SettingError("enough")

    monkeypatch.setattr(experiment, "load_training", lambda _: SimpleNamespace(notes=("3 boxes: left out",)))
    monkeypatch.setattr(experiment, "prepare", stop)
    told: list[str] = []
    with pytest.raises(SettingError, match="enough"):
        experiment.train("binet_prw", "coco:x", tmp_path / "r", device="cpu", complain=told.append)
    assert told == ["3 boxes: left out"]


class OwnProcess(Dataset[int]):
    """Tells which process reads it."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, _index: int) -> int:
        return os.getpid()


@pytest.mark.parametrize("every", [2, 100])
def test_a_reading_process_that_is_killed_is_one_line_whatever_is_being_done(tmp_path: Path, every: int) -> None:
    """As where memory runs out: torch raises it in the middle of a step, too."""

    def kill(step: int) -> None:
        if step == 3:
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)
            time.sleep(60)  # torch ends it

    told = "same command with --resume goes on from step 2" if every == 2 else "the same command starts again"
    with pytest.raises(PersonSearchError, match=rf"was killed, probably for lack of memory: close other .*; .*{told}$"):
        training().run(tmp_path, resume=False, every=every, workers=1, on_step=kill)
    training().run(tmp_path, resume=True, workers=0)
    assert read_facts(tmp_path / CHECKPOINT)["step"] == 30


def unreadable(step: int) -> None:
    if step == 3:
        raise ImageError("3.jpg is not a picture")


def diverging(step: int) -> None:
    if step == 3:
        raise RuntimeError("of a step")


@pytest.mark.parametrize("where", ["in a process that reads", "in a step"])
def test_processes_that_read_end_with_the_run_that_fails(tmp_path: Path, where: str) -> None:
    """Left to the end of the program, they would hold it up for two minutes."""
    if where == "in a step":
        with pytest.raises(RuntimeError, match="of a step"):
            training().run(tmp_path, resume=False, workers=1, on_step=diverging)
    else:
        with pytest.raises(ImageError, match=r"^3\.jpg is not a picture$"):
            training(before=unreadable).run(tmp_path, resume=False, workers=1)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_processes_that_read_outlive_what_stops_a_whole_group(number: signal.Signals) -> None:
    loader = DataLoader(
        OwnProcess(), batch_size=None, num_workers=1, prefetch_factor=1, worker_init_fn=leave_stopping_to_others
    )
    reader = iter(loader)
    first = next(reader)
    os.kill(first, number)
    assert list(reader) == [first] * 5
