"""A proposer's codes of a gallery's scenes, kept on disk in float16, so that a further query costs less."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from personsearch.data.records import Scene
from personsearch.errors import GalleryError, ImageError, SettingError
from personsearch.models.correlation import CorrelatedScene
from personsearch.models.igpn import SceneCode
from personsearch.search.faults import is_fault
from personsearch.search.hits import file_and_frame

_ABOUT = "codes.json"


class SceneCodes:
    """A folder with one file a scene, of at most `limit` bytes together: codes beyond that are computed each time.

    A code notes the state of its picture, so that of a changed picture it is computed anew.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        limit: int,
        *,
        device: str = "cpu",
        complain: Callable[[str], None] = lambda line: None,
    ) -> None:
        """With a limit of 0 the folder is neither read nor made. `complain` is told why no more codes are kept.

        Raises GalleryError for a folder with codes of other weights, SettingError for a limit below 0.
        """
        if limit < 0:
            raise SettingError(f"{limit} bytes of scene codes are impossible: give 0 or more")
        self.folder, self._limit, self._device, self._complain = folder, limit, device, complain
        self._size = 0
        if limit:
            self._claim(fingerprint)

    def _claim(self, fingerprint: str) -> None:
        about = self.folder / _ABOUT
        try:
            if not about.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                part = about.with_suffix(f".{os.getpid()}.part")
                part.write_text(json.dumps({"fingerprint": fingerprint}) + "\n")
                part.replace(about)
            made_by = str(json.loads(about.read_text())["fingerprint"])
            self._size = sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))
        except OSError as error:  # a full disk, or a folder that is not ours: the answer matters more than its code
            self._complain(f"{self.folder}: no scene codes are kept ({error.strerror or error})")
            self._limit = 0
            return
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GalleryError(f"{about}: damaged; delete the folder {self.folder}, it is made anew") from error
        if made_by != fingerprint:
            raise GalleryError(
                f"{self.folder}: scene codes made by the weights {made_by}, not by {fingerprint}; "
                "delete the folder, it is made anew, or ask without codes on disk"
            )

    def get(self, scene: Scene, compute: Callable[[Scene], SceneCode]) -> SceneCode:
        """The scene's code, from disk if it is there; else computed, and kept while there is room.

        Raises ImageError when the scene's file is gone, and what `compute` raises.
        """
        if not self._limit:
            return compute(scene)
        path, state = self._path(scene), _state(scene)
        if path.exists():
            stored = _load(path, state, self._device)
            if stored is not None:
                return stored
            with suppress(OSError):  # another process may have been faster
                self._size -= path.stat().st_size
                path.unlink()
        code = compute(scene)
        self._keep(code, path, state)
        return code

    def _keep(self, code: SceneCode, path: Path, state: str) -> None:
        tensors = _tensors(code)
        if self._size + sum(t.numel() * t.element_size() for t in tensors.values()) > self._limit:
            return
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            size = json.dumps(code.size)
            about = {"size": size, "state": state, "checksum": _checksum(tensors, size)}
            save_file(tensors, part, metadata=about)
            self._size += part.stat().st_size
            part.replace(path)
        except (OSError, SafetensorError) as error:  # a full disk: the answer matters more than its code
            with suppress(OSError):
                part.unlink(missing_ok=True)
            self._complain(f"{self.folder}: no more scene codes are kept ({error})")
            self._limit = self._size

    def _path(self, scene: Scene) -> Path:
        return self.folder / code_name(*file_and_frame(scene.picture))


def code_name(path: Path, frame: int | None) -> str:
    """What the file with the code of a scene is called."""
    name = hashlib.sha256(f"{path.resolve()}@{frame}".encode(errors="surrogateescape")).hexdigest()[:32]
    return f"{name}.safetensors"


def drop_codes(folder: Path, kept: set[str]) -> None:
    """Deletes all codes but those with these names, and what killed writers left. Raises OSError."""
    for path in folder.glob("*"):
        if path.name not in kept and (path.suffix in (".part", ".safetensors")):
            path.unlink(missing_ok=True)


def damaged_codes(folder: Path) -> list[Path]:
    """Codes that cannot be read, or whose checksum is wrong. They are computed anew when they are needed."""
    return [path for path in sorted(folder.glob("*.safetensors")) if _load(path, None, "cpu") is None]


def _state(scene: Scene) -> str:
    """Size and time of the scene's file, by which a change is seen."""
    path, _ = file_and_frame(scene.picture)
    try:
        stat = path.stat()
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}): index the gallery's files again") from None
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _tensors(code: SceneCode) -> dict[str, torch.Tensor]:
    parts = {
        "maps": code.maps,
        "similarity.adjusted": code.similarity.adjusted,
        "similarity.shared": code.similarity.shared,
        "regression.adjusted": code.regression.adjusted,
        "regression.shared": code.regression.shared,
    }
    half = {name: tensor.half().contiguous().cpu() for name, tensor in parts.items()}
    return {**half, "scale": code.scale.float().cpu()}


def _checksum(tensors: dict[str, torch.Tensor], size: str) -> str:
    """Of all that a code consists of: a damaged byte on the disk must not change an answer."""
    total = zlib.crc32(size.encode())
    for name in sorted(tensors):
        values = tensors[name].numpy()
        total = zlib.crc32(f"{name} {values.dtype} {values.shape}".encode(), total)
        total = zlib.crc32(values.data, total)
    return str(total)


def _load(path: Path, state: str | None, device: str) -> SceneCode | None:
    """None for a damaged file, and for one of another state of the picture, where one is given."""
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
            if state is not None and about["state"] != state:
                return None
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        if about["checksum"] != _checksum(stored, about["size"]):
            return None
        height, width = json.loads(about["size"])
    except BaseException as error:
        if not is_fault(error):
            raise
        return None
    tensors = {name: tensor.to(device).float() for name, tensor in stored.items()}
    similarity = CorrelatedScene(tensors["similarity.adjusted"], tensors["similarity.shared"])
    regression = CorrelatedScene(tensors["regression.adjusted"], tensors["regression.shared"])
    return SceneCode(tensors["maps"], similarity, regression, (height, width), tensors["scale"])
