"""How long a question of the page takes among many people: p50 and p95.

Run: python benchmarks/page.py [--people 100000] [--questions 200] [--folder FOLDER]

People are generated: sights of persons with some noise, fifty scenes a film, ten people a scene. The time is that of
the whole question: refining, ranking, appearances, how sure, and what is sent, without the network; that of the
processor is the fairer one on a machine that does other work. FOLDER keeps the gallery for the next time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from personsearch.geometry.detections import Detections
from personsearch.search.gallery import Gallery
from personsearch.search.rows import IndexedScene
from personsearch.search.searchers import READINGS, SceneEncoder
from personsearch.search.sources import Source
from personsearch.serve.library import Library, Shelf
from personsearch.serve.questions import Question, ask, described
from personsearch.serve.uploads import Uploads

DIM, A_SCENE, A_FILM, SIGHTS = 768, 10, 50, 20


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--people", type=int, default=100_000)
    options.add_argument("--questions", type=int, default=200)
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place) / "g"
        if not Gallery.exists(folder):
            fill(folder, given.people)
        began = time.perf_counter()
        shelf = Library(folder).now()
        print(f"{len(shelf.crowd.scores):,} people; opened in {time.perf_counter() - began:.1f} s")
        source = next(iter(shelf.cameras))
        people = [shelf.person_id(row) for row in torch.randperm(len(shelf.crowd.scores))[: given.questions].tolist()]
        measure("one sight", shelf, people, lambda one: Question([one]))
        measure("one sight, anybody", shelf, people, lambda one: Question([one], sure=0))
        measure("three sights, one other", shelf, people, lambda one: Question([one, *people[:2]], people[2:3]))
        measure("in one film", shelf, people, lambda one: Question([one], source=source))
        measure("in all films, from 0:10 to 0:20", shelf, people, lambda one: Question([one], after=10, before=20))


def measure(what: str, shelf: Shelf, people: list[str], question: Callable[[str], Question]) -> None:
    uploads, spent = Uploads(no_model), []
    for person in people:
        began, worked = time.perf_counter(), time.process_time()
        described(shelf, ask(shelf, uploads, question(person)).found)
        spent.append((time.perf_counter() - began, time.process_time() - worked))
    (middle, cpu), (slow, slow_cpu) = 1000 * np.percentile(spent, [50, 95], axis=0)
    print(
        f"{what}: p50 {middle:.0f} ms, p95 {slow:.0f} ms; of the processor {cpu:.0f} and {slow_cpu:.0f} ms", flush=True
    )


def no_model() -> SceneEncoder:
    raise AssertionError("nobody brings a picture")


def fill(folder: Path, people: int) -> None:
    chance = torch.Generator().manual_seed(0)
    scenes = people // A_SCENE
    persons = F.normalize(torch.randn(max(1, people // SIGHTS), DIM, generator=chance), dim=1)
    boxes = torch.tensor([[30.0 * place, 10.0, 30.0 * place + 20, 70.0] for place in range(A_SCENE)])
    with Gallery.create(folder, model="generated", fingerprint="generated", dim=DIM, read=READINGS) as gallery:
        for start in range(0, scenes, 500):
            gallery.add([scene(number, persons, boxes, chance) for number in range(start, min(start + 500, scenes))])


def scene(number: int, persons: torch.Tensor, boxes: torch.Tensor, chance: torch.Generator) -> IndexedScene:
    who = torch.randint(len(persons), (A_SCENE,), generator=chance)
    vectors = F.normalize(persons[who] + 0.02 * torch.randn(A_SCENE, DIM, generator=chance), dim=1)
    scores = 0.5 + 0.5 * torch.rand(A_SCENE, generator=chance)
    film, frame = divmod(number, A_FILM)
    source = Source(f"/films/{film:05}.mp4", 1, 1, 0.5)
    return IndexedScene(source, 400, 100, Detections(boxes, scores, vectors), 5 * frame, 0.5 * frame)


if __name__ == "__main__":
    main()
