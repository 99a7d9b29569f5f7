"""Reads damaged files in a child process, which may crash, hang or swell without taking others along.

As a program it is the child: a line "FORMAT SEED" in, a line of JSON out. An input is a function of format and
seed, but for galleries: their table library draws names and times by itself.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from random import Random

import personsearch

SECONDS = 30
"""What takes longer hangs."""
MEMORY = 4
"""GiB that a process may hold, torch and all libraries (about 1) included."""
SWOLLEN = "memory"
PACKAGE = f"{Path(personsearch.__file__).parent}{os.sep}"


@dataclass(frozen=True)
class Answer:
    """What became of one input."""

    name: str
    seed: int
    verdict: str
    """"read", "refused" with a line, or "fault"."""
    kind: str = ""
    """Of a fault: the same for all that are alike."""
    text: str = ""
    """The line, or the traceback."""


class Worker:
    """One child process; a dead one is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: subprocess.Popen[str] | None = None

    def read(self, name: str, seed: int) -> Answer:
        """What one input does."""
        child = self._child = self._child or self._start()
        said = self._errors.stat().st_size
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{name} {seed}\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if line:
            answer = Answer(**json.loads(line))
            if answer.kind == SWOLLEN:
                self.close()
            return answer
        self.close()
        return death(name, seed, child.returncode, self._errors.read_bytes()[said:].decode(errors="replace"))

    def input(self) -> Path:
        """Where the last input lies."""
        return self.folder / "input"

    def close(self) -> None:
        if self._child is not None:
            with self._child, suppress(BrokenPipeError):
                self._child.communicate()
            self._child = None

    @property
    def _errors(self) -> Path:
        return self.folder / "errors.txt"

    def _start(self) -> subprocess.Popen[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._errors.open("w") as errors:
            return subprocess.Popen(
                [sys.executable, __file__, str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            )


def read_all(
    inputs: Iterable[tuple[str, int]], folder: Path, workers: int, keep: Path | None = None
) -> Iterator[Answer]:
    """The answers in order; inputs with faults are copied to `keep`."""
    idle: Queue[Worker] = Queue()
    for number in range(workers):
        idle.put(Worker(folder / str(number)))

    def read(task: tuple[str, int]) -> Answer:
        worker = idle.get()
        try:
            answer = worker.read(*task)
            if answer.verdict == "fault" and keep is not None and worker.input().exists():
                shutil.copytree(worker.input(), keep / f"{answer.name}-{answer.seed}", dirs_exist_ok=True)
            return answer
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(read, inputs)
    while not idle.empty():
        idle.get().close()


def death(name: str, seed: int, code: int, errors: str) -> Answer:
    """A child that said nothing more: it hung, or was ended by a signal or a library."""
    why = "hang" if "Timeout (" in errors else signal.Signals(-code).name if code < 0 else f"exit {code}"
    place = re.search(f'File "{re.escape(PACKAGE)}([^"]+)", line \\d+ in (.+)', errors)
    found = f"{place[1]}:{place[2]}" if place else "nowhere"
    return Answer(name, seed, "fault", f"{why} at {found}", errors[-6000:])


# ------------------------------------------------------------------------------------------------- the child


def try_input(name: str, seed: int, folder: Path) -> Answer:
    """Damages a copy of one of a format's valid files, and reads it as a user would."""
    from formats import FORMATS

    from personsearch.errors import PersonSearchError

    form, refusal = FORMATS[name], ""
    try:
        for read in form.reads(make_input(name, seed, folder)):
            try:
                read()
            except PersonSearchError as error:
                refusal = str(error)
                if "\n" in refusal or not refusal.strip():
                    return Answer(name, seed, "fault", f"not one line: {type(error).__name__}", refusal)
    except BaseException as error:  # the panic of a Rust library is no Exception
        return Answer(name, seed, "fault", _kind(error), traceback.format_exc(limit=-12, chain=False))
    return Answer(name, seed, "refused" if refusal else "read", "", refusal)


def make_input(name: str, seed: int, folder: Path) -> Path:
    """Valid files of a format, copied to a fresh folder and damaged; those of seed 0 stay whole."""
    from formats import FORMATS
    from mutations import damage

    random = Random(f"{name} {seed}")
    variant = random.choice(sorted((folder / "valid" / name).iterdir()))
    shutil.rmtree(folder / "input", ignore_errors=True)
    target = folder / "input" / variant.name
    target.parent.mkdir(parents=True)
    if variant.is_file():
        shutil.copy2(variant, target)
        files = [[target]]
    else:
        shutil.copytree(variant, target)
        files = [sorted(target.glob(glob), key=lambda file: file.stat().st_mtime_ns) for glob in FORMATS[name].damaged]
    if seed:
        damage(random, random.choice(random.choice([group for group in files if group])))
    return target


def _kind(error: BaseException) -> str:
    """The exception, and where the package's own code met it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(PACKAGE)] or frames
    return f"{type(error).__name__} at {own[-1].filename.removeprefix(PACKAGE)}:{own[-1].name}"


def _swollen() -> bool:
    """Whether this process has held too much. Linux counts in KiB, macOS in bytes."""
    most: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most > MEMORY << (20 if sys.platform == "linux" else 30)


def main() -> None:
    from formats import FORMATS

    folder = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    warnings.simplefilter("ignore")
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY << 30, resource.RLIM_INFINITY))  # addresses, not all is held
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        name, seed = line.split()
        valid = folder / "valid" / name
        if not valid.exists():
            part = folder / "part" / name
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            FORMATS[name].make(part)
            valid.parent.mkdir(exist_ok=True)
            part.rename(valid)
        faulthandler.dump_traceback_later(SECONDS, exit=True)  # heard also inside a library's loop
        answer = try_input(name, int(seed), folder)
        faulthandler.cancel_dump_traceback_later()
        swollen = _swollen()
        if swollen:
            answer = Answer(name, int(seed), "fault", SWOLLEN, f"the process held {MEMORY} GiB; {answer.text}")
        print(json.dumps(asdict(answer)), file=answers, flush=True)
        if swollen:
            return


if __name__ == "__main__":
    main()
