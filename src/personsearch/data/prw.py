"""PRW as published (PRW-v16.04.20): frames, one MATLAB matrix a frame, lists of frames, and a text file of queries."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from personsearch.data.matlab import as_published, read_variable, text
from personsearch.data.pictures import ImageFile, picture_size
from personsearch.data.records import UNLABELED, Benchmark, Box, Person, Query, Scene
from personsearch.errors import BoxError, DataError
from personsearch.geometry.boxes import check_box

FRAMES = Path("frames")
ANNOTATIONS = Path("annotations")
QUERIES = Path("query_info.txt")
LISTS = {"train": ("frame_train.mat", "img_index_train"), "test": ("frame_test.mat", "img_index_test")}
"""Split to the file that lists its frames and the variable in it."""
KEYS = ("box_new", "anno_file", "anno_previous")
"""Variables that hold the people of a frame; each of them occurs in the published files."""
UNLABELED_ID = -2
"""How PRW writes UNLABELED."""
_CAMERA = re.compile(r"c(\d+)")


@dataclass(frozen=True)
class _Ask:
    """One line of query_info.txt."""

    identity: int
    box: Box
    frame: str


def load_prw(folder: Path, *, cross_camera: bool = False) -> Benchmark:
    """Training and test frames; 2,057 queries in the published files, each searched in all other test frames.

    With `cross_camera` a gallery also lacks the frames of the query's own camera, and queries without anything
    left to find are left out. Training identities, 483 of them with holes, become 0 ... K-1 in the order of their
    numbers; those in test frames keep their numbers, and -2 becomes UNLABELED. A query is the person of its
    frame with its number: boxes of the two files differ by a pixel for some. Boxes are cut to the frame.

    Raises DataError when a file is missing or not as published, and names it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the one that holds frames and annotations")
    names = {split: read_list(folder, split) for split in LISTS}
    asks = _read_queries(folder / QUERIES)
    _check_frames(folder, [*names["train"], *names["test"]])
    train = [_scene(folder, name) for name in names["train"]]
    test = tuple(_scene(folder, name) for name in names["test"])
    old = sorted({person.identity for scene in train for person in scene.persons} - {UNLABELED})
    new = {UNLABELED: UNLABELED} | {identity: place for place, identity in enumerate(old)}
    queries = tuple(_queries(asks, test, cross_camera, folder / QUERIES))
    return Benchmark(folder.resolve().name, tuple(_renumbered(scene, new) for scene in train), len(old), test, queries)


def list_files(folder: Path) -> Iterator[Path]:
    """What a complete folder holds: the lists, and a picture and its annotations for each frame that they name."""
    yield from (folder / name for name in ("frame_train.mat", "frame_test.mat", "ID_train.mat", "ID_test.mat", QUERIES))
    for split in LISTS:
        for name in read_list(folder, split):
            yield folder / FRAMES / name
            yield folder / ANNOTATIONS / f"{name}.mat"


def _renumbered(scene: Scene, new: Mapping[int, int]) -> Scene:
    persons = tuple(Person(p.box, new[p.identity]) for p in scene.persons)
    return Scene(scene.name, scene.picture, scene.width, scene.height, persons, scene.camera)


def _queries(asks: Sequence[_Ask], test: Sequence[Scene], cross_camera: bool, path: Path) -> list[Query]:
    scenes = {scene.name: scene for scene in test}
    holding: dict[int, set[str]] = defaultdict(set)
    for scene in test:
        for person in scene.persons:
            holding[person.identity].add(scene.name)
    names = tuple(scenes)
    others = {camera: tuple(s.name for s in test if s.camera != camera) for camera in {s.camera for s in test}}
    queries = []
    for ask in asks:
        if ask.frame not in scenes:
            raise DataError(f"{path} asks in {ask.frame}, which is not a test frame: copy it again")
        scene = scenes[ask.frame]
        asked = _asked(ask, scene)
        if asked is None:
            raise DataError(f"{path} asks for person {ask.identity} of {ask.frame}, who is not annotated there")
        own = names.index(ask.frame)
        gallery = others[scene.camera] if cross_camera else names[:own] + names[own + 1 :]
        if holding[ask.identity].intersection(gallery) or not cross_camera:
            queries.append(Query(scene.name, asked.box, ask.identity, gallery))
    return queries


def _asked(ask: _Ask, scene: Scene) -> Person | None:
    """The person whom a query means: the one with its number, and of two the one nearer to its box."""
    same = [person for person in scene.persons if person.identity == ask.identity]
    return min(same, key=lambda person: math.dist(person.box, ask.box), default=None)


# ------------------------------------------------------------------------------------------------- reading


def read_list(folder: Path, split: str) -> list[str]:
    """The file names of a split's frames."""
    file, variable = LISTS[split]
    cells = read_variable(folder / file, variable)
    with as_published(folder / file):
        return [text(cell) + ".jpg" for cell in cells.reshape(-1)]


def read_people(path: Path) -> list[tuple[int, Box]]:
    """The people of one frame's MATLAB file: identity, or UNLABELED, and xyxy box as stored."""
    rows = read_variable(path, *KEYS)
    if rows.size == 0:
        return []
    if rows.ndim != 2 or rows.shape[1] != 5:
        raise DataError(f"{path} holds a matrix {rows.shape}, not people by 5 numbers: copy it again")
    people = []
    with as_published(path):
        for identity, x, y, width, height in rows.astype(float).tolist():
            label = UNLABELED if identity == UNLABELED_ID else int(identity)
            people.append((label, (x, y, x + width, y + height)))
    return people


def _read_queries(path: Path) -> list[_Ask]:
    """query_info.txt: identity, x, y, width, height and frame, with either kind of line end."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path} is missing: copy it again") from None
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{path} cannot be read as text: copy it again") from None
    asks = []
    for count, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            identity, *numbers, frame = line.split()
            x, y, width, height = (float(number) for number in numbers)
            asks.append(_Ask(int(identity), (x, y, x + width, y + height), f"{frame}.jpg"))
        except ValueError:
            raise DataError(f"line {count} of {path} is not 'id x y width height frame': repair it") from None
    return asks


def _check_frames(folder: Path, names: Sequence[str]) -> None:
    """One look at the folders now, before an hour of training is lost to a missing file."""
    for part, suffix, kind in ((FRAMES, "", "frames"), (ANNOTATIONS, ".mat", "annotations")):
        place = folder / part
        here = {path.name for path in place.iterdir()} if place.is_dir() else set()
        missing = [name + suffix for name in names if name + suffix not in here]
        if missing:
            raise DataError(f"{place} lacks {len(missing)} {kind}, first {missing[0]}: copy them again")


def _scene(folder: Path, name: str) -> Scene:
    """One frame, its identities as published."""
    path = folder / FRAMES / name
    width, height = picture_size(path)
    persons = []
    for identity, box in read_people(folder / ANNOTATIONS / f"{name}.mat"):
        try:
            persons.append(Person(check_box(box, width, height), identity))
        except BoxError:
            continue
    camera = _CAMERA.match(name)
    return Scene(name, ImageFile(path), width, height, tuple(persons), int(camera[1]) if camera else None)
