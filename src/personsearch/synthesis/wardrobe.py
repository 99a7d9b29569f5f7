"""A wardrobe: garments, hair, shoes and skins in MakeHuman's own asset format, found in a folder of the user's."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from personsearch.errors import SettingError


@dataclass(frozen=True)
class Wardrobe:
    """What a folder offers to wear."""

    folder: Path
    fingerprint: str


@functools.lru_cache(maxsize=2)
def load_wardrobe(folder: Path, lenient: bool = False) -> Wardrobe:
    """Reads the garments of a folder and its subfolders, once a process."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if not any(p.suffix == ".mhclo" for p in files):
        raise SettingError(f"{folder}: holds no garments (.mhclo with .obj): give MakeHuman's folder of assets")
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return Wardrobe(folder, digest.hexdigest()[:12])
