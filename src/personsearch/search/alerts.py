"""A saved question that is asked of whatever arrives: each appearance is told once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from personsearch.search.appearances import Appearance
from personsearch.search.gallery import Gallery
from personsearch.search.question import SURE, Question, ask

_HEADER, _BEGINNING = 1 << 14, 1 << 16
"""Bytes of a film: the first ones are written anew while it grows, those after them stay."""


@dataclass
class _Told:
    """What was told of a file."""

    content: str
    """Digest of what was indexed"""
    beginning: tuple[int, str]
    """Of how many bytes behind the header, and their digest"""
    spans: list[tuple[float, float]] = field(default_factory=list)
    """Seconds from the first to the last"""

    @classmethod
    def of(cls, one: Appearance) -> _Told:
        return cls(_content(one), _beginning(one.source))

    def still_is(self, one: Appearance) -> bool:
        """Whether the file is the one that it was, or a film that has only grown."""
        if self.content == _content(one):
            return True
        length, digest = self.beginning
        return one.first is not None and length > 0 and _beginning(one.source, length) == (length, digest)


def _content(one: Appearance) -> str:
    now = one.best.indexed
    return "" if now is None else now.digest or f"{now.size} {now.mtime_ns}"


def _beginning(path: Path, length: int = _BEGINNING) -> tuple[int, str]:
    try:
        with path.open("rb") as file:
            file.seek(_HEADER)
            block = file.read(length)
    except OSError:  # gone by now
        block = b""
    return len(block), hashlib.blake2b(block, digest_size=16).hexdigest()


class Alert:
    """Remembers while it lives what it has told of the files of a gallery."""

    def __init__(self, name: str, question: Question, sure: int = SURE) -> None:
        self.name = name
        self.question = question
        self._sure = sure
        self._told: dict[str, _Told] = {}

    def news(self, gallery: Gallery, sources: Collection[str]) -> list[dict[str, Any]]:
        """Appearances in these files that were not told before, in the order of time; plain values for JSON."""
        held = set(gallery.sources)
        self._told = {source: told for source, told in self._told.items() if source in held}
        found = [(one, sure) for one, sure in ask(gallery, self.question, sure=self._sure, within=sources)]
        found.sort(key=lambda item: (str(item[0].source), item[0].first or 0.0))
        return [
            {
                "alert": self.name,
                "told": datetime.now(UTC).isoformat(timespec="seconds"),
                **one.as_dict(),
                "sure": sure.level,
                "strangers": sure.rate,
            }
            for one, sure in found
            if self._note(one)
        ]

    def _note(self, one: Appearance) -> bool:
        """Whether nothing of this appearance was told. A film that has grown is read anew, and begins as it did; a file
        that was replaced, as a camera's last picture is, is another one."""
        first, last = one.first or 0.0, one.last or 0.0
        told = self._told.get(str(one.source))
        if told is None or not told.still_is(one):
            told = self._told[str(one.source)] = _Told.of(one)
        new = not any(first <= end and start <= last for start, end in told.spans)
        if (first, last) not in told.spans:
            told.spans.append((first, last))
        return new
