"""log.jsonl, and other files of a run with one JSON line per logged step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from personsearch.files import append_json_line, read_json_lines, write_json_lines


class StepLog:
    """One JSON line per ten steps: step, rate, seconds, mean losses."""

    EVERY = 10

    def __init__(self, path: Path, start: int, pending: Sequence[dict[str, float]] = ()) -> None:
        """Goes on after step `start`, with the losses of steps before it that have no line yet. Raises OSError, as
        `add` does."""
        # a run killed after its checkpoint has logged steps that are about to be done again
        write_json_lines(path, lines_up_to(path, start) if start else [])
        self._path = path
        self.pending = list(pending)
        """Losses of the steps that have no line yet: a checkpoint keeps them, so that a stop leaves no trace"""
        self._since = time.perf_counter()

    def add(self, step: int, rate: float, losses: dict[str, float]) -> None:
        """Takes the losses of a step, counted from 0."""
        self.pending.append(losses)
        if (step + 1) % self.EVERY:
            return
        now = time.perf_counter()
        means = {k: round(sum(p[k] for p in self.pending) / len(self.pending), 5) for k in losses}
        append_json_line(self._path, {"step": step + 1, "rate": rate, "seconds": round(now - self._since, 2), **means})
        self.pending, self._since = [], now


def lines_up_to(path: Path, step: float = float("inf")) -> list[dict[str, Any]]:
    """The complete lines of such a file whose "step" is at most `step`; [] when the file is missing."""
    lines = [line for line in read_json_lines(path) if isinstance(line, dict)]
    return [line for line in lines if type(line.get("step")) is int and line["step"] <= step]
