"""Any benchmark in CUHK-SYSU's published layout, down to the integer types of its boxes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from personsearch.data.layouts.cuhk_sysu import (
    ANNOTATIONS,
    PICTURES,
    SUBSETS,
    TRAIN,
    gallery_sizes,
    protocol_file,
    subset_file,
)
from personsearch.data.layouts.matlab import Array
from personsearch.data.pictures import save_jpeg
from personsearch.data.queries import resize_gallery, scenes_holding
from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene
from personsearch.errors import DataError

_PUBLISHED_NAME = re.compile(r"s\d+\.jpg")
_SUBSET_GALLERY = 100
_OCCLUDED = 0.7
"""A query of the occlusion subset shows less of its person than this."""
_LOW = 0.1
"""The resolution subset asks for this part of all sights, those of the fewest pixels."""


def save_cuhk_sysu(benchmark: Benchmark, folder: Path) -> None:
    """Writes a benchmark that `load_cuhk_sysu` reads back, its pictures included.

    Scenes that are not called s1.jpg, s2.jpg and so on are renamed so, training scenes first. The benchmark's own
    galleries go into the protocol file of their size; the other files hold them cut or filled up, as far as there
    are scenes. Both subsets are written from what the test scenes offer. Boxes are rounded to whole pixels, and of
    two that are then the same one is made a pixel smaller, since equal boxes are how identities are found again.
    Test identities live in the protocols alone, so one that nobody asks for comes back UNLABELED.

    Raises DataError when the folder holds annotations already.
    """
    last = folder / ANNOTATIONS / "Images.mat"  # so a stopped run is seen to be unfinished, and done again
    if last.exists():
        raise DataError(f"{last} exists already: give another folder")
    names = _write_pictures(benchmark, folder / PICTURES)
    for file in (TRAIN, subset_file("occlusion")):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    encoder = _Encoder((*benchmark.train, *benchmark.test), names)
    _save(folder / ANNOTATIONS / "pool.mat", "pool", _cells([_text(names[s.name]) for s in benchmark.test]))
    trained, tested = _sights(benchmark.train), _sights(benchmark.test)
    _save(folder / TRAIN, "Train", _cells([encoder.identity(i, trained[i]) for i in sorted(trained)]))
    everybody = [encoder.record(i, sights) for part in (trained, tested) for i, sights in sorted(part.items())]
    _save(folder / ANNOTATIONS / "Person.mat", "Person", _struct(_PERSON, everybody))
    for size in gallery_sizes(len(benchmark.test)):
        queries = _resized(benchmark.queries, benchmark.test, size)
        _save(folder / protocol_file(size), f"TestG{size}", _protocol(queries, benchmark.test, encoder))
    for subset, hard in (("occlusion", _occluded), ("resolution", _small)):
        queries = _resized(_asking(benchmark, hard), benchmark.test, _SUBSET_GALLERY)
        _save(folder / subset_file(subset), SUBSETS[subset][1], _protocol(queries, benchmark.test, encoder))
    _save(last, "Img", _pictures((*benchmark.train, *benchmark.test), encoder))


def _write_pictures(benchmark: Benchmark, folder: Path) -> dict[str, str]:
    """Writes all pictures; the published name of each scene."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = (*benchmark.train, *benchmark.test)
    keeps = all(_PUBLISHED_NAME.fullmatch(scene.name) for scene in scenes)
    names = {}
    for number, scene in enumerate(scenes, start=1):
        names[scene.name] = scene.name if keeps else f"s{number}.jpg"
        save_jpeg(scene.picture, folder / names[scene.name])
    return names


# ------------------------------------------------------------------------------------------------- queries


def _resized(queries: Iterable[Query], scenes: Sequence[Scene], size: int) -> list[Query]:
    """The queries with galleries of `size`; those that have it already stay as they are."""
    holding = scenes_holding(scenes)
    resized = []
    for query in queries:
        gallery = query.gallery
        if len(gallery) != size:
            gallery = resize_gallery(query, scenes, holding[query.identity], size)
        resized.append(Query(query.scene, query.box, query.identity, gallery))
    return resized


def _asking(benchmark: Benchmark, hard: Callable[[Sequence[Person]], set[Person]]) -> list[Query]:
    """The benchmark's queries, each with a hard sight of its person for a query; those without one left out."""
    chosen = hard([p for scene in benchmark.test for p in scene.persons if p.identity != UNLABELED])
    sights: dict[int, list[tuple[str, Person]]] = defaultdict(list)
    for scene in benchmark.test:
        for person in scene.persons:
            if person in chosen:
                sights[person.identity].append((scene.name, person))
    queries = []
    for query in benchmark.queries:
        asked = next(((name, p) for name, p in sights[query.identity] if name in query.gallery), None)
        if asked is None:
            continue
        name, person = asked
        gallery = tuple(query.scene if other == name else other for other in query.gallery)
        queries.append(Query(name, person.box, query.identity, gallery))
    return queries


def _occluded(people: Sequence[Person]) -> set[Person]:
    return {person for person in people if person.visible < _OCCLUDED}


def _small(people: Sequence[Person]) -> set[Person]:
    ranked = sorted(people, key=lambda p: (p.box[2] - p.box[0]) * (p.box[3] - p.box[1]))
    return set(ranked[: max(1, round(_LOW * len(ranked)))])


# ------------------------------------------------------------------------------------------------- structures


def _save(path: Path, variable: str, value: Array) -> None:
    savemat(path, {variable: value}, do_compression=True)


def _struct(fields: Sequence[str], rows: Sequence[Sequence[Any]]) -> Array:
    """A 1xN MATLAB struct array."""
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for index, row in enumerate(rows):
        array[0, index] = tuple(row)
    return array


def _cells(values: Sequence[Any]) -> Array:
    """A Nx1 MATLAB cell array."""
    cells = np.empty((len(values), 1), dtype=object)
    for index, value in enumerate(values):
        cells[index, 0] = value
    return cells


def _text(value: str) -> Array:
    return np.array([value])


def _smallest(values: Sequence[int]) -> Array:
    """Whole numbers [1, N] in the smallest unsigned type that holds them all."""
    return np.array([values], dtype=np.min_scalar_type(max(values)))


def _hard(person: Person) -> Array:
    return np.array([[person.visible < _OCCLUDED]], dtype=np.uint8)


Sight = tuple[str, Person]
"""A scene's name, and a person in it."""
_SIGHT = ("imname", "idlocate", "ishard")
_PERSON = ("idname", "nAppear", "scene")


class _Encoder:
    """Turns sights into the files' structures: pictures by their published names, boxes in whole pixels."""

    def __init__(self, scenes: Iterable[Scene], names: Mapping[str, str]) -> None:
        self.names = names
        self.boxes = {(s.name, person): box for s in scenes for person, box in _whole_boxes(s).items()}

    def located(self, sight: Sight) -> Array:
        """x, y, width, height in the smallest unsigned type that holds them, as MATLAB stores them."""
        return _smallest(self.boxes[sight])

    def sight(self, sight: Sight) -> tuple[Array, Array, Array]:
        """The fields of _SIGHT."""
        scene, person = sight
        return _text(self.names[scene]), self.located(sight), _hard(person)

    def record(self, number: int, sights: Sequence[Sight]) -> tuple[Array, Array, Array]:
        """The fields of _PERSON."""
        scenes = _struct(_SIGHT, [self.sight(sight) for sight in sights])
        return _text(f"p{number}"), _smallest([len(sights)]), scenes

    def identity(self, number: int, sights: Sequence[Sight]) -> Array:
        """One person as Train.mat holds it."""
        return _struct(_PERSON, [self.record(number, sights)])


def _whole_boxes(scene: Scene) -> dict[Person, tuple[int, int, int, int]]:
    """x, y, width, height of each person in whole pixels within the picture, no two alike."""
    boxes: dict[Person, tuple[int, int, int, int]] = {}
    taken = set()
    for person in scene.persons:
        if person in boxes:
            continue
        x1, y1, x2, y2 = (round(value) for value in person.box)
        x, y = min(x1, scene.width - 1), min(y1, scene.height - 1)
        width, height = max(1, x2 - x), max(1, y2 - y)
        while (x, y, width, height) in taken:
            if width == height == 1:
                raise DataError(f"{scene.name} has two people in one pixel: remove one")
            width, height = (width - 1, height) if width > 1 else (width, height - 1)
        taken.add((x, y, width, height))
        boxes[person] = x, y, width, height
    return boxes


def _pictures(scenes: Sequence[Scene], encoder: _Encoder) -> Array:
    rows = []
    for scene in scenes:
        boxes = _struct(_SIGHT[1:], [encoder.sight((scene.name, person))[1:] for person in scene.persons])
        rows.append((_text(encoder.names[scene.name]), _smallest([len(scene.persons)]), boxes))
    return _struct(("imname", "nAppear", "box"), rows)


def _sights(scenes: Sequence[Scene]) -> dict[int, list[Sight]]:
    """Where each identity is seen."""
    sights: dict[int, list[Sight]] = {}
    for scene in scenes:
        for person in scene.persons:
            if person.identity != UNLABELED:
                sights.setdefault(person.identity, []).append((scene.name, person))
    return sights


def _protocol(queries: Sequence[Query], scenes: Sequence[Scene], encoder: _Encoder) -> Array:
    """The struct array of a TestG file: in each gallery those who hold the person come first."""
    by_name = {scene.name: scene for scene in scenes}
    rows = []
    for query in queries:
        same = [p for p in by_name[query.scene].persons if p.box == query.box and p.identity == query.identity]
        if not same:
            raise DataError(
                f"the query for {query.identity} in {query.scene} is of no annotated person: give it the box of one"
            )
        asked = (*encoder.sight((query.scene, same[0])), _text(f"p{query.identity}"))
        entries = [_entry(by_name[name], query, encoder) for name in query.gallery]
        entries.sort(key=lambda entry: entry[1].size == 0)
        rows.append((_struct((*_SIGHT, "idname"), [asked]), _struct(_SIGHT, entries)))
    return _struct(("Query", "Gallery"), rows)


def _entry(scene: Scene, query: Query, encoder: _Encoder) -> tuple[Array, Array, Array]:
    """One picture of a gallery, with the person's box if it is there and two empty arrays if not."""
    same = [p for p in scene.persons if p.identity == query.identity]
    other = [p for p in same if (scene.name, p.box) != (query.scene, query.box)] or same
    if not other:
        return _text(encoder.names[scene.name]), np.zeros((1, 0)), np.zeros((1, 0))
    return encoder.sight((scene.name, other[0]))
