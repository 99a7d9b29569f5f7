"""The gallery: everybody found in the indexed scenes, in one place, ready to be asked.

A gallery is a folder, or a place in a bucket, with a LanceDB table of one row a scene, and `gallery.json`, which says
which model made it. One row holds all people of its scene, so an append is all or nothing: a scene is held exactly when
its row is there, whatever killed the program that wrote it. Embeddings are stored as float16; a search scores every one
of them, in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from personsearch.data.records import Scene
from personsearch.errors import BusyError, GalleryError
from personsearch.files import refusal
from personsearch.geometry.detections import Detections
from personsearch.search.about import ABOUT, FORMAT, About, read_about, write_about
from personsearch.search.approximating import lists_for, measured
from personsearch.search.asking import Asking
from personsearch.search.audit import AUDIT, HEAD
from personsearch.search.claiming import LOCK, Claim, check_may_create, claim
from personsearch.search.erasing import ERASING, begin_erasing, finish_erasing, is_erasing, only
from personsearch.search.faults import writing
from personsearch.search.flags import FLAGS
from personsearch.search.hits import Answer, GalleryHit
from personsearch.search.limits import check_days, check_score
from personsearch.search.neighbours import NEIGHBOURS, Neighbours, load_neighbours, save_neighbours
from personsearch.search.picking import Limits
from personsearch.search.place import Place, as_place, remove_all
from personsearch.search.ranking import Resident
from personsearch.search.replacing import NEW, clear, finish_replacing, is_replacing, take_place
from personsearch.search.rows import END, Held, IndexedScene, doubles, each_once, note, row_of, scene_of_row
from personsearch.search.searchers import SEARCH
from personsearch.search.sources import Source
from personsearch.search.stranger_file import STRANGERS, load_strangers, save_strangers
from personsearch.search.strangers import Strangers
from personsearch.search.sums import SUMS, note_sums
from personsearch.search.table import NAME, SceneTable

CODES = "codes"
"""Where the codes of a proposer lie (scene_codes.py)."""
OURS = {f"{NAME}.lance", ABOUT, f"{ABOUT}.part", f".{ABOUT}.part", LOCK, CODES, NEW, STRANGERS, f".{STRANGERS}.part"}
OURS |= {NEIGHBOURS, f".{NEIGHBOURS}.part", AUDIT, HEAD, f".{HEAD}.part", ERASING, SUMS, f".{SUMS}.part", FLAGS}
_USUAL = Limits()


class Gallery:
    """Use `Gallery.create` or `Gallery.open`, and `with` it (or `close` it) when writing."""

    def __init__(
        self,
        folder: Place,
        about: About,
        table: SceneTable,
        claim: Claim | None,
        memory: int | None = None,
        approximate: bool = False,
    ) -> None:
        self.folder = folder
        self.about = about
        self._table = table
        self._claim = claim
        self._held: dict[str, Held] | None = None
        self._asking = Asking(folder, about, table, memory, approximate)

    # ---------------------------------------------------------------- making, opening, closing

    @classmethod
    def create(
        cls,
        folder: Place | str,
        *,
        model: str,
        fingerprint: str,
        dim: int,
        min_score: float = 0.5,
        read: str = SEARCH,
        reid: str = "",
        force: bool = False,
    ) -> Gallery:
        """A new, empty gallery, open for writing. `gallery.json` is written last: without it there is none.

        With `force` it replaces the one that is there as soon as it is closed with a scene in it, and keeps its people
        for as many days. Until then, and if an error ends the `with` block or the process is killed, that one stays
        and answers.
        Raises GalleryError if `folder` holds a gallery (unless `force`) or anything that is not a gallery's, and
        SettingError for a `min_score` that is not from 0 to 1.
        """
        check_score(min_score)
        folder = as_place(folder)
        check_may_create(folder, force, OURS)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        about = About(model, fingerprint, dim, min_score, created, read=read, reid=reid, keep_days=_keeps(folder))
        made = not folder.exists()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        own = claim(folder)
        try:
            if cls.exists(folder):
                own.stay_alone()
            with own.alone(), writing(folder):
                if is_replacing(folder):  # what a killed program has begun
                    take_place(folder)
                check_may_create(folder, force, OURS)
                remove_all(folder / NEW)
                place = folder / NEW if cls.exists(folder) else folder
                clear(place)
                table = SceneTable.create(place, dim)
                write_about(place, about)
        except BaseException:
            with suppress(OSError):
                if made and not own.shared and not (folder / ABOUT).exists():  # else another program was faster
                    clear(folder)
                    (folder / LOCK).unlink()
                    folder.rmdir()  # not where somebody has put something else there
            own.close()
            raise
        return cls(folder, about, table, own)

    @classmethod
    def open(
        cls, folder: Place | str, *, write: bool = False, memory: int | None = None, approximate: bool = False
    ) -> Gallery:
        """It is asked in memory; with a number of bytes, in shards that fit them, with the same answers; or of those
        alone whom its `approximate` index finds.

        Raises GalleryError if there is no gallery, or no such index, it is damaged or newer, or another process writes.
        """
        folder = as_place(folder)
        with _looking(folder):
            begun = is_replacing(folder)  # by a program that was killed
        if begun:
            finish_replacing(folder)
        about = read_about(folder)
        own = claim(folder) if write else None
        try:
            gallery = cls(folder, about, SceneTable.open(folder, about.dim), own, memory, approximate)
            if own is not None and is_erasing(folder):
                with own.alone():
                    if is_erasing(folder):  # what a killed program has begun
                        gallery._finish_erasing()
            if approximate:
                gallery.neighbours()
            return gallery
        except GalleryError:
            if own is not None:
                own.close()
            raise

    @staticmethod
    def exists(folder: Place) -> bool:
        """Whether a gallery, in whatever state, is there. Raises GalleryError where that cannot be seen."""
        with _looking(folder):
            return (folder / ABOUT).is_file() or is_replacing(folder)

    def close(self) -> None:
        """Merges small files if there are many, and lets other writers in. Harmless when called twice."""
        if self._claim is None:
            return
        try:
            if self.replaces and len(self):
                self._take_place()
            with suppress(GalleryError), self._claim.alone(patience=0):  # where that cannot be, nothing is lost
                self._drop_doubles()
                self._table.tidy()
                note_sums(self.folder)
                with suppress(OSError):
                    self._keep_counts()
        finally:
            self._claim.close()
            self._claim = None

    @property
    def replaces(self) -> bool:
        """Whether there is another gallery still, whose place it takes when it is closed."""
        return self._table.folder != self.folder and not is_replacing(self.folder)

    def remove(self) -> None:
        """Deletes the gallery, which must be open for writing; the folder, too, if nothing else is in it.

        One that was to replace another one leaves that as it is. In a bucket, one that another writer has put scenes
        into stays.
        """
        with self._own.alone(), writing(self.folder):
            if self._own.shared and not self.replaces:
                self.refresh()
                if len(self):
                    self.close()
                    return
            remove_all(self.folder / NEW)
            if not self.replaces:
                (self.folder / ABOUT).unlink(missing_ok=True)  # first: without it there is no gallery
                for part in (f"{NAME}.lance", CODES):
                    remove_all(self.folder / part)
                for name in (STRANGERS, NEIGHBOURS, SUMS, ERASING, LOCK):
                    (self.folder / name).unlink(missing_ok=True)
        if self._claim is not None:
            self._claim.close()
            self._claim = None
        with suppress(OSError):
            self.folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self.replaces and self._claim is not None:
            self.remove()
        self.close()

    # ---------------------------------------------------------------- what it holds

    def __len__(self) -> int:
        """How many scenes it holds; scenes without people count."""
        return sum(len(held.frames) for held in self._holdings().values())

    @property
    def table(self) -> SceneTable:
        """What it is stored in, for what takes care of it."""
        return self._table

    @property
    def people(self) -> int:
        """How many people it holds."""
        return self._asking.people

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
        return [scene_of_row(row) for row in rows]

    def holds(self, source: Source) -> bool:
        """Whether the file, unchanged since, is in to its end."""
        held = self._holdings().get(source.path)
        return held is not None and held.source == source and held.complete

    def outdated(self, source: Source) -> bool:
        """Whether it holds something of this file from before it changed (or was sampled otherwise)."""
        held = self._holdings().get(source.path)
        return held is not None and held.source != source

    def every(self, path: str) -> float | None:
        """Seconds between the frames that it holds of a film; None of a picture, or where it holds nothing."""
        held = self._holdings().get(path)
        return None if held is None else held.source.every

    def frames(self, source: Source) -> set[int | None]:
        """Which frames of the unchanged file are in; {None} for a picture, empty if it changed."""
        held = self._holdings().get(source.path)
        return set(held.frames) if held is not None and held.source == source else set()

    def require_model(self, fingerprint: str, read: str | None = None) -> None:
        """Raises GalleryError if the gallery was made with other weights, or by reading people in another way."""
        way = f"--reid {self.about.reid}" if self.about.reid else f"--read {self.about.read}"
        if read not in (None, self.about.read):
            raise GalleryError(
                f"{self.folder}: holds people as {way} sees them, not {read}; use {way}, or index again with --force"
            )
        if fingerprint != self.about.fingerprint:
            behind = f" and {way}" if self.about.reid else ""
            raise GalleryError(
                f"{self.folder}: made by the model {self.about.model}{behind} ({self.about.fingerprint}), not by "
                f"{fingerprint}; use --model {self.about.model}{behind}, or index again with --force"
            )

    # ---------------------------------------------------------------- writing

    def add(self, scenes: Sequence[IndexedScene]) -> None:
        """Appends all scenes, or none: raises GalleryError if the disk refuses."""
        rows = [row_of(s.source, s.frame, s.time, s.width, s.height, s.people) for s in scenes]
        self._append(rows)

    def finish(self, source: Source) -> None:
        """Notes that a video is in to its end, so that it is not read again."""
        self._append([row_of(source, END, None, 0, 0, Detections.empty(self.about.dim))])

    def forget(self, path: str, but: Source | None = None) -> None:
        """Drops everything of one file, `but` what it gave as it is now; harmless if nothing is held of it."""
        with self._own.writing():
            self._table.delete(path, but)
        self._changed()

    def erase(self, paths: Collection[str]) -> None:
        """Drops everything of some files, and every byte on the disk of what was dropped before, as by `forget`.

        A kill leaves all of it or nothing; what is left of it on the disk then, the next writer deletes.
        """
        with self._own.alone():
            self._upgrade()
            begin_erasing(self.folder)
            self._table.overwrite(only(self._table.stream(), paths, others=True))
            self._finish_erasing()

    def _finish_erasing(self) -> None:
        self._changed()
        finish_erasing(self._table, self.scenes(), self.folder / CODES, self.folder / NEW)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, nobody else writes, so that what is read of it stays true. Raises BusyError."""
        with self._own.alone():
            self.refresh()
            yield

    def fill(self, batches: Iterable[Any]) -> None:
        """Takes these rows (record batches) instead of all that it holds, in one step."""
        with self._own.alone():
            self._upgrade()
            self._table.overwrite(batches)
        self._changed()

    def keep_for(self, days: float | None) -> None:
        """After how many days what a file gave is to be removed (pruning.py); None: never. Raises SettingError."""
        check_days(days)
        with self._own.alone(), writing(self.folder):
            about = replace(self.about, keep_days=days)
            write_about(self.folder, about)
        self.about = about

    def relink(self, pairs: Sequence[tuple[Source, Source]]) -> None:
        """Gives the scenes of each first file to the second one: the same content, moved, renamed or only touched."""
        own = self._own
        if pairs:
            with own.alone():
                self._upgrade()
                self._table.relink(pairs)
            self._changed()

    def approximate(self) -> Neighbours:
        """Makes its approximate index anew, and tells how much it finds. Raises GalleryError for too few people."""
        with self._own.alone():
            lists = lists_for(len(self.crowd().scores), self.folder)
            self._upgrade()
            self._table.index(lists)
            self._changed()
            known = measured(self._asking, lists)
            with writing(self.folder):
                save_neighbours(self.folder, known)
        return known

    def forget_neighbours(self) -> None:
        """Drops its approximate index; harmless where there is none."""
        with self._own.alone():
            self._table.drop_index()
            with writing(self.folder):
                (self.folder / NEIGHBOURS).unlink(missing_ok=True)
        self._changed()

    def _append(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        with self._own.writing():
            self._upgrade()
            self._table.append(rows)
        self._changed(rows)
        if self._table.untidy:
            with suppress(BusyError), self._own.alone(patience=0):
                self._table.tidy()

    def _take_place(self) -> None:
        take_place(self.folder)
        self._table = SceneTable.open(self.folder, self.about.dim)
        self._asking = Asking(self.folder, self.about, self._table, None, False)
        if is_erasing(self.folder):  # from what it has replaced: codes may be left of that
            self._finish_erasing()

    @property
    def _own(self) -> Claim:
        if self._claim is None:
            raise GalleryError(f"{self.folder}: opened for reading; open it with write=True to change it")
        return self._claim

    def _drop_doubles(self) -> None:
        """Of a scene that two writers have added at once, one stays."""
        if self._own.shared and self._table.others_wrote and doubles(self._table.rows(["source", "frame"])):
            self._table.overwrite(each_once(self._table.stream()))
            self._changed()

    def refresh(self) -> None:
        """Forgets what is in memory: what others have written meanwhile counts from here on."""
        self._changed()

    def _upgrade(self) -> None:
        """Makes one of an older format a current one; the number first, so that an older program says what it lacks."""
        if self.about.format < FORMAT:
            about = replace(read_about(self.folder), format=FORMAT)  # another program may have changed the rest
            with writing(self.folder):
                write_about(self.folder, about)
            self.about = about
        if not self._table.knows_contents:
            self._table.add_digests()

    def _changed(self, rows: Iterable[dict[str, Any]] | None = None) -> None:
        """Keeps what is in memory up to date with the table: added rows are noted, else all is read anew."""
        self._asking.forget()
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
        return self.ask(embedding, Limits(top, per_scene, min_score, min_gap, allow)).hits

    def ask(
        self,
        embedding: Tensor,
        limits: Limits = _USUAL,
        *,
        camera: Path | None = None,
        once: bool | None = None,
        widen: int | None = None,
    ) -> Answer:
        """Who is most like `embedding` ([D]): hits within the limits, and by whom the query was widened.

        `camera` is the film or the folder that the query's picture is of (`camera_of`), whose mean is taken off a
        reading. `once` ranks by the rule of `once_a_scene`, `widen` says by how many first answers the query is widened
        where they are clear of what strangers reach; when None, both as is best for readings, and neither for
        embeddings, which the papers rank by the cosine. Similarities are cosines to the query itself. Raises
        GalleryError for a query of another length, SettingError for a negative `widen`.
        """
        if embedding.shape != (self.about.dim,):
            raise GalleryError(
                f"{self.folder}: holds {self.about.dim}-d embeddings, asked with {tuple(embedding.shape)}"
            )
        return self.answer(self.comparable(embedding, camera), limits, once=once, widen=widen)

    def comparable(self, embedding: Tensor, camera: Path | None = None) -> Tensor:
        """An embedding [D] of a film or folder as this gallery compares it: of unit length, a reading without the mean
        of its camera."""
        return self._asking.comparable(embedding, camera)

    def answer(
        self, query: Tensor, limits: Limits = _USUAL, *, once: bool | None = None, widen: int | None = None
    ) -> Answer:
        """As `ask`, for a query [D] of unit length that is compared as it is: it has no mean of a camera any more."""
        return self._asking.answer(query, limits, once, widen)

    @property
    def asking(self) -> Asking:
        """Who answers, for whoever asks in another way."""
        return self._asking

    def crowd(self) -> Resident:
        """Everybody it holds, by file and frame."""
        return self._asking.crowd()

    def strangers(self) -> Strangers:
        """How alike different people look in this gallery; of 1,000 of its scenes where it holds more."""
        return self._asking.strangers()

    def neighbours(self) -> Neighbours:
        """What is known of its approximate index. Raises GalleryError where it has none."""
        return self._asking.neighbours()

    def _keep_counts(self) -> None:
        """Counts once, for all who will ask, what is counted over everybody. Raises GalleryError, OSError."""
        if self._own.shared and self._table.others_wrote:
            self.refresh()  # what was read before is not of this version
        version = self._table.version
        if len(self) and load_strangers(self.folder, version) is None:
            save_strangers(self.folder, version, self.strangers())
        known = load_neighbours(self.folder)
        if known is not None and known.version != version and self._table.unindexed() is not None:
            save_neighbours(self.folder, known.counted(self.crowd(), version))

    def _holdings(self) -> dict[str, Held]:
        if self._held is None:
            held: dict[str, Held] = {}
            for row in self._table.rows(["source", "size", "mtime_ns", "every", "frame", "digest"]):
                note(held, row)
            self._held = held
        return self._held


@contextmanager
def _looking(folder: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be read {refusal(error)}") from error


def _keeps(folder: Place) -> float | None:
    """The days for which the gallery that is replaced keeps its people."""
    with suppress(GalleryError):
        return read_about(folder).keep_days
    return None
