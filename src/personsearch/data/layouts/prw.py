"""PRW as published (PRW-v16.04.20): frames, one MATLAB matrix a frame, lists of frames, and a text file of queries."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from personsearch.data.layouts.matlab import as_published, read_variable, text
from personsearch.data.layouts.reading import Tally, check_name, fit_box, read_text, whole
from personsearch.data.pictures import ImageFile, picture_size
from personsearch.data.records import UNLABELED, Benchmark, Box, Person, Query, Scene
from personsearch.errors import DataError

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

    With `cross_camera` a gallery also lacks the frames of the query's own camera. Queries without anything to find
    are left out, and counted in the benchmark's notes like boxes of less than a pixel. Training identities, 483 of
    them with holes, become 0 ... K-1 in the order of their numbers; those in test frames keep their numbers, and -2
    becomes UNLABELED. A query is the person of its frame with its identity, since its box may differ by a pixel from
    the one in the frame's own file. Boxes are cut to the frame.

    Raises DataError when a file is missing or not as published, and names it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the one that holds frames and annotations")
    names = {split: read_list(folder, split) for split in LISTS}
    asks = _read_queries(folder / QUERIES)
    _check_frames(folder, [*names["train"], *names["test"]])
    tally = Tally()
    train = [_scene(folder, name, tally) for name in names["train"]]
    test = tuple(_scene(folder, name, tally) for name in names["test"])
    old = sorted({person.identity for scene in train for person in scene.persons} - {UNLABELED})
    new = {UNLABELED: UNLABELED} | {identity: index for index, identity in enumerate(old)}
    queries = tuple(_queries(asks, test, cross_camera, folder / QUERIES, tally))
    renumbered = tuple(_renumbered(scene, new) for scene in train)
    return Benchmark(folder.resolve().name, renumbered, len(old), test, queries, tally.lines())


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


def _queries(asks: Sequence[_Ask], test: Sequence[Scene], cross_camera: bool, path: Path, tally: Tally) -> list[Query]:
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
        if holding[ask.identity].intersection(gallery):
            queries.append(Query(scene.name, asked.box, ask.identity, gallery))
        else:
            tally["queries have nothing to find in their galleries: left out"] += 1
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
        names = [text(cell) + ".jpg" for cell in cells.reshape(-1)]
    for name in names:
        check_name(name, str(folder / file))
    return names


def read_people(path: Path) -> list[tuple[int, Box]]:
    """The people of one frame's MATLAB file: identity, or UNLABELED, and xyxy box as stored."""
    rows = read_variable(path, *KEYS)
    with as_published(path):
        if rows.size == 0:
            return []
        if rows.ndim != 2 or rows.shape[1] != 5:
            raise DataError(f"{path} holds a matrix {rows.shape}, not people by 5 numbers: copy it again")
        return [
            (_identity(number, path), (x, y, x + width, y + height))
            for number, x, y, width, height in rows.astype(float).tolist()
        ]


def _identity(number: float, path: Path) -> int:
    """The identity of a person as stored; UNLABELED for -2."""
    identity = whole(number)
    if identity is None or (identity < 0 and identity != UNLABELED_ID):
        raise DataError(f"{path} has a person of number {number:g}: give 0 or more, or {UNLABELED_ID} for unknown")
    return UNLABELED if identity == UNLABELED_ID else identity


def _read_queries(path: Path) -> list[_Ask]:
    """query_info.txt: identity, x, y, width, height and frame, with either kind of line end."""
    asks = []
    for count, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            identity, *numbers, frame = line.split()
            x, y, width, height = (float(number) for number in numbers)
            ask = _Ask(int(identity), (x, y, x + width, y + height), f"{frame.removesuffix('.jpg')}.jpg")
        except ValueError:
            raise DataError(f"line {count} of {path} is not 'id x y width height frame': repair it") from None
        if whole(ask.identity) is None or ask.identity < 0 or not all(map(math.isfinite, ask.box)):
            raise DataError(f"line {count} of {path} holds a number that is negative or too large: repair it")
        asks.append(ask)
    return asks


def _check_frames(folder: Path, names: Sequence[str]) -> None:
    """One look at the folders now, before an hour of training is lost to a missing file."""
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise DataError(f"the lists of {folder} hold {twice[0]!r} twice: copy them again")
    for part, suffix, kind in ((FRAMES, "", "frames"), (ANNOTATIONS, ".mat", "annotations")):
        where = folder / part
        here = {path.name for path in where.iterdir()} if where.is_dir() else set()
        missing = [name + suffix for name in names if name + suffix not in here]
        if missing:
            raise DataError(f"{where} lacks {len(missing)} {kind}, first {missing[0]!r}: copy them again")


def _scene(folder: Path, name: str, tally: Tally) -> Scene:
    """One frame, its identities as published."""
    path = folder / FRAMES / name
    width, height = picture_size(path)
    persons = []
    for identity, box in read_people(folder / ANNOTATIONS / f"{name}.mat"):
        inside = fit_box(box, width, height, tally)
        if inside is not None:
            persons.append(Person(inside, identity))
    camera = _CAMERA.match(name)
    return Scene(name, ImageFile(path), width, height, tuple(persons), int(camera[1]) if camera else None)
