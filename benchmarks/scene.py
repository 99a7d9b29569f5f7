"""What one scene costs by each runtime, beside the plain network: eager, float32, norms as they are trained.

Run: python benchmarks/scene.py MODEL [EXPORT ...] [--picture PICTURE] [--sizes 600x1000 900x1500] [--repeats 5]

MODEL is run plainly, and as `index` runs it. Each EXPORT is a folder that `personsearch export` made of MODEL. All
read the same picture, resized, from pixels to boxes and embeddings. Each has a process of its own, as settings of
memory and threads hold for a whole process; they take turns, so that whatever else the machine does meanwhile hits
all. Figures are medians; the first reading, with whatever warms up, stands apart.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch

from personsearch.data.pictures import ImageFile
from personsearch.data.transforms import SizeSettings
from personsearch.export.exporting import SAMPLE
from personsearch.models.graphs import read_graphs_about
from personsearch.models.search_network import NetworkSettings
from personsearch.models.weights import find_weights, load_weights, read_config, read_settings, whole_network
from personsearch.runtime import exact_arithmetic

PLAIN = "plain torch, float32"


@dataclass(frozen=True)
class Reader:
    """One way of reading a scene."""

    name: str
    model: str
    runtime: str | None = None


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("exports", nargs="*", type=Path, metavar="EXPORT")
    options.add_argument("--picture", type=Path, default=min((SAMPLE / "images").iterdir()))
    options.add_argument("--sizes", nargs="+", default=["600x1000", "900x1500"])
    options.add_argument("--repeats", type=int, default=5)
    given = options.parse_args()
    readers = [Reader(PLAIN, given.model), Reader("torch", given.model, "torch")]
    for export in given.exports:
        about = read_graphs_about(export)
        if about is None:
            raise SystemExit(f"{export}: is no export; make one: personsearch export {given.model} --to onnx --out DIR")
        eight = ", int8" if about.int8 else ""
        readers.append(Reader(f"{about.runtime}{eight} ({export.name})", str(export), about.runtime))
    print(f"{torch.get_num_threads()} threads, medians of {given.repeats}, milliseconds a scene")
    for size in given.sizes:
        compare(readers, given.picture, size, given.repeats)


def compare(readers: list[Reader], picture: Path, size: str, repeats: int) -> None:
    """Prints a table of all of them, at one size."""
    spawn = multiprocessing.get_context("spawn")
    ends, workers = [], []
    for reader in readers:
        ours, theirs = spawn.Pipe()
        workers.append(spawn.Process(target=work, args=(theirs, reader, picture, size), daemon=True))
        workers[-1].start()
        ends.append(ours)
    turns = [[taken(end) for end in ends] for _ in range(1 + repeats)]
    first, *others = turns
    middles = [median(times) for times in zip(*others, strict=True)]
    for reader, middle, warm_up in zip(readers, middles, first, strict=True):
        ratio = middles[0] / middle
        print(f"{size}  {reader.name:36} {1000 * middle:7.0f}  {ratio:5.2f} x  first {1000 * warm_up:7.0f}", flush=True)
    for end, worker in zip(ends, workers, strict=True):
        end.send(False)
        worker.join()


def taken(end: Connection) -> float:
    """Seconds that a worker's next reading takes."""
    end.send(True)
    seconds: float = end.recv()
    return seconds


def work(end: Connection, reader: Reader, path: Path, size: str) -> None:
    """Reads the picture whenever it is asked to, and answers how long that took."""
    short, long = (int(side) for side in size.split("x"))
    picture, detect = ImageFile(path).read(), network(reader, SizeSettings(short, long))
    while end.recv():
        with exact_arithmetic() if reader.name == PLAIN else nullcontext():
            start = time.perf_counter()
            detect(picture)
            end.send(time.perf_counter() - start)


def network(reader: Reader, size: SizeSettings) -> Callable[[Any], Any]:
    """What reads a picture."""

    def resized(own: NetworkSettings) -> NetworkSettings:
        return replace(own, test_size=size)

    if reader.name != PLAIN:
        return load_weights(reader.model, change=resized, runtime=reader.runtime).model.detect
    settings = read_settings(read_config(reader.model)[1], find_weights(reader.model))
    plain: Any = whole_network(reader.model, resized(settings)).requires_grad_(False).eval()
    detect: Callable[[Any], Any] = plain.detect
    return detect


if __name__ == "__main__":
    main()
