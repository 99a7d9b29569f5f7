"""What `gallery.json` says of a gallery: by which model, and how its people were read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from personsearch.errors import GalleryError
from personsearch.files import refusal
from personsearch.search.bucket import BucketPath, require_bucket
from personsearch.search.place import Place, write
from personsearch.search.searchers import READS, REID, SEARCH

ABOUT = "gallery.json"
FORMAT = 3
"""1 was without the digests of contents, 2 without `read`; both are read as they are, and become 3 when something is
added."""


@dataclass(frozen=True, slots=True)
class About:
    """What `gallery.json` says."""

    model: str
    fingerprint: str
    dim: int
    min_score: float
    created: str
    format: int = FORMAT
    read: str = SEARCH
    """What embeddings are: see `searchers.READS`."""
    reid: str = ""
    """The re-id network that embeds, by name, folder or file, if one does."""
    keep_days: float | None = None
    """Days after which what a file gave is to be removed; None: never. See pruning.py."""


def write_about(folder: Place, about: About) -> None:
    write(folder / ABOUT, (json.dumps(asdict(about), indent=2) + "\n").encode())


def read_about(folder: Place) -> About:
    path = folder / ABOUT
    if isinstance(folder, BucketPath):
        require_bucket(folder)
    try:
        if not path.is_file():
            raise GalleryError(f"{folder}: no gallery there; make one: personsearch index SOURCE --gallery {folder}")
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise GalleryError(
                f"{path}: written by a newer version (format {values['format']}, this one reads {FORMAT}); "
                "upgrade: pip install -U personsearch"
            )
        about = About(
            model=str(values["model"]),
            fingerprint=str(values["fingerprint"]),
            dim=int(values["dim"]),
            min_score=float(values["min_score"]),
            created=str(values["created"]),
            format=int(values["format"]),
            read=str(values.get("read", SEARCH)),
            reid=str(values.get("reid", "")),
            keep_days=None if values.get("keep_days") is None else float(values["keep_days"]),
        )
        if not (
            1 <= about.dim < 1 << 20
            and 0 <= about.min_score <= 1
            and about.read in READS
            and (about.read == REID) == bool(about.reid)
            and (about.keep_days is None or about.keep_days > 0)
        ):
            raise ValueError("impossible numbers")
        return about
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read {refusal(error)}") from error
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise GalleryError(f"{path}: damaged; index again with --force") from error
