"""Which files are indexed: pictures and films in folders, and which of the others are mentioned."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from personsearch.data.pictures import IMAGE_SUFFIXES
from personsearch.data.video import VIDEO_SUFFIXES
from personsearch.errors import InputError
from personsearch.files import refuse_bucket

_OTHER_PICTURES = frozenset(
    {
        ".j2k", ".jxl", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw",
    }
)  # fmt: skip
_OTHER_FILMS = frozenset({".264", ".265", ".y4m"})
_LITTER = frozenset({"thumbs.db", "desktop.ini", ".xmp", ".aae", ".thm", ".lrv"})
_LITTER_FOLDERS = frozenset({"@eadir", "__macosx", "$recycle.bin", "system volume information"})
_LINKED = "linked folders"


@dataclass
class Found:
    """The files to index, and the others."""

    files: list[Path] = field(default_factory=list)
    """Pictures and films, absolute, links resolved, each once."""
    unusable: list[str] = field(default_factory=list)
    """One line for each file with the suffix of a picture or film, or folder, that cannot be opened."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """Numbers of files that are passed over, by suffix, the most frequent first."""


def find_files(sources: Iterable[Path], *, may_be_empty: bool = False) -> Found:
    """Pictures and videos among `sources`, folders searched recursively in sorted order, each file once.

    Inside a folder, hidden entries, what systems and cameras leave beside pictures, and galleries are passed over
    without a word; other files are counted by suffix; links to folders are not followed. Raises InputError for a
    source that is missing or of another kind, and (unless they `may_be_empty`) when there is no picture or video.
    """
    search = _Search(may_be_empty)
    for source in sources:
        refuse_bucket(source)
        _refuse_address(source)
        if source.is_dir():
            search.folder(source)
        else:
            search.file(source)
    return search.found()


def _refuse_address(source: Path) -> None:
    """Raises InputError for an address: `Path` makes https:/HOST of https://HOST."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+:", source.parts[0] if source.parts else "") and not source.exists():
        raise InputError(
            f"{source}: addresses are not read; download it and name the file, or watch a camera: personsearch watch"
        )


def check_file(path: Path) -> None:
    """Raises InputError for a folder, a pipe or a device; a missing file passes."""
    if path.exists() and not path.is_file():
        raise InputError(one_line(f"{path}: is not a file; give a picture or a video"))


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def describe_passed_over(counts: dict[str, int]) -> str:
    """`Found.passed_over` in words.

    >>> describe_passed_over({".txt": 2, ".psd": 1})
    '1 .psd (a picture that cannot be read), 2 .txt'
    """
    known = {suffix: _not_read(suffix) for suffix in counts}
    ordered = sorted(counts, key=lambda suffix: not known[suffix])
    return ", ".join(f"{counts[s]} {s}" + (f" ({_article(known[s], counts[s])})" if known[s] else "") for s in ordered)


def one_line(text: str) -> str:
    """The text in one printable line: file names may hold line breaks, and halves of characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


class _Search:
    def __init__(self, may_be_empty: bool) -> None:
        self.may_be_empty = may_be_empty
        self.files: dict[Path, None] = {}
        self.unusable: list[str] = []
        self.others: Counter[str] = Counter()

    def file(self, path: Path) -> None:
        """Adds a file named by the caller. Raises InputError if it cannot be read."""
        why = _fault(path)
        if why is not None:
            raise InputError(one_line(f"{path}: {why}"))
        if not _known(path):
            kinds = " ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
            why = _not_read(path.suffix.lower())
            what = f"a {why}" if why else "neither picture nor video"
            raise InputError(one_line(f"{path}: {what}; give a file with one of {kinds}"))
        self.files[path.resolve()] = None

    def folder(self, folder: Path) -> None:
        before = len(self.files) + len(self.unusable)
        others = sum(self.others.values())
        seen = False
        for path in self._walk(folder):
            seen = True
            why = _fault(path)
            if why is None:
                self.files[path.resolve()] = None
            else:
                self.unusable.append(one_line(f"{path}: {why}"))
        if not self.may_be_empty and not seen and len(self.files) + len(self.unusable) == before:
            besides = "" if sum(self.others.values()) == others else f" ({describe_passed_over(_sorted(self.others))})"
            raise InputError(one_line(f"{folder}: no picture or video in this folder{besides}; name another one"))

    def found(self) -> Found:
        if not self.files and self.unusable and not self.may_be_empty:
            more = f", and {len(self.unusable) - 1} more like it" if len(self.unusable) > 1 else ""
            raise InputError(f"nothing can be read: {self.unusable[0]}{more}")
        return Found(list(self.files), self.unusable, _sorted(self.others))

    def _walk(self, folder: Path) -> Iterator[Path]:
        """Every file in a folder with the suffix of a picture or film."""
        for parent, folders, files in os.walk(folder, onerror=lambda error: self._unreadable(folder, error)):
            folders[:] = sorted(name for name in folders if self._enters(Path(parent, name)))
            for name in sorted(files):
                if name.startswith(".") or _litter(name):
                    continue
                path = Path(parent, name)
                if _known(path):
                    yield path
                else:
                    self.others[one_line(path.suffix.lower()) or "without a suffix"] += 1

    def _enters(self, folder: Path) -> bool:
        if folder.name.startswith(".") or folder.name.lower() in _LITTER_FOLDERS or _is_gallery(folder):
            return False
        if folder.is_symlink():  # it may lead out of the folder, or in a circle
            self.others[_LINKED] += 1
            return False
        return True

    def _unreadable(self, source: Path, error: OSError) -> None:
        path = Path(os.fsdecode(error.filename)) if error.filename is not None else source
        line = one_line(f"{path}: the folder cannot be read ({error.strerror or error})")
        if path == source:
            raise InputError(f"{line}; check its permissions")
        self.unusable.append(line)


def _fault(path: Path) -> str | None:
    """Why a file cannot be opened, found without opening it: a pipe would be waited for without end."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to a file that is not there" if path.is_symlink() else "no such file or folder; check the path"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return None if stat.S_ISREG(mode) else "neither file nor folder, but a pipe or a device"


def _known(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def _not_read(suffix: str) -> str:
    if suffix in _OTHER_PICTURES:
        return "picture that cannot be read"
    return "film that cannot be read" if suffix in _OTHER_FILMS else ""


def _article(what: str, count: int) -> str:
    return f"a {what}" if count == 1 else what.replace(" ", "s ", 1)


def _litter(name: str) -> bool:
    return name.lower() in _LITTER or Path(name).suffix.lower() in _LITTER


def _is_gallery(folder: Path) -> bool:
    try:
        return (folder / "gallery.json").exists() and (folder / "scenes.lance").exists()
    except OSError:  # nothing may be looked at: told when it is entered
        return False


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
