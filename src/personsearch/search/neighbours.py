"""What is known of a gallery's approximate index: how much it finds, and what was counted over everybody.

LanceDB's index finds the scenes that hold the people most alike, as they are stored, and those alone are ranked, by
the same rules as everybody. For that, the means of cameras must be known without reading everybody. They are of one
version of the table.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from personsearch.search.centring import Centres
from personsearch.search.place import Place, write
from personsearch.search.ranking import Resident

NEIGHBOURS = "neighbours.npz"


@dataclass(frozen=True)
class Neighbours:
    """Of an index that is there."""

    recall: float
    """The part of the exact ten first answers that it found when it was made, in [0, 1]"""
    probes: int
    """How many of its lists a question looks at"""
    scenes: int
    """How many scenes it finds, who are ranked exactly"""
    version: int = 0
    """Of the table, when all below was counted"""
    people: int = 0
    sources: dict[Path, int] = field(default_factory=dict)
    """Numbers of the cameras"""
    centres: Centres = field(default_factory=lambda: Centres.none(0, 0))

    def counted(self, crowd: Resident, version: int) -> Neighbours:
        """The same, with what everybody of this version says."""
        return replace(self, version=version, people=len(crowd.scores), sources=crowd.sources, centres=crowd.centres)


def save_neighbours(folder: Place, known: Neighbours) -> None:
    """Raises OSError, and leaves an older file then."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        recall=np.float64(known.recall),
        numbers=np.array([known.probes, known.scenes, known.version, known.people], dtype=np.int64),
        sources=np.array([str(path).encode() for path in known.sources], dtype=np.bytes_),
        means=known.centres.means.numpy(),
    )
    write(folder / NEIGHBOURS, file.getvalue())


def load_neighbours(folder: Place) -> Neighbours | None:
    """None where there are none, or only damaged ones."""
    try:
        with np.load(io.BytesIO((folder / NEIGHBOURS).read_bytes()), allow_pickle=False) as stored:
            probes, scenes, version, people = (int(number) for number in stored["numbers"])
            sources = {Path(name.decode()): number for number, name in enumerate(stored["sources"].tolist())}
            recall, means = float(stored["recall"]), torch.from_numpy(stored["means"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None
    whole = 0 <= recall <= 1 and min(probes, scenes) > 0 and means.ndim == 2 and len(means) == len(sources) + 1
    return Neighbours(recall, probes, scenes, version, people, sources, Centres(means)) if whole else None
