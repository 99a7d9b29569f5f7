"""How fast galleries of random people answer, whole in memory and in shards, beside FAISS's exact index if it is there.

    python benchmarks/gallery.py 100000 1000000 --memory 500MB --plot growth.png
    python benchmarks/gallery.py 10000000 --ways shards faiss --memory 4GB
    python benchmarks/gallery.py --plan 100000000

Each way of asking runs in a process of its own, so that its memory can be told. `--plan` counts, without running
anything, what so many people take on machines of so many gigabytes.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from personsearch.cli.options import bytes_of
from personsearch.runtime import keep_memory
from personsearch.search.about import About, write_about
from personsearch.search.gallery import Gallery
from personsearch.search.picking import Limits
from personsearch.search.ranking import BYTES_OF_A_PERSON
from personsearch.search.rows import schema
from personsearch.search.table import SceneTable

DIM, CROWD, BATCH, ASKED = 256, 10, 100_000, 5
WAYS = ("whole", "shards", "faiss", "index")
READING = 768
"""Numbers of a reading, of which `--plan` speaks."""
SCENE_BYTES, SHARE = 250, 0.7
"""Of a scene in memory; and the part of a machine's memory that a gallery may have."""


def batches(people: int) -> Iterator[pa.Table]:
    """Random people, ten a scene, a hundred scenes a film, as rows of a gallery."""
    generator = np.random.default_rng(0)
    for first in range(0, people // CROWD, BATCH // CROWD):
        numbers = np.arange(first, min(first + BATCH // CROWD, people // CROWD))
        count = len(numbers) * CROWD
        readings = generator.standard_normal((count, DIM), dtype=np.float32)
        readings /= np.linalg.norm(readings, axis=1, keepdims=True)
        boxes = np.sort(generator.random((count, 4), dtype=np.float32), axis=1) * 1000
        ends = pa.array(np.arange(0, count + 1, CROWD, dtype=np.int32))
        columns = {
            "source": pa.array([f"/films/{number // 100:06}.mp4" for number in numbers]),
            "frame": pa.array(numbers % 100),
            "time": pa.array((numbers % 100).astype(np.float64)),
            "every": pa.array(np.ones(len(numbers))),
            "boxes": pa.ListArray.from_arrays(ends, pa.FixedSizeListArray.from_arrays(boxes.ravel(), 4)),
            "scores": pa.ListArray.from_arrays(ends, pa.array(generator.random(count, dtype=np.float32))),
            "embeddings": pa.ListArray.from_arrays(
                ends, pa.FixedSizeListArray.from_arrays(pa.array(readings.astype(np.float16).ravel()), DIM)
            ),
            "digest": pa.nulls(len(numbers), pa.string()),
        }
        columns |= {name: pa.array(np.ones(len(numbers))) for name in ("size", "mtime_ns")}
        columns |= {name: pa.array(np.full(len(numbers), 1000)) for name in ("width", "height")}
        yield pa.table({field.name: columns[field.name].cast(field.type) for field in schema(DIM)}, schema=schema(DIM))


def ask(folder: Path, memory: int | None) -> dict[str, float]:
    """Seconds and bytes of one way of asking. Run in a process of its own."""
    keep_memory()  # as the command does
    gallery = Gallery.open(folder, memory=memory)  # which imports LanceDB
    before = resident(peak=False)
    start = time.perf_counter()
    crowd = gallery.crowd()
    loaded = time.perf_counter() - start
    films = torch.arange(len(crowd.scenes))[crowd.scene_of] % 10 == 0
    times = {"query": Limits(10), "filtered": Limits(10, among=films)}
    found = {name: statistics.median(_seconds(gallery, limits) for _ in range(ASKED)) for name, limits in times.items()}
    return {"load": loaded, **found, "bytes": resident(peak=True) - before}


def resident(*, peak: bool) -> int:
    """Bytes of this process in memory: at this moment, from which on peaks are counted, or at the most since then."""
    if not peak:
        Path("/proc/self/clear_refs").write_text("5")
    name = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(name)]
    return 1024 * int(line.split()[1])


def _seconds(gallery: Gallery, limits: Limits) -> float:
    query = torch.nn.functional.normalize(torch.randn(DIM), dim=0)
    start = time.perf_counter()
    gallery.answer(query, limits, once=True, widen=0)
    return time.perf_counter() - start


def ask_faiss(folder: Path) -> dict[str, float]:
    """The same of FAISS's exact index in float16."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    before = resident(peak=False)
    start = time.perf_counter()
    index = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for batch in Gallery.open(folder).table.stream():
        values = batch["embeddings"].flatten().flatten().to_numpy(zero_copy_only=False)
        index.add(values.reshape(-1, DIM).astype(np.float32))
    loaded = time.perf_counter() - start
    tenth = np.flatnonzero(np.arange(index.ntotal) // CROWD % 10 == 0)
    chosen = faiss.SearchParameters(sel=faiss.IDSelectorBatch(tenth))
    times: dict[str, list[float]] = {"query": [], "filtered": []}
    for _ in range(ASKED):
        query = np.random.default_rng().standard_normal((1, DIM), dtype=np.float32)
        for name, parameters in (("query", None), ("filtered", chosen)):
            start = time.perf_counter()
            index.search(query, 10, params=parameters)
            times[name].append(time.perf_counter() - start)
    used = resident(peak=True) - before
    return {"load": loaded, **{name: statistics.median(all_) for name, all_ in times.items()}, "bytes": used}


def ask_index(folder: Path) -> dict[str, float]:
    """Of the approximate index, which is made here, with the part of the exact first answers that it finds."""
    with Gallery.open(folder, write=True) as gallery:
        gallery.approximate()
    before = resident(peak=False)
    start = time.perf_counter()
    gallery = Gallery.open(folder, approximate=True)
    loaded = time.perf_counter() - start
    seconds = statistics.median(_seconds(gallery, Limits(10)) for _ in range(ASKED))
    used = resident(peak=True) - before
    return {"load": loaded, "query": seconds, "bytes": used, "recall": gallery.neighbours().recall}


def measure(people: int, memory: int, place: Path, ways: Sequence[str]) -> dict[str, Any]:
    """Makes a gallery of so many people, asks it in each of these ways, and deletes it; prints a table."""
    folder = place / str(people)
    start = time.perf_counter()
    folder.mkdir()
    table = SceneTable.create(folder, DIM)  # a gallery that is closed reads everybody
    for batch in batches(people):
        table.extend(batch)
    write_about(folder, About("none", "none", DIM, 0.5, ""))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"\n{people:,} people, written in {time.perf_counter() - start:.1f} s, {size / 1e6:,.0f} MB on the disk")
    print(f"{'':10}{'load s':>10}{'query s':>10}{'filtered s':>12}{'memory MB':>12}")
    found = {}
    for way in ways:
        command = [sys.executable, __file__, "--ask", str(folder), "--ways", way, f"--memory={memory}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{way:10} {(done.stderr.strip().splitlines() or ['ended'])[-1][:100]}")
            continue
        found[way] = one = json.loads(done.stdout)
        filtered = f"{one['filtered']:12.4f}" if "filtered" in one else f"{'':12}"
        recall = f"  recall@10 {one['recall']:.3f}" if "recall" in one else ""
        print(
            f"{way:10}{one['load']:10.2f}{one['query']:10.4f}{filtered}{one['bytes'] / 1e6:12,.0f}{recall}", flush=True
        )
    shutil.rmtree(folder)
    if {"whole", "faiss"} <= set(found):
        for what in ("query", "filtered"):
            print(f"whole / faiss, {what}: {found['whole'][what] / found['faiss'][what]:.2f} of the time")
    return found


def plan(people: int, gigabytes: float, read_mb: float) -> None:
    """What so many people take, in memory and in shards, on machines of so many gigabytes that read so fast."""
    room = SHARE * gigabytes * 1e9
    of_scenes = SCENE_BYTES / CROWD
    ways = {"whole": 2 * READING + BYTES_OF_A_PERSON + of_scenes, "shards": BYTES_OF_A_PERSON + of_scenes}
    print(f"{people:,} people of {READING} numbers: {people * 2 * READING / 1e9:,.0f} GB of readings")
    print(f"machines of {gigabytes:g} GB, {SHARE:.0%} of it for the gallery, {read_mb:g} MB/s from the disk")
    for way, each in ways.items():
        machines = math.ceil(people * each / room)
        print(f"{way:7} {each:6,.0f} bytes a person, {room / each:13,.0f} people a machine: {machines} machines")
        if way == "shards":
            seconds = people / machines * 2 * READING / read_mb / 1e6
            print(f"        which read everybody in {seconds:,.0f} s, once a question, and twice where it is widened;")
            print(f"        in 10 s: {math.ceil(machines * seconds / 10)} machines")


def plot(found: dict[int, dict[str, Any]], file: Path) -> None:
    """The time of a query as galleries grow."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for way in WAYS:
        points = [(people, ways[way]["query"]) for people, ways in found.items() if way in ways]
        if points:
            axes.loglog(*zip(*points, strict=True), marker="o", label=way)
    axes.set(xlabel="people", ylabel="seconds a query")
    axes.legend()
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=int, nargs="*", default=[100_000])
    parser.add_argument("--memory", type=bytes_of, default=500 * 10**6, help="for the shards, such as 2GB")
    parser.add_argument("--place", type=Path, help="folder for the galleries; a temporary one by default")
    parser.add_argument("--plot", type=Path, help="file for a picture of the growth")
    parser.add_argument("--plan", type=int, metavar="PEOPLE")
    parser.add_argument("--machine-gb", type=float, default=32.0)
    parser.add_argument("--read-mb", type=float, default=1000.0, help="MB a second from the disk")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:3], help="how the galleries are asked")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plan is not None:
        plan(given.plan, given.machine_gb, given.read_mb)
    elif given.ask is not None:
        (way,) = given.ways
        asked = {"whole": partial(ask, memory=None), "shards": partial(ask, memory=given.memory)}
        print(json.dumps((asked | {"faiss": ask_faiss, "index": ask_index})[way](given.ask)))
    else:
        print(f"{torch.get_num_threads()} threads")
        with tempfile.TemporaryDirectory(dir=given.place) as place:
            found = {people: measure(people, given.memory, Path(place), given.ways) for people in given.people}
        if given.plot is not None:
            plot(found, given.plot)


if __name__ == "__main__":
    main()
