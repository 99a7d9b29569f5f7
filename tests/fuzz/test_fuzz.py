"""Damaged files of every format: one line of a PersonSearchError and nothing else. research/fuzz.py tries thousands."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
from mutations import damage_bytes, damage_json, damage_lines

pytest.importorskip("av")
pytest.importorskip("lancedb")

from formats import FORMATS, Format
from workers import PACKAGE, Worker, death, make_input, try_input

from personsearch.errors import ImageError

INPUTS = 10
SEEDS = {
    "jpg": (321,),
    "webp": (210,),
    "mp4": (77,),
    "mkv": (264,),
    "avi": (20,),
    "sources": (38,),
    "coco": (13, 64, 343),
    "cuhk-sysu": (207,),
    "prw": (58, 185),
    "weights": (4, 15, 19),
    "run": (18, 23, 34, 38, 42, 59, 80, 136, 205, 210, 226, 300, 329),
    "gallery": range(INPUTS, 30),
    "codes": (30, 147),
}
"""Further inputs, on which readers have stumbled."""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("fuzz"))
    yield worker
    worker.close()


@pytest.mark.parametrize("name", FORMATS)
def test_whole_files_are_read_and_damaged_ones_are_read_or_refused(name: str, worker: Worker) -> None:
    whole = worker.read(name, 0)
    assert whole.verdict == "read", whole.text
    seeds = [*range(1, 1 + round(INPUTS * FORMATS[name].share)), *SEEDS.get(name, ())]
    answers = [worker.read(name, seed) for seed in seeds]
    faults = [f"{name} {a.seed}: {a.kind}\n{a.text}" for a in answers if a.verdict == "fault"]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("total", [0, 1, 7, 999, 10_000])
def test_shares_of_inputs_sum_up_to_what_is_asked_for(total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "research"), *sys.path])
    shared = importlib.import_module("fuzz").shared
    shares = [FORMATS[name].share for name in FORMATS]
    counts = shared(shares, total)
    assert sum(counts) == total
    assert all(abs(count - total * share / sum(shares)) < 1 for count, share in zip(counts, shares, strict=True))


def test_an_input_is_a_function_of_format_and_seed(tmp_path: Path) -> None:
    (tmp_path / "valid" / "png").mkdir(parents=True)
    FORMATS["png"].make(tmp_path / "valid" / "png")
    once = [make_input("png", seed, tmp_path).read_bytes() for seed in range(1, 9)]
    assert once == [make_input("png", seed, tmp_path).read_bytes() for seed in range(1, 9)]
    assert len(set(once)) == 8


@pytest.mark.parametrize("change", [damage_bytes, damage_json, damage_lines])
@pytest.mark.parametrize("content", [b"{}", b'{"a": [1, {"b": null}], "c": "d"}', b"[1, 2]"])
def test_damage_of_every_seed_can_be_done(change, content: bytes) -> None:
    assert len({change(Random(seed), content) for seed in range(300)}) > 20


def raising(error: BaseException) -> Format:
    def read(_path: Path) -> Iterator[Callable[[], object]]:
        yield partial(next, iter([]), None)
        yield partial(_throw, error)

    return Format(lambda folder: None, read)


def _throw(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ImageError("one line"), "refused"),
        (ImageError("two\nlines"), "fault"),
        (ImageError(" "), "fault"),
        (ValueError("one line"), "fault"),
        (KeyboardInterrupt(), "fault"),
    ],
)
def test_only_one_line_of_our_own_is_no_fault(
    error: BaseException, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "valid" / "odd").mkdir(parents=True)
    (tmp_path / "valid" / "odd" / "file").write_text("content")
    monkeypatch.setitem(FORMATS, "odd", raising(error))
    assert try_input("odd", 1, tmp_path).verdict == verdict


@pytest.mark.parametrize(
    ("code", "said", "kind"), [(-11, "", "SIGSEGV"), (1, "Timeout (0:00:30)!", "hang"), (1, "", "exit 1")]
)
def test_a_death_is_told_by_its_cause_and_place(code: int, said: str, kind: str) -> None:
    stack = f'  File "{PACKAGE}data/matlab.py", line 30 in read_variable'
    assert death("prw", 1, code, f"{said}\n{stack}").kind == f"{kind} at data/matlab.py:read_variable"


def test_a_worker_that_dies_is_a_fault(worker: Worker) -> None:
    assert worker.read("no-such-format", 1).kind == "exit 1 at nowhere"
