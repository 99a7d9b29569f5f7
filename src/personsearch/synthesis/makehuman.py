"""MakeHuman's two text files of a garment: the `.obj` is its mesh, the `.mhclo` binds it to the base mesh.

A line "a b c  u v w  dx dy dz" of the `.mhclo` places one vertex: the sum of three base vertices with weights u, v, w,
and an offset in units that `x_scale`, `y_scale` and `z_scale` give (two base vertices and their distance on the base
body). A line of one number is that base vertex itself. MakeHuman's y points up and its z ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.errors import DataError
from personsearch.files import refusal

Floats = NDArray[Any]
Ints = NDArray[Any]
BASE_MESH, BASE_VERTICES = "hm08", 19158


@dataclass(frozen=True)
class Binding:
    """Where each of V garment vertices lies: corners [V, 3] of the base mesh, their weights [V, 3], offsets [V, 3] in
    MakeHuman's axes; scales: for x, y and z two base vertices and their distance on the base body."""

    corners: Ints
    weights: Floats
    offsets: Floats
    scales: tuple[tuple[int, int, float], ...]
    mesh: str
    """Name of its .obj."""
    material: str


@dataclass(frozen=True)
class ObjMesh:
    """vertices: how many; faces [F, 3] triangles; uv [F, 3, 2] of their corners."""

    vertices: int
    faces: Ints
    uv: Floats


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without comments. Raises DataError."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read {refusal(error, 'copy it again')}") from None
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def read_obj(path: Path) -> ObjMesh:
    """The mesh of an .obj with texture coordinates; polygons are cut into fans. Raises DataError."""
    vertices = 0
    points: list[list[float]] = []
    corners: list[list[tuple[int, int]]] = []
    try:
        for line in read_lines(path):
            word, *rest = line.split()
            if word == "v":
                vertices += 1
            elif word == "vt":
                points.append([float(rest[0]), float(rest[1])])
            elif word == "f":
                ring = [part.split("/") for part in rest]
                pairs = [(int(p[0]) - 1, int(p[1]) - 1 if len(p) > 1 and p[1] else -1) for p in ring]
                corners += [[pairs[0], pairs[k], pairs[k + 1]] for k in range(1, len(pairs) - 1)]
        table = np.array(corners, np.int64).reshape(-1, 3, 2)
    except (ValueError, IndexError, OverflowError):
        raise DataError(f"{path}: damaged .obj; copy it again") from None
    uv = np.array([*points, [0.5, 0.5]], np.float32)
    corner, point = table[..., 0], table[..., 1]
    if not len(table) or corner.max() >= vertices or corner.min() < 0 or point.max() >= len(uv) or point.min() < -1:
        raise DataError(f"{path}: damaged .obj: its faces name vertices that are not there; copy it again")
    if not np.isfinite(uv).all():
        raise DataError(f"{path}: damaged .obj: numbers that no mesh has; copy it again")
    return ObjMesh(vertices, corner, uv[point])


def read_mhclo(path: Path) -> Binding:
    """The binding of a garment. Raises DataError, also where it belongs to another base mesh."""
    scales: dict[str, tuple[int, int, float]] = {}
    rows: list[list[float]] = []
    words_of = {"basemesh": BASE_MESH, "material": "", "obj_file": path.with_suffix(".obj").name}
    section = ""
    try:
        for line in read_lines(path):
            words = line.split()
            if words[0] in ("verts", "delete_verts"):
                section = words[0]
            elif words[0][0].isalpha():
                if words[0] in ("x_scale", "y_scale", "z_scale"):
                    scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
                elif words[0] in words_of:
                    words_of[words[0]] = words[1]
            elif section == "verts":
                rows.append([float(w) for w in words])
        table = np.array([r if len(r) >= 9 else [r[0]] * 3 + [1.0, 0, 0, 0, 0, 0] for r in rows])[:, :9]
        axes = tuple(scales[axis] for axis in "xyz")
    except (ValueError, IndexError, OverflowError):
        raise DataError(f"{path}: damaged .mhclo; copy it again") from None
    except KeyError as error:
        raise DataError(f"{path}: damaged .mhclo: no {error.args[0]}_scale; copy it again") from None
    if not (np.abs(table) < 1e9).all() or not all(0 < distance < 1e9 for *_, distance in axes):
        raise DataError(f"{path}: damaged .mhclo: numbers that no garment has; copy it again")
    corners = table[:, :3].astype(np.int64)
    named = [*corners.ravel(), *(v for a, b, _ in axes for v in (a, b))]
    if words_of["basemesh"] != BASE_MESH or min(named) < 0 or max(named) >= BASE_VERTICES:
        raise DataError(f"{path}: made for another base mesh than {BASE_MESH}; take the version for MakeHuman 1.1")
    return Binding(corners, table[:, 3:6], table[:, 6:9], axes, words_of["obj_file"], words_of["material"])


def components(vertices: int, faces: Ints) -> Ints:
    """The number of the connected component of each vertex [V], from 0."""
    label = np.arange(vertices)
    while True:
        low = label[faces].min(1)
        new = label.copy()
        for k in range(3):
            np.minimum.at(new, faces[:, k], low)
        new = new[new]
        if (new == label).all():
            return np.asarray(np.unique(label, return_inverse=True)[1])
        label = new
