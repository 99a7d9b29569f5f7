"""Benchmarks by one word: `LAYOUT:FOLDER`, as the commands take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from personsearch.data.coco import load_coco
from personsearch.data.mot import load_mot
from personsearch.data.records import Benchmark
from personsearch.errors import DataError, SettingError

LOADERS: dict[str, Callable[..., Benchmark]] = {"coco": load_coco, "mot": load_mot}
"""Layout to loader; each takes a folder and options of its own."""


def load_benchmark(spec: str, **options: Any) -> Benchmark:
    """The benchmark of `spec`, such as `coco:rendered` or `mot:pets09`; `options` go to the layout's loader.

    Raises DataError when the layout is unknown or the folder is not as the layout wants it, and SettingError
    for an option that the layout does not have.
    """
    layout, colon, folder = spec.partition(":")
    known = ", ".join(f"{name}:FOLDER" for name in LOADERS)
    if not colon or not folder:
        raise DataError(f"'{spec}' does not say where the data is: give one of {known}")
    if layout not in LOADERS:
        raise DataError(f"'{layout}' of '{spec}' is not a known layout: give one of {known}")
    loader = LOADERS[layout]
    valid = loader.__kwdefaults__ or {}
    for name in options:
        if name not in valid:
            raise SettingError(f"{layout} data has no option '{name}': its options are {', '.join(valid)}")
    return loader(Path(folder).expanduser(), **options)
