"""Answers to take along: tables, stills and clips, in a folder that is there whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from personsearch.errors import InputError, SettingError
from personsearch.files import beside, check_folder, save_picture, write_whole
from personsearch.progress import Progress, quiet
from personsearch.search.blurring import blurred
from personsearch.search.clips import Clip, write_clips
from personsearch.search.hits import GalleryHit
from personsearch.search.question import Seen
from personsearch.search.sources import State

TABLES = ("appearances", "hits")
_OURS = {*(f"{name}{suffix}" for name in TABLES for suffix in (".csv", ".json")), "stills", "clips"}
_MARGIN = 0.15
"""Of the box's longer side, that a still shows around it."""
_WHERE = ["x1", "y1", "x2", "y2", "similarity"]
_APPEARANCE = ["rank", "source", "first", "last", "frames", "best_time", "best_frame", *_WHERE, "sure", "strangers"]
_APPEARANCE += ["state", "still", "clip"]
_HIT = ["appearance", "source", "time", "frame", *_WHERE, "score", "state"]


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    appearances: int
    stills: int
    clips: int


def export(
    out: Path,
    seen: Sequence[Seen],
    *,
    blur: bool = True,
    force: bool = False,
    progress: Progress = quiet,
    complain: Callable[[str], None] = lambda line: None,
) -> ExportReport:
    """Writes appearances.csv and .json, hits.csv and .json, stills/ and clips/ into a new folder.

    With `blur`, all that lies outside of the person's box is blurred in pictures and films. For a file that is gone or
    has changed there is no picture, and `complain` is told. Whatever ends this, a full disk or a kill, `out` is as it
    was before. Raises OSError, which names `out`, and SettingError where something is already (see `whole_folder`).
    """
    with whole_folder(out, force) as part:
        try:
            stills = _write_stills(part / "stills", seen, blur, progress, complain)
            clips = _write_clips(part / "clips", seen, blur, progress, complain)
            rows = [_appearance(rank, one, stills.get(rank), clips.get(rank)) for rank, one in enumerate(seen, 1)]
            hits = [_hit(rank, hit) for rank, (one, _) in enumerate(seen, 1) for hit in one.hits]
            for name, columns, table in (("appearances", _APPEARANCE, rows), ("hits", _HIT, hits)):
                write_whole(part / f"{name}.json", json.dumps(table, indent=2) + "\n")
                write_whole(part / f"{name}.csv", as_csv(table, columns))
        except OSError as error:
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(out)) from error
    return ExportReport(len(rows), len(stills), len(clips))


@contextmanager
def whole_folder(out: Path, force: bool) -> Iterator[Path]:
    """A folder to write instead of `out`, which gets its name when the block ends without an error.

    Raises SettingError where a folder with something in it is there; with `force` an older export is replaced, and
    nothing else is. What a kill has left is put back or removed the next time.
    """
    check_may_replace(out, force)
    target = Path(os.path.realpath(out))
    part, old = beside(out, "part"), beside(out, "old")
    for left in (part, old):
        if left.exists():
            shutil.rmtree(left)
    part.mkdir(parents=True)
    try:
        yield part
        if target.exists():
            target.rename(old)
        part.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_may_replace(out: Path, force: bool) -> None:
    """Raises SettingError where `out` may not be written. Puts an export back whose replacing was killed."""
    target = Path(os.path.realpath(out))
    check_folder(target)
    old = beside(out, "old")
    if old.exists() and not target.exists():
        old.rename(target)
    names = {entry.name for entry in target.iterdir()} if target.exists() else set()
    if names - _OURS:
        raise SettingError(f"{out}: holds other files ({sorted(names - _OURS)[0]}); name a new folder")
    if names and not force:
        raise SettingError(f"{out}: is there already; give another name, or replace it with --force")


def _write_stills(
    folder: Path, seen: Sequence[Seen], blur: bool, progress: Progress, complain: Callable[[str], None]
) -> dict[int, str]:
    """The best frame of each appearance, cropped; names by rank."""
    written = {}
    folder.mkdir()
    in_order = sorted(range(len(seen)), key=lambda n: (str(seen[n][0].source), seen[n][0].best.frame or 0))
    for number in progress(in_order, "stills", len(seen)):
        best, name = seen[number][0].best, f"{number + 1:03}.jpg"
        try:
            save_picture(still_of(best, blur=blur), folder / name, quality=92)
        except InputError as error:
            complain(str(error))
        else:
            written[number + 1] = f"stills/{name}"
    return written


def still_of(hit: GalleryHit, *, blur: bool = True) -> Image.Image:
    """The person with a little around. Raises InputError where the file is gone or has changed."""
    _require_current(hit)
    image = hit.picture.read()
    if image.size != (hit.width, hit.height):
        raise InputError(f"{hit.source}: has changed since it was indexed: index it again")
    x1, y1, x2, y2 = hit.box
    around = _MARGIN * max(x2 - x1, y2 - y1)
    left, top = max(0, round(x1 - around)), max(0, round(y1 - around))
    right, bottom = min(image.width, round(x2 + around)), min(image.height, round(y2 + around))
    shown = blurred(image, hit.box) if blur else image
    return shown.convert("RGB").crop((left, top, max(left + 1, right), max(top + 1, bottom)))


def _require_current(hit: GalleryHit) -> None:
    state = hit.state
    if state not in (State.CURRENT, State.UNSURE):
        raise InputError(f"{hit.source}: is {state} since it was indexed; there is no picture of it")


def _write_clips(
    folder: Path, seen: Sequence[Seen], blur: bool, progress: Progress, complain: Callable[[str], None]
) -> dict[int, str]:
    """A clip of each appearance in a film; names by rank."""
    folder.mkdir()
    films: dict[Path, list[Clip]] = {}
    for rank, (one, _) in enumerate(seen, 1):
        if one.first is not None:
            films.setdefault(one.source, []).append(Clip(one, folder / f"{rank:03}.mp4"))
    for source, clips in progress(films.items(), "clips", len(films)):
        try:
            _require_current(clips[0].appearance.best)
            write_clips(source, clips, blur=blur)
        except InputError as error:
            complain(str(error))
    return {int(path.stem): f"clips/{path.name}" for path in sorted(folder.iterdir())}


# -------------------------------------------------------------------- tables


def _appearance(rank: int, seen: Seen, still: str | None, clip: str | None) -> dict[str, Any]:
    one, sure = seen
    best = one.best
    return {
        "rank": rank, "source": str(one.source), "first": one.first, "last": one.last, "frames": len(one.hits),
        "best_time": best.time, "best_frame": best.frame, **_box(best), "similarity": round(best.similarity, 5),
        "sure": sure.level, "strangers": sure.rate, "state": str(best.state), "still": still, "clip": clip,
    }  # fmt: skip


def _hit(rank: int, hit: GalleryHit) -> dict[str, Any]:
    return {
        "appearance": rank, "source": str(hit.source), "time": hit.time, "frame": hit.frame, **_box(hit),
        "similarity": round(hit.similarity, 5), "score": round(hit.score, 5), "state": str(hit.state),
    }  # fmt: skip


def _box(hit: GalleryHit) -> dict[str, float]:
    return {name: round(value, 1) for name, value in zip(("x1", "y1", "x2", "y2"), hit.box, strict=True)}


def as_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """One line a row. A text that a table would run as a formula begins with an apostrophe."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _harmless(value) for name, value in row.items()})
    return file.getvalue()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
