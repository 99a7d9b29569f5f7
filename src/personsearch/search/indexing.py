"""From folders, pictures and videos into a gallery: skips what is held, keeps what was done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from personsearch.data.pictures import IMAGE_SUFFIXES, ImageFile
from personsearch.data.video import VIDEO_SUFFIXES, read_header, sample_video
from personsearch.errors import InputError
from personsearch.search.gallery import Gallery
from personsearch.search.rows import IndexedScene, Source, clock
from personsearch.search.searchers import SceneSearcher

Progress = Callable[[float, int, str], None]
"""Told (files done, files in all, what is being read); the first is a fraction in the middle of a video."""

BATCH = 16
"""Scenes written at once: what a kill can lose."""


@dataclass
class IndexReport:
    """What an index did."""

    scenes: int = 0
    """Added now."""
    people: int = 0
    """Found in them."""
    skipped: int = 0
    """Files that were in already."""
    failures: list[str] = field(default_factory=list)
    """One line for each file that could not be read, or not to its end."""


def find_files(sources: Iterable[Path]) -> list[Path]:
    """Pictures and videos among `sources`, folders searched recursively in sorted order, each file once.

    Hidden files and folders inside a folder are passed over, as is what is neither picture nor video. Raises
    InputError for a source that is missing, of another kind, or a folder without any.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if source.is_dir():
            inside = [path.resolve() for path in _walk(source)]
            if not inside:
                raise InputError(f"{source}: no picture or video in this folder; name another one")
            found.update(dict.fromkeys(inside))
        elif not source.exists():
            raise InputError(f"{source}: no such file or folder; check the path")
        elif _known(source):
            found[source.resolve()] = None
        else:
            known = " ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
            raise InputError(f"{source}: neither picture nor video; give a file with one of {known}")
    return list(found)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and _known(Path(name)):
                yield Path(parent, name)


def _known(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def index_sources(
    gallery: Gallery,
    searcher: SceneSearcher,
    sources: Sequence[Path],
    *,
    every: float = 1.0,
    strict: bool = False,
    progress: Progress = lambda done, total, what: None,
    complain: Callable[[str], None] = lambda line: None,
) -> IndexReport:
    """Adds everybody in `sources` to a gallery that is open for writing.

    Files that are in, unchanged, are skipped; a changed one replaces what was held of it. A video is sampled
    once in `every` seconds; one that was stopped goes on where it was. A file that cannot be read is told to
    `complain` in one line and passed over (`strict`: raised). Whatever ends this, what was encoded before is
    written; a kill loses at most `BATCH` scenes.

    Raises GalleryError for a gallery of another model or a full disk, and what `find_files` raises.
    """
    gallery.require_model(searcher.fingerprint)
    files = find_files(sources)
    report = IndexReport()
    with _Batches(gallery, report) as batches:
        for number, path in enumerate(files):
            try:
                source = _describe(path, every)
                if gallery.holds(source):
                    report.skipped += 1
                    continue
                for scene, share in _encode(gallery, searcher, source, batches):
                    progress(number + share, len(files), scene)
            except InputError as error:
                if strict:
                    raise
                report.failures.append(str(error))
                complain(str(error))
            progress(number + 1, len(files), path.name)
    return report


def _describe(path: Path, every: float) -> Source:
    try:
        str(path).encode()
        return Source.of(path, every if is_video(path) else None)
    except UnicodeEncodeError as error:
        raise InputError(f"{str(path)!a}: its name is not UTF-8; rename it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check that it is still there") from error


def _encode(
    gallery: Gallery, searcher: SceneSearcher, source: Source, batches: _Batches
) -> Iterator[tuple[str, float]]:
    """Encodes one file; yields (what is read now, share of it done) as it goes."""
    path = Path(source.path)
    if gallery.outdated(source):
        gallery.forget(source.path)
    if source.every is None:
        batches.add(_scene(searcher, source, ImageFile(path).read()))
        return
    held = gallery.frames(source)
    header = read_header(path)
    seconds = (header.frames or 0) / (header.rate or 1)
    for sample in sample_video(path, source.every):
        if sample.index not in held:
            batches.add(_scene(searcher, source, sample.image, sample.index, sample.time))
        yield f"{path.name} {clock(sample.time)}", min(1.0, sample.time / seconds) if seconds else 0.0
    batches.flush()
    gallery.finish(source)


def _scene(
    searcher: SceneSearcher,
    source: Source,
    image: Image.Image,
    frame: int | None = None,
    time: float | None = None,
) -> IndexedScene:
    return IndexedScene(source, image.width, image.height, searcher.encode_scene(image), frame, time)


class _Batches:
    """Collects scenes and writes them in batches, the last one whatever happens."""

    def __init__(self, gallery: Gallery, report: IndexReport) -> None:
        self.gallery = gallery
        self.report = report
        self.waiting: list[IndexedScene] = []

    def add(self, scene: IndexedScene) -> None:
        self.waiting.append(scene)
        if len(self.waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        scenes, self.waiting = self.waiting, []  # emptied first: what the disk refused is not tried again
        self.gallery.add(scenes)
        self.report.scenes += len(scenes)
        self.report.people += sum(len(scene.people) for scene in scenes)

    def __enter__(self) -> _Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
