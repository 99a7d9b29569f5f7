"""`watch`: indexes what arrives, and tells when somebody is seen."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.cli.asking import Reading
from personsearch.cli.console import complain, say
from personsearch.cli.find import Every, NewScore, open_for_index
from personsearch.cli.noting import note
from personsearch.cli.options import Device, IntoGallery, Model, Read, within
from personsearch.errors import BusyError, SettingError
from personsearch.files import check_folder, refuse_input

if TYPE_CHECKING:
    from personsearch.search.alerts import Alert
    from personsearch.search.gallery import Gallery
    from personsearch.search.place import Place
    from personsearch.search.searchers import SceneEncoder

_KEEP_EVERY = 3600.0
"""Seconds between two looks for what is older than the gallery keeps."""
_LONGEST_RUN = 60.0
"""Seconds after which a command of --run is ended."""

Sources = Annotated[list[str], typer.Argument(metavar="FOLDER...", help="Folders, or addresses of cameras.")]
Record = Annotated[Path | None, typer.Option(help="Folder for the films of cameras.")]
Length = Annotated[float, typer.Option(callback=within(1, 3600), help="Seconds of a camera's film.")]
Settle = Annotated[float, typer.Option(callback=within(0, 3600), help="Seconds without a change: a file is complete.")]
Alerts = Annotated[list[Path] | None, typer.Option("--alert", help="results.json of `search --out`: tell when seen.")]
Sure = Annotated[int, typer.Option(callback=within(0, 3), help="Of --alert: 3 very sure ... 0 all.")]
Run = Annotated[str | None, typer.Option(help="Of --alert: a command that gets the line on stdin.")]
ForSeconds = Annotated[float | None, typer.Option(callback=within(0, above=True), help="Stop after so many seconds.")]


def watch(
    sources: Sources,
    gallery: IntoGallery,
    record: Record = None,
    length: Length = 20.0,
    settle: Settle = 3.0,
    alert: Alerts = None,
    sure: Sure = 2,
    run: Run = None,
    model: Model = None,
    every: Every = None,
    min_score: NewScore = None,
    read: Read = None,
    device: Device = None,
    stop_after: ForSeconds = None,
) -> None:
    """Index what arrives in folders or from cameras, until Ctrl-C; tell when somebody is seen, a JSON line each.

    Example: personsearch watch photos/ --gallery g --alert answer/results.json
    """
    from personsearch.data.camera import start
    from personsearch.search.place import check_place
    from personsearch.search.watching import arrivals

    folders, cameras = _sorted(sources, record, length)
    if run is not None and not (alert and _words(run)):
        raise SettingError("--run is what an --alert runs: give both")
    check_place(gallery)
    held, encoder = open_for_index(gallery, Reading(model, read, None, None, device), min_score, force=False)
    held.close()
    keeper = _Keeper(gallery, encoder, every, _load_alerts(alert or [], encoder, sure), run)
    stop = threading.Event()
    with _stopped_by_signals(stop, stop_after):
        threads = [start(camera, stop, complain) for camera in cameras]
        try:
            say(f"watching {len(folders)} folders for {gallery}; Ctrl-C ends it", err=True)
            for found, files in arrivals(folders, stop, settle):
                if not keeper.take(files):
                    found.again(files)
        except KeyboardInterrupt:
            pass
        finally:
            stop.set()
            for thread in threads:
                thread.join(15)
    say(f"stopped; {gallery} keeps what was indexed, and the same command goes on", err=True)


def _words(run: str) -> list[str]:
    """Of a command. Raises SettingError."""
    try:
        return shlex.split(run)
    except ValueError as error:
        raise SettingError(f"--run {run}: is no command ({error}); close its quotes") from None


def _sorted(sources: Sequence[str], record: Path | None, length: float) -> tuple[list[Path], list[Any]]:
    """Folders and cameras. Raises SettingError."""
    from personsearch.data.camera import Camera, is_camera

    addresses = [source for source in sources if is_camera(source)]
    folders = [Path(source) for source in sources if not is_camera(source)]
    if bool(addresses) != (record is not None):
        raise SettingError("cameras are recorded into a folder: give an address and --record, or neither")
    for folder in folders:
        if not folder.is_dir():
            raise SettingError(f"{folder}: no such folder; name one to watch, or a camera as rtsp://HOST/PATH")
    if record is None:
        return folders, []
    cameras = [Camera(address, record, length) for address in addresses]
    check_folder(record)
    refuse_input([record], folders)
    record.mkdir(parents=True, exist_ok=True)
    return [*folders, record], cameras


def _load_alerts(files: Sequence[Path], encoder: SceneEncoder, sure: int) -> list[Alert]:
    """Raises InputError for a question that cannot be read, or whose picture is gone."""
    from personsearch.search.alerts import Alert
    from personsearch.search.question import pose, read_others, read_sights

    return [Alert(str(file), pose(encoder, read_sights(file), read_others(file)), sure) for file in files]


class _Keeper:
    """Takes files into the gallery, asks the alerts of them, and lets go what is too old."""

    def __init__(
        self, folder: Place, encoder: SceneEncoder, every: float | None, alerts: Sequence[Alert], run: str | None
    ) -> None:
        self._folder, self._encoder, self._every, self._alerts, self._run = folder, encoder, every, alerts, run
        self._kept = time.monotonic()
        self._waits = False
        for alert in alerts:
            note(folder, "alert", alert.question.picture)

    def take(self, files: list[Path]) -> bool:
        """False where another program writes to the gallery, so that it is to be tried again."""
        from personsearch.search.gallery import Gallery
        from personsearch.search.pruning import retain

        try:
            if files:
                with Gallery.open(self._folder, write=True) as held:
                    self._index(held, files)
            elif time.monotonic() - self._kept >= _KEEP_EVERY:
                self._kept = time.monotonic()
                with Gallery.open(self._folder, write=True) as held:
                    retain(held, complain)
        except BusyError as error:
            if not self._waits:
                complain(f"{error}; trying again")
            self._waits = True
            time.sleep(1)
            return False
        self._waits = False
        return True

    def _index(self, held: Gallery, files: list[Path]) -> None:
        from personsearch.search.files import Found
        from personsearch.search.indexing import index_sources

        known = {source.digest for source in held.indexed() if held.holds(source)} - {None}
        try:
            report = index_sources(held, self._encoder, Found(files), every=self._every, complain=complain)
        except (KeyboardInterrupt, BusyError):  # what is in already is not told the next time
            self._ask(held, files, known)
            raise
        if report.scenes or report.moved:
            say(f"{report.scenes} scenes with {report.people} people added, {len(held)} scenes now", err=True)
        if report.scenes:
            self._ask(held, files, known)

    def _ask(self, held: Gallery, files: Sequence[Path], known: Collection[str | None]) -> None:
        """Of these files, but for those that were only renamed: their content was `known` before, to its end."""
        arrived = {source.path for source in held.indexed() if source.digest not in known}
        for alert in self._alerts:
            news = alert.news(held, arrived.intersection(str(path) for path in files))
            for one in news:
                _tell(json.dumps(one), self._run)
            if news:
                note(self._folder, "alert", alert.question.picture, len(news))


def _tell(line: str, run: str | None) -> None:
    """On stdout, or to the command; what goes wrong with that is told, and watching goes on."""
    if run is None:
        print(line, flush=True)
        return
    try:
        ended = subprocess.run(_words(run), input=f"{line}\n", text=True, timeout=_LONGEST_RUN, check=False)
        if ended.returncode:
            complain(f"{run}: ended with {ended.returncode} on {line}")
    except (OSError, subprocess.TimeoutExpired) as error:
        complain(f"{run}: {getattr(error, 'strerror', None) or 'took too long'}, on {line}")


@contextmanager
def _stopped_by_signals(stop: threading.Event, after: float | None) -> Iterator[None]:
    """Inside, SIGTERM and the end of the seconds do what Ctrl-C does: they interrupt the work, which keeps what is
    done."""

    def interrupt(*_: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    timer = threading.Timer(after or 0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.daemon = True
    if after is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stdout.flush()
