"""Trains recipes for CUHK-SYSU and PRW a few steps at their real size, on rendered people in the published layouts.

Run: python benchmarks/paper_recipes.py OUT [--recipes binet_cuhk_sysu igpn_prw …] [--steps 50] [--set a.b=value …]
     [--backbone FILE] [--device cuda]

All such recipes by default, each in a process of its own. Prints for each: seconds a step (the median without the
first; of CPU time without a GPU), hours for the recipe's own number of steps, the most memory (of the GPU, or of the
process), and the losses of the first and the last ten steps, or of the first and the last step where there are fewer.
A run whose numbers stop being finite ends with an error. Weights are random unless a backbone is given: speed and
memory are the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

PLACES = {"cuhk_sysu": ("cuhk-sysu", 1000, 600), "prw": ("prw", 1920, 1080)}
"""Suffix of a recipe to layout, and size of its pictures."""
IDENTITIES, SCENES = 60, 40


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("out", type=Path)
    options.add_argument("--recipes", nargs="+", default=[])
    options.add_argument("--steps", type=int, default=50)
    options.add_argument("--set", nargs="+", default=[])
    options.add_argument("--backbone", default="random")
    options.add_argument("--device")
    options.add_argument("--one", action="store_true", help="measure here, and print JSON")
    given = options.parse_args()
    if given.one:
        print(json.dumps(measure(given.recipes[0], given)))
        return
    from personsearch.training.recipes import RECIPES

    recipes = given.recipes or [name for name in RECIPES if not name.endswith("_rendered")]
    for suffix in [suffix for suffix in PLACES if any(name.endswith(f"_{suffix}") for name in recipes)]:
        render(given.out, suffix)
    print("| recipe | seconds a step | steps | hours | most memory, GiB | first loss | last loss |")
    print("|---|---|---|---|---|---|---|")
    for recipe in recipes:
        command = [sys.executable, *sys.argv[:2], *sys.argv[2:], "--recipes", recipe, "--one"]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if run.returncode:
            print(f"| `{recipe}` | failed |")
            continue
        found = json.loads(run.stdout.splitlines()[-1])
        print(
            f"| `{recipe}` | {found['seconds']:.2f} | {found['steps']:,} | {found['hours']:.1f} | "
            f"{found['memory']:.1f} | {found['first']:.2f} | {found['last']:.2f} |",
            flush=True,
        )


def render(out: Path, suffix: str) -> None:
    """A small benchmark in a published layout; nothing where it is already."""
    layout, width, height = PLACES[suffix]
    if (out / suffix / "done").exists():
        return
    size = ["--width", str(width), "--height", str(height)]
    counts = ["--identities", str(IDENTITIES), "--scenes", str(SCENES), "--layout", layout]
    command = [sys.executable, "-m", "personsearch", "synthesize", str(out / suffix), *counts, *size]
    subprocess.run(command, check=True, stdout=sys.stderr)
    (out / suffix / "done").touch()


def measure(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Trains one recipe in this process."""
    import torch

    from personsearch.experiment import train
    from personsearch.training.checkpoints import read_facts
    from personsearch.training.logs import lines_up_to
    from personsearch.training.loop import CHECKPOINT, LOG
    from personsearch.training.recipes import get_recipe

    suffix = next(suffix for suffix in PLACES if name.endswith(f"_{suffix}"))
    on_gpu = torch.cuda.is_available() and given.device != "cpu"
    clock = time.perf_counter if on_gpu else time.process_time  # others may use the same cores
    ends: list[float] = []
    with tempfile.TemporaryDirectory(dir=given.out) as folder:
        out = Path(folder) / "run"
        train(
            name,
            f"{PLACES[suffix][0]}:{given.out / suffix}",
            out,
            settings=[f"optimizer.steps={given.steps}", *given.set],
            backbone=given.backbone,
            device=given.device,
            checkpoint_every=10**6,
            on_step=lambda _step, _total: ends.append(clock()),
        )
        told = lines_up_to(out / LOG) or read_facts(out / CHECKPOINT)["pending"]
    seconds = median([end - start for start, end in pairwise(ends)] or [float("nan")])
    most = torch.cuda.max_memory_allocated() if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    steps = get_recipe(name).optimizer.steps
    return {
        "seconds": seconds,
        "steps": steps,
        "hours": seconds * steps / 3600,
        "memory": most / 2**30,
        "first": total(told[0]),
        "last": total(told[-1]),
    }


def total(line: dict[str, float]) -> float:
    """The sum of all losses of a logged line."""
    return sum(value for key, value in line.items() if key not in ("step", "rate", "seconds"))


if __name__ == "__main__":
    main()
