"""Writes queries into a benchmark: each test identity by its clearest sight, searched in all other scenes.

    python tools/clear_queries.py DIR [PEOPLE]

The clearest sight is the tallest box of which at least 95% is visible: what somebody would draw a box around. The
sample of the demo is made this way. Of more than PEOPLE, some are taken in even steps, so that nobody chooses them.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def clear_queries(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One query an identity that is seen clearly once and at all in another scene."""
    test = [image["id"] for image in document["images"] if image.get("split", "test") == "test"]
    sights: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for person in document["annotations"]:
        if person["person_id"] >= 0 and person["image_id"] in test:
            sights[person["person_id"]].append(person)
    queries = []
    for _, seen in sorted(sights.items()):
        clear = [person for person in seen if person["visible"] >= 0.95]
        if clear and len(seen) > 1:
            best = max(clear, key=lambda person: person["bbox"][3])
            gallery = [image for image in test if image != best["image_id"]]
            queries.append({"annotation_id": best["id"], "gallery": gallery})
    return queries


def in_even_steps(queries: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """`count` of the queries, or all where there are fewer."""
    count = min(count, len(queries))
    return [queries[index * len(queries) // count] for index in range(count)]


if __name__ == "__main__":
    path = Path(sys.argv[1]) / "annotations.json"
    annotated = json.loads(path.read_text())
    annotated["queries"] = clear_queries(annotated)
    if len(sys.argv) > 2:
        annotated["queries"] = in_even_steps(annotated["queries"], int(sys.argv[2]))
    path.write_text(json.dumps(annotated))
    print(f"{path}: {len(annotated['queries'])} queries")
