"""A small benchmark with everything in it that the published layouts are known to trip over."""

from pathlib import Path

from PIL import Image

from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene

SIZE = (640, 480)


def person(x, y, width, height, identity=UNLABELED, visible=1.0):
    return Person((float(x), float(y), float(x + width), float(y + height)), identity, visible)


TRAIN = {
    "a": [person(200, 100, 100, 150, 0), person(300, 20, 40, 90)],  # x + width passes 255
    "b": [person(5, 6, 40, 90, 1), person(400, 50, 60, 200, 0)],
    "c": [person(50, 60, 30, 80)],  # nobody with an identity
    "d": [person(10, 10, 50, 120, 2)],  # an identity seen once
}
TEST = {
    "e": [person(20, 30, 50, 120, 484), person(220, 130, 60, 150, 491, 0.6)],
    "f": [person(120, 40, 45, 110, 484, 0.4), person(330, 240, 20, 45)],
    "g": [person(180, 90, 90, 200, 491)],
    "h": [],
    "i": [person(70, 80, 30, 60, 484), person(250, 100, 40, 100, 491)],
}


def make_benchmark(folder: Path) -> Benchmark:
    """Four training and five test scenes; two queries."""
    folder.mkdir(parents=True)
    scenes = {}
    for number, (name, persons) in enumerate([*TRAIN.items(), *TEST.items()]):
        path = folder / f"{name}.png"
        Image.new("RGB", SIZE, (20 * number, 90, 200)).save(path)
        scenes[name] = Scene(name, ImageFile(path), *SIZE, tuple(persons), camera=number % 2)
    train, test = tuple(scenes[name] for name in TRAIN), tuple(scenes[name] for name in TEST)
    queries = (
        Query("e", TEST["e"][0].box, 484, ("f", "g", "h", "i")),
        Query("g", TEST["g"][0].box, 491, ("e", "f", "h", "i")),
    )
    return Benchmark("small", train, 3, test, queries)


def people(benchmark):
    """Boxes and identities of all scenes, in order."""
    return [[(p.box, p.identity) for p in scene.persons] for scene in (*benchmark.train, *benchmark.test)]


def described(benchmark):
    """All of a benchmark but where its pictures lie."""
    scenes = [(s.name, s.width, s.height, s.persons, s.camera) for s in (*benchmark.train, *benchmark.test)]
    queries = [(q.scene, q.box, q.identity, tuple(q.gallery)) for q in benchmark.queries]
    return len(benchmark.train), benchmark.identities, scenes, queries
