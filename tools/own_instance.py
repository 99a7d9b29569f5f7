"""Gives weights an instance-aware branch of their own: python tools/own_instance.py WEIGHTS RUN

RUN is a folder of weights that were trained further on patches, such as a run of `patches_rendered` that started from
WEIGHTS, or an average of both. Its backbone and embedding then read patches; people are found, and embedded by the
search branch, as before. Projections are fitted anew afterwards: python tools/fit_projections.py WEIGHTS DATA
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from personsearch.files import write_whole
from personsearch.models.own_instance import save_instance
from personsearch.models.search_network import SearchNetwork
from personsearch.models.tensor_files import CONFIG_FILE, MODEL_FILE, fingerprint
from personsearch.models.weights import read_config, read_settings, whole_network


def _whole(weights: str) -> tuple[Path, SearchNetwork]:
    folder, config = read_config(weights, SearchNetwork)
    network: Any = whole_network(folder, read_settings(config, folder))
    return folder, network


def note(folder: Path, run: Path) -> None:
    """Says in config.json what the branch comes from."""
    of = json.loads((run / CONFIG_FILE).read_text())
    names = ("average",) if "average" in of else ("training_data", "steps_done")
    facts = {name: of[name] for name in names if name in of}
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["instance"] |= {"weights": fingerprint(run / MODEL_FILE), **facts}
    write_whole(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("weights")
    options.add_argument("run")
    given = options.parse_args()
    (folder, network), (run, trained) = (_whole(weights) for weights in (given.weights, given.run))
    path = save_instance(folder, network, trained)
    note(folder, run)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
