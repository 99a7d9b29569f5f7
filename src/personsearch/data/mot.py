"""A MOTChallenge sequence as a benchmark: one frame in `stride`, searched `gap` frames away.

Neighbouring frames of a video are nearly identical, so finding a person in the next frame measures nothing.
Hence few scenes, and a gallery without those near the query.
"""

from __future__ import annotations

import configparser
import math
from collections import defaultdict
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from personsearch.data.pictures import IMAGE_SUFFIXES, ImageFile, picture_size
from personsearch.data.records import Benchmark, Person, Picture, Query, Scene
from personsearch.data.video import VIDEO_SUFFIXES, VideoFrame, read_header
from personsearch.errors import BoxError, DataError, SettingError
from personsearch.geometry.boxes import check_box


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of gt.txt that counts."""

    frame: int
    identity: int
    corners: tuple[float, float, float, float]
    visible: float


@dataclass(frozen=True, slots=True)
class _Footage:
    """Where the frames are, by the numbers of gt.txt, which count from 1."""

    numbers: range | list[int]
    picture: Callable[[int], Picture]
    size: Callable[[int], tuple[int, int]]
    rate: float | None
    """Frames a second, None when nothing tells."""


def load_mot(folder: Path, *, stride: int = 15, gap: int = 60) -> Benchmark:
    """Reads `folder/img1` or the one video in `folder`, and `folder/gt.txt` or `folder/gt/gt.txt`.

    Scenes are frames 1, 1 + `stride`, ..., named by their number. Each annotated person is a query whose gallery
    is all scenes at least `gap` frames away, when one of these holds the same person. No training scenes.
    Lines with flag 0, and of another class than 1 where there is a class column, are left out; boxes are cut to
    the picture, and those without area left out. Raises DataError when a file is missing or not as published,
    and ImageError or VideoError when a picture's header cannot be read.
    """
    if stride < 1 or gap < 1:
        raise SettingError(f"stride {stride} and gap {gap} are numbers of frames: give 1 or more")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder of one MOTChallenge sequence")
    annotations = _find_annotations(folder)
    rows = _read_rows(annotations)
    footage = _find_footage(folder, last=max(row.frame for row in rows))
    _check_frames(rows, footage.numbers, annotations)
    rows_of = defaultdict(list)
    for row in rows:
        rows_of[row.frame].append(row)
    chosen = [number for number in footage.numbers if (number - 1) % stride == 0]
    scenes = {number: _scene(number, footage, rows_of[number]) for number in chosen}
    name = folder.resolve().name
    return Benchmark(name, train=(), identities=0, test=tuple(scenes.values()), queries=tuple(_queries(scenes, gap)))


def list_files(folder: Path) -> list[Path]:
    """The annotations and the frames that are there: nothing lists those that should be."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder of one MOTChallenge sequence")
    frames = folder / "img1"
    kind, place = (IMAGE_SUFFIXES, frames) if frames.is_dir() else (VIDEO_SUFFIXES, folder)
    return [_find_annotations(folder), *sorted(p for p in place.iterdir() if p.suffix.lower() in kind)]


def _queries(scenes: dict[int, Scene], gap: int) -> list[Query]:
    """Each person whom the scenes at least `gap` frames away hold too, in order of scenes."""
    seen_in = defaultdict(set)
    for number, scene in scenes.items():
        for person in scene.persons:
            seen_in[person.identity].add(number)
    queries = []
    for number, scene in scenes.items():
        far = {other for other in scenes if abs(other - number) >= gap}
        gallery = tuple(scenes[other].name for other in scenes if other in far)
        for person in scene.persons:
            if far & seen_in[person.identity]:
                queries.append(Query(scene.name, person.box, person.identity, gallery))
    return queries


def _scene(number: int, footage: _Footage, rows: list[_Row]) -> Scene:
    width, height = footage.size(number)
    persons = []
    for row in rows:
        try:
            box = check_box(row.corners, width, height)
        except BoxError:  # tracks are published beyond the border of the picture
            continue
        persons.append(Person(box, row.identity, row.visible))
    time = (number - 1) / footage.rate if footage.rate else None
    return Scene(f"{number:06d}", footage.picture(number), width, height, tuple(persons), camera=None, time=time)


# ------------------------------------------------------------------------------------------------ pictures


def _find_footage(folder: Path, last: int) -> _Footage:
    """Pictures in `img1`, or else the one video; `last` is the last annotated frame."""
    if (folder / "img1").is_dir():
        return _images(folder / "img1", _sequence_rate(folder / "seqinfo.ini"))
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if len(videos) != 1:
        raise DataError(f"{folder} has no folder img1 and {len(videos)} videos: give it img1 or exactly one video")
    path = videos[0]
    header = read_header(path)
    return _Footage(
        range(1, (header.frames or last) + 1),
        lambda number: VideoFrame(path, number - 1),
        lambda number: (header.width, header.height),
        header.rate,
    )


def _images(folder: Path, rate: float | None) -> _Footage:
    paths: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if not path.stem.isdecimal():
            raise DataError(f"{path} is not named by its frame's number, as in 000001.jpg: rename or remove it")
        if int(path.stem) in paths:
            raise DataError(f"{path} and {paths[int(path.stem)].name} are the same frame: remove one")
        paths[int(path.stem)] = path
    if not paths:
        raise DataError(f"{folder} holds no pictures: put the frames there, as 000001.jpg and so on")
    return _Footage(
        sorted(paths),
        lambda number: ImageFile(paths[number]),
        lambda number: picture_size(paths[number]),
        rate,
    )


def _sequence_rate(path: Path) -> float | None:
    """frameRate of seqinfo.ini; None without the file or the entry."""
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        rate = parser.getfloat("Sequence", "frameRate", fallback=0.0)
    except (configparser.Error, ValueError):
        raise DataError(f"{path} cannot be read as settings with a frameRate: repair or remove it") from None
    return rate if rate > 0 else None


# --------------------------------------------------------------------------------------------- annotations


def _find_annotations(folder: Path) -> Path:
    for path in (folder / "gt.txt", folder / "gt" / "gt.txt"):
        if path.is_file():
            return path
    raise DataError(f"{folder} has neither gt.txt nor gt/gt.txt: give the folder of one MOTChallenge sequence")


def _read_rows(path: Path) -> list[_Row]:
    """The people of gt.txt: frame, id, left, top, width, height, flag[, class, visibility | , x, y, z]."""
    rows, seen = [], set()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise DataError(f"{path} cannot be read as text: copy it again") from None
    for count, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _parse(line, f"line {count} of {path}")
        if row is None:
            continue
        if (row.frame, row.identity) in seen:
            raise DataError(f"line {count} of {path} has identity {row.identity} twice in a frame: remove one")
        seen.add((row.frame, row.identity))
        rows.append(row)
    if not rows:
        raise DataError(f"{path} annotates nobody: give the ground truth of a training sequence")
    return rows


def _parse(line: str, where: str) -> _Row | None:
    """None for a line that does not count: flag 0, or another class than pedestrian."""
    try:
        values = [float(value) for value in line.split(",")]
    except ValueError:
        raise DataError(f"{where} is not numbers with commas between: repair it") from None
    if len(values) < 7:
        raise DataError(f"{where} has {len(values)} columns, not the 7 or more of MOTChallenge: repair it")
    if not all(math.isfinite(value) for value in values[:7]):
        raise DataError(f"{where} holds a number that is not finite: repair it")
    frame, identity, left, top, width, height, flag = values[:7]
    has_class = len(values) == 9  # MOT16 and later; MOT15 has ten columns, the last three metres
    if flag == 0 or (has_class and values[7] != 1):
        return None
    visible = min(max(values[8], 0.0), 1.0) if has_class else 1.0
    return _Row(int(frame), int(identity), (left, top, left + width, top + height), visible)


def _check_frames(rows: list[_Row], numbers: Container[int], annotations: Path) -> None:
    for row in rows:
        if row.frame not in numbers:
            raise DataError(f"{annotations} annotates frame {row.frame}, which has no picture: copy the frames again")
