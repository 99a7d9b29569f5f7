"""What a further query of a shared gallery costs IGPN.

Run: python benchmarks/many_queries.py MODEL DATA [--scenes 100] [--queries 8] [--size 600 1000] [--busy]

MODEL is an IGPN's folder or "random", DATA a benchmark with queries. The first queries are asked in the first test
scenes in the ways of the table; seconds are medians over the further queries of a way, of all scenes together. With
--busy they are seconds of this process's own work, which others on the machine do not lengthen: for one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from personsearch.data.records import Scene
from personsearch.data.sources import load_benchmark
from personsearch.data.transforms import SizeSettings
from personsearch.models.guided import GuidedNetwork, QueryCode, SceneCode, cat_queries
from personsearch.models.igpn import build_igpn
from personsearch.models.inference import prepare_for_inference
from personsearch.models.region_features import RegionFeatures
from personsearch.models.weights import load_proposer
from personsearch.runtime import best_device
from personsearch.search.proposals import ProposalSearch
from personsearch.search.scene_codes import SceneCodes, form_of
from personsearch.training.recipes import get_recipe

TOGETHER = 8


class Timed:
    """The median seconds of calls, and the first."""

    clock = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, work: Callable[[], object]) -> None:
        _wait()
        start = self.clock()
        work()
        _wait()
        self.seconds.append(self.clock() - start)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def proposer_of(name: str) -> GuidedNetwork:
    if name != "random":
        return load_proposer(name, best_device()).model
    torch.manual_seed(0)
    made = build_igpn(get_recipe("igpn_cuhk_sysu").network)  # type: ignore[arg-type]
    for correlation in (made.similarity, made.regression):  # zero at first, so that all queries would propose the same
        torch.nn.init.normal_(correlation.second.weight, std=0.01)  # type: ignore[union-attr, arg-type]
    return prepare_for_inference(made.to(best_device()))


def row(text: str, first: float, further: float, base: float) -> None:
    print(f"{text:58} {first:8.2f} {further:8.2f} {base / further:7.1f}x", flush=True)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("data")
    options.add_argument("--scenes", type=int, default=100)
    options.add_argument("--queries", type=int, default=8)
    options.add_argument("--size", type=int, nargs=2, metavar=("SHORT", "LONG"))
    options.add_argument("--busy", action="store_true")
    given = options.parse_args()
    if given.busy:
        Timed.clock = staticmethod(time.process_time)
    if given.queries < 2:
        raise SystemExit("a first and a further query are two: give --queries 2 or more")
    proposer, benchmark = proposer_of(given.model), load_benchmark(given.data)
    if given.size is not None:
        proposer.settings = replace(proposer.settings, test_size=SizeSettings(*given.size))
    scenes, names = benchmark.test[: given.scenes], {scene.name: scene for scene in benchmark.test}
    queries = [proposer.encode_query(names[q.scene].read(), [q.box]) for q in benchmark.queries[: given.queries]]
    print(f"{len(scenes)} scenes, {len(queries)} queries, {proposer.settings.proposals.after_nms} proposals a scene")
    print(f"{'seconds for all scenes':58} {'first':>8} {'further':>8}")

    plain = Timed()
    for query in queries[:2]:
        plain(lambda: [proposer.answer(proposer.encode_scene(s.read()), query) for s in scenes])  # noqa: B023
    base = median(plain.seconds)
    row("all of it for each query", base, base, base)

    codes: list[SceneCode] = []
    encode = Timed()
    encode(lambda: codes.extend(proposer.encode_scene(scene.read()) for scene in scenes))
    shared = Timed()
    for query in queries[:4]:
        shared(lambda: [proposer.answer(code, query) for code in codes])  # noqa: B023
    row("scene codes shared", encode.seconds[0] + shared.seconds[0], median(shared.seconds[1:]), base)

    read: list[list[int]] = []
    held = [(code, RegionFeatures()) for code in codes]
    after = Timed()
    for query in queries:
        after(lambda: [proposer.answer(code, query, regions) for code, regions in held])  # noqa: B023
        read.append([len(regions) for _, regions in held])
    row("  and regions, query after query", encode.seconds[0] + after.seconds[0], median(after.seconds[1:]), base)
    new = [sum(now) - sum(before) for before, now in zip([[0], *read], read, strict=False)]
    print(f"    regions read anew by each query: {' '.join(str(n) for n in new)}")

    batch = cat_queries(queries[:TOGETHER])
    for text, memories in (
        (f"  and {len(batch.features)} queries at a time", [RegionFeatures() for _ in codes]),
        ("  and regions that earlier queries have read", [regions for _, regions in held]),
    ):
        together = Timed()
        together(lambda: [proposer.answer(code, batch, some) for code, some in zip(codes, memories, strict=True)])  # noqa: B023
        each = together.seconds[0] / len(batch.features)
        row(text, encode.seconds[0] + together.seconds[0], each, base)
    unchanged(proposer, codes, queries, [regions for _, regions in held])

    with tempfile.TemporaryDirectory() as folder:
        from_disk(proposer, scenes, queries[:3], Path(folder), base)
    fewer(proposer, codes, queries[:4], base)
    selected(proposer, scenes, codes, queries[:4], base)


def unchanged(
    proposer: GuidedNetwork, codes: list[SceneCode], queries: list[QueryCode], memories: list[RegionFeatures]
) -> None:
    """Prints by how much answers with shared regions differ from those of a query alone."""
    most = 0.0
    for code, regions in zip(codes[:3], memories, strict=False):
        for query in queries[:3]:
            (shared,), (alone,) = proposer.answer(code, query, regions), proposer.answer(code, query)
            same = len(shared) == len(alone)
            most = max(most, float((shared.similarities - alone.similarities).abs().max()) if same else 1.0)
    print(f"    largest difference of a similarity to that of a query alone: {most:.4f}")


def from_disk(
    proposer: GuidedNetwork, scenes: tuple[Scene, ...], queries: list[QueryCode], folder: Path, base: float
) -> None:
    form, made_by = form_of(proposer, "benchmark")
    disk = SceneCodes(folder, made_by, 10**12, form, device=best_device())
    timed = Timed()

    def code(scene: Scene) -> SceneCode:
        return proposer.ready(disk.get(scene, lambda missing: proposer.read_scene(missing.read())))

    for query in queries:
        timed(lambda: [proposer.answer(code(scene), query) for scene in scenes])  # noqa: B023
    row("scene codes on disk", timed.seconds[0], median(timed.seconds[1:]), base)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"    {size / len(scenes) / 1e6:.1f} MB a scene")


def fewer(proposer: GuidedNetwork, codes: list[SceneCode], queries: list[QueryCode], base: float) -> None:
    """Other answers, faster: their accuracy is what `evaluate --proposals N` prints."""
    own = proposer.settings
    for most in (16, 8, 4):
        if most >= own.proposals.after_nms:
            continue
        proposer.settings = replace(own, proposals=replace(own.proposals, after_nms=most))
        held = [(code, RegionFeatures()) for code in codes]
        timed = Timed()
        for query in queries:
            timed(lambda: [proposer.answer(code, query, regions) for code, regions in held])  # noqa: B023
        row(f"{most} proposals, regions shared (other answers)", timed.seconds[0], median(timed.seconds[1:]), base)
    proposer.settings = own


def selected(
    proposer: GuidedNetwork, scenes: tuple[Scene, ...], codes: list[SceneCode], queries: list[QueryCode], base: float
) -> None:
    """The best of the whole gallery alone are compared: other answers, too; `evaluate --candidates N` judges them."""
    asking = {scene.name: [0] for scene in scenes}
    held = {scene.name: code for scene, code in zip(scenes, codes, strict=True)}
    for part in (2, 4, 8):
        most = len(scenes) * proposer.settings.proposals.after_nms // part
        timed = Timed()
        for query in queries:
            search = ProposalSearch(proposer, [query], scenes, lambda scene: held[scene.name])
            timed(lambda: search.propose(asking, candidates=most))  # noqa: B023
        row(f"{most} candidates of the gallery (other answers)", timed.seconds[0], median(timed.seconds[1:]), base)


if __name__ == "__main__":
    main()
