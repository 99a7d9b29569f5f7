"""Turns a run into weights that ship: python tools/ship_weights.py RUN NAME [WHAT=evaluation.json ...]

Each evaluation is the output of `personsearch evaluate RUN ... --json`; config.json then says what was measured.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import personsearch

LICENCE = "Apache-2.0; trained on rendered people only, from ImageNet weights of Keras' ResNet-50 (MIT)"


def ship(run: Path, name: str, evaluations: dict[str, Path]) -> Path:
    """Copies model and config into the package and adds licence and results. Returns the folder."""
    folder = Path(personsearch.__file__).parent / "weights" / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "model.safetensors", folder / "model.safetensors")
    config = json.loads((run / "config.json").read_text())
    config["licence"] = LICENCE
    config["results"] = {what: rounded(json.loads(path.read_text())) for what, path in evaluations.items()}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder


def rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    pairs = dict(argument.split("=", 1) for argument in sys.argv[3:])
    print(ship(Path(sys.argv[1]), sys.argv[2], {what: Path(path) for what, path in pairs.items()}))
