"""Where a gallery lies: a folder of this machine, or a place in a bucket. Both are asked as a `Path` is asked."""

from __future__ import annotations

import re
import shutil
import unicodedata
from pathlib import Path

from personsearch.errors import SettingError
from personsearch.files import check_folder, written_whole
from personsearch.search.bucket import BucketPath

Place = Path | BucketPath


def as_place(where: Place | str) -> Place:
    """Raises SettingError for an address that is neither a folder nor s3://BUCKET/PATH."""
    if isinstance(where, BucketPath):
        return where
    text = str(where)
    if re.match(r"[a-z][a-z0-9+.-]+:/|s3:", text, re.IGNORECASE) is None:
        return Path(where)
    if re.match(r"s3:/", text) is None:
        raise SettingError(f"{text}: galleries are in folders or in buckets; give a folder or s3://BUCKET/PATH")
    return BucketPath.parse(text)


def check_place(place: Place) -> None:
    """Raises SettingError where no gallery can be made; writes nothing."""
    if isinstance(place, Path):
        check_name(place)
        check_folder(place)


def check_name(folder: Path) -> None:
    """Raises SettingError for a folder whose path LanceDB cannot take."""
    path = str(folder.absolute())
    odd = next((letter for letter in path if unicodedata.category(letter) in ("Cc", "Cs")), None)
    if odd is not None:
        raise SettingError(f"{path!a}: galleries cannot lie below a name with {odd!a} in it; give another folder")


def write(place: Place, data: bytes) -> None:
    """Whole or not at all; what is there stays until then. Raises OSError."""
    if isinstance(place, BucketPath):
        place.write_bytes(data)
    else:
        with written_whole(place) as part:
            part.write_bytes(data)


def remove_all(place: Place) -> None:
    """A folder with all that is in it; harmless where there is none. Raises OSError."""
    if isinstance(place, BucketPath):
        place.rmtree()
    elif place.exists():
        shutil.rmtree(place)


def move(place: Place, target: Place) -> None:
    """Renames within a folder; in a bucket, copies what is there and deletes it. Raises OSError."""
    place.rename(target)  # type: ignore[arg-type]  # both are of one kind


def bring(place: Place, target: Place) -> None:
    """As `move`, but what is in a bucket also stays where it was: a kill then leaves all of it in one of both places.

    Raises OSError.
    """
    if isinstance(place, BucketPath):
        place.copy(target)  # type: ignore[arg-type]  # both are of one kind
    else:
        move(place, target)


def folder_on_disk(place: Place, what: str) -> Path:
    """The place as a folder. Raises SettingError where it is in a bucket, for `what` needs a disk."""
    if isinstance(place, BucketPath):
        raise SettingError(f"{place}: {what} needs a disk, and this gallery is in a bucket: leave it out")
    return place
