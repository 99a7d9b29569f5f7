"""A folder of cropped people as a benchmark, for judging a re-id network alone. Each picture is one person.

Names are CUHK03's: IDENTITY_K.jpg, where K from 0 to 4 is the first camera and from 5 to 9 the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from personsearch.data.layouts.reading import MAX_NUMBER
from personsearch.data.pictures import IMAGE_SUFFIXES, ImageFile, picture_size
from personsearch.data.records import Benchmark, Person, Query, Scene
from personsearch.errors import DataError

_NAME = re.compile(r"(\d+)_(\d+)")
_SIGHTS_OF_A_CAMERA = 5


def load_crops(folder: Path) -> Benchmark:
    """Every picture is a training scene and a test scene, with one person whose box is all of it.

    Of everybody seen by both cameras, each picture of the first one is a query, and its gallery is all pictures of
    the second one. To train on some people and test on others, give them folders of their own. Raises DataError when
    the folder holds no picture, or one of another name.
    """
    test = [_scene(path) for path in list_files(folder)]
    gallery = tuple(scene.name for scene in test if scene.camera == 1)
    found = {scene.persons[0].identity for scene in test if scene.camera == 1}
    queries = [
        Query(scene.name, scene.persons[0].box, scene.persons[0].identity, gallery)
        for scene in test
        if scene.camera == 0 and scene.persons[0].identity in found
    ]
    numbers = {identity: n for n, identity in enumerate(sorted({scene.persons[0].identity for scene in test}))}
    train = [
        replace(scene, persons=tuple(replace(p, identity=numbers[p.identity]) for p in scene.persons)) for scene in test
    ]
    return Benchmark(folder.name, tuple(train), len(numbers), tuple(test), tuple(queries))


def list_files(folder: Path) -> Iterable[Path]:
    """The pictures, in the order of their names. Raises DataError when there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one of cropped people")
    shown = (path for path in folder.iterdir() if not path.name.startswith("."))
    files = sorted(path for path in shown if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(f"{folder} holds no pictures: give a folder of cropped people named IDENTITY_K.jpg")
    return files


def _scene(path: Path) -> Scene:
    match = _NAME.fullmatch(path.stem)
    if match is None or any(int(part) > MAX_NUMBER for part in match.groups()):
        raise DataError(f"{path} is not named IDENTITY_K.jpg with two numbers: rename it or take it out")
    identity, sight = (int(part) for part in match.groups())
    width, height = picture_size(path)
    person = Person((0.0, 0.0, float(width), float(height)), identity)
    return Scene(path.name, ImageFile(path), width, height, (person,), camera=sight // _SIGHTS_OF_A_CAMERA)
