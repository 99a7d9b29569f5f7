"""Reads thousands of damaged files of every format. Run: python research/fuzz.py --inputs 10000

Nothing but one line of PersonSearchError may come of them: no traceback, no hang, no crash of a library, no flood
of memory. Faults are shown once each with the format and the seed that make them again:
python research/fuzz.py --format mp4 --seed 1234
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS / part) for part in ("fuzz", "search", "data")]

from formats import FORMATS  # noqa: E402
from workers import Answer, read_all  # noqa: E402


def main(
    inputs: Annotated[int, typer.Option(help="Damaged files in all.")] = 10_000,
    format: Annotated[list[str] | None, typer.Option(help="One format instead of all; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="One input alone; 0 is a whole file.")] = None,
    start: Annotated[int, typer.Option(help="The first seed.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes at once.")] = os.cpu_count() or 1,
    keep: Annotated[Path | None, typer.Option(help="Folder for copies of the inputs with faults.")] = None,
) -> None:
    names = format or list(FORMATS)
    counts = {name: Counter[str]() for name in names}
    kinds: dict[tuple[str, str], list[Answer]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for answer in read_all(_inputs(names, inputs, start, seed), Path(folder), workers, keep):
            counts[answer.name][answer.verdict] += 1
            if seed is not None:
                print(answer.text or answer.verdict)
            elif answer.verdict == "fault":
                alike = kinds.setdefault((answer.name, answer.kind), [])
                alike.append(answer)
                if len(alike) == 1:
                    print(f"\n{answer.name} {answer.seed}: {answer.kind}\n{answer.text}", flush=True)
    _print(counts, kinds)
    raise typer.Exit(1 if kinds or any(count["fault"] for count in counts.values()) else 0)


def _inputs(names: list[str], inputs: int, start: int, seed: int | None) -> list[tuple[str, int]]:
    if seed is not None:
        return [(name, seed) for name in names]
    counts = shared([FORMATS[name].share for name in names], inputs)
    return [(name, start + number) for name, count in zip(names, counts, strict=True) for number in range(count)]


def shared(shares: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to shares that sum up to the total: the largest remainders are rounded up.

    >>> shared([1, 1, 1], 10_000)
    [3334, 3333, 3333]
    """
    exact = [total * share / sum(shares) for share in shares]
    counts = [int(part) for part in exact]
    by_remainder = sorted(range(len(shares)), key=lambda place: counts[place] - exact[place])
    for place in by_remainder[: total - sum(counts)]:
        counts[place] += 1
    return counts


def _print(counts: dict[str, Counter[str]], kinds: dict[tuple[str, str], list[Answer]]) -> None:
    for (name, kind), alike in sorted(kinds.items()):
        print(f"{name:10} {len(alike):6} times, first seed {alike[0].seed:6}: {kind}")
    print(f"{'format':10} {'inputs':>8} {'read':>8} {'refused':>8} {'faults':>8}")
    for name, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"{name:10} {count.total():8} {count['read']:8} {count['refused']:8} {count['fault']:8}")


if __name__ == "__main__":
    typer.run(main)
