"""Trains recipes with equal budgets and several seeds, and prints their figures side by side.

Run: python research/compare_variants.py OUT TRAIN TEST WARM --recipes oim_rendered binet_rendered … [--seeds 0 1 2]
     [--set a.b=value …] [--gallery-size N] [--keep-weights] [--whole]

All runs start from WARM's backbone and embedding, or with --whole from all of its weights (WARM is a run, shipped
weights, or a file of ImageNet weights), learn from TRAIN, differ in recipe and seed alone, and are evaluated on TEST's
test scenes; search networks with detected and with labelled boxes. Scenes are small unless --set says otherwise, so
that a run takes minutes on two cores. A finished run is a file in OUT: a stopped comparison goes on, and with
OMP_NUM_THREADS=1 another command may run other seeds into the same OUT meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark
from personsearch.evaluation.evaluate import JudgeSettings, evaluate_weights, is_proposer
from personsearch.experiment import train
from personsearch.models.tensor_files import CONFIG_FILE, MODEL_FILE
from personsearch.training.methods import Whole
from personsearch.training.recipes import IGPNRecipe, get_recipe

SMALL_SEARCH = (
    "batches.short_sides=[300, 360]",
    "batches.long_side=640",
    "network.rois=16",
    "network.train_proposals.after_nms=500",
    "network.test_size.short=450",
    "network.test_size.long=750",
    "optimizer.steps=300",
    "optimizer.rate=0.00005",
)
SMALL_IGPN = (
    "pairs.short_sides=[240, 300, 360]",
    "pairs.long_side=640",
    "network.channels=256",
    "network.test_size.short=450",
    "network.test_size.long=750",
    "optimizer.steps=240",
)
COLUMNS = ("mAP", "top1", "detection_ap", "labeled_mAP", "labeled_top1")


def main() -> None:
    options = argparse.ArgumentParser()
    for name in ("out", "train", "test", "warm"):
        options.add_argument(name)
    options.add_argument("--recipes", nargs="+", required=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--set", nargs="+", default=[])
    options.add_argument("--gallery-size", type=int)
    options.add_argument("--keep-weights", action="store_true")
    options.add_argument("--whole", action="store_true")
    given = options.parse_args()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    size = {} if given.gallery_size is None else {"gallery_size": given.gallery_size}
    benchmark = load_benchmark(given.test, **size)
    for seed, recipe in product(given.seeds, given.recipes):  # all recipes of a seed first
        small = SMALL_IGPN if isinstance(get_recipe(recipe), IGPNRecipe) else SMALL_SEARCH
        asked = {
            "settings": [*small, *given.set, f"seed={seed}"],
            **{name: getattr(given, name) for name in ("train", "test", "warm", "whole", "gallery_size")},
        }
        file = out / f"{recipe}-{seed}.json"
        if file.exists():
            if json.loads(file.read_text())["asked"] != asked:
                raise SystemExit(f"{file} was made with other settings: give another OUT")
            continue
        figures = run_once(recipe, asked, out / f"{recipe}-{seed}", benchmark, keep=given.keep_weights)
        part = file.with_suffix(".part")
        part.write_text(json.dumps({"recipe": recipe, "seed": seed, **figures, "asked": asked}, indent=1) + "\n")
        part.replace(file)
        print(file.stem, {column: figures[column] for column in COLUMNS if column in figures}, flush=True)
    print_table(read_results(out), given.recipes)


def run_once(recipe: str, asked: dict[str, Any], run: Path, benchmark: Benchmark, keep: bool) -> dict[str, Any]:
    start = time.perf_counter()
    warm = Whole(asked["warm"]) if asked["whole"] else asked["warm"]
    train(recipe, asked["train"], run, settings=asked["settings"], backbone=warm, resume=True)
    minutes = (time.perf_counter() - start) / 60
    figures = {"minutes": round(minutes, 1), **figures_of(run, benchmark)}
    if keep:
        for path in run.iterdir():
            if path.name not in (CONFIG_FILE, MODEL_FILE):
                path.unlink()
    else:
        shutil.rmtree(run)  # half a gigabyte each
    return figures


def figures_of(run: Path, benchmark: Benchmark) -> dict[str, float | None]:
    """With detected boxes under their usual names, with labelled ones under names that say so."""
    detected, _ = evaluate_weights(str(run), benchmark)
    if is_proposer(str(run)):
        return detected.as_dict()
    labeled, _ = evaluate_weights(str(run), benchmark, JudgeSettings(boxes="labeled"))
    return {**detected.as_dict(), "labeled_mAP": labeled.mAP, "labeled_top1": labeled.top1}


def read_results(out: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """All finished runs by recipe and seed."""
    runs = [json.loads(file.read_text()) for file in sorted(out.glob("*.json"))]
    return {(run["recipe"], run["seed"]): run for run in runs}


def print_table(by_seed: dict[tuple[str, int], dict[str, Any]], recipes: list[str]) -> None:
    """Mean ± standard deviation over seeds, and the mean gain over the first recipe, seed by seed."""
    seeds = sorted({seed for _, seed in by_seed})
    columns = [column for column in COLUMNS if all(run.get(column) is not None for run in by_seed.values())]
    compared = [column for column in columns if column.endswith("mAP")]
    print(f"| recipe | seeds | {' | '.join((*columns, *(f'{column} gained' for column in compared)))} |")
    print("|---|" + "---|" * (len(columns) + len(compared) + 1))
    for recipe in recipes:
        runs = [by_seed[recipe, seed] for seed in seeds if (recipe, seed) in by_seed]
        cells = [spread([run[column] for run in runs]) for column in columns]
        for column in compared:
            both = [seed for seed in seeds if {(recipe, seed), (recipes[0], seed)} <= by_seed.keys()]
            gains = [by_seed[recipe, seed][column] - by_seed[recipes[0], seed][column] for seed in both]
            cells.append(spread(gains, "+"))
        print(f"| `{recipe}` | {len(runs)} | {' | '.join(cells)} |")


def spread(values: list[float], sign: str = "") -> str:
    if len(values) < 2:
        return " ".join(f"{value:{sign}.3f}" for value in values)
    return f"{mean(values):{sign}.3f} ± {stdev(values):.3f}"


if __name__ == "__main__":
    main()
