"""Workers of a Ray cluster, each with a model of its own. The one place that calls Ray."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from personsearch.errors import GalleryError, SettingError
from personsearch.search.pieces import Encoded, Piece, read_piece
from personsearch.search.searchers import SceneEncoder

LOCAL = "local"
"""The address of a cluster that is started here, of this machine alone."""
_CORES = 4
"""Of a machine, for one model at most; with GPUs, one of them for each model."""
_TRIES = 3
"""Of a piece: what ends three workers is not given to a fourth."""
_PATIENCE = 600.0
"""Seconds without any worker, while models are loaded, or the cluster is getting another machine."""


class RayWorkers:
    """As many as the cluster has room for. A worker that is lost is replaced, and its piece given to another one."""

    def __init__(self, address: str, load: Callable[[], SceneEncoder]) -> None:
        """`load` loads the model, on each machine. Raises SettingError without Ray or a cluster."""
        self._ray = _connect(address)
        self._load = load
        self._idle: list[Any] = []
        self._coming: dict[Any, Any] = {}
        """Workers by the promise that they are ready"""
        self._reading: dict[Any, tuple[Any, Piece]] = {}
        """Workers and pieces by the promise of what comes back"""
        self._tries: dict[Piece, int] = {}

    def encode(self, pieces: Iterable[Piece]) -> Iterator[Encoded]:
        """As `Workers.encode`. Raises GalleryError where the cluster is gone, or none of it can read."""
        waiting, rest = deque[Piece](), iter(pieces)
        try:
            for _ in range(self._room()):
                self._hire()
            while True:
                while self._idle and (piece := waiting.popleft() if waiting else next(rest, None)) is not None:
                    worker = self._idle.pop()
                    self._reading[worker.read.remote(piece)] = worker, piece
                if not self._reading and not waiting and (self._idle or not self._coming):
                    return
                yield from self._done(waiting)
        except self._ray.exceptions.RayError as error:
            raise GalleryError(_gone(error)) from error
        except (ConnectionError, RuntimeError, SystemError) as error:
            raise GalleryError(_gone(error)) from error

    def close(self) -> None:
        """Ends the workers; a cluster that was there before stays."""
        with suppress(Exception):
            self._ray.shutdown()

    def _done(self, waiting: deque[Piece]) -> Iterator[Encoded]:
        """What comes back next; pieces of lost workers go to `waiting`."""
        promises = [*self._reading, *self._coming]
        done, _ = self._ray.wait(promises, num_returns=1, timeout=None if self._reading else _PATIENCE)
        if not done:
            raise GalleryError(
                "the Ray cluster has no machine left that reads; start one with ray start, and run it again: it goes on"
            )
        (promise,) = done
        if promise in self._coming:
            self._arrive(promise)
            return
        worker, piece = self._reading.pop(promise)
        try:
            found: Encoded = self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:  # a fault of ours: told, not tried again
            self._idle.append(worker)
            yield Encoded(piece, "", fault=f"{piece.source.path}: cannot be indexed ({_first_line(error.cause)})")
        except self._ray.exceptions.RayError:  # it died, or its machine
            self._hire()
            self._tries[piece] = self._tries.get(piece, 0) + 1
            if self._tries[piece] < _TRIES:
                waiting.append(piece)
            else:
                fault = f"{piece.source.path}: {_TRIES} workers were lost over it; leave it out, or index it alone"
                yield Encoded(piece, "", fault=fault)
        else:
            self._idle.append(worker)
            yield found

    def _arrive(self, promise: Any) -> None:
        """A worker is ready, or has failed to become it. Raises GalleryError for one that cannot load its model."""
        worker = self._coming.pop(promise)
        try:
            self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:
            raise GalleryError(f"a worker of the Ray cluster cannot start ({_first_line(error.cause)})") from error
        except self._ray.exceptions.ActorDiedError as error:
            if "The actor died because of an error raised in its creation task" in str(error):
                raise GalleryError(
                    f"a worker of the Ray cluster cannot load the model ({_last_line(error)}); each machine needs "
                    "personsearch and the weights"
                ) from error
            self._hire()
        else:
            self._idle.append(worker)

    def _hire(self) -> None:
        cores, gpus = self._share()
        kind = self._ray.remote(num_cpus=cores, num_gpus=gpus, max_restarts=0)(_Worker)
        worker = kind.remote(self._load, int(cores))
        self._coming[worker.ready.remote()] = worker

    def _share(self) -> tuple[int, int]:
        """Cores and GPUs of one worker."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        least = min((int(one["CPU"]) for one in machines if one.get("CPU")), default=1)
        gpus = sum(one.get("GPU", 0) for one in machines)
        return max(1, min(_CORES, least)), int(gpus > 0)

    def _room(self) -> int:
        """How many workers fit."""
        cores, gpu = self._share()
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return max(1, int(sum(one.get("GPU", 0) if gpu else one.get("CPU", 0) // cores for one in machines)))


class _Worker:
    """One process of the cluster, with a model."""

    def __init__(self, load: Callable[[], SceneEncoder], cores: int) -> None:
        import torch

        torch.set_num_threads(cores)
        self._encoder = load()

    def ready(self) -> None:
        """Comes back when the model is loaded."""

    def read(self, piece: Piece) -> Encoded:
        return read_piece(self._encoder, piece)


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise SettingError("--ray needs Ray; install it: pip install 'personsearch[ray]'") from error
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    where: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        if address != LOCAL:
            where = {"address": address}
            _require_answer(address)
        ray.init(**where, logging_level=logging.ERROR, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise SettingError(
            f"no Ray cluster at {address} ({_first_line(error)}); start one with ray start --head, or give --ray local"
        ) from error
    return ray


def _require_answer(address: str) -> None:
    """Raises OSError where nobody answers: Ray would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _gone(error: BaseException) -> str:
    return (
        f"the Ray cluster is gone ({_first_line(error)}); what was indexed is kept, and the same command goes on from "
        "there"
    )


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1][:200]
