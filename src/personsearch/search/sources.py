"""The files behind a gallery: what they were when they were indexed, and whether they still are."""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

_BLOCKS, _BLOCK = 64, 1 << 16


class State(StrEnum):
    """What became of a file since it was indexed."""

    CURRENT = "current"
    CHANGED = "changed"
    UNSURE = "perhaps changed"
    """Its time differs and its size does not, and the gallery has no digest of its content to compare."""
    GONE = "gone"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True, slots=True)
class Source:
    """One file as it was when it was indexed."""

    path: str
    """Absolute, links resolved."""
    size: int
    mtime_ns: int
    every: float | None = None
    """Seconds between the sampled frames of a video; None for a picture."""
    digest: str | None = field(default=None, compare=False)
    """Of its content; None where that was not read."""

    @classmethod
    def of(cls, path: Path, every: float | None = None) -> Source:
        """Raises OSError if there is no such file, or it is a pipe or a device."""
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "neither file nor folder", str(path))
        return cls(str(path.resolve()), about.st_size, about.st_mtime_ns, every)

    def with_digest(self) -> Source:
        """The same with the digest of what the file holds at this moment. Raises OSError."""
        return replace(self, digest=digest_of(Path(self.path), whole=self.every is None))

    def state(self) -> State:
        """Compares the file with what is known of it: by size, then time, and where that differs by content."""
        try:
            now = Source.of(Path(self.path), self.every)
            if now.size != self.size:
                return State.CHANGED
            if now.mtime_ns == self.mtime_ns:
                return State.CURRENT
            if self.digest is None:
                return State.UNSURE
            return State.CURRENT if now.with_digest().digest == self.digest else State.CHANGED
        except (FileNotFoundError, NotADirectoryError):
            return State.GONE
        except (OSError, ValueError):
            return State.UNREADABLE


def digest_of(path: Path, *, whole: bool) -> str:
    """Of a file's size and content, as 32 hexadecimal digits: of all of it, or of 64 blocks from its start to its end.

    A film is too long to be read twice, and two films of one size that agree in four megabytes are one film.
    """
    size = path.stat().st_size
    hashed = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        if whole or size <= _BLOCKS * _BLOCK:
            while block := file.read(16 * _BLOCK):
                hashed.update(block)
        else:
            for number in range(_BLOCKS):
                file.seek((size - _BLOCK) * number // (_BLOCKS - 1))
                hashed.update(file.read(_BLOCK))
    return hashed.hexdigest()


def recognise(
    indexed: Iterable[Source], gone: Iterable[Source], files: Sequence[Source]
) -> list[tuple[Source, Source]]:
    """(as indexed, as it is) for each of `files` that is in a gallery with its content, but not with its path and time.

    `indexed` are all files of the gallery, `gone` those of them that are not where they were. A file may have been
    moved or renamed, so that its old path is gone, or only have another time. One that was indexed without a digest is
    recognised by its name, size and time. Contents are read only where a size agrees.
    """
    by_path = {source.path: source for source in indexed}
    by_size: dict[tuple[int, bool], list[Source]] = {}
    for source in gone:
        by_size.setdefault(_kind(source), []).append(source)
    pairs = []
    for now in files:
        own = by_path.get(now.path)
        if own is not None and (own.size, own.mtime_ns) == (now.size, now.mtime_ns):
            continue
        candidates = by_size.get(_kind(now), [])
        touched = [own] if own is not None and own.digest is not None and _kind(own) == _kind(now) else []
        before = _same(now, [*touched, *candidates])
        if before is not None:
            pairs.append((before, replace(now, every=before.every, digest=before.digest)))
            if before in candidates:
                candidates.remove(before)
    return pairs


def _kind(source: Source) -> tuple[int, bool]:
    return source.size, source.every is None


def _same(now: Source, candidates: Sequence[Source]) -> Source | None:
    """The first of `candidates` with this content, those of the same name before others."""
    name = Path(now.path).name
    digest = None
    for source in sorted(candidates, key=lambda source: Path(source.path).name != name):
        if source.digest is None:
            if source.mtime_ns == now.mtime_ns and Path(source.path).name == name:
                return source
            continue
        try:
            digest = digest or now.with_digest().digest
        except OSError:  # told when the file's turn comes
            return None
        if digest == source.digest:
            return source
    return None
