"""CUHK-SYSU as published: scenes under Image/SSM, MATLAB files under annotation.

Identities and boxes are in different files, and are joined by equal boxes. Boxes are stored in the smallest integer
type that holds the four numbers, so they are widened before any arithmetic: x + w overflows uint8.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personsearch.data.layouts.matlab import Array, as_published, read_galleries, read_variable, text
from personsearch.data.layouts.reading import Tally, check_name, fit_box, whole
from personsearch.data.pictures import ImageFile, picture_size
from personsearch.data.records import UNLABELED, Benchmark, Box, Person, Query, Scene
from personsearch.errors import BoxError, DataError, SettingError
from personsearch.geometry.boxes import check_box

GALLERY_SIZES = (50, 100, 500, 1000, 2000, 4000)
SUBSETS = {"occlusion": ("Occlusion", "Occlusion1"), "resolution": ("Resolution", "Test_Size")}
"""Name of a subset to its file and the variable in it."""
PICTURES = Path("Image", "SSM")
ANNOTATIONS = Path("annotation")
TRAIN = ANNOTATIONS / "test" / "train_test" / "Train.mat"

Sight = tuple[str, Box]
"""A picture's name, and a box in it as stored."""


def protocol_file(size: int) -> Path:
    """Of the galleries of `size` scenes, below the benchmark's folder."""
    return ANNOTATIONS / "test" / "train_test" / f"TestG{size}.mat"


def subset_file(subset: str) -> Path:
    """Of a subset's queries, below the benchmark's folder."""
    return ANNOTATIONS / "test" / "subset" / f"{SUBSETS[subset][0]}.mat"


@dataclass(frozen=True)
class _Ask:
    """One query of a protocol file."""

    sight: Sight
    identity: int
    positives: tuple[Sight, ...]
    gallery: tuple[str, ...]
    """As listed: a name may come twice."""


def load_cuhk_sysu(folder: Path, *, gallery_size: int | None = None, subset: str | None = None) -> Benchmark:
    """Training scenes, the pool of test scenes, and the queries of one protocol, by default TestG100.

    `gallery_size` is one of the published 50, 100, 500, 1000, 2000, 4000; `subset` is "occlusion" or
    "resolution". Galleries are as listed, also where they hold the query's own picture or a picture twice. A
    training identity is its index in Train.mat, a test identity the number in its name (p10581 is 10581). Boxes
    of less than a pixel are left out, and a box that a protocol names and Images.mat does not is added to its
    picture; the benchmark's notes count both.

    Raises DataError when a file is missing or not as published, and names it; SettingError for another gallery.
    """
    path, variable = _protocol(folder, gallery_size, subset)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the one that holds Image and annotation")
    tally = Tally()
    boxes = read_boxes(folder, tally)
    pool = set(_read_pool(folder, boxes))
    train_names, identities = _read_training(folder, boxes)
    asks = _read_protocol(path, variable, pool)
    test_names = {sight: ask.identity for ask in asks for sight in (ask.sight, *ask.positives)}
    for name, box in test_names:
        if box not in boxes[name]:
            boxes[name].append(box)
            tally["boxes stand in the protocol alone: added to their pictures"] += 1
    _check_pictures(folder, boxes)
    train = tuple(_scene(folder, name, boxes[name], train_names, tally) for name in boxes if name not in pool)
    test = tuple(_scene(folder, name, boxes[name], test_names, tally) for name in boxes if name in pool)
    scenes = {scene.name: scene for scene in test}
    queries = tuple(_query(ask, scenes, path) for ask in asks)
    return Benchmark(folder.resolve().name, train, identities, test, queries, tally.lines())


def gallery_sizes(scenes: int) -> list[int]:
    """The published sizes up to the first that takes in every test scene but the query's; 50 and 100 always."""
    before = (0, 0, *GALLERY_SIZES[1:])
    return [size for last, size in zip(before, GALLERY_SIZES, strict=False) if last < max(2, scenes) - 1]


def list_files(folder: Path) -> Iterator[Path]:
    """What a complete folder holds: all annotation files, and the pictures that Images.mat names."""
    yield from (folder / ANNOTATIONS / name for name in ("Images.mat", "pool.mat", "Person.mat"))
    yield from (folder / TRAIN, *(folder / subset_file(subset) for subset in SUBSETS))
    boxes = read_boxes(folder, Tally())
    yield from (folder / PICTURES / name for name in boxes)
    yield from (folder / protocol_file(size) for size in gallery_sizes(len(_read_pool(folder, boxes))))


def list_options(folder: Path) -> list[dict[str, Any]]:
    """The options of `load_cuhk_sysu` for each protocol and subset that is there."""
    sizes = [{"gallery_size": size} for size in GALLERY_SIZES if (folder / protocol_file(size)).is_file()]
    return [*sizes, *({"subset": subset} for subset in SUBSETS if (folder / subset_file(subset)).is_file())]


def _protocol(folder: Path, size: int | None, subset: str | None) -> tuple[Path, str]:
    """The file of the queries and the variable in it."""
    if subset is not None:
        if size is not None:
            raise SettingError("a subset brings its own galleries: give a gallery size or a subset, not both")
        if subset not in SUBSETS:
            raise SettingError(f"CUHK-SYSU has no subset {subset}: choose one of {', '.join(SUBSETS)}")
        return folder / subset_file(subset), SUBSETS[subset][1]
    size = 100 if size is None else size
    if size not in GALLERY_SIZES:
        sizes = ", ".join(map(str, GALLERY_SIZES))
        raise SettingError(f"CUHK-SYSU has no galleries of {size} scenes: choose one of {sizes}")
    return folder / protocol_file(size), f"TestG{size}"


# ------------------------------------------------------------------------------------------------- reading


def read_boxes(folder: Path, tally: Tally) -> dict[str, list[Box]]:
    """Images.mat: the boxes of each picture, those without area left out and counted."""
    path = folder / ANNOTATIONS / "Images.mat"
    pictures = read_variable(path, "Img")
    boxes: dict[str, list[Box]] = {}
    with as_published(path):
        for picture in pictures.reshape(-1):
            found = [_box(one["idlocate"]) for one in picture["box"].reshape(-1)]
            name = text(picture["imname"])
            check_name(name, str(path))
            if name in boxes:
                raise DataError(f"{path} lists {name!r} twice: copy it again")
            boxes[name] = [box for box in found if box is not None]
            tally["boxes of Images.mat have no area: left out"] += found.count(None)
    return boxes


def _read_pool(folder: Path, known: Mapping[str, Any]) -> list[str]:
    """pool.mat: the names of the test pictures."""
    path = folder / ANNOTATIONS / "pool.mat"
    pool = read_variable(path, "pool")
    with as_published(path):
        names = [text(cell) for cell in pool.reshape(-1)]
    _check_known(names, known, path)
    return names


def _read_training(folder: Path, known: Mapping[str, Any]) -> tuple[dict[Sight, int], int]:
    """Train.mat: the identity of each sight that has one, and how many identities there are."""
    path = folder / TRAIN
    cells = read_variable(path, "Train")
    identities: dict[Sight, int] = {}
    with as_published(path):
        for identity, cell in enumerate(cells.reshape(-1)):
            for sight in _sights(cell.reshape(-1)[0]["scene"]):
                identities[sight] = identity
    _check_known((name for name, _ in identities), known, path)
    return identities, cells.size


def _read_protocol(path: Path, variable: str, pool: set[str]) -> list[_Ask]:
    """The queries of TestG*.mat or of a subset."""
    records, galleries = read_galleries(path, variable)
    asks = []
    with as_published(path):
        for index, record in enumerate(records.reshape(-1)):
            query = record["Query"].reshape(-1)[0]
            box = _box(query["idlocate"])
            if box is None:
                raise DataError(f"{path} has no box for query {index + 1}: copy it again")
            sight, listed = (text(query["imname"]), box), next(galleries)
            asks.append(_Ask(sight, _number(query, index), tuple(_sights(record["Gallery"])), listed))
    _check_known({ask.sight[0] for ask in asks}.union(*(ask.gallery for ask in asks)), pool, path)
    return asks


def _number(query: Any, index: int) -> int:
    """The number in the name of a query's identity, or the query's index where there is none."""
    name = text(query["idname"]) if "idname" in (query.dtype.names or ()) else ""
    digits = re.search(r"\d{1,18}", name)
    number = whole(int(digits[0])) if digits else index
    if number is None:
        raise ValueError(f"a person of number {name}")
    return number


def _sights(entries: Array) -> Iterable[Sight]:
    """Those of the entries that have a box; negatives of a gallery have an empty one."""
    for entry in entries.reshape(-1):
        box = _box(entry["idlocate"])
        if box is not None:
            yield text(entry["imname"]), box


def _box(stored: Array) -> Box | None:
    """xyxy of a stored x, y, width, height; None for an empty one or one without area."""
    if stored.size == 0:
        return None
    x, y, width, height = (float(value) for value in stored.reshape(-1))
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError("a box that is not finite")
    return (x, y, x + width, y + height) if width > 0 and height > 0 else None


def _check_known(names: Iterable[str], known: Iterable[str], path: Path) -> None:
    unknown = set(names).difference(known)
    if unknown:
        raise DataError(f"{path} names {min(unknown)!r}, which is no picture of the benchmark: copy it again")


# ------------------------------------------------------------------------------------------------- scenes


def _check_pictures(folder: Path, names: Iterable[str]) -> None:
    """One look at the folder now, before an hour of training is lost to a missing picture."""
    pictures = folder / PICTURES
    here = {path.name for path in pictures.iterdir()} if pictures.is_dir() else set()
    missing = [name for name in names if name not in here]
    if missing:
        raise DataError(f"{pictures} lacks {len(missing)} pictures, first {missing[0]!r}: copy them again")


def _scene(folder: Path, name: str, boxes: Sequence[Box], identities: Mapping[Sight, int], tally: Tally) -> Scene:
    path = folder / PICTURES / name
    width, height = picture_size(path)
    persons = []
    for box in boxes:
        inside = fit_box(box, width, height, tally)
        if inside is not None:
            persons.append(Person(inside, identities.get((name, box), UNLABELED)))
    return Scene(name, ImageFile(path), width, height, tuple(persons))


def _query(ask: _Ask, scenes: Mapping[str, Scene], path: Path) -> Query:
    name, box = ask.sight
    scene = scenes[name]
    if not ask.positives:
        raise DataError(f"{path} asks for person {ask.identity} of {name}, whom no gallery entry holds: copy it again")
    try:
        inside = check_box(box, scene.width, scene.height)
    except BoxError as error:
        raise DataError(f"{path} asks for person {ask.identity} of {name}: {error}") from None
    return Query(name, inside, ask.identity, ask.gallery)
