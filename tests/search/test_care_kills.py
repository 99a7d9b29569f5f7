"""Killed at any step, removing, replacing, merging and exporting lose nothing: all is as before, or done."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_care import index, places, rows_of, traces

from personsearch.search.contents import galleries_in
from personsearch.search.erasing import ERASING
from personsearch.search.gallery import Gallery
from personsearch.search.replacing import is_replacing

HERE = Path(__file__).parent

# A process that loads the libraries once and forks one child for each line it reads: what to do, and after how many
# steps to kill itself. A step is a call of the system for a file, so that every state on the disk can be met.
_WORKER = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")  # LanceDB warns of forks, of which nothing runs here
from pathlib import Path
fakes, place = map(Path, sys.argv[1:])
sys.path.insert(0, str(fakes))
from search_fakes import DIM, box_at, searcher
from personsearch.search.indexing import index_sources
from personsearch.search.exporting import export
from personsearch.search.gallery import Gallery
from personsearch.search.merging import merge
from personsearch.search.question import Sight, ask, pose
from personsearch.search import clips
import av, lancedb, pyarrow.compute

STEPS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.listdir", "os.scandir"}

def kill_after(steps):
    left = [steps]
    def step(event, arguments):
        if event in STEPS and str(place) in str(arguments[:1]):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(step)
    return left

def remove():
    with Gallery.open(place / "g", write=True) as gallery:
        if any(source.endswith("p002.png") for source in gallery.sources):
            gallery.erase([source for source in gallery.sources if source.endswith("p002.png")])

def replace():
    made = Gallery.create(place / "g", model="fake", fingerprint="fake-1", dim=DIM, force=True)
    with made:
        index_sources(made, searcher(), [place / "more"])

def put_together():
    merge([place / "g", place / "other"], place / "both")

def take_along():
    question = pose(searcher(), [Sight(place / "photos" / "p003.png", None, box_at(10))])
    export(place / "out", ask(Gallery.open(place / "g"), question, sure=0)[:3], force=True)

for line in sys.stdin:
    what, steps = line.split()
    child = os.fork()
    if child == 0:
        left = kill_after(int(steps))
        {"remove": remove, "replace": replace, "merge": put_together, "export": take_along}[what]()
        print(int(steps) - left[0], flush=True)
        os._exit(0)
    killed = os.waitpid(child, 0)[1] != 0
    print("killed" if killed else "ended", flush=True)
"""


class Worker:
    """Asks the process to do something and be killed on the way."""

    def __init__(self, place: Path) -> None:
        command = [sys.executable, "-c", _WORKER, str(HERE), str(place)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, what: str, steps: int) -> int | None:
        """The number of steps that there were, or None if it was killed before their end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what} {steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer == "killed":
            return None
        assert self.process.stdout.readline() == "ended\n"
        return int(answer)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    from search_fakes import save_pictures, save_video

    save_pictures(tmp_path / "photos", 5)
    save_pictures(tmp_path / "more", 3)
    save_video(tmp_path / "photos" / "walk.avi", seconds=2)
    index(tmp_path / "g", tmp_path / "photos" / "p000.png")
    index(tmp_path / "g", tmp_path / "photos")
    index(tmp_path / "other", tmp_path / "more")
    with contextlib.closing(Worker(tmp_path)) as running:
        yield running


def _kill_at(kills: int, steps: int) -> list[int]:
    """So many numbers of steps, spread over all of them."""
    return sorted({1 + steps * (number + 1) // (kills + 1) for number in range(kills)})


def _check_remove(place: Path, worker: Worker, kills: int) -> None:
    whole, before = place / "whole", rows_of(place / "g")
    after = [row for row in before if "p002.png" not in row]
    lost = traces(place / "g", str(place / "photos" / "p002.png"))
    shutil.copytree(place / "g", whole)
    steps = worker.run("remove", 10**9)
    assert steps is not None
    assert rows_of(place / "g") == after
    met = set()
    for kill in _kill_at(kills, steps):
        shutil.rmtree(place / "g")
        shutil.copytree(whole, place / "g")
        assert worker.run("remove", kill) is None
        now = rows_of(place / "g")  # a reader in between
        assert now in (before, after)
        met.add((now == before, (place / "g" / ERASING).exists()))
        assert worker.run("remove", 10**9) is not None
        assert rows_of(place / "g") == after
        assert not [trace for trace in lost if places(place / "g", trace)]
        assert not (place / "g" / ERASING).exists()
    assert kills < 20 or (False, True) in met, "no kill came while bytes were being erased"


def _check_replace(place: Path, worker: Worker, kills: int) -> None:
    old, new = rows_of(place / "g"), rows_of(place / "other")
    shutil.copytree(place / "g", place / "older")
    steps = worker.run("replace", 10**9)
    assert steps is not None
    assert rows_of(place / "g") == new
    finished = 0
    for kill in _kill_at(kills, steps):
        shutil.rmtree(place / "g")
        shutil.copytree(place / "older", place / "g")
        assert worker.run("replace", kill) is None
        assert galleries_in(place / "g") == [place / "g"]
        finished += is_replacing(place / "g")
        assert rows_of(place / "g") in (old, new)
        assert not is_replacing(place / "g")
        assert worker.run("replace", 10**9) is not None
        assert rows_of(place / "g") == new
    assert kills < 20 or finished, "no kill came while one took the place of the other"


def _check_merge(place: Path, worker: Worker, kills: int) -> None:
    before = rows_of(place / "g"), rows_of(place / "other")
    both = sorted([*before[0], *before[1]])
    steps = worker.run("merge", 10**9)
    assert steps is not None
    assert rows_of(place / "both") == both
    for kill in _kill_at(kills, steps):
        shutil.rmtree(place / "both", ignore_errors=True)
        worker.run("merge", kill)
        assert before == (rows_of(place / "g"), rows_of(place / "other"))
        assert not Gallery.exists(place / "both") or rows_of(place / "both") == both
        assert worker.run("merge", 10**9) is not None
        assert rows_of(place / "both") == both
        assert not list(place.glob(".*"))


def _check_export(place: Path, worker: Worker, kills: int) -> None:
    steps = worker.run("export", 10**9)
    assert steps is not None
    whole = _export_of(place)
    assert len(whole) >= 7
    for number, kill in enumerate(_kill_at(kills, steps)):
        (place / "out" / "hits.csv").write_text("older")
        older = _export_of(place)
        if number % 2:  # nothing was there
            shutil.rmtree(place / "out")
            older = {}
        worker.run("export", kill)
        left = {} if not (place / "out").exists() else _export_of(place)
        if not left and older:  # between two renames: it is put back
            assert (place / ".out.old").exists()
        else:
            assert left in (older, whole)
        assert worker.run("export", 10**9) is not None
        assert _export_of(place) == whole
        assert not list(place.glob(".*"))


def _export_of(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in (place / "out").rglob("*") if p.is_file()}


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_lose_nothing(tmp_path: Path, worker: Worker, kills: int) -> None:
    _check_export(tmp_path, worker, kills)
    _check_merge(tmp_path, worker, kills)
    _check_remove(tmp_path, worker, kills)
    _check_replace(tmp_path, worker, kills)
