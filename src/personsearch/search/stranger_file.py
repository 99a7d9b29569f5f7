"""The strangers of a gallery on disk: likenesses alone, which tell nothing of any person.

They are of one version of the gallery's table. A file of another version, or a damaged one, counts as none.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np

from personsearch.search.place import Place, write
from personsearch.search.strangers import Strangers

STRANGERS = "strangers.npz"


def save_strangers(folder: Place, version: int, strangers: Strangers) -> None:
    """Raises OSError, and leaves an older file then."""
    file = io.BytesIO()
    np.savez_compressed(file, version=np.int64(version), likenesses=strangers.likenesses.astype(np.float16))
    write(folder / STRANGERS, file.getvalue())


def load_strangers(folder: Place, version: int) -> Strangers | None:
    """None where there are none of this version."""
    try:
        with np.load(io.BytesIO((folder / STRANGERS).read_bytes()), allow_pickle=False) as stored:
            likenesses = stored["likenesses"].astype(np.float32)
            same = int(stored["version"]) == version
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None
    whole = likenesses.ndim == 1 and bool(np.isfinite(likenesses).all() and (np.diff(likenesses) >= 0).all())
    return Strangers(likenesses) if same and whole else None
