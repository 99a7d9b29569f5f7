"""The gallery: everybody found in the indexed scenes, in a folder, ready to be asked.

A gallery is a folder with a LanceDB table of one row a scene, and `gallery.json`, which says which model
made it. One row holds all people of its scene, so an append is all or nothing: a scene is held exactly when
its row is there, whatever killed the program that wrote it. Embeddings are stored as float16; a search
scores every one of them, in float32, in memory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import torch
from torch import Tensor

from personsearch.data.records import Scene
from personsearch.errors import GalleryError
from personsearch.files import write_whole
from personsearch.geometry.detections import Detections
from personsearch.search.faults import writing
from personsearch.search.hits import GalleryHit, picture_of
from personsearch.search.limits import check_score
from personsearch.search.picking import Limits, pick
from personsearch.search.ranking import Resident
from personsearch.search.rows import END, Held, IndexedScene, note, row_of, scene_name
from personsearch.search.sources import Source
from personsearch.search.table import NAME, SceneTable

FORMAT = 2
"""1 was without the digests of contents; it is read as it is, and becomes 2 when something is added."""
_ABOUT, _LOCK = "gallery.json", "lock"
CODES = "codes"
"""Where the codes of a proposer lie (scene_codes.py)."""
_OURS = {f"{NAME}.lance", _ABOUT, f"{_ABOUT}.part", f".{_ABOUT}.part", _LOCK, CODES}


@dataclass(frozen=True, slots=True)
class About:
    """What `gallery.json` says."""

    model: str
    fingerprint: str
    dim: int
    min_score: float
    created: str
    format: int = FORMAT


class Gallery:
    """Use `Gallery.create` or `Gallery.open`, and `with` it (or `close` it) when writing."""

    def __init__(self, folder: Path, about: About, table: SceneTable, lock: IO[str] | None) -> None:
        self.folder = folder
        self.about = about
        self._table = table
        self._lock = lock
        self._held: dict[str, Held] | None = None
        self._resident: Resident | None = None

    # ---------------------------------------------------------------- making, opening, closing

    @classmethod
    def create(
        cls,
        folder: Path | str,
        *,
        model: str,
        fingerprint: str,
        dim: int,
        min_score: float = 0.5,
        force: bool = False,
    ) -> Gallery:
        """A new, empty gallery, open for writing. `gallery.json` is written last: without it there is none.

        Raises GalleryError if `folder` holds a gallery (unless `force`) or anything that is not a gallery's, and
        SettingError for a `min_score` that is not from 0 to 1.
        """
        check_score(min_score)
        folder = Path(folder)
        _check_may_create(folder, force)
        about = About(model, fingerprint, dim, min_score, datetime.now(UTC).isoformat(timespec="seconds"))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(folder)
        try:
            with writing(folder):
                (folder / _ABOUT).unlink(missing_ok=True)
                shutil.rmtree(folder / f"{NAME}.lance", ignore_errors=True)
                table = SceneTable.create(folder, dim)
                _write_about(folder, about)
        except BaseException:
            lock.close()
            raise
        return cls(folder, about, table, lock)

    @classmethod
    def open(cls, folder: Path | str, *, write: bool = False) -> Gallery:
        """Raises GalleryError if there is no gallery, it is damaged or newer, or another process writes."""
        folder = Path(folder)
        about = _read_about(folder)
        lock = _take_lock(folder) if write else None
        try:
            return cls(folder, about, SceneTable.open(folder, about.dim), lock)
        except GalleryError:
            if lock is not None:
                lock.close()
            raise

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a gallery, in whatever state, is there."""
        return (folder / _ABOUT).is_file()

    def close(self) -> None:
        """Merges small files if there are many, and lets other writers in. Harmless when called twice."""
        if self._lock is None:
            return
        try:
            with suppress(GalleryError):  # a disk too full for merging has lost nothing
                self._table.tidy()
        finally:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Deletes the gallery, which must be open for writing; the folder, too, if nothing else is in it."""
        self._check_writable()
        with writing(self.folder):
            (self.folder / _ABOUT).unlink(missing_ok=True)  # first: without it there is no gallery
            for part in (f"{NAME}.lance", CODES):
                shutil.rmtree(self.folder / part, ignore_errors=True)
            (self.folder / _LOCK).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        with suppress(OSError):
            self.folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- what it holds

    def __len__(self) -> int:
        """How many scenes it holds; scenes without people count."""
        return sum(len(held.frames) for held in self._holdings().values())

    @property
    def people(self) -> int:
        """How many people it holds."""
        return len(self._load().scores)

    @property
    def sources(self) -> list[str]:
        """Paths of all files it holds scenes of, sorted."""
        return sorted(self._holdings())

    def indexed(self) -> list[Source]:
        """All files it holds scenes of, as they were when they were indexed, by path."""
        return [self._holdings()[path].source for path in self.sources]

    def scenes(self) -> list[Scene]:
        """All scenes it holds, by file and frame, without their people."""
        rows = self._table.rows(["source", "frame", "time", "width", "height"])
        rows = sorted((row for row in rows if row["frame"] != END), key=lambda row: (row["source"], row["frame"] or 0))
        return [
            Scene(scene_name(row), picture_of(Path(row["source"]), row["frame"]), row["width"], row["height"],
                  time=row["time"])
            for row in rows
        ]  # fmt: skip

    def holds(self, source: Source) -> bool:
        """Whether the file, unchanged since, is in to its end."""
        held = self._holdings().get(source.path)
        return held is not None and held.source == source and held.complete

    def outdated(self, source: Source) -> bool:
        """Whether it holds something of this file from before it changed (or was sampled otherwise)."""
        held = self._holdings().get(source.path)
        return held is not None and held.source != source

    def frames(self, source: Source) -> set[int | None]:
        """Which frames of the unchanged file are in; {None} for a picture, empty if it changed."""
        held = self._holdings().get(source.path)
        return set(held.frames) if held is not None and held.source == source else set()

    def require_model(self, fingerprint: str) -> None:
        """Raises GalleryError if the gallery was made with other weights."""
        if fingerprint != self.about.fingerprint:
            raise GalleryError(
                f"{self.folder}: made by the model {self.about.model} ({self.about.fingerprint}), not by "
                f"{fingerprint}; use --model {self.about.model}, or index again with --force"
            )

    # ---------------------------------------------------------------- writing

    def add(self, scenes: Sequence[IndexedScene]) -> None:
        """Appends all scenes, or none: raises GalleryError if the disk refuses."""
        rows = [row_of(s.source, s.frame, s.time, s.width, s.height, s.people) for s in scenes]
        self._append(rows)

    def finish(self, source: Source) -> None:
        """Notes that a video is in to its end, so that it is not read again."""
        self._append([row_of(source, END, None, 0, 0, Detections.empty(self.about.dim))])

    def forget(self, path: str) -> None:
        """Drops everything of one file; harmless if nothing is held of it."""
        self._check_writable()
        self._table.delete(path)
        self._changed()

    def relink(self, pairs: Sequence[tuple[Source, Source]]) -> None:
        """Gives what is held of each first file to the second one: the same content, moved, renamed or only touched."""
        self._check_writable()
        if pairs:
            self._upgrade()
            self._table.relink(pairs)
            self._changed()

    def _append(self, rows: list[dict[str, Any]]) -> None:
        self._check_writable()
        if not rows:
            return
        self._upgrade()
        self._table.append(rows)
        self._changed(rows)

    def _check_writable(self) -> None:
        if self._lock is None:
            raise GalleryError(f"{self.folder}: opened for reading; open it with write=True to change it")

    def _upgrade(self) -> None:
        """Makes one of an older format a current one; the number first, so that an older program says what it lacks."""
        if self.about.format < FORMAT:
            about = replace(self.about, format=FORMAT)
            with writing(self.folder):
                _write_about(self.folder, about)
            self.about = about
        if not self._table.knows_contents:
            self._table.add_digests()

    def _changed(self, rows: Iterable[dict[str, Any]] | None = None) -> None:
        """What is kept in memory follows the table: additions are noted, anything else is read anew."""
        self._resident = None
        if rows is None:
            self._held = None
        elif self._held is not None:
            for row in rows:
                note(self._held, row)

    # ---------------------------------------------------------------- asking

    def search(
        self,
        embedding: Tensor,
        top: int = 10,
        *,
        per_scene: int | None = 1,
        min_score: float = 0.0,
        min_gap: float = 0.0,
        allow: Callable[[GalleryHit], bool] | None = None,
    ) -> list[GalleryHit]:
        """The people most like `embedding` ([D]), best first, at most `top`; an empty gallery gives [].

        A person is in a scene once, so a scene gives at most `per_scene` hits (None: any number). Hits of one
        video are at least `min_gap` seconds apart. Those that `allow` refuses are left out. Equal similarities
        are ordered by source, frame and place in the scene. Each hit knows whether its file still is what was
        indexed (`state`). Raises SettingError for limits that cannot be.
        """
        limits = Limits(top, per_scene, min_score, min_gap, allow)
        if embedding.shape != (self.about.dim,):
            raise GalleryError(
                f"{self.folder}: holds {self.about.dim}-d embeddings, asked with {tuple(embedding.shape)}"
            )
        resident = self._load()
        query = torch.nn.functional.normalize(embedding.detach().float().cpu(), dim=0)
        similarities = (resident.embeddings @ query).nan_to_num(nan=-1.0)  # what is no number is like nobody

        def hit_of(person: int) -> GalleryHit:
            return resident.hit(person, min(1.0, max(-1.0, float(similarities[person]))))

        return pick(similarities, resident.scene_of, hit_of, limits)

    def _load(self) -> Resident:
        if self._resident is None:
            self._resident = Resident.of(self._table.read(), self.about.dim)
        return self._resident

    def _holdings(self) -> dict[str, Held]:
        if self._held is None:
            held: dict[str, Held] = {}
            for row in self._table.rows(["source", "size", "mtime_ns", "every", "frame", "digest"]):
                note(held, row)
            self._held = held
        return self._held


def _write_about(folder: Path, about: About) -> None:
    write_whole(folder / _ABOUT, json.dumps(asdict(about), indent=2) + "\n")


def _read_about(folder: Path) -> About:
    path = folder / _ABOUT
    if not path.is_file():
        raise GalleryError(f"{folder}: no gallery there; make one: personsearch index SOURCE --gallery {folder}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise GalleryError(
                f"{path}: written by a newer version (format {values['format']}, this one reads {FORMAT}); "
                "upgrade: pip install -U personsearch"
            )
        about = About(
            model=str(values["model"]),
            fingerprint=str(values["fingerprint"]),
            dim=int(values["dim"]),
            min_score=float(values["min_score"]),
            created=str(values["created"]),
            format=int(values["format"]),
        )
        if not (1 <= about.dim < 1 << 20 and 0 <= about.min_score <= 1):
            raise ValueError("impossible numbers")
        return about
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise GalleryError(f"{path}: damaged; index again with --force") from error


def _check_may_create(folder: Path, force: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise GalleryError(f"{folder}: a file is there; name a folder for the gallery")
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in _OURS)
    if foreign:
        raise GalleryError(f"{folder}: holds other files ({foreign[0]}); name a new folder for the gallery")
    if (folder / _ABOUT).exists() and not force:
        raise GalleryError(f"{folder}: holds a gallery already; open it, or replace it with --force")


def _take_lock(folder: Path) -> IO[str]:
    """One writer at a time; the system frees the lock of a process that was killed."""
    try:
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # no such lock on this system: two writers at once are the user's affair
        pass
    except OSError as error:
        lock.close()
        raise GalleryError(f"{folder}: another index is writing to it; wait until it has ended") from error
    return lock
