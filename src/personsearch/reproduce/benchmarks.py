"""The data of an experiment: published benchmarks, or rendered people who stand in for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from personsearch.data.layouts.coco import ANNOTATIONS
from personsearch.data.layouts.cuhk_sysu import protocol_file
from personsearch.data.marks import mark_of_benchmark
from personsearch.data.queries import NO_QUERIES
from personsearch.data.records import UNLABELED, Benchmark
from personsearch.data.sources import load_benchmark, split_spec
from personsearch.errors import DataError, SettingError
from personsearch.reproduce.scales import Scale
from personsearch.reproduce.tables import CUHK_SYSU, PRW, AnyTable, Column, SpeedTable, Table

RENDERED = "rendered"
"""Instead of LAYOUT:DIR: people rendered for the experiment."""
_SUFFIXES = {CUHK_SYSU: "cuhk_sysu", PRW: "prw", "coco": "rendered"}
"""Of recipes, by layout."""
_PARTS = {50: 1 / 12, 100: 1 / 6, 500: 1 / 3, 1000: 1 / 2, 2000: 3 / 4, 4000: 1.0}
"""The papers' sizes of galleries as parts of the test scenes, where there are no 4,000."""
_PRW_SCENES = 6112
_SIGHTS_OF_A_SCENE = 4
"""Of people with an identity, in rendered scenes, roughly."""


@dataclass(frozen=True)
class Ground:
    """A benchmark that tables are made on."""

    spec: str
    """LAYOUT:DIR"""
    layout: str
    train_scenes: int
    """Those with people in them"""
    train_sights: int
    """People with an identity in training scenes"""
    test_scenes: int
    annotations: str | None = None
    """What tells them apart from others; None before they are there"""

    @property
    def suffix(self) -> str:
        """Of the recipes for it."""
        return _SUFFIXES[self.layout]

    @property
    def published(self) -> bool:
        """Whether it is one of the papers' own."""
        return self.layout in (CUHK_SYSU, PRW)

    def columns(self, table: Table) -> tuple[Column, ...]:
        """The columns that can be measured: those of this benchmark; people of another one stand in for CUHK-SYSU,
        or for PRW in a table without columns of CUHK-SYSU."""
        data = self.layout if self.published else table.data[0]
        return tuple(column for column in table.columns if column.data == data)

    def gallery(self, size: int | None) -> int | None:
        """How many scenes a gallery has that has `size` in the paper; None where the benchmark says so itself."""
        if self.published or size is None:
            return size if self.published else max(1, self.test_scenes - 1)
        if self.test_scenes > max(_PARTS):
            return size
        return max(2, min(self.test_scenes - 1, round(_PARTS[size] * self.test_scenes)))

    def galleries(self) -> tuple[int | None, ...]:
        """All sizes of galleries that tables ask for here, each once."""
        return tuple(dict.fromkeys(self.gallery(size) for size in (*_PARTS, None)))

    def keep(self, count: int | None, size: int | None) -> int | None:
        """How many proposals of a gallery are kept: the paper's number; for PRW in proportion to the test scenes."""
        if count is None or self.published or size is not None:
            return count
        return max(1, round(count * self.test_scenes / _PRW_SCENES))

    def load(self, size: int | None = None) -> Benchmark:
        """The benchmark with galleries of `size`, counted as it is here. Raises DataError, SettingError."""
        return load_benchmark(self.spec, **({} if size is None else {"gallery_size": size}))


def check_data(table: AnyTable, spec: str, scale: Scale) -> str:
    """The layout of `spec`. Raises DataError or SettingError, before any work, for data that cannot give a table."""
    if spec == RENDERED:
        return "coco"
    layout, _ = split_spec(spec)
    if layout not in _SUFFIXES:
        raise SettingError(f"{layout} data has no scenes to train on: give {RENDERED}, or coco:, cuhk-sysu: or prw:DIR")
    if scale.for_rendered and layout != "coco":
        raise SettingError(f"--scale {scale.name} is for rendered people: give --data {RENDERED}, or leave --scale out")
    if isinstance(table, SpeedTable) or layout == "coco" or layout in table.data:
        return layout
    others = " or ".join(f"--data {name}:DIR" for name in table.data)
    sizes = "galleries of several sizes" if layout == PRW and len(table.columns) > 1 else "figures"
    raise DataError(
        f"{table.name} has {sizes} of {', '.join(table.data)} alone, not of {layout}: give {others}, or {RENDERED}"
    )


def check_home(home: float | None, spec: str) -> None:
    """Raises SettingError for a setting of rendered people where they are not rendered here."""
    if home is not None and spec != RENDERED:
        raise SettingError(f"--home is for people who are rendered here: give --data {RENDERED}, or leave it out")


def find_ground(spec: str) -> Ground:
    """The data and how much there is of it. Raises DataError, SettingError."""
    ground = Ground(spec, split_spec(spec)[0], 0, 0, 0)
    benchmark = ground.load()
    if not benchmark.train or not benchmark.identities:
        raise DataError(f"{spec}: no training scenes with identities in it; give a benchmark with a train split")
    if not benchmark.queries:
        raise DataError(f"{spec} {NO_QUERIES}; give other data")
    people = [scene for scene in benchmark.train if scene.persons]
    sights = sum(person.identity != UNLABELED for scene in people for person in scene.persons)
    return replace(
        ground,
        train_scenes=len(people),
        train_sights=sights,
        test_scenes=len(benchmark.test),
        annotations=mark_of_benchmark(benchmark),
    )


def is_rendered(folder: Path) -> bool:
    """Whether all people of an experiment are there."""
    return (folder / ANNOTATIONS).exists()


def ground_to_render(folder: Path, scale: Scale) -> Ground:
    """What `render` makes: its scenes are known before, its people roughly."""
    scenes = scale.rendered["scenes"]
    test = scale.rendered.get("test_scenes", scenes // 5)
    return Ground(f"coco:{folder}", "coco", scenes - test, _SIGHTS_OF_A_SCENE * (scenes - test), test)


def render(folder: Path, scale: Scale, home: float | None) -> None:
    """Renders people, and goes on where a stopped process was. Raises PersonSearchError, OSError."""
    from personsearch.synthesis import synthesize  # needs the extra

    synthesize(folder, **{**scale.rendered, **({} if home is None else {"home": home})})


def check_protocols(ground: Ground, sizes: Iterable[int | None]) -> None:
    """Raises DataError for a protocol of CUHK-SYSU that is missing."""
    for size in sorted(size or 100 for size in sizes) if ground.layout == CUHK_SYSU else ():
        path = split_spec(ground.spec)[1] / protocol_file(size)
        if not path.is_file():
            raise DataError(
                f"{path} is missing, the protocol of galleries of {size}: copy it there, or ask for another table"
            )
