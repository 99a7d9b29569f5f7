"""Every problem of a benchmark's folder at once, and its counts beside the published ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personsearch.data.matlab import read_variable
from personsearch.data.pictures import IMAGE_SUFFIXES, ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Scene
from personsearch.data.sources import LAYOUTS, load_benchmark, split_spec
from personsearch.errors import PersonSearchError

PUBLISHED = {
    "cuhk-sysu": {
        "training scenes": 11_206,
        "training people": 55_272,
        "training identities": 5_532,
        "test scenes": 6_978,
        "test people": 40_871,
        "queries": 2_900,
    },
    "prw": {
        "training scenes": 5_704,
        "training people": 18_048,
        "training identities": 483,
        "test scenes": 6_112,
        "test people": 25_062,
        "queries": 2_057,
    },
}
"""Counts of the published folders. PRW's papers say 482 identities; the files hold 483."""


_MISSING = " is missing"


@dataclass(frozen=True)
class Report:
    """What `check_data` found."""

    problems: tuple[str, ...]
    """One line each; none means that the folder is complete and can be read."""
    remarks: tuple[str, ...]
    """What is unusual and does no harm."""
    counts: dict[str, int]
    """Empty when the folder cannot be loaded."""
    published: dict[str, int]
    """The same counts of the published folder; empty for a layout that is not one dataset's."""

    def as_dict(self) -> dict[str, Any]:
        return vars(self) | {"problems": list(self.problems), "remarks": list(self.remarks)}


def check_data(spec: str, progress: Callable[[Iterable[Path], int], Iterable[Path]] | None = None) -> Report:
    """Looks at every file that `spec` should hold: is it there, and can it be read to its end?

    `progress` wraps the files and their number. Raises DataError only for a `spec` that is none.
    """
    layout, folder = split_spec(spec)
    if not folder.is_dir():
        return Report((f"{folder} is not a folder: give the one that holds the benchmark",), (), {}, {})
    files: list[Path] = []
    stuck = ""
    try:
        for path in LAYOUTS[layout].files(folder):
            files.append(path)
    except PersonSearchError as error:
        stuck = str(error)
    found = (_problem(path) for path in (files if progress is None else progress(files, len(files))))
    problems = [problem for problem in found if problem is not None]
    counts: dict[str, int] = {}
    remarks: list[str] = []
    for options in LAYOUTS[layout].options(folder):
        named = "".join(f" ({key} {value})" for key, value in options.items())
        try:
            benchmark = load_benchmark(spec, **options)
        except PersonSearchError as error:
            stuck = stuck or str(error)
        else:
            counts = counts or count(benchmark)
            remarks += [line + named for line in _remarks(benchmark)]
    # loaders stop at the first missing file, and those are all named above
    if stuck and stuck not in problems and not any(problem.endswith(_MISSING) for problem in problems):
        problems.append(stuck)
    return Report(tuple(problems), tuple(remarks), counts, PUBLISHED.get(layout, {}))


def _problem(path: Path) -> str | None:
    """What is wrong with a file, in one line."""
    if not path.is_file():
        return f"{path}{_MISSING}"
    try:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            ImageFile(path).read()
        elif path.suffix == ".mat":
            read_variable(path)
    except PersonSearchError as error:
        return str(error)
    return None


def count(benchmark: Benchmark) -> dict[str, int]:
    """The numbers by which a benchmark is known."""
    return {
        "training scenes": len(benchmark.train),
        "training people": sum(len(scene.persons) for scene in benchmark.train),
        "training identities": benchmark.identities,
        "test scenes": len(benchmark.test),
        "test people": sum(len(scene.persons) for scene in benchmark.test),
        "queries": len(benchmark.queries),
    }


def _remarks(benchmark: Benchmark) -> Iterable[str]:
    once = _seen_once(benchmark.train)
    if once:
        yield f"{once} training identities are seen once: they teach only what they are not"
    for name, scenes in (("training", benchmark.train), ("test", benchmark.test)):
        nameless = sum(all(p.identity == UNLABELED for p in scene.persons) for scene in scenes if scene.persons)
        if nameless:
            yield f"{nameless} {name} scenes hold only people without identity"
    own = sum(query.scene in query.gallery for query in benchmark.queries)
    if own:
        yield f"{own} queries have their own scene in the gallery"
    twice = sum(len(set(query.gallery)) < len(query.gallery) for query in benchmark.queries)
    if twice:
        yield f"{twice} galleries list a scene twice"


def _seen_once(scenes: Iterable[Scene]) -> int:
    sights = Counter(p.identity for scene in scenes for p in scene.persons if p.identity != UNLABELED)
    return sum(number == 1 for number in sights.values())
