"""A saved question that is asked of whatever arrives: each appearance is told once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from personsearch.search.appearances import Appearance
from personsearch.search.gallery import Gallery
from personsearch.search.question import SURE, Question, ask


class Alert:
    """Remembers while it lives what it has told."""

    def __init__(self, name: str, question: Question, sure: int = SURE) -> None:
        self.name = name
        self.question = question
        self._sure = sure
        self._told: dict[str, list[tuple[float, float]]] = {}

    def news(self, gallery: Gallery, sources: Collection[str]) -> list[dict[str, Any]]:
        """Appearances in these files that were not told before, in the order of time; plain values for JSON."""
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
        """Whether nothing of this appearance was told. A film that has grown is read anew, and begins as it did."""
        first, last = one.first or 0.0, one.last or 0.0
        spans = self._told.setdefault(str(one.source), [])
        new = not any(first <= end and start <= last for start, end in spans)
        spans.append((first, last))
        return new
