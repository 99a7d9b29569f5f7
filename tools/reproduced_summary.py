"""All tables that lie in a folder of `personsearch reproduce`, and what its runs were judged at, as one JSON document.

python tools/reproduced_summary.py FOLDER > docs/results/identity.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def summarize(folder: Path) -> dict[str, Any]:
    """The tables by name, and the lines of each finished run's judged.jsonl."""
    tables = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*-*.json"))}
    judged = {
        file.parent.name: [json.loads(line) for line in file.read_text().splitlines()]
        for file in sorted(folder.glob("runs/*/judged.jsonl"))
        if (file.parent / "finished.json").exists()
    }
    return {**tables, "judged": judged}


if __name__ == "__main__":
    print(json.dumps(summarize(Path(sys.argv[1])), indent=1, ensure_ascii=False))
