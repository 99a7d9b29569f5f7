"""One picture: who is there, where they stand, what light falls, and what the camera makes of it.

A picture is a pure function of the settings and its index, so any process may render any picture in any order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from personsearch.synthesis import bodies, kernels, render
from personsearch.synthesis.attire import Dressed, attire_of, bystander, dressed_alike
from personsearch.synthesis.cameras import CAMERAS_PER_PLACE, Camera, build_camera
from personsearch.synthesis.carried import carry, draw_things, painted
from personsearch.synthesis.cloths import CLOTH_COLUMNS
from personsearch.synthesis.film import record, smear_people
from personsearch.synthesis.fitting import pose_wearers
from personsearch.synthesis.garments import Piece, dress, merge
from personsearch.synthesis.gestures import varied_pose
from personsearch.synthesis.layouts import KINDS
from personsearch.synthesis.light import Light, probe_light, sample_light
from personsearch.synthesis.outfits import Identity, identity_of, look_alike, sample_identity
from personsearch.synthesis.places import Place, build_place
from personsearch.synthesis.postprocess import develop
from personsearch.synthesis.probes import load_probe
from personsearch.synthesis.sensors import sensor_of, shaken
from personsearch.synthesis.standing import Spot, crowd, gather, positions, project, velocity
from personsearch.synthesis.streams import Stream
from personsearch.synthesis.wardrobe import Wardrobe
from personsearch.synthesis.wearing import wear

UNLABELED = -1
LEAST_VISIBLE = 0.2
"""People with a smaller visible part are not annotated."""
LEAST_NAMED = 0.35
"""People with a smaller visible part are annotated without their identity."""
LEAST_HEIGHT = 24
"""Pixels; people whose visible box is lower are not annotated."""
FINE_FROM = 230
"""Pixels; people higher than this are rendered with the fine body mesh."""
PROBED = 0.65
"""Part of the pictures that light probes light, where a wardrobe has some."""

_HOUSEHOLD = 10
"""How many people at least have their home at one place: more than most pictures name."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Settings:
    """What a folder of rendered scenes is made from; the same settings give the same pictures."""

    identities: int
    scenes: int
    seed: int
    test_identities: int
    test_scenes: int
    width: int
    height: int
    home: float = 0.0
    """Part of the people with an identity in a training picture who are at their home place; see `residents`."""
    format: int = 1  # raised when the same settings would give other pictures
    wardrobe: str = ""
    """Fingerprint of the wardrobe that people wear; empty without one."""

    def as_dict(self) -> dict[str, float | str]:
        """As stored beside the pictures; without a wardrobe nothing is said of one."""
        return {name: value for name, value in asdict(self).items() if name != "wardrobe" or value}


@dataclass(frozen=True)
class Annotation:
    """One person of a picture: box x, y, w, h of the visible pixels, their number, identity, visible fraction."""

    bbox: tuple[int, int, int, int]
    area: int
    person_id: int
    visible: float


@dataclass(frozen=True)
class RenderedScene:
    jpeg: bytes
    annotations: tuple[Annotation, ...]
    camera: int
    place: str
    split: str
    owner: NDArray[np.int32]  # [H, W] row of the person seen, NOBODY elsewhere
    rows: tuple[int, ...]  # the row of `owner` that each annotation speaks of


def split_of(settings: Settings, index: int) -> str:
    """The last `test_scenes` pictures are test."""
    return "test" if index >= settings.scenes - settings.test_scenes else "train"


def crowd_size(settings: Settings, index: int) -> tuple[int, int]:
    """How many people a picture holds, and how many of them have an identity."""
    rng = np.random.default_rng([settings.seed, Stream.CROWD, index])
    people = int(np.clip(round(rng.gamma(4.5, 1.85)), 2, 15))
    named = int(np.clip(round(people * rng.uniform(0.5, 0.85)), 2, people))
    return people, min(named, len(pool(settings, split_of(settings, index))))


def pool(settings: Settings, split: str) -> range:
    """The identities of a split; the last `test_identities` are test."""
    border = settings.identities - settings.test_identities
    return range(border, settings.identities) if split == "test" else range(border)


@functools.lru_cache(maxsize=4)
def casting(settings: Settings, split: str) -> dict[int, tuple[int, ...]]:
    """Which identities are in which picture: each split's people are dealt out in shuffled rounds, so that all are
    seen equally often and nobody belongs to a place. With `home`, part of a training picture's people live there."""
    rng = np.random.default_rng([settings.seed, Stream.CAST, int(split == "test")])
    deck: list[int] = []
    cast: dict[int, tuple[int, ...]] = {}
    people = pool(settings, split)
    for index in range(settings.scenes):
        if split_of(settings, index) != split:
            continue
        chosen: list[int] = _at_home(settings, index) if split == "train" else []
        while len(chosen) < crowd_size(settings, index)[1]:
            fresh = [k for k, person in enumerate(deck) if person not in chosen]
            if not fresh:
                deck += rng.permutation(np.asarray(people)).tolist()
                continue
            chosen.append(deck.pop(fresh[0]))
        cast[index] = tuple(chosen)
    return cast


def residents(settings: Settings, place: int) -> range:
    """The training identities whose home is this place: so a background hints at identities, in training alone."""
    return pool(settings, "train")[place % train_places(settings) :: train_places(settings)]


def _at_home(settings: Settings, index: int) -> list[int]:
    """The people of a training picture who are there because they live there."""
    if not settings.home:
        return []
    rng = np.random.default_rng([settings.seed, Stream.HOME, index])
    place, _ = place_of(settings, index)
    _, named = crowd_size(settings, index)
    at_home: list[int] = rng.permutation(np.asarray(residents(settings, place))).tolist()
    return at_home[: rng.binomial(named, settings.home)]


@functools.lru_cache(maxsize=24)
def place_and_mesh(seed: int, number: int, device: str) -> tuple[Place, Any, dict[str, Any]]:
    """A place and its arrays on the device."""
    place = build_place(seed, number)
    mesh = place.mesh
    arrays = {
        "s_index": wp.array(mesh.faces.ravel(), dtype=int, device=device),
        "s_normal": wp.array(mesh.normals, dtype=wp.vec3, device=device),
        "s_uv": wp.array(mesh.uv, dtype=wp.vec3, device=device),
        "s_material": wp.array(mesh.material, dtype=int, device=device),
        "materials": wp.array(mesh.materials, dtype=float, device=device),
    }
    points = wp.array(mesh.points, dtype=wp.vec3, device=device)
    return place, wp.Mesh(points=points, indices=arrays["s_index"]), arrays


def choose_place(settings: Settings, index: int, rng: Rng) -> tuple[int, int]:
    """Numbers of the place and the camera. Test pictures have places of their own."""
    test, first = split_of(settings, index) == "test", train_places(settings)
    test_places = max(len(KINDS), settings.test_scenes // 10)
    place = first + int(rng.integers(test_places)) if test else int(rng.integers(first))
    return place, place * CAMERAS_PER_PLACE + int(rng.integers(CAMERAS_PER_PLACE))


def train_places(settings: Settings) -> int:
    """How many places training pictures have: with homes, few enough that each is home to `_HOUSEHOLD` people."""
    places = max(len(KINDS), (settings.scenes - settings.test_scenes) // 10)
    return max(1, min(places, len(pool(settings, "train")) // _HOUSEHOLD)) if settings.home else places


def scene_rng(settings: Settings, index: int) -> Rng:
    """The generator of everything that is random in one picture; the place is drawn first."""
    return np.random.default_rng([settings.seed, Stream.SCENE, index])


def place_of(settings: Settings, index: int) -> tuple[int, int]:
    """Numbers of a picture's place and camera."""
    return choose_place(settings, index, scene_rng(settings, index))


def people_of(
    settings: Settings, index: int, rng: Rng, wardrobe: Wardrobe | None = None, more: int = 0
) -> Sequence[tuple[int, Identity]]:
    """The people of a picture with their numbers; bystanders have UNLABELED, some dress like somebody named. `more` is
    the number of bystanders beyond `crowd_size`."""
    total, _ = crowd_size(settings, index)
    named = casting(settings, split_of(settings, index))[index]
    others = pool(settings, split_of(settings, index))
    if wardrobe is not None:
        return worn_by(settings.seed, named, total + more, others, rng, wardrobe)
    people = [(number, identity_of(settings.seed, number)) for number in named]
    for _ in range(total + more - len(named)):
        if rng.random() < 0.3:
            model = int(rng.choice(others)) if rng.random() < 0.5 else named[int(rng.integers(len(named)))]
            people.append((UNLABELED, look_alike(rng, identity_of(settings.seed, model))))
        else:
            people.append((UNLABELED, sample_identity(rng)))
    return people


def worn_by(
    seed: int, named: tuple[int, ...], total: int, others: range, rng: Rng, wardrobe: Wardrobe
) -> list[tuple[int, Dressed]]:
    """`people_of` in clothes of a wardrobe."""
    people = [(number, attire_of(wardrobe, seed, number)) for number in named]
    for _ in range(total - len(named)):
        if rng.random() < 0.35:
            model = int(rng.choice(others)) if rng.random() < 0.4 else named[int(rng.integers(len(named)))]
            people.append((UNLABELED, dressed_alike(rng, wardrobe, seed, model)))
        else:
            people.append((UNLABELED, bystander(rng, wardrobe)))
    return people


def put(piece: Piece, x: float, y: float, turn: float) -> Piece:
    """The piece turned by `turn` about z and moved to (x, y)."""
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
    points = piece.points @ rotation.T + np.array([x, y, 0], np.float32)
    normals = (piece.normals @ rotation.T).astype(np.float32)
    return replace(piece, points=points.astype(np.float32), normals=normals)


def dressed_people(people: Sequence[Identity], spots: list[Spot], scale: float, rng: Rng) -> list[Piece]:
    """The people as meshes where they stand, in order; the large in the picture get the fine body."""
    poses = [bodies.sample_pose(rng)[1] for _ in spots]
    result: dict[int, Piece] = {}
    for topology, fine in ((bodies.COARSE, False), (bodies.FINE, True)):
        rows = [k for k, spot in enumerate(spots) if (spot[2] > FINE_FROM * scale) == fine]
        phenotypes = np.array([people[k].phenotype for k in rows], np.float32).reshape(-1, 6)
        table = bodies.rotation_table([poses[k] for k in rows]) if rows else np.zeros((0, 1, 3, 3), np.float32)
        for k, body in zip(rows, bodies.pose_bodies(topology, phenotypes, table), strict=True):
            x, y, _, turn = spots[k]
            result[k] = put(dress(body, people[k]), x, y, turn)
    return [result[k] for k in range(len(spots))]


def clothed_people(
    people: Sequence[Identity], spots: list[Spot], wardrobe: Wardrobe, rng: Rng
) -> tuple[list[Piece], list[tuple[Piece, Identity]], list[str]]:
    """`dressed_people` in clothes of a wardrobe and more poses; what some carry, with the row of its colours; how each
    moves."""
    things = draw_things(rng, len(spots))
    drawn = [varied_pose(rng, thing) for thing in things]
    phenotypes = np.array([person.phenotype for person in people], np.float32).reshape(-1, 6)
    wearers = pose_wearers(phenotypes, bodies.rotation_table([pose for _, pose in drawn]))
    pieces, carried = [], []
    for (x, y, _, turn), wearer, person, thing in zip(spots, wearers, people, things, strict=True):
        assert isinstance(person, Dressed)
        pieces.append(put(wear(wearer, person, wardrobe), x, y, turn))
        if thing != "none":
            carried.append((put(carry(thing, wearer.body, rng), x, y, turn), painted(person, rng)))
    return pieces, carried, [move for move, _ in drawn]


def windows_of(camera: Camera, pieces: list[Piece], width: int, height: int) -> NDArray[np.int32]:
    """The pixel rectangle around each piece, also outside the picture."""
    rows = []
    for piece in pieces:
        p = project(camera, piece.points, width, height)
        low, high = np.floor(p[:, :2].min(0)) - 1, np.ceil(p[:, :2].max(0)) + 2
        rows.append([*np.clip(low, -4000, 8000), *np.clip(high, -4000, 8000)])
    return np.asarray(rows, np.int32).reshape(-1, 4)


def assemble(
    settings: Settings,
    place_number: int,
    pieces: list[Piece],
    people: Sequence[Identity],
    rng: Rng,
    device: str,
    wardrobe: Wardrobe | None = None,
    light: Light | None = None,
) -> tuple[Any, Any, float]:
    """The world for the kernels, what must stay alive while it is used, and the exposure key. The light is drawn where
    none is given."""
    place, static, arrays = place_and_mesh(settings.seed, place_number, device)
    light = light or sample_light(rng, place)
    whole = merge(pieces)
    owner = np.concatenate([np.full(len(p.faces), k, np.int32) for k, p in enumerate(pieces)])
    low = [p.points[p.points[:, 2] < 0.3][:, :2] for p in pieces]
    feet = [[*points.mean(0), 0.5] for points in low if len(points)]  # an open umbrella touches no ground

    def vectors(values: Any) -> Any:
        return wp.array(np.asarray(values, np.float32), dtype=wp.vec3, device=device)

    world = kernels.World()
    index = wp.array(whole.faces.ravel(), dtype=int, device=device)
    owners = wp.array(owner, dtype=int, device=device)
    moving = wp.Mesh(points=vectors(whole.points), indices=index, groups=owners)
    for name, value in arrays.items():
        setattr(world, name, value)
    world.s_mesh, world.p_mesh, world.p_index, world.p_owner = static.id, moving.id, index, owners
    world.p_normal, world.p_rest, world.feet = vectors(whole.normals), vectors(whole.rest), vectors(feet)
    world.p_arm = wp.array(whole.arm, dtype=float, device=device)
    world.p_part = wp.array(whole.part, dtype=int, device=device)
    set_cloths(world, whole, wardrobe, device)
    world.persons = wp.array(np.stack([p.outfit.row for p in people]), dtype=float, device=device)
    world.light_at, world.light_color = vectors(light.at), vectors(light.color)
    world.light_kind = wp.array(light.kind, dtype=int, device=device)
    world.sky_up, world.sky_side, world.bounce = (
        wp.vec3(*light.sky_up),
        wp.vec3(*light.sky_side),
        wp.vec3(*light.bounce),
    )
    world.softness, world.cloud, world.haze = light.softness, light.cloud, light.haze
    world.seed = int(rng.integers(1, 99999))
    none = np.zeros((1, 1, 3), np.float32)
    world.probe = vectors(none if light.picture is None else light.picture)
    world.ambient = vectors(none[0] if light.ambient is None else light.ambient)
    return world, (static, moving), light.key


def set_cloths(world: Any, whole: Piece, wardrobe: Wardrobe | None, device: str) -> None:
    """The part of the world that textures colour: empty without a wardrobe."""
    uv = np.zeros((1, 2), np.float32) if whole.uv is None else whole.uv.reshape(-1, 2)
    layer = np.full(len(whole.faces), -1, np.int32) if whole.layer is None else whole.layer
    rows = np.zeros((1, CLOTH_COLUMNS), np.float32) if whole.rows is None else whole.rows
    world.p_uv = wp.array(uv, dtype=wp.vec2, device=device)
    world.p_cloth = wp.array(layer, dtype=int, device=device)
    world.cloths = wp.array(rows, dtype=float, device=device)
    world.texels, world.textures = pictures_on(wardrobe, device)


@functools.lru_cache(maxsize=4)
def pictures_on(wardrobe: Wardrobe | None, device: str) -> tuple[Any, Any]:
    """The pictures of a wardrobe on the device, loaded once; one black pixel without a wardrobe."""
    texels = np.zeros(4, np.uint8) if wardrobe is None else wardrobe.texels
    textures = np.array([[0, 1]], np.int32) if wardrobe is None else wardrobe.textures
    return wp.array(texels, dtype=wp.uint8, device=device), wp.array(textures, dtype=int, device=device)


def lens_of(camera: Camera, width: int, height: int) -> Any:
    lens = kernels.Lens()
    lens.at = wp.vec3(*camera.at)
    lens.right, lens.down, lens.ahead = (wp.vec3(*axis) for axis in camera.axes)
    lens.focal, lens.width, lens.height = camera.focal * width, width, height
    return lens


def annotate(owner: NDArray[np.int32], alone: NDArray[np.float64], numbers: list[int]) -> list[tuple[int, Annotation]]:
    """Boxes of the visible pixels. owner [H, W]; alone [P]: pixels of each person with nothing in front and no border.
    The visible fraction is the visible pixels over `alone`, at most 1."""
    found = []
    for row, number in enumerate(numbers):
        y, x = np.nonzero(owner == row)
        if not len(y):
            continue
        box = (int(x.min()), int(y.min()), int(x.max() - x.min() + 1), int(y.max() - y.min() + 1))
        visible = min(1.0, len(y) / max(1.0, alone[row]))
        if visible < LEAST_VISIBLE or box[3] < LEAST_HEIGHT:
            continue
        named = number if visible >= LEAST_NAMED else UNLABELED
        found.append((row, Annotation(box, len(y), named, round(visible, 4))))
    return found


def varied_light(wardrobe: Wardrobe, place: Place, rng: Rng) -> Light:
    """Most pictures are lit by one of the wardrobe's light probes, the others as those without a wardrobe."""
    probes = wardrobe.probes
    if not probes or rng.random() > PROBED:
        return sample_light(rng, place)
    return probe_light(rng, place, load_probe(probes[int(rng.integers(len(probes)))]))


def render_scene(
    settings: Settings, index: int, device: str = "cpu", wardrobe: Wardrobe | None = None
) -> RenderedScene:
    """Renders one picture with its annotations. `wardrobe` is the one whose fingerprint the settings hold."""
    rng = scene_rng(settings, index)
    variety = np.random.default_rng([settings.seed, Stream.VARIETY, index]) if wardrobe else None
    place_number, camera_number = choose_place(settings, index, rng)
    place = place_and_mesh(settings.seed, place_number, device)[0]
    camera = build_camera(settings.seed, camera_number, place, rng, varied=variety is not None)
    more = crowd(variety) if variety else 0
    people = people_of(settings, index, rng, wardrobe, more)
    size = settings.width, settings.height
    spots = positions(camera, place, size, len(people) - more, rng)
    if not spots:  # a camera without a free spot in view still gives a picture
        spots = [(*place.layout.area[:2], 1.0, 0.0)]
    close = gather(camera, place, spots, more, variety) if variety else []
    people = [*people[: len(spots)], *people[len(people) - more :][: len(close)]]
    spots += close
    who = [person for _, person in people]
    if wardrobe and variety:
        pieces, things, moves = clothed_people(who, spots, wardrobe, variety)
    else:
        pieces, things, moves = dressed_people(who, spots, settings.height / 600, rng), [], []
    pieces += [piece for piece, _ in things]
    owners = who + [owner for _, owner in things]
    light = varied_light(wardrobe, place, variety) if wardrobe and variety else None
    world, alive, key = assemble(settings, place_number, pieces, owners, rng, device, wardrobe, light)
    picture = render.render(world, lens_of(camera, *size), windows_of(camera, pieces, *size), device)
    del alive
    found = annotate(picture.owner, picture.alone, [number for number, _ in people])
    if variety and light:
        sensor = shaken(sensor_of(settings.seed, camera_number), variety)
        motion = velocity(camera, spots, moves, size)
        jpeg = record(smear_people(picture.color, picture.owner, motion, sensor.shutter), sensor, light, variety)
    else:
        jpeg = develop(picture.color, camera.response, key, rng)
    return RenderedScene(
        jpeg=jpeg,
        annotations=tuple(a for _, a in found),
        camera=camera_number,
        place=f"{place.kind}-{place_number}",
        split=split_of(settings, index),
        owner=picture.owner,
        rows=tuple(row for row, _ in found),
    )
