"""What each step of `index` costs: milliseconds a scene, of pictures or of a film.

Run: python benchmarks/index_steps.py MODEL SOURCE [--every 0.5] [--scenes 100] [--read readings]

SOURCE is a folder of pictures, of which the first are taken, or a film. MODEL may be an export. All of it is indexed
into a temporary gallery in the way of the command, after one scene to warm up. Steps are timed inside that one run.
What is decoded ahead happens beside the network, so it is no part of the whole; what is left of the whole is the rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from personsearch.data.pictures import ImageFile
from personsearch.data.video import sample_video
from personsearch.models import readings
from personsearch.models.projections import Projection
from personsearch.models.rpn import RPNOutput
from personsearch.models.search_network import SearchNetwork
from personsearch.runtime import keep_memory
from personsearch.search import indexing
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.search.searchers import READINGS, READS, SceneEncoder, load_searcher

AHEAD = "decode (beside the network)"


class Clock:
    """Seconds spent in each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def around(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, timed."""

        def timed(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return work(*given, **named)
            finally:
                self.seconds[step] += time.perf_counter() - start

        return timed

    def on(self, owner: Any, name: str, step: str) -> None:
        """Times a function of a module, a class, or an object."""
        setattr(owner, name, self.around(step, getattr(owner, name)))

    def on_films(self) -> None:
        """Times each frame that a film gives."""

        def sampled(*given: Any, **named: Any) -> Any:
            frames = iter(sample_video(*given, **named))
            while (frame := self.around(AHEAD, next)(frames, None)) is not None:
                yield frame

        indexing.sample_video = sampled  # type: ignore[assignment]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("source", type=Path)
    options.add_argument("--every", type=float, default=0.5, help="seconds between the frames of a film")
    options.add_argument("--scenes", type=int, default=100, help="pictures of a folder")
    options.add_argument("--read", choices=READS[:3], default=READINGS)
    given = options.parse_args()
    keep_memory()  # as the command does
    encoder = load_searcher(given.model, read=given.read)
    film = given.source.is_file()
    files = [given.source] if film else sorted(given.source.iterdir())[: given.scenes]
    encoder.encode_scene(next(iter(sample_video(files[0], 1.0))).image if film else ImageFile(files[0]).read())
    clock = timed(encoder)
    with (
        tempfile.TemporaryDirectory() as folder,
        Gallery.create(
            Path(folder) / "gallery",
            model=encoder.name,
            fingerprint=encoder.fingerprint,
            dim=encoder.dim,
            read=encoder.read,
        ) as gallery,
    ):
        start = time.perf_counter()
        report = index_sources(gallery, encoder, files, every=given.every)
        whole = time.perf_counter() - start
    print(
        f"{torch.get_num_threads()} threads, {report.scenes} scenes, {report.people / report.scenes:.1f} people a scene"
    )
    print(table(clock, whole, report.scenes))
    if film:
        print(f"{given.every * report.scenes / whole:.2f} seconds of film a second")


def timed(encoder: SceneEncoder) -> Clock:
    """A clock on all that reads a scene from here on."""
    clock = Clock()
    network: Any = encoder.model if isinstance(encoder.model, SearchNetwork) else encoder.model._network  # type: ignore[attr-defined]
    clock.on(ImageFile, "read", AHEAD)
    clock.on_films()
    clock.on(network, "prepare", "resize")
    clock.on(network.stem, "forward", "conv1 to conv4")
    clock.on(network.rpn, "forward", "proposals: convolutions")
    clock.on(RPNOutput, "scored_proposals", "proposals: boxes, suppression")
    clock.on(network, "pool", "RoIAlign")
    clock.on(network.head.backbone, "forward", "conv5")
    clock.on(readings, "crop_patches", "patches: cut out")
    if network.own_instance is not None:
        clock.on(network.own_instance.stem, "forward", "patches: conv1 to conv4")
        clock.on(network.own_instance.head.backbone, "forward", "patches: conv5")
    clock.on(readings, "row_means", "patches: rows")
    clock.on(Projection, "__call__", "projections")
    clock.on(Gallery, "add", "writing")
    return clock


def table(clock: Clock, whole: float, scenes: int) -> str:
    """Rows of Markdown."""
    within = {step: spent for step, spent in clock.seconds.items() if step != AHEAD}
    steps = {**within, "rest": whole - sum(within.values()), "whole": whole, AHEAD: clock.seconds[AHEAD]}
    lines = ["| step | ms a scene | share |", "|---|---|---|"]
    lines += [f"| {step} | {1000 * spent / scenes:.1f} | {spent / whole:.1%} |" for step, spent in steps.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
