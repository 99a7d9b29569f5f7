"""What tells two sets of annotations apart, wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from personsearch.data.records import Benchmark, Scene


def mark_of_annotations(scenes: Iterable[Scene]) -> str:
    """The first 16 hex digits of the SHA-256 of who stands where in which scene. Pictures are not read."""
    digest = hashlib.sha256()
    for scene in scenes:
        people = [(person.box, person.identity, person.visible) for person in scene.persons]
        digest.update(repr((scene.name, scene.width, scene.height, scene.camera, people)).encode())
    return digest.hexdigest()[:16]


def mark_of_benchmark(benchmark: Benchmark) -> str:
    """The same of all scenes and queries of a benchmark; of galleries their sizes."""
    digest = hashlib.sha256()
    for scenes in (benchmark.train, benchmark.test):
        digest.update(mark_of_annotations(scenes).encode())
    for query in benchmark.queries:
        digest.update(repr((query.scene, query.box, query.identity, len(query.gallery))).encode())
    return digest.hexdigest()[:16]
