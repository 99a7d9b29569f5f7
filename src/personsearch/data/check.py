"""Every problem of a benchmark's folder at once, and its counts beside the published ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personsearch.data.layouts.matlab import read_variable
from personsearch.data.layouts.reading import is_file
from personsearch.data.pictures import IMAGE_SUFFIXES, ImageFile
from personsearch.data.queries import NO_QUERIES
from personsearch.data.records import UNLABELED, Benchmark, Scene, other_size
from personsearch.data.sources import LAYOUTS, load_benchmark, split_spec
from personsearch.errors import DataError, PersonSearchError
from personsearch.progress import Progress, quiet

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
    """What is unusual but harmless, and what the loader left out."""
    counts: dict[str, int]
    """Empty when the folder cannot be loaded."""
    published: dict[str, int]
    """The same counts of the published folder; empty for a layout that is not one dataset's."""

    def as_dict(self) -> dict[str, Any]:
        return vars(self) | {"problems": list(self.problems), "remarks": list(self.remarks)}


def check_data(spec: str, progress: Progress = quiet) -> Report:
    """Looks at every file that `spec` should hold: is it there, can it be read to its end, and is it of the size
    that the annotations are for?

    Raises DataError only for a `spec` that is not of the form LAYOUT:FOLDER with a known layout.
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
    problems: dict[str, None] = {}  # in order, each once
    sizes: dict[Path, tuple[int, int]] = {}
    for number, path in enumerate(files):
        progress.tell(number, len(files), path.name)
        try:
            size = _read(path)
        except PersonSearchError as error:
            problems[str(error)] = None
        else:
            sizes |= {} if size is None else {path: size}
    counts: dict[str, int] = {}
    remarks: list[str] = []
    for options in LAYOUTS[layout].options(folder):
        named = "".join(f" ({key} {value})" for key, value in options.items())
        try:
            benchmark = load_benchmark(spec, **options)
        except PersonSearchError as error:
            stuck = stuck or str(error)
            with suppress(PersonSearchError):  # boxes may be odd because they are for another picture
                problems |= dict.fromkeys(_of_other_size(LAYOUTS[layout].scenes(folder), sizes))
        else:
            counts = counts or count(benchmark)
            remarks += [line + named for line in (*benchmark.notes, *_remarks(benchmark))]
            problems |= dict.fromkeys(_of_other_size((*benchmark.train, *benchmark.test), sizes))
    # loaders stop at the first missing file, and those are all named above
    if stuck and not any(problem.endswith(_MISSING) for problem in problems):
        problems[stuck] = None
    if problems and (folder / "settings.json").is_file():
        remarks.append("`synthesize` made this folder: delete a damaged picture, and the same command renders it again")
    return Report(tuple(problems), tuple(remarks), counts, PUBLISHED.get(layout, {}))


def _read(path: Path) -> tuple[int, int] | None:
    """The size of a picture; None for another file. Raises PersonSearchError if it is missing or damaged."""
    if not is_file(path):
        raise DataError(f"{path}{_MISSING}")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFile(path).read().size
    if path.suffix == ".mat":
        read_variable(path)
    return None


def _of_other_size(scenes: Iterable[Scene], sizes: Mapping[Path, tuple[int, int]]) -> Iterable[str]:
    """One line for each picture of another size than its boxes are for."""
    for scene in scenes:
        stated = scene.width, scene.height
        seen = sizes.get(scene.picture.path, stated) if isinstance(scene.picture, ImageFile) else stated
        if seen != stated:
            yield f"{scene.name} {other_size(seen, stated)}"


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
        yield f"{once} training identities are seen once: there is no second sight to match them with"
    for name, scenes in (("training", benchmark.train), ("test", benchmark.test)):
        nameless = sum(all(p.identity == UNLABELED for p in scene.persons) for scene in scenes if scene.persons)
        if nameless:
            yield f"{nameless} {name} scenes hold only people without identity"
    twice = sum(_stand_twice(scene) for scene in (*benchmark.train, *benchmark.test))
    if twice:
        yield f"{twice} scenes hold someone twice"
    if not benchmark.queries:
        yield f"the data {NO_QUERIES}"
    own = sum(query.scene in query.gallery for query in benchmark.queries)
    if own:
        yield f"{own} queries have their own scene in the gallery"
    repeated = sum(len(set(query.gallery)) < len(query.gallery) for query in benchmark.queries)
    if repeated:
        yield f"{repeated} galleries list a scene twice"


def _seen_once(scenes: Iterable[Scene]) -> int:
    sights = Counter(p.identity for scene in scenes for p in scene.persons if p.identity != UNLABELED)
    return sum(number == 1 for number in sights.values())


def _stand_twice(scene: Scene) -> bool:
    known = [person.identity for person in scene.persons if person.identity != UNLABELED]
    return len(set(known)) < len(known)
