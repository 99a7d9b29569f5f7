"""How fast a gallery answers, opens and takes scenes. Run: python benchmarks/gallery.py [PEOPLE]"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from personsearch.geometry.detections import Detections
from personsearch.search.gallery import Gallery
from personsearch.search.rows import IndexedScene
from personsearch.search.sources import Source

DIM, CROWD, BATCH = 256, 10, 16


@contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{what:56} {time.perf_counter() - start:9.4f} s")


def scenes(people: int) -> Iterator[list[IndexedScene]]:
    """Random people, ten a scene, in batches as `index` writes them."""
    generator = torch.Generator().manual_seed(0)
    for first in range(0, people // CROWD, BATCH):
        batch = []
        for number in range(first, min(first + BATCH, people // CROWD)):
            embeddings = torch.nn.functional.normalize(torch.randn(CROWD, DIM, generator=generator), dim=1)
            boxes = torch.rand(CROWD, 4, generator=generator).sort(dim=1).values * 1000
            found = Detections(boxes, torch.rand(CROWD, generator=generator), embeddings)
            batch.append(IndexedScene(Source(f"/scenes/{number:07}.jpg", 1, 1), 1000, 1000, found))
        yield batch


def main(people: int) -> None:
    print(f"{people:,} people, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery"
        with (
            timed("write, batch by batch, and merge"),
            Gallery.create(path, model="none", fingerprint="none", dim=DIM) as gallery,
        ):
            for batch in scenes(people):
                gallery.add(batch)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        print(f"{'on disk':56} {size / 1e6:9.1f} MB")
        with timed("open"):
            gallery = Gallery.open(path)
        query = torch.nn.functional.normalize(torch.randn(DIM), dim=0)
        with timed("first query, which loads everybody"):
            gallery.search(query)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            gallery.search(torch.nn.functional.normalize(torch.randn(DIM), dim=0))
            times.append(time.perf_counter() - start)
        print(f"{'query, median and worst of 20':56} {sorted(times)[10]:9.4f} s {max(times):9.4f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
