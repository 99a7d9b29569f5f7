"""From folders, pictures and videos into a gallery: skips what is held, keeps what was done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from personsearch.data.pictures import ImageFile
from personsearch.data.video import read_header, sample_video
from personsearch.errors import GalleryError, InputError
from personsearch.files import refusal
from personsearch.progress import Progress, quiet
from personsearch.search.ahead import ahead
from personsearch.search.files import Found, find_files, is_video, one_line
from personsearch.search.gallery import Gallery
from personsearch.search.hits import clock
from personsearch.search.limits import check_every
from personsearch.search.pieces import Assembly, Piece, Workers, pieces_of
from personsearch.search.pruning import retain, too_old
from personsearch.search.reading_scenes import SceneReader, in_one_line
from personsearch.search.rows import IndexedScene
from personsearch.search.searchers import SceneEncoder
from personsearch.search.sources import Source, State, recognise

EVERY = 1.0
"""Seconds between the frames of a film that are read."""
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
    moved: int = 0
    """Of those, files that were known by their content: moved, renamed, or with another time."""
    files: int = 0
    """Everything that was to be read."""
    failures: list[str] = field(default_factory=list)
    """One line for each file that could not be read, or not to its end."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """How many files of which suffix are neither picture nor film that is read."""
    expired: list[str] = field(default_factory=list)
    """Files that are older than the gallery keeps: what it held of them was erased, and they are not read."""
    gone: list[str] = field(default_factory=list)
    """Files that the gallery holds, from whenever, and that are not where they were: they still answer."""


def index_sources(
    gallery: Gallery,
    searcher: SceneEncoder,
    sources: Sequence[Path] | Found,
    *,
    every: float | None = None,
    strict: bool = False,
    workers: Workers | None = None,
    progress: Progress = quiet,
    complain: Callable[[str], None] = lambda line: None,
) -> IndexReport:
    """Adds everybody in `sources`, or in what `find_files` found, to a gallery that is open for writing.

    Files that are in, unchanged, are skipped; a changed one replaces what was held of it; one that was moved or only
    touched is known by its content and gets its new path. What is older than the gallery keeps goes. A video is
    sampled once in `every` seconds, or when None as it was before, else once in `EVERY`; one that was stopped goes on
    where it was. For a file that cannot be read `complain` is called with one line, and the file is passed over
    (`strict`: the error is raised). Whatever ends this, what was encoded before is written; a kill loses at most
    `BATCH` scenes. Where there are `workers`, they read the files instead of `searcher`, several at a time and in any
    order.

    Raises GalleryError for a gallery of another model or a full disk, SettingError, and what `find_files` raises.
    """
    gallery.require_model(searcher.fingerprint)
    if every is not None:
        check_every(every)
    found = sources if isinstance(sources, Found) else find_files(sources)
    report = IndexReport(files=len(found.files) + len(found.unusable), passed_over=found.passed_over)

    def fail(error: InputError) -> None:
        if strict:
            raise error
        report.failures.append(one_line(str(error)))
        complain(report.failures[-1])

    for line in found.unusable:
        fail(InputError(line))
    _relink(gallery, found.files, every, report)
    report.expired = [source.path for source in retain(gallery, complain)]  # also what only its new time makes too old
    report.gone = [path for path in report.gone if path not in report.expired]
    with _Batches(gallery, report) as batches:
        if workers is None:
            _read_here(searcher, gallery, found.files, every, batches, fail, progress)
        else:
            _share_out(workers, gallery, found.files, every, batches, fail, progress)
    return report


def _passes(gallery: Gallery, path: Path, every: float | None, report: IndexReport) -> bool:
    """Whether a file is not to be read, as it is too old or in already, and notes that."""
    try:
        source = _describe(path, _pace(gallery, path, every))
    except InputError:  # told when its turn comes
        return False
    if too_old(source, gallery.about.keep_days):
        report.expired += [] if source.path in report.expired else [source.path]
        return True
    report.skipped += gallery.holds(source)
    return gallery.holds(source)


def _relink(gallery: Gallery, files: Sequence[Path], every: float | None, report: IndexReport) -> None:
    """Gives files that were moved or touched what the gallery holds of them, and notes which ones are gone."""
    held = gallery.indexed()
    if not held:
        return
    gone = [source for source in held if source.state() is State.GONE]
    now = []
    for path in files:
        with suppress(InputError):  # told when the file's turn comes
            now.append(_describe(path, _pace(gallery, path, every)))
    pairs = recognise(held, gone, now)
    gallery.relink(pairs)
    report.moved = len(pairs)
    found_again = {before.path for before, _ in pairs}
    report.gone = [source.path for source in gone if source.path not in found_again]


def _pace(gallery: Gallery, path: Path, every: float | None) -> float:
    """Seconds between the frames that are read of a film."""
    return every or gallery.every(str(path)) or EVERY


def _describe(path: Path, pace: float) -> Source:
    try:
        str(path).encode()
        source = Source.of(path, pace if is_video(path) else None)
    except UnicodeEncodeError as error:
        raise InputError(f"{str(path)!a}: its name is not UTF-8; rename it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read {refusal(error, 'check that it is still there')}") from error
    if source.size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy it again or leave it out")
    return source


@dataclass(frozen=True)
class _Opened:
    """A file whose turn comes, with its source or its fault."""

    path: Path
    source: Source | None = None
    image: Image.Image | None = None
    """None of a film"""
    fault: InputError | None = None
    """Why it is not read"""


def _open(path: Path, pace: float) -> _Opened:
    """A picture is decoded. Nothing is raised."""

    def opened() -> Iterator[_Opened]:
        source = _describe(path, pace).with_digest()  # before its pixels: of a file that changes meanwhile, time tells
        yield _Opened(path, source, ImageFile(path).read() if source.every is None else None)

    try:
        (found,) = in_one_line(path, opened())
    except InputError as error:
        return _Opened(path, fault=error)
    return found


def _forget_outdated(gallery: Gallery, source: Source) -> None:
    if gallery.outdated(source):
        gallery.forget(source.path, but=source)


def _encode(gallery: Gallery, searcher: SceneEncoder, file: _Opened, batches: _Batches) -> Iterator[tuple[str, float]]:
    """Encodes one file; yields (what is read now, share of it done) as it goes. Raises its fault."""
    if file.source is None:
        assert file.fault is not None
        raise file.fault
    source, reader = file.source, SceneReader(searcher)
    if file.image is not None:
        scene = reader.read(source, file.image)
        _forget_outdated(gallery, source)
        batches.add(scene)
        return
    header = read_header(file.path)  # what was held stays where there is nothing new
    _forget_outdated(gallery, source)
    held = gallery.frames(source)
    seconds = (header.frames or 0) / (header.rate or 1)
    left_out: list[str] = []
    for sample in ahead(sample_video(file.path, source.every or EVERY)):
        if sample.index not in held:
            try:
                batches.add(reader.read(source, sample.image, sample.index, sample.time))
            except InputError as error:
                left_out.append(str(error))
        yield f"{file.path.name} {clock(sample.time)}", min(1.0, sample.time / seconds) if seconds else 0.0
    batches.flush()
    if left_out:  # not finished: they are tried again the next time
        raise InputError(f"{left_out[0]}" + (f", and so {len(left_out) - 1} more frames" if left_out[1:] else ""))
    gallery.finish(source)


def _read_here(
    searcher: SceneEncoder,
    gallery: Gallery,
    files: Sequence[Path],
    every: float | None,
    batches: _Batches,
    fail: Callable[[InputError], None],
    progress: Progress,
) -> None:
    """Reads files one after the other, each opened while the one before is read."""
    todo = [(path, _pace(gallery, path, every)) for path in files if not _passes(gallery, path, every, batches.report)]
    for number, file in enumerate(ahead(_open(path, pace) for path, pace in todo), len(files) - len(todo)):
        try:
            for scene, share in in_one_line(file.path, _encode(gallery, searcher, file, batches)):
                progress.tell(number + share, len(files), scene)
        except InputError as error:
            fail(error)
        progress.tell(number + 1, len(files), file.path.name)


def _share_out(
    workers: Workers,
    gallery: Gallery,
    files: Sequence[Path],
    every: float | None,
    batches: _Batches,
    fail: Callable[[InputError], None],
    progress: Progress,
) -> None:
    """Has files read by workers, and writes what comes back."""
    assembly = Assembly()
    passed = 0

    def pieces() -> Iterator[Piece]:
        nonlocal passed
        for path in files:
            try:
                if not _passes(gallery, path, every, batches.report):
                    source = _describe(path, _pace(gallery, path, every))
                    (cut,) = in_one_line(path, _cut(source, gallery.frames(source)))
                    _forget_outdated(gallery, source)
                    assembly.expect(cut)
                    yield from cut
            except InputError as error:
                fail(error)
            passed += 1

    def finish(source: Source) -> None:
        batches.flush()
        gallery.finish(source)

    for done in workers.encode(pieces()):
        if done.scenes and done.fingerprint != gallery.about.fingerprint:
            raise GalleryError(
                f"{gallery.folder}: a worker has other weights ({done.fingerprint}); bring those of the gallery "
                f"({gallery.about.fingerprint}) to each machine"
            )
        for scene in done.scenes:
            batches.add(scene)
        try:
            assembly.add(done, finish)
        except InputError as error:
            fail(error)
        progress.tell(passed, len(files), done.piece.name)


def _cut(source: Source, held: Iterable[int | None]) -> Iterator[list[Piece]]:
    yield pieces_of(source.with_digest(), held)  # the digest before the pixels, as in `_open`


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
