"""`search --appearances`: from when to when somebody is seen, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.cli.console import printable, say
from personsearch.cli.options import within
from personsearch.errors import SettingError

if TYPE_CHECKING:
    from personsearch.search.appearances import Appearance
    from personsearch.search.gallery import Gallery
    from personsearch.search.hits import Answer
    from personsearch.search.picking import Limits
    from personsearch.search.sureness import Sureness

ByAppearance = Annotated[bool, typer.Option("--appearances", help="From when to when, instead of frame by frame.")]
Sure = Annotated[int | None, typer.Option(callback=within(0, 3), help="With --appearances: 3 very sure ... 0 all (2).")]
Join = Annotated[float | None, typer.Option(callback=within(0), help="With --appearances: longest gap in seconds.")]

Seen = tuple["Appearance", "Sureness"]


@dataclass(frozen=True)
class When:
    """How hits become appearances."""

    sure: int
    join: float | None

    @classmethod
    def of(cls, wanted: bool, sure: int | None, join: float | None, proposer: str | None) -> When | None:
        """None where no appearances are wanted. Raises SettingError for options that do not go together."""
        if not wanted:
            if sure is not None or join is not None:
                raise SettingError("--sure and --join are for appearances: give --appearances, too")
            return None
        if proposer is not None:
            raise SettingError("--appearances counts on the gallery's own likenesses: leave --proposer out")
        return cls(2 if sure is None else sure, join)


def by_appearance(
    held: Gallery, ask: Callable[[Limits], Answer], limits: Limits, when: When | None
) -> tuple[Answer, list[Seen] | None]:
    """The answer, and the `limits.top` first appearances; their best hits are the answer then. None: as hits are."""
    from personsearch.search.appearances import MOST_HITS, appearances
    from personsearch.search.hits import Answer
    from personsearch.search.sureness import sureness_of

    if when is None:
        return ask(limits), None
    answer = ask(replace(limits, top=MOST_HITS, min_gap=0.0))
    strangers = held.strangers()
    sure = [hit for hit in answer.hits if sureness_of(hit.similarity, strangers).level >= when.sure]
    found = appearances(sure, when.join)[: limits.top]
    seen = [(one, sureness_of(one.best.similarity, strangers)) for one in found]
    return Answer([one.best for one in found], answer.added, answer.absent), seen


def described(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Plain values for JSON."""
    return [
        {"rank": rank, **one.as_dict(), "sure": sure.level, "strangers": sure.rate}
        for rank, (one, sure) in enumerate(seen, 1)
    ]


def print_appearances(seen: Sequence[Seen]) -> None:
    """Two lines each: where and when, and how sure that is."""
    from personsearch.search.hits import clock

    if not seen:
        say("nobody so alike was found; a lower --sure shows who is less alike")
    for rank, (one, sure) in enumerate(seen, 1):
        when = "" if one.first is None or one.last is None else f"  {clock(one.first)} to {clock(one.last)}"
        frames = "" if one.first is None else f", {len(one.hits)} frames"
        say(f"{rank:3}  {printable(one.source)}{when}{frames}")
        box = " ".join(f"{v:.0f}" for v in one.best.box)
        best = "" if one.best.time is None else f"best at {clock(one.best.time)}, "
        state = "" if one.best.state == "current" else f"; the file: {one.best.state}"
        say(f"     {best}box {box}, similarity {one.best.similarity:.3f}, {sure.words}{state}")
