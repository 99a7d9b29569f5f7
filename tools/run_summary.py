"""What a training run was and cost, as one small JSON document.

python tools/run_summary.py RUN > docs/results/run.json
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def summarize(run: Path) -> dict[str, Any]:
    """Recipe, data, minutes and losses of a run's folder: means over its first and its last hundred steps."""
    config = json.loads((run / "config.json").read_text())
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    names = [name for name in lines[-1] if name not in ("step", "rate", "seconds")]

    def mean(part: list[dict[str, float]]) -> dict[str, float]:
        return {name: round(sum(line[name] for line in part) / len(part), 4) for name in names}

    return {
        "recipe": config["recipe"]["name"],
        "seed": config["recipe"]["seed"],
        "training_data": config["training_data"],
        "steps": lines[-1]["step"],
        "minutes": round(sum(line["seconds"] for line in lines) / 60, 1),
        "cores": os.cpu_count(),
        "first_losses": mean(lines[:10]),
        "last_losses": mean(lines[-10:]),
    }


if __name__ == "__main__":
    print(json.dumps(summarize(Path(sys.argv[1])), indent=2))
