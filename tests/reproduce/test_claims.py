"""Claims on work: one process a piece, and what a dead process held is taken over."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from personsearch.reproduce import claims
from personsearch.reproduce.claims import claimed, do_all

HOLDER = """
import sys, time
from pathlib import Path
from personsearch.reproduce.claims import claimed
with claimed(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_held_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.claim"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with claimed(path) as ours:
            assert not ours
        assert str(holder.pid) in path.read_text()
        done: list[str] = []
        waiting = threading.Thread(target=do_all, args=(["a"], tmp_path, done.__contains__, done.append))
        waiting.start()
        time.sleep(0.2)
        assert not done
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        waiting.join(timeout=20)
    assert done == ["a"]
    assert str(os.getpid()) in path.read_text()


def test_each_piece_is_done_once_by_several_workers(tmp_path: Path) -> None:
    done: list[str] = []
    names = [str(number) for number in range(12)]

    def work(name: str) -> None:
        time.sleep(0.01)
        done.append(name)

    workers = [threading.Thread(target=do_all, args=(names, tmp_path, done.__contains__, work)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(done) == sorted(names)


def test_a_piece_that_fails_is_left_for_the_next(tmp_path: Path) -> None:
    def fail(_name: str) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        do_all(["a"], tmp_path, lambda _name: False, fail)
    done: list[str] = []
    do_all(["a"], tmp_path, done.__contains__, done.append)
    assert done == ["a"]


def test_a_disk_that_cannot_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_file: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claims, "locks", no_locks)
    with pytest.raises(OSError, match=r"No locks available: .*a\.claim"), claimed(tmp_path / "a.claim"):
        pass
