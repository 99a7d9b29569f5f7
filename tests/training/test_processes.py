"""Several processes of torchrun learn and remember what one process with the whole batch does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from personsearch.data.coco import save_coco
from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Person, Scene
from personsearch.losses.gather import gather_rows
from personsearch.training.processes import average_gradients, is_first, joined

SETTINGS = [
    "batches.scenes=4",
    "batches.short_sides=[96]",
    "optimizer.steps=2",
    "optimizer.rate=1e-7",
    "network.rois=8",
    "loss.oim.queue=16",
]


def train(out: Path, data: Path, *launcher: str) -> None:
    changes = [word for setting in SETTINGS for word in ("--set", setting)]
    command = [sys.executable, *launcher, "-m", "personsearch", "train", "binet_rendered", "--data", f"coco:{data}"]
    run = subprocess.run(
        [*command, "--out", str(out), "--backbone", "random", *changes], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four scenes of one size with six people, two of them without identity."""
    people = ((0, 1), (1, 2), (UNLABELED, 2), (0, UNLABELED))
    scenes = []
    for number, identities in enumerate(people):
        path = tmp_path / f"{number}.png"
        torch.manual_seed(number)
        Image.fromarray(torch.randint(0, 255, (96, 160, 3), dtype=torch.uint8).numpy()).save(path)
        boxes = ((10.0, 10.0, 40.0, 80.0), (60.0, 20.0, 90.0, 90.0))
        persons = tuple(Person(box, identity) for box, identity in zip(boxes, identities, strict=True))
        scenes.append(Scene(f"{number}.png", ImageFile(path), 160, 96, persons))
    save_coco(Benchmark("four", tuple(scenes), 3, (), ()), tmp_path / "data")
    return tmp_path / "data"


def test_two_processes_remember_what_one_does(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "one", data)
    train(tmp_path / "two", data, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    one, two = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    memory = [name for name in one if "memory" in name]
    assert len(memory) == 3
    for name in memory:
        torch.testing.assert_close(one[name], two[name], atol=0.02, rtol=0)
    assert int(two["criterion/memory.queue_head"]) > 0
    assert two["criterion/memory.lookup_table"].any(dim=1).all(), "people of every process are remembered"


def test_one_process_needs_no_others() -> None:
    with joined() as share:
        assert share == (0, 1)
    rows = torch.rand(3, 2)
    assert gather_rows(rows) is rows
    parameter = torch.nn.Parameter(rows)
    average_gradients([parameter])
    assert parameter.grad is None
    assert is_first()
