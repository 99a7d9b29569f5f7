"""Benchmarks by one word: `LAYOUT:FOLDER`, as the commands take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personsearch.data.layouts import coco, crops, cuhk_sysu, mot, prw
from personsearch.data.records import Benchmark, Scene
from personsearch.errors import DataError, SettingError


def _one_way(_folder: Path) -> list[dict[str, Any]]:
    return [{}]


def _no_scenes(_folder: Path) -> list[Scene]:
    return []


@dataclass(frozen=True)
class Layout:
    """One way in which benchmarks are published."""

    load: Callable[..., Benchmark]
    """Takes a folder and options of its own."""
    files: Callable[[Path], Iterable[Path]]
    """All files that a folder should hold; raises DataError where a missing file would list the rest."""
    options: Callable[[Path], Iterable[dict[str, Any]]] = _one_way
    """Options with which a folder can be loaded: one for each set of queries that it brings."""
    scenes: Callable[[Path], Iterable[Scene]] = _no_scenes
    """The scenes as they are listed, without their people, where sizes are stated; raises DataError."""


LAYOUTS = {
    "coco": Layout(coco.load_coco, coco.list_files, scenes=coco.list_scenes),
    "cuhk-sysu": Layout(cuhk_sysu.load_cuhk_sysu, cuhk_sysu.list_files, cuhk_sysu.list_options),
    "prw": Layout(prw.load_prw, prw.list_files),
    "mot": Layout(mot.load_mot, mot.list_files),
    "crops": Layout(crops.load_crops, crops.list_files),
}


def load_benchmark(spec: str, **options: Any) -> Benchmark:
    """The benchmark of `spec`, such as `coco:rendered` or `prw:PRW-v16.04.20`; `options` go to the layout's loader.

    Raises DataError when the layout is unknown or the folder is not as the layout wants it, and SettingError
    for an option that the layout does not have.
    """
    name, folder = split_spec(spec)
    loader = LAYOUTS[name].load
    valid = loader.__kwdefaults__ or {}
    for option in options:
        if option not in valid:
            having = [other for other, layout in LAYOUTS.items() if option in (layout.load.__kwdefaults__ or {})]
            whose = f"is for {' and '.join(having)} data" if having else "is no option of any data"
            raise SettingError(f"{spec}: --{option.replace('_', '-')} {whose}: leave it out")
    return loader(folder, **options)


def split_spec(spec: str) -> tuple[str, Path]:
    """Name of the layout, and the folder. Raises DataError for anything else."""
    name, colon, folder = spec.partition(":")
    known = ", ".join(f"{layout}:FOLDER" for layout in LAYOUTS)
    if not colon or not folder:
        raise DataError(f"'{spec}' does not say where the data is: give one of {known}")
    if name not in LAYOUTS:
        raise DataError(f"'{name}' of '{spec}' is not a known layout: give one of {known}")
    return name, Path(folder).expanduser()
