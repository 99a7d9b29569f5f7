"""A MOTChallenge sequence as a benchmark: one frame in `stride`, searched `gap` frames away.

Neighbouring frames of a video are nearly identical, so finding a person in the next frame measures nothing.
Hence few scenes, and a gallery without those near the query.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from personsearch.data.layouts.mot_rows import Row, read_rows
from personsearch.data.layouts.reading import MAX_NUMBER, Tally, fit_box
from personsearch.data.layouts.seqinfo import SEQINFO, SequenceInfo, read_seqinfo
from personsearch.data.pictures import IMAGE_SUFFIXES, ImageFile, picture_size
from personsearch.data.records import UNLABELED, Benchmark, Person, Picture, Query, Scene, other_size
from personsearch.data.video import VIDEO_SUFFIXES, VideoFrame, read_header
from personsearch.errors import DataError, SettingError

_MAX_FRAMES = 10_000_000
"""Four days; a film that claims more is damaged."""


@dataclass(frozen=True, slots=True)
class _Footage:
    """Where the frames are, by the numbers of gt.txt, which count from 1."""

    numbers: range | list[int]
    picture: Callable[[int], Picture]
    size: Callable[[int], tuple[int, int]]
    rate: float | None
    """Frames a second, None when unknown."""


def load_mot(folder: Path, *, stride: int = 15, gap: int = 60) -> Benchmark:
    """Reads `folder/img1` or the one video in `folder`, and `folder/gt.txt` or `folder/gt/gt.txt`.

    Scenes are frames 1, 1 + `stride`, ..., named by their number; where nobody is annotated in any of them, those
    annotated frames that are at least `stride` apart. Each annotated person is a query whose gallery is all scenes
    at least `gap` frames away, when one of these holds the same person. No training scenes.

    Lines with flag 0, and of another class than 1 where the eighth column holds classes, are left out; boxes are
    cut to the picture, and those of less than a pixel left out. The benchmark's notes count them, and say where
    seqinfo.ini and the frames disagree. Raises DataError when a file is missing or not as published, or pictures
    are of another size than seqinfo.ini says, and ImageError or VideoError when a header cannot be read.
    """
    if stride < 1 or gap < 1:
        raise SettingError(f"stride {stride} and gap {gap} are numbers of frames: give 1 or more")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder of one MOTChallenge sequence")
    annotations = _find_annotations(folder)
    tally = Tally()
    rows_of = defaultdict(list)
    for row in read_rows(annotations, tally):
        rows_of[row.frame].append(row)
    info = read_seqinfo(folder / SEQINFO)
    footage = _find_footage(folder, info, last=max(rows_of))
    _check_frames(rows_of, footage.numbers, annotations)
    chosen = [number for number in footage.numbers if (number - 1) % stride == 0]
    notes = _disagreements(info, footage)
    if not any(number in rows_of for number in chosen):
        chosen = _spaced(sorted(rows_of), stride)
        notes.append(f"nobody is annotated in frames 1, {1 + stride}, ...: scenes are annotated frames {stride} apart")
    scenes = {number: _scene(number, footage, rows_of[number], info, tally) for number in chosen}
    if not any(scene.persons for scene in scenes.values()):
        raise DataError(f"{annotations} has no box within its picture: give boxes in pixels of these frames")
    test, queries = tuple(scenes.values()), tuple(_queries(scenes, gap))
    return Benchmark(folder.resolve().name, (), 0, test, queries, (*tally.lines(), *notes))


def list_files(folder: Path) -> list[Path]:
    """The annotations and the frames that are there: nothing lists those that should be."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder of one MOTChallenge sequence")
    frames = folder / "img1"
    suffixes, source = (IMAGE_SUFFIXES, frames) if frames.is_dir() else (VIDEO_SUFFIXES, folder)
    return [_find_annotations(folder), *_visible_files(source, suffixes)]


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
            if person.identity != UNLABELED and far & seen_in[person.identity]:
                queries.append(Query(scene.name, person.box, person.identity, gallery))
    return queries


def _spaced(numbers: Sequence[int], stride: int) -> list[int]:
    """Of growing numbers the first, and then each that is at least `stride` above the last one chosen."""
    chosen: list[int] = []
    for number in numbers:
        if not chosen or number - chosen[-1] >= stride:
            chosen.append(number)
    return chosen


def _scene(number: int, footage: _Footage, rows: Sequence[Row], info: SequenceInfo, tally: Tally) -> Scene:
    size = footage.size(number)
    if info.size is not None and size != info.size:
        raise DataError(f"frame {number} {other_size(size, info.size)} ({SEQINFO} says so)")
    persons = []
    for row in rows:
        box = fit_box(row.corners, *size, tally)  # tracks are published beyond the border of the picture
        if box is not None:
            persons.append(Person(box, row.identity, row.visible))
    time = (number - 1) / footage.rate if footage.rate else None
    return Scene(f"{number:06d}", footage.picture(number), *size, tuple(persons), camera=None, time=time)


def _disagreements(info: SequenceInfo, footage: _Footage) -> list[str]:
    """Harmless disagreements between seqinfo.ini and the frames, one line each."""
    notes = []
    if info.length is not None and info.length != len(footage.numbers):
        notes.append(f"{SEQINFO} says {info.length:,} frames, and {len(footage.numbers):,} are there")
    if info.rate and footage.rate and abs(info.rate - footage.rate) > 0.01 * footage.rate:
        notes.append(f"{SEQINFO} says {info.rate:g} frames a second, the film says {footage.rate:g}, which is used")
    return notes


# ------------------------------------------------------------------------------------------------ pictures


def _find_footage(folder: Path, info: SequenceInfo, last: int) -> _Footage:
    """Pictures in `img1`, or else the one video; `last` is the last annotated frame."""
    if (folder / "img1").is_dir():
        return _images(folder / "img1", info.rate)
    videos = _visible_files(folder, VIDEO_SUFFIXES)
    if len(videos) != 1:
        raise DataError(f"{folder} has no folder img1 and {len(videos)} videos: give it img1 or exactly one video")
    path = videos[0]
    header = read_header(path)
    frames = header.frames or last
    if frames > _MAX_FRAMES:
        raise DataError(f"{path} says that it has {frames:,} frames: copy it again")
    return _Footage(
        range(1, frames + 1),
        lambda number: VideoFrame(path, number - 1),
        lambda number: (header.width, header.height),
        header.rate,
    )


def _visible_files(folder: Path, suffixes: Container[str]) -> list[Path]:
    """Files with these suffixes. Hidden ones are left out: some systems keep notes beside a.jpg in ._a.jpg."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))


def _images(folder: Path, rate: float | None) -> _Footage:
    paths: dict[int, Path] = {}
    for path in _visible_files(folder, IMAGE_SUFFIXES):
        if not path.stem.isdecimal() or int(path.stem) > MAX_NUMBER:
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


# --------------------------------------------------------------------------------------------- annotations


def _find_annotations(folder: Path) -> Path:
    for path in (folder / "gt.txt", folder / "gt" / "gt.txt"):
        if path.is_file():
            return path
    raise DataError(f"{folder} has neither gt.txt nor gt/gt.txt: give the folder of one MOTChallenge sequence")


def _check_frames(annotated: Iterable[int], numbers: Container[int], annotations: Path) -> None:
    for frame in annotated:
        if frame < 1:
            raise DataError(f"{annotations} annotates frame {frame}: the first frame is 1, so count from there")
        if frame not in numbers:
            raise DataError(f"{annotations} annotates frame {frame}, which has no picture: copy the frames again")
