"""Several processes of torchrun learn and remember what one process with the whole batch does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from personsearch.data.layouts.coco import save_coco
from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Person, Scene
from personsearch.files import alone_in
from personsearch.losses.oim import OIMMemory, OIMSettings
from personsearch.runtime import average_gradients, gather_rows, is_first, joined

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SETTINGS = [
    "batches.scenes=4",
    "batches.short_sides=[96]",
    "optimizer.steps=2",
    "optimizer.rate=1e-7",
    "network.rois=8",
    "loss.oim.queue=16",
]


def train(out: Path, data: Path, *launcher: str) -> None:
    run = started(out, data, *launcher)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.count("trained; evaluate it") == 1


def started(out: Path, data: Path, *launcher: str) -> subprocess.CompletedProcess[str]:
    changes = [word for setting in SETTINGS for word in ("--set", setting)]
    command = [sys.executable, *launcher, "-m", "personsearch", "train", "binet_rendered", "--data", f"coco:{data}"]
    command += ["--out", str(out), "--backbone", "random", "--device", "cpu", *changes]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def errors(run: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of the processes themselves; torchrun adds a traceback of its own."""
    assert run.returncode != 0
    return [line for line in run.stderr.splitlines() if line.startswith("error:")]


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


RANKS = """
import sys, torch
from personsearch.losses.oim import OIMMemory, OIMSettings
from personsearch.runtime import all_agree, average_gradients, gather_rows, is_first, joined

with joined("cpu") as (rank, processes):
    assert (processes, is_first()) == (2, rank == 0)
    rows = torch.arange(6.0).reshape(3, 2) + 10 * rank
    own = rows[: 3 if rank == 0 else 1]
    assert gather_rows(own).tolist() == [[0, 1], [2, 3], [4, 5], [10, 11]]
    assert gather_rows(own[:0] if rank == 0 else own).tolist() == [[10, 11]]
    a, b = (torch.nn.Parameter(torch.zeros(2, 3)) for _ in range(2))
    a.grad = torch.full((2, 3), 1.0 + rank)
    if rank == 1:
        b.grad = torch.arange(6.0).reshape(2, 3)
    average_gradients([a, b])
    assert a.grad.tolist() == [[1.5] * 3] * 2
    assert b.grad.tolist() == [[0, 0.5, 1], [1.5, 2, 2.5]]
    assert all_agree(True, a.device) and not all_agree(rank == 0, a.device)
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(7, 8, generator=generator), dim=1)
    identities = torch.tensor([0, 2, -1, 0, -1, 1, 0])
    memory = OIMMemory(3, 8, OIMSettings(queue=4))
    mine = slice(0, 3) if rank == 0 else slice(3, 7)
    memory.update(embeddings[mine], identities[mine])
    torch.save((memory.state_dict(), embeddings, identities), sys.argv[1] + f"/{rank}.pt")
"""


def test_ranks_gather_average_and_remember_the_same(tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    command = [sys.executable, *TORCHRUN, str(script), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    (first, embeddings, identities), (second, _, _) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    alone = OIMMemory(3, 8, OIMSettings(queue=4))
    alone.update(embeddings, identities)
    for name, tensor in alone.state_dict().items():
        assert torch.equal(first[name], tensor)
        assert torch.equal(second[name], tensor)


def test_two_processes_train_what_one_does(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "one", data)
    train(tmp_path / "two", data, *TORCHRUN)
    one, two = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    # at this rate weights hardly move, so what both remember must agree closely
    table, other = (state["criterion/memory.lookup_table"] for state in (one, two))
    assert ((table * other).sum(dim=1) > 0.99).all()
    assert torch.equal(one["criterion/memory.queue_head"], two["criterion/memory.queue_head"])


def test_what_all_processes_refuse_is_told_once(tmp_path: Path, data: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.safetensors").write_bytes(b"")
    (line,) = errors(started(tmp_path / "out", data, *TORCHRUN))
    assert line.endswith("holds a run already: go on with --resume, or give another --out")


@pytest.mark.slow
def test_what_one_process_meets_alone_is_no_fault_of_the_others(tmp_path: Path, data: Path) -> None:
    """The first one finds the folder in use; one of them meets a broken picture."""
    with alone_in(tmp_path / "out"):
        (line,) = errors(started(tmp_path / "out", data, *TORCHRUN))
    assert "another process works in it" in line
    (data / "images" / "1.png").write_bytes(b"broken")
    lines = errors(started(tmp_path / "out", data, *TORCHRUN))
    assert any("1.png" in line for line in lines), lines
    assert not any("fault of personsearch" in line for line in lines)


def test_one_process_needs_no_others() -> None:
    with joined("cpu") as share:
        assert share == (0, 1)
    rows = torch.rand(3, 2)
    assert gather_rows(rows) is rows
    parameter = torch.nn.Parameter(rows)
    average_gradients([parameter])
    assert parameter.grad is None
    assert is_first()
