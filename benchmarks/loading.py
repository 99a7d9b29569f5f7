"""How long the published sizes take to load: 18,184 CUHK-SYSU scenes with galleries of 100 and of 4,000, 11,816 PRW
frames.

Run: python benchmarks/loading.py [PART]     PART below 1 makes all numbers smaller

Random people in empty pictures, written by the project's own writers, which takes some minutes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from large_protocol import lengthen
from PIL import Image

from personsearch.data.layouts import cuhk_sysu_writer, prw_writer
from personsearch.data.layouts.cuhk_sysu import load_cuhk_sysu, protocol_file
from personsearch.data.layouts.prw import load_prw
from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Person, Picture, Query, Scene

SIZE = (800, 600)


@contextmanager
def timed(what: str) -> Iterator[None]:
    start, computed = time.perf_counter(), time.process_time()
    yield
    seconds, cpu = time.perf_counter() - start, time.process_time() - computed
    print(f"{what:72} {seconds:8.2f} s, {cpu:8.2f} s of them computing", flush=True)


def random_benchmark(picture: Path, train: int, test: int, people: int, identities: int, queries: int) -> Benchmark:
    """Scenes of one picture; each test identity is asked for once, among 100 scenes."""
    random = np.random.default_rng(0)

    def scenes(count: int, start: int, names: range) -> tuple[Scene, ...]:
        made = []
        for number in range(count):
            ids = random.choice(names, min(people // 2, len(names)), replace=False).tolist()
            boxes = random.integers([1, 1, 30, 60], [600, 400, 190, 190], (people, 4)).tolist()
            persons = tuple(
                Person((float(x), float(y), float(x + w), float(y + h)), ids[i] if i < len(ids) else UNLABELED)
                for i, (x, y, w, h) in enumerate(boxes)
            )
            made.append(Scene(f"s{start + number}.jpg", ImageFile(picture), *SIZE, persons, camera=number % 6))
        return tuple(made)

    trained, tested = scenes(train, 1, range(identities)), scenes(test, train + 1, range(queries))
    seen: dict[int, list[tuple[Scene, Person]]] = {}
    for scene in tested:
        for person in scene.persons:
            seen.setdefault(person.identity, []).append((scene, person))
    names = [scene.name for scene in tested]
    asked = []
    for identity in range(queries):
        if len(seen.get(identity, ())) < 2:
            continue
        (own, person), *others = seen[identity]
        holding = [scene.name for scene, _ in seen[identity]]
        rest = [n for n in random.choice(names, min(200, len(names)), replace=False).tolist() if n not in holding]
        gallery = (*(scene.name for scene, _ in others), *rest)[:100]
        asked.append(Query(own.name, person.box, identity, gallery))
    return Benchmark("random", trained, identities, tested, tuple(asked))


def main() -> None:
    part = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture = folder / "empty.jpg"
        Image.new("RGB", SIZE, (120, 130, 140)).save(picture)
        # one file under many names, instead of gigabytes of copies
        for writer in (cuhk_sysu_writer, prw_writer):
            writer.save_jpeg = link  # type: ignore[attr-defined]

        def scaled(*numbers: int) -> list[int]:
            return [max(8, round(number * part)) for number in numbers]

        train, test, identities, queries = scaled(11_206, 6_978, 5_532, 2_900)
        benchmark = random_benchmark(picture, train, test, 5, identities, queries)
        # the protocol of 100 alone: scipy takes long to write the larger ones
        cuhk_sysu_writer.gallery_sizes = lambda _scenes: (100,)  # type: ignore[assignment]
        with timed(f"write {train + test:,} scenes of CUHK-SYSU"):
            cuhk_sysu_writer.save_cuhk_sysu(benchmark, folder / "cuhk")
        with timed(f"load {train + test:,} scenes, {len(benchmark.queries):,} queries of CUHK-SYSU"):
            load_cuhk_sysu(folder / "cuhk")
        pool = [scene.name for scene in benchmark.test]
        with timed("write its galleries of 4,000"):
            lengthen(folder / "cuhk" / protocol_file(100), folder / "cuhk" / protocol_file(4000), pool, 4000)
        with timed(f"load {train + test:,} scenes, {len(benchmark.queries):,} queries with galleries of 4,000"):
            load_cuhk_sysu(folder / "cuhk", gallery_size=4000)
        train, test, identities, queries = scaled(5_704, 6_112, 483, 450)
        benchmark = random_benchmark(picture, train, test, 4, identities, queries)
        with timed(f"write {train + test:,} frames of PRW"):
            prw_writer.save_prw(benchmark, folder / "prw")
        with timed(f"load {train + test:,} frames, {len(benchmark.queries):,} queries of PRW"):
            load_prw(folder / "prw")


def link(picture: Picture, target: Path) -> None:
    assert isinstance(picture, ImageFile)
    os.link(picture.path, target)


if __name__ == "__main__":
    main()
