"""What readings and the rules of ranking cost, beside the papers' embedding and the plain cosine.

Run: python benchmarks/answers.py MODEL PICTURES [--scenes 15] [--people 100000] [--memory 300]

PICTURES is a folder, of which those with eight to twelve people are taken where there are enough. Both ways of a
comparison take turns, so that whatever else the machine does meanwhile hits both; figures are medians.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import torch
from gallery import BATCH, CROWD
from torch import Tensor
from torch.nn import functional as F

from personsearch.data.pictures import ImageFile
from personsearch.geometry.detections import Detections
from personsearch.runtime import keep_memory
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.search.rows import IndexedScene
from personsearch.search.searchers import READINGS, SEARCH, SceneEncoder, load_searcher
from personsearch.search.sources import Source

REPEATS = 5
QUERIES = 25
SIGHTS = 5
"""Of each person in the gallery of generated rows."""
DIMS = {SEARCH: 256, READINGS: 768}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("pictures", type=Path)
    options.add_argument("--scenes", type=int, default=15)
    options.add_argument("--people", type=int, default=100_000)
    options.add_argument("--memory", type=int, default=300, help="scenes that are indexed in one process")
    given = options.parse_args()
    keep_memory()  # as the command does
    print(f"{torch.get_num_threads()} threads")
    encoders = {read: load_searcher(given.model, read=read) for read in (SEARCH, READINGS)}
    paths = sorted(path for path in given.pictures.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    index_time(encoders, paths, given.scenes)
    query_time(given.people)
    memory(encoders[READINGS], paths, given.memory)


def compare(what: str, first: Sequence[float], second: Sequence[float]) -> None:
    one, other = median(first), median(second)
    print(f"{what}: {1000 * one:.1f} ms, {1000 * other:.1f} ms, {other / one:.2f} times", flush=True)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def index_time(encoders: dict[str, SceneEncoder], paths: Sequence[Path], count: int) -> None:
    """Scenes by both encoders in turn, five times: encoded alone, and from file to gallery. Medians of a scene."""
    images, chosen, people = [], [], 0
    for path in paths:
        image = ImageFile(path).read()
        found = len(encoders[SEARCH].encode_scene(image))
        if 8 <= found <= 12:
            images.append(image)
            chosen.append(path)
            people += found
        if len(images) == count:
            break
    if not images:
        raise SystemExit("no picture shows eight to twelve people: give others")
    scene = f"a scene of {people / len(images):.1f} people"
    times: dict[str, list[float]] = {SEARCH: [], READINGS: []}
    for image in images:
        again: dict[str, list[float]] = {SEARCH: [], READINGS: []}
        for _ in range(REPEATS):
            for read, encoder in encoders.items():
                again[read].append(seconds(lambda: encoder.encode_scene(image)))  # noqa: B023
        for read, some in again.items():
            times[read].append(median(some))
    compare(f"{scene} encoded, search and readings", times[SEARCH], times[READINGS])
    times = {SEARCH: [], READINGS: []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(REPEATS):
            for read, encoder in encoders.items():
                with _new(Path(folder) / f"{read}-{repeat}", encoder) as gallery:
                    took = seconds(lambda: index_sources(gallery, encoder, chosen))  # noqa: B023
                times[read].append(took / len(chosen))
    compare(f"{scene} indexed, search and readings", times[SEARCH], times[READINGS])


def rows(people: int, dim: int) -> Iterator[tuple[list[IndexedScene], Tensor]]:
    """Scenes of ten in batches, and the people in them; everybody is in several scenes, not twice in one."""
    chance = torch.Generator().manual_seed(0)
    persons = F.normalize(torch.randn(max(CROWD, people // SIGHTS), dim, generator=chance))
    for first in range(0, people // CROWD, BATCH):
        batch = []
        for number in range(first, min(first + BATCH, people // CROWD)):
            who = torch.arange(CROWD * number, CROWD * (number + 1)) % len(persons)
            sights = F.normalize(persons[who] + 0.6 * dim**-0.5 * torch.randn(CROWD, dim, generator=chance))
            boxes = torch.rand(CROWD, 4, generator=chance).sort(dim=1).values * 1000
            found = Detections(boxes, 0.5 + 0.5 * torch.rand(CROWD, generator=chance), sights)
            batch.append(IndexedScene(Source(f"/scenes/{number:07}.jpg", 1, 1), 1000, 1000, found))
        yield batch, persons


def query_time(people: int) -> None:
    """Galleries of embeddings and of readings, asked in turn, each as it is by default."""
    with tempfile.TemporaryDirectory() as folder:
        galleries, queries = {}, {}
        for read, dim in DIMS.items():
            path = Path(folder) / read
            with Gallery.create(path, model="none", fingerprint="none", dim=dim, read=read) as gallery:
                for batch, persons in rows(people, dim):
                    gallery.add(batch)
                    queries[read] = persons
            galleries[read] = Gallery.open(path)
            galleries[read].ask(queries[read][0])  # loads everybody
        times: dict[str, list[float]] = {SEARCH: [], READINGS: []}
        wide = 0
        for number in range(1, QUERIES + 1):
            for read, gallery in galleries.items():
                start = time.perf_counter()
                answer = gallery.ask(queries[read][number])
                times[read].append(time.perf_counter() - start)
                wide += len(answer.added) > 0
        print(f"{wide} of {QUERIES} queries were widened")
        compare(f"a query among {people:,} people, plain and with all rules", times[SEARCH], times[READINGS])


def memory(encoder: SceneEncoder, paths: Sequence[Path], count: int) -> None:
    """What the process holds while it indexes readings; the same pictures again where there are too few."""
    with tempfile.TemporaryDirectory() as folder:
        for done in range(0, count, 50):
            part = [paths[number % len(paths)] for number in range(done, min(done + 50, count))]
            place = Path(folder) / str(done // len(paths))  # a gallery reads a picture once
            write = Gallery.open(place, write=True) if Gallery.exists(place) else _new(place, encoder)
            with write as gallery:
                index_sources(gallery, encoder, part)
            print(f"{done + len(part)} scenes: {resident() / 1e6:.0f} MB", flush=True)


def _new(place: Path, encoder: SceneEncoder) -> Gallery:
    return Gallery.create(
        place, model=encoder.name, fingerprint=encoder.fingerprint, dim=encoder.dim, read=encoder.read
    )


def resident() -> int:
    """Bytes that this process holds in memory, on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()
