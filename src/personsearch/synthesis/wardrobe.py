"""A wardrobe: garments, hair, shoes, skins and fabrics in MakeHuman's own asset format, found in a folder of the
user's. Nothing of it is shipped."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from personsearch.errors import DataError, SettingError
from personsearch.synthesis.fitting import bone_weights, fit, load_base, mesh_normals
from personsearch.synthesis.makehuman import Binding, ObjMesh, components, read_mhclo, read_obj
from personsearch.synthesis.probes import load_probe
from personsearch.synthesis.texels import Bytes, Texels, open_picture, read_picture

Floats = NDArray[Any]
Ints = NDArray[Any]
KINDS = ("top", "bottom", "suit", "shoes", "hair", "hat")
NEEDED = {"tops": ("top", "suit"), "trousers or skirts": ("bottom", "suit"), "shoes": ("shoes",), "hair": ("hair",)}
USED = (".mhclo", ".obj", ".mhmat", ".png", ".webp", ".hdr")


@dataclass(frozen=True, eq=False)
class Garment:
    """One thing to wear: a connected part of a file, or all of it. Faces [F, 3] index its own V vertices."""

    name: str
    kind: str  # of KINDS
    binding: Binding
    weights: Floats  # [V, J] of the bones
    rest: Floats  # [V, 3] on the average body, the coordinates of patterns
    normals: Floats  # [V, 3] there
    arm: Floats  # [V] 1 on arms and hands
    faces: Ints
    uv: Floats  # [F, 3, 2]
    texture: int
    grey: tuple[float, float, float]  # mix of linear RGB in which its prints are faint and its folds stay
    tone: float  # mean of that mix in its part of the texture
    metres: float  # that a step of 1 in texture coordinates spans
    skirt: bool


@dataclass(frozen=True)
class Skin:
    texture: int
    woman: bool | None
    """None: for everybody."""
    age: str  # young, middleage, old or ""
    color: tuple[float, float, float]  # mean, linear RGB


@dataclass(frozen=True)
class Fabric:
    texture: int
    patterned: bool
    """Whether its own colours make a pattern, as in a tartan."""
    tone: float


@dataclass(frozen=True, eq=False)
class Wardrobe:
    """What a folder offers to wear. `texels` and `textures` are its pictures as texels.py keeps them."""

    folder: Path
    fingerprint: str
    garments: tuple[Garment, ...] = ()
    skins: tuple[Skin, ...] = ()
    fabrics: tuple[Fabric, ...] = ()
    probes: tuple[Path, ...] = ()
    """Light probes (.hdr), all of which can be read"""
    texels: Bytes = field(default_factory=lambda: np.zeros(4, np.uint8))
    textures: NDArray[np.int32] = field(default_factory=lambda: np.zeros((1, 2), np.int32))

    def of(self, kind: str) -> list[int]:
        """The numbers of the garments of a kind."""
        return [k for k, garment in enumerate(self.garments) if garment.kind == kind]


@functools.lru_cache(maxsize=2)
def load_wardrobe(folder: Path, lenient: bool = False) -> Wardrobe:
    """Reads what a folder and its subfolders offer, once a process. `lenient` leaves out files that cannot be used and
    names them on stderr. Raises SettingError where nothing can be worn, DataError for the first file that cannot be
    used."""
    if not folder.is_dir():
        raise SettingError(f"{folder}: no such folder; --wardrobe takes the folder with MakeHuman's assets")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in USED)
    bindings = [p for p in files if p.suffix.lower() == ".mhclo"]
    if not bindings:
        raise SettingError(f"{folder}: holds no garments (.mhclo with .obj); give the folder with MakeHuman's assets")
    room = Loader(folder, files, lenient)
    garments = [g for path in bindings for g in room.tried(room.garments, path)]
    for what, kinds in NEEDED.items():
        if not any(g.kind in kinds for g in garments):
            raise SettingError(f"{folder}: holds no {what} that can be worn; give the folder with all of MakeHuman's")
    skins = [s for path in files if is_skin(path.relative_to(folder)) for s in room.tried(room.skin, path)]
    if not skins:
        raise SettingError(f"{folder}: holds no skins (skins/*_diffuse.png); give the folder with all of MakeHuman's")
    sheets = [p for p in files if p.name.lower().startswith("fabric") and p.suffix.lower() == ".webp"]
    fabrics = [f for path in sheets for f in room.tried(room.fabric_sheet, path)]
    probes = [p for path in files if path.suffix.lower() == ".hdr" for p in room.tried(room.probe, path)]
    things = tuple(garments), tuple(skins), tuple(fabrics), tuple(probes)
    return Wardrobe(folder, fingerprint(folder, files), *things, *room.texels.finish())


def fingerprint(folder: Path, files: list[Path]) -> str:
    """A short mark of all files that a wardrobe may use, and of their names."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def is_skin(path: Path) -> bool:
    low = Path(str(path).lower())
    return low.suffix == ".png" and "skins" in low.parts and "diffuse" in low.stem


def luminance(color: Floats) -> Floats:
    """Linear luminance of sRGB bytes [..., 3]."""
    return np.asarray((np.asarray(color, np.float32) / 255) ** 2.2 @ np.array([0.3, 0.59, 0.11], np.float32))


class Loader:
    """Reads the files of one folder, and remembers the pictures."""

    def __init__(self, folder: Path, files: list[Path], lenient: bool) -> None:
        self.folder, self.lenient, self.texels = folder, lenient, Texels()
        self.meshes = {(p.parent, p.name.lower()): p for p in files if p.suffix.lower() == ".obj"}
        self.pictures = {p.name.lower(): p for p in files if p.suffix.lower() == ".png"}
        self.materials = {p.name.lower(): p for p in files if p.suffix.lower() == ".mhmat"}
        self.known: dict[tuple[Path, Path | None], tuple[int, Bytes]] = {}

    def tried(self, read: Any, path: Path) -> list[Any]:
        """What `read` makes of a file; nothing and a line on stderr where that fails and the loader is lenient."""
        try:
            return list(_read(read, path))
        except DataError as error:
            if not self.lenient:
                raise
            if multiprocessing.parent_process() is None:  # workers would say it again
                print(f"left out: {error}", file=sys.stderr)
            return []

    def picture(self, path: Path, shade: Path | None = None) -> tuple[int, Bytes]:
        """The number of a picture and its pixels, darkened by a map of ambient occlusion where there is one."""
        if (path, shade) not in self.known:
            pixels = read_picture(path)
            if shade is not None:
                dark = read_picture(shade, len(pixels))[..., :3].astype(np.float32).mean(2, keepdims=True) / 255
                if len(dark) == len(pixels):
                    pixels = pixels.copy()
                    pixels[..., :3] = (pixels[..., :3] * (0.55 + 0.45 * dark)).astype(np.uint8)
            self.known[path, shade] = self.texels.add(pixels), pixels
        return self.known[path, shade]

    def texture_of(self, path: Path, material: str) -> list[tuple[Path, Path | None]]:
        """The colour textures of a garment (several where it comes in several colours), each with its shade map."""
        names = []
        told = self.materials.get(Path(material).name.lower())
        if told is not None:
            lines = [line.split(None, 1) for line in told.read_text(errors="replace").splitlines()]
            names += [Path(words[1]).name for words in lines if len(words) == 2 and words[0] == "diffuseTexture"]
        stems = [path.stem, Path(material).stem, path.stem.rstrip("0123456789")]
        names += [f"{stem}{end}.png" for stem in stems for end in ("_diffuse", "_texture", "")]
        found = next((self.pictures[n.lower()] for n in names if n.lower() in self.pictures), None)
        if found is None:
            raise DataError(
                f"{path}: its texture {path.stem}_diffuse.png is nowhere under {self.folder}; copy it there"
            )
        others = [p for name, p in self.pictures.items() if name.startswith(f"{found.stem.lower()}_")]
        shade = self.pictures.get(f"{path.stem.lower()}_ao.png")
        return [(p, shade) for p in [found, *others] if not p.stem.endswith(("_normal", "_ao", "_displacement"))]

    def garments(self, path: Path) -> list[Garment]:
        """The things to wear that one .mhclo holds: a suit falls apart into top and bottom. Raises DataError."""
        binding = read_mhclo(path)
        named = Path(binding.mesh).name
        mesh = self.meshes.get((path.parent, named.lower()))
        if mesh is None:
            raise DataError(f"{path}: its mesh {named} is not beside it; copy it there")
        obj = read_obj(mesh)
        if obj.vertices != len(binding.corners):
            raise DataError(f"{mesh}: has {obj.vertices} vertices, {path.name} {len(binding.corners)}; copy both again")
        found = []
        for picture, shade in self.texture_of(path, binding.material):
            number, pixels = self.picture(picture, shade)
            for kind, chosen in parts_of(path.relative_to(self.folder), binding, obj):
                found.append(cut(path.stem, kind, binding, obj, chosen, number, pixels))
        return found

    def probe(self, path: Path) -> list[Path]:
        """The path itself, when there is a light probe. Raises DataError."""
        load_probe(path)
        return [path]

    def skin(self, path: Path) -> list[Skin]:
        number, pixels = self.picture(path)
        name = path.stem.lower()
        woman = True if "female" in name else False if "male" in name else None
        age = next((word for word in ("young", "middleage", "old") if word in name), "")
        mean = ((pixels[..., :3].astype(np.float32) / 255) ** 2.2).mean((0, 1))
        return [Skin(number, woman, age, (float(mean[0]), float(mean[1]), float(mean[2])))]

    def fabric_sheet(self, path: Path) -> list[Fabric]:
        """The cloths of a sheet of samples: squares of 128 pixels in cells of 144 x 176, or the whole picture."""
        with open_picture(path) as image:
            width, height = image.size
            sheet = np.asarray(image.convert("RGB")) if (width, height) == (1024, 2144) else None
        if sheet is None:
            return [self.fabric(read_picture(path, 256))]
        tiles = [
            sheet[y + 6 : y + 122, x + 6 : x + 122] for y in range(16, 2144 - 128, 176) for x in range(16, 900, 144)
        ]
        return [self.fabric(tile) for tile in map(trimmed, tiles) if tile is not None]

    def fabric(self, tile: Bytes) -> Fabric:
        coarse = tile[..., :3].astype(np.float32)
        if len(coarse) < 16:  # a picture's side is a power of two
            coarse = coarse.repeat(16 // len(coarse), 0).repeat(16 // len(coarse), 1)
        k = len(coarse) // 16 * 16
        blocks = coarse[:k, :k].reshape(16, k // 16, 16, k // 16, 3).mean((1, 3))
        return Fabric(self.texels.add(tile), bool(blocks.std((0, 1)).max() > 16), float(luminance(coarse).mean()))


def _read(read: Any, path: Path) -> Any:
    """What `read` makes of a file. Numbers that no file should hold are a DataError, too."""
    try:
        return read(path)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise DataError(
            f"{path}: holds what cannot be worn ({' '.join(str(error).split())[:80]}); copy it again"
        ) from None


def trimmed(tile: Bytes) -> Bytes | None:
    """A sample without its white margin as a square [128, 128, 4]; None where nothing is."""
    inked = (tile < 250).any(2)
    rows, columns = np.flatnonzero(inked.mean(1) > 0.5), np.flatnonzero(inked.mean(0) > 0.5)
    if inked.mean() < 0.02:
        return None
    if len(rows) > 20 and len(columns) > 20 and inked.mean() < 0.97:
        tile = tile[rows[0] + 3 : rows[-1] - 2, columns[0] + 3 : columns[-1] - 2]
    side = min(tile.shape[:2])
    square = Image.fromarray(np.ascontiguousarray(tile[:side, :side])).resize((128, 128), Image.Resampling.BICUBIC)
    return np.asarray(square.convert("RGBA"))


def parts_of(path: Path, binding: Binding, obj: ObjMesh) -> list[tuple[str, Ints]]:
    """The kinds of things in a garment's file, whose place in the wardrobe is `path`, and the vertices of each."""
    everything = np.unique(obj.faces)  # vertices of no face are nothing to see
    if any("hair" in part.lower() for part in path.parts):
        return [("hair", everything)]
    rest = fit(binding, load_base().template.rest)
    low, high = float(rest[everything, 2].min()), float(rest[everything, 2].max())
    if low > 0.6:  # what stays below the crown, as eyes and brows do, is nothing to wear
        return [("hat", everything)] if high > 0.78 else []
    if high < -0.4:
        return [("shoes", everything)]
    middle = rest[everything[np.abs(rest[everything, 0]) < 0.12], 2]
    if not (len(middle) and middle.max() > -0.05):  # gloves, bracelets
        return []
    label = components(obj.vertices, obj.faces)
    group: dict[str, list[Ints]] = {"top": [], "bottom": [], "suit": []}
    for part in (everything[label[everything] == k] for k in np.unique(label[everything])):
        z = rest[part, 2]
        kind = "bottom" if z.max() < 0.3 else "top" if z.min() > -0.25 else "suit"
        group[kind].append(part)
    if group["suit"]:
        found = [("suit", everything)]
        return found + ([("top", np.concatenate(group["top"]))] if group["top"] else [])
    return [(kind, np.concatenate(parts)) for kind, parts in group.items() if parts]


def cut(name: str, kind: str, binding: Binding, obj: ObjMesh, chosen: Ints, texture: int, pixels: Bytes) -> Garment:
    """The garment of some vertices of a file."""
    number = np.full(obj.vertices, -1)
    number[chosen] = np.arange(len(chosen))
    kept = (number[obj.faces] >= 0).all(1)
    faces, uv = number[obj.faces[kept]], obj.uv[kept]
    part = Binding(
        binding.corners[chosen], binding.weights[chosen], binding.offsets[chosen], binding.scales, binding.mesh, ""
    )
    base = load_base().template
    rest = fit(part, base.rest)
    low = rest[:, 2].min() + 0.2 * np.ptp(rest[:, 2])
    skirt = kind == "bottom" and bool(((np.abs(rest[:, 0]) < 0.02) & (rest[:, 2] < min(low, -0.05))).any())
    grey, tone, metres = spread(rest[faces], uv, pixels)
    arm = np.clip((part.weights * base.arm[part.corners]).sum(1), 0, 1).astype(np.float32)
    weights, normals = bone_weights(part, skirt), mesh_normals(rest, faces)
    return Garment(name, kind, part, weights, rest, normals, arm, faces, uv, texture, grey, tone, metres, skirt)


def spread(corners: Floats, uv: Floats, pixels: Bytes) -> tuple[tuple[float, float, float], float, float]:
    """Of the texture under triangles [F, 3, 3]: the mix of its channels that varies least, the mean of that mix, and
    the metres that a unit of texture coordinates spans."""
    side = len(pixels)
    shares = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4], [2, 2, 1], [1, 2, 2], [2, 1, 2]])
    at = np.einsum("sk,fkc->fsc", shares / shares.sum(1, keepdims=True), uv) % 1.0
    x = np.clip((at[..., 0] * side).astype(int), 0, side - 1)
    y = np.clip(((1 - at[..., 1]) * side).astype(int), 0, side - 1)
    edges, flat = corners[:, 1:] - corners[:, :1], uv[:, 1:] - uv[:, :1]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    span = np.abs(flat[:, 0, 0] * flat[:, 1, 1] - flat[:, 0, 1] * flat[:, 1, 0])
    color = (pixels[y, x, :3].astype(np.float32) / 255) ** 2.2
    weight = area[:, None] * (pixels[y, x, 3] > 128) + 1e-12
    best, grey, tone = np.inf, (0.3, 0.59, 0.11), 0.0
    for red, green in [(r / 4, g / 4) for r in range(5) for g in range(5 - r)]:
        mixed = color @ np.array([red, green, 1 - red - green], np.float32) + 0.004
        mean = float(np.average(mixed, weights=weight))
        varied = float(np.average((np.log(mixed / mean)) ** 2, weights=weight))
        if varied < best:
            best, grey, tone = varied, (red, green, 1 - red - green), mean
    return grey, tone, float(np.sqrt((area.sum() + 1e-9) / (span.sum() + 1e-9)))
