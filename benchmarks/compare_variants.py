"""Trains rows of BINet's tables with equal budgets and several seeds, and prints their figures side by side.

Run: python benchmarks/compare_variants.py OUT DATA WARM [--seeds 0 1 2] [--recipes oim_rendered …] [--set a.b=value …]

All runs start from the same warm-up on patches (WARM), differ in recipe and seed alone, and are evaluated on DATA's
test scenes, with detected and with labelled boxes. A stopped comparison goes on: finished runs stand in
OUT/results.json. Scenes are small unless --set says otherwise, so that a run takes minutes on two cores.
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

from personsearch.data.sources import load_benchmark
from personsearch.experiment import train
from personsearch.judge import JudgeSettings, evaluate_weights

RECIPES = ("oim_rendered", "binet0_rendered", "binet_rendered", "binet1_rendered", "binet2_rendered")
"""OIM*, + instance-aware, BINet, BINet-1 and BINet-2."""
SMALL = (
    "batches.short_sides=[300, 360]",
    "batches.long_side=640",
    "network.rois=16",
    "network.train_proposals.after_nms=500",
    "network.test_size.short=450",
    "network.test_size.long=750",
    "optimizer.steps=300",
    "optimizer.rate=0.00005",
)
COLUMNS = ("mAP", "top1", "detection_ap", "labeled_mAP", "labeled_top1")


def main() -> None:
    options = argparse.ArgumentParser()
    for name in ("out", "data", "warm"):
        options.add_argument(name)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--recipes", nargs="+", default=list(RECIPES))
    options.add_argument("--set", nargs="+", default=list(SMALL))
    given = options.parse_args()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.json"
    held = json.loads(file.read_text()) if file.exists() else {"settings": given.set, "runs": {}}
    if held["settings"] != given.set:
        raise SystemExit(f"{file} was made with other settings: give another OUT")
    results: dict[str, dict[str, Any]] = held["runs"]
    for seed, recipe in product(given.seeds, given.recipes):  # all recipes of a seed first
        name = f"{recipe}-{seed}"
        if name in results:
            continue
        start = time.perf_counter()
        settings = [*given.set, f"seed={seed}"]
        run = train(recipe, given.data, out / name, settings=settings, backbone=Path(given.warm), resume=True)
        minutes = (time.perf_counter() - start) / 60
        results[name] = {"recipe": recipe, "seed": seed, "minutes": round(minutes, 1), **figures_of(run, given.data)}
        part = file.with_suffix(".part")
        part.write_text(json.dumps({"settings": given.set, "runs": results}, indent=1) + "\n")
        part.replace(file)
        shutil.rmtree(run)  # half a gigabyte each
        print(name, {column: results[name][column] for column in COLUMNS}, flush=True)
    print_table(results, given.recipes)


def figures_of(run: Path, data: str) -> dict[str, float | None]:
    """With detected boxes under their usual names, with labelled ones under names that say so."""
    benchmark = load_benchmark(data)
    detected, _ = evaluate_weights(str(run), benchmark)
    labeled, _ = evaluate_weights(str(run), benchmark, JudgeSettings(boxes="labeled"))
    return {**detected.as_dict(), "labeled_mAP": labeled.mAP, "labeled_top1": labeled.top1}


def print_table(results: dict[str, dict[str, Any]], recipes: list[str]) -> None:
    """Mean ± standard deviation over seeds, and the mean gain over the first recipe, seed by seed."""
    by_seed = {(r["recipe"], r["seed"]): r for r in results.values()}
    seeds = sorted({seed for _, seed in by_seed})
    print(f"| recipe | seeds | {' | '.join(COLUMNS)} | mAP gained | labeled_mAP gained |")
    print("|---|" + "---|" * (len(COLUMNS) + 3))
    for recipe in recipes:
        runs = [by_seed[recipe, seed] for seed in seeds if (recipe, seed) in by_seed]
        cells = [spread([run[column] for run in runs]) for column in COLUMNS]
        for column in ("mAP", "labeled_mAP"):
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
