"""Fits the projections that readings are made by, and lays them beside the weights.

Run: python tools/fit_projections.py MODEL DATA [--people 2000]

DATA, LAYOUT:DIR, gives its training scenes; for weights that ship these are rendered people, never real ones.
"""

from __future__ import annotations

import argparse

from rich.progress import track

from personsearch.data.sources import load_benchmark
from personsearch.models.own_instance import fingerprint_of_readings
from personsearch.models.projections import save_projections
from personsearch.models.readings import fit_projections
from personsearch.models.weights import find_weights, load_weights
from personsearch.runtime import best_device


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("data")
    options.add_argument("--people", type=int, default=2000)
    given = options.parse_args()
    loaded = load_weights(given.model, best_device())
    scenes = load_benchmark(given.data).train
    made = fit_projections(
        loaded.model, scenes, given.people, progress=lambda items, what, total: track(items, what, total)
    )
    folder = find_weights(given.model)
    path = save_projections(folder, made, fingerprint_of_readings(folder))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
