"""Where a gallery lies: a folder of this machine, or a place in a bucket. Both are asked as a `Path` is asked."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from personsearch.errors import SettingError
from personsearch.files import check_folder, written_whole
from personsearch.search.bucket import SCHEME, BucketPath

Place = Path | BucketPath


def as_place(where: Place | str) -> Place:
    """Raises SettingError for an address that is neither a folder nor s3://BUCKET/PATH."""
    if isinstance(where, BucketPath):
        return where
    text = str(where)
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/", text)
    if scheme is None:
        return Path(where)
    if f"{scheme[1]}://" != SCHEME:
        raise SettingError(f"{text}: galleries are in folders or in buckets; give a folder or s3://BUCKET/PATH")
    return BucketPath.parse(text)


def check_place(place: Place) -> None:
    """Raises SettingError where no gallery can be made; writes nothing."""
    if isinstance(place, Path):
        check_folder(place)


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


def folder_on_disk(place: Place, what: str) -> Path:
    """The place as a folder. Raises SettingError where it is in a bucket, for `what` needs a disk."""
    if isinstance(place, BucketPath):
        raise SettingError(f"{place}: {what} needs a disk, and this gallery is in a bucket: leave it out")
    return place
