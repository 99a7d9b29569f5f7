"""Bodies from the parametric human `anny`: shapes from phenotypes, poses from a walk cycle and a few gestures.

The body's rest pose (arms half raised, facing -y, z up) is the coordinate system in which clothes are cut; it is
shared by all people. Two meshes of the same body exist: a coarse one (1,229 vertices) for people who are small in
the picture and a fine one (12,272 vertices) for the large.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from personsearch.errors import PersonSearchError

Floats = NDArray[Any]
COARSE, FINE = "notoes_collapse10pc", "notoes"
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")


@dataclass(frozen=True)
class Template:
    """What all bodies of one mesh share."""

    model: Any
    faces: NDArray[np.int64]  # [F, 3]
    rest: Floats  # [V, 3] rest pose of the average body, metres; the coordinates of clothes
    arm: Floats  # [V] 1 on arms and hands, 0 elsewhere
    bones: dict[str, int]


@dataclass(frozen=True)
class Posed:
    """One posed body: its own rest shape, its posed shape, and how each bone moved it."""

    template: Template
    rest: Floats  # [V, 3]
    vertices: Floats  # [V, 3]
    normals: Floats  # [V, 3] unit
    motion: Floats  # [J, 4, 4] rest position -> posed position
    joints: Floats  # [J, 3] posed bone heads


@functools.cache
def load_template(topology: str) -> Template:
    """Loads a body mesh. The first time on a machine takes about a minute; `anny` keeps its own cache afterwards."""
    try:
        import warp

        warp.config.log_level = warp.LOG_ERROR
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import anny

            model = anny.Anny(topology=topology, skinning_method="lbs").to(torch.float32)
    except ImportError as error:
        raise PersonSearchError(f"{error.name} is missing: pip install 'personsearch[synthesis]'") from error
    labels = list(model.bone_labels)
    limbs = [
        i for i, label in enumerate(labels) if label.startswith(("upperarm", "lowerarm", "wrist", "finger", "meta"))
    ]
    weights, indices = model.vertex_bone_weights.numpy(), model.vertex_bone_indices.numpy()
    with torch.no_grad():
        rest = model(phenotype_kwargs=torch.full((1, len(PHENOTYPES)), 0.5))["rest_vertices"][0]
    return Template(
        model=model,
        faces=model.get_triangular_faces().numpy(),
        rest=rest.numpy().astype(np.float32),
        arm=(weights * np.isin(indices, limbs)).sum(1).astype(np.float32),
        bones={label: i for i, label in enumerate(labels)},
    )


def vertex_normals(vertices: torch.Tensor, faces: NDArray[np.int64]) -> torch.Tensor:
    """Unit normals [B, V, 3] of meshes [B, V, 3] that share faces [F, 3]."""
    index = torch.from_numpy(faces)
    a, b, c = (vertices[:, index[:, k]] for k in range(3))
    flat = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for k in range(3):
        total.index_add_(1, index[:, k], flat)
    return torch.nn.functional.normalize(total, dim=-1)


def pose_bodies(topology: str, phenotypes: Floats, rotations: Floats) -> list[Posed]:
    """Poses B bodies. phenotypes [B, 6] in [0, 1] in the order of PHENOTYPES; rotations [B, J, 3, 3] of each bone
    about the axes of the rest pose. The soles of each touch z = 0."""
    if not len(phenotypes):
        return []
    template = load_template(topology)
    pose = torch.eye(4).repeat(*rotations.shape[:2], 1, 1)
    pose[:, :, :3, :3] = torch.from_numpy(rotations)
    with torch.no_grad():
        out = template.model(pose_parameters=pose, phenotype_kwargs=torch.from_numpy(phenotypes))
        vertices = out["vertices"]
        lift = vertices[:, :, 2].amin(1)
        normals = vertex_normals(vertices, template.faces)
        motion = out["bone_poses"] @ torch.linalg.inv(out["rest_bone_poses"])
    up = torch.zeros(len(vertices), 1, 3)
    up[:, 0, 2] = -lift
    motion[:, :, 2, 3] -= lift[:, None]
    joints = out["bone_poses"][:, :, :3, 3] + up
    rest = out["rest_vertices"].expand_as(vertices)
    parts = (rest.numpy(), (vertices + up).numpy(), normals.numpy(), motion.numpy(), joints.numpy())
    return [Posed(template, *rows) for rows in zip(*parts, strict=True)]


def about(axis: tuple[float, float, float], degrees: float) -> Floats:
    """The rotation [3, 3] about an axis (any length) by an angle in degrees."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    s, c = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(3) + s * cross + (1 - c) * cross @ cross
    return np.asarray(matrix, np.float32)


X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
ELBOW = {"L": (-0.75, 0.0, -0.65), "R": (-0.75, 0.0, 0.65)}
GESTURES = ("free",) * 9 + ("phone", "carry", "pockets", "pockets", "call", "back", "cross")


def legs(rng: np.random.Generator, walking: bool, phase: float, stride: float) -> dict[str, Floats]:
    """Bone rotations of the legs: a walk cycle at `phase` (radians) with a `stride` of about 1, or a relaxed stance."""
    bones: dict[str, Floats] = {}
    spread = rng.uniform(3.5, 7.0)  # degrees inwards; the rest pose stands astride
    for side, sign, shift in (("L", 1.0, 0.0), ("R", -1.0, np.pi)):
        if walking:
            swing = 27.0 * stride * np.sin(phase + shift) + 4.0
            bend = 4.0 + 52.0 * stride * max(0.0, np.cos(phase + shift + 0.35)) ** 2
            tip = 10.0 * np.sin(phase + shift)
        else:
            swing = rng.uniform(-4.0, 9.0)
            bend = max(0.0, rng.normal(4.0, 5.0))
            tip = 0.0
        bones[f"upperleg01.{side}"] = about(X, -swing) @ about(Y, sign * spread)
        bones[f"lowerleg01.{side}"] = about(X, bend)
        bones[f"foot.{side}"] = about(X, tip + (swing - bend if not walking else 0.3 * (swing - bend)))
    return bones


def arm(rng: np.random.Generator, side: str, gesture: str, swing: float) -> dict[str, Floats]:
    """Bone rotations of one arm: hanging and swinging, or busy."""
    sign = 1.0 if side == "L" else -1.0
    lower, raise_, turn, bend = rng.uniform(31.0, 39.0), swing, 0.0, rng.uniform(-12.0, 12.0) + max(0.0, swing) * 0.6
    if gesture in ("phone", "carry"):
        lower, raise_, bend = rng.uniform(28, 38), rng.uniform(5, 20), rng.uniform(55, 85)
        turn = rng.uniform(10, 30)
    elif gesture == "call":
        lower, raise_, bend, turn = rng.uniform(20, 32), rng.uniform(25, 45), rng.uniform(95, 115), 10.0
    elif gesture == "pockets":
        lower, raise_, bend = rng.uniform(26, 32), rng.uniform(-20, -8), rng.uniform(20, 35)
    elif gesture == "back":
        lower, raise_, bend, turn = rng.uniform(34, 40), rng.uniform(-30, -18), rng.uniform(15, 35), 25.0
    elif gesture == "cross":
        lower, raise_, bend, turn = rng.uniform(30, 36), rng.uniform(18, 28), rng.uniform(70, 90), 40.0
    upper = about(X, -raise_) @ about(Z, -sign * turn) @ about(Y, sign * lower)
    drop = about(Y, sign * 9.0)  # shoulders hang below their place in the rest pose
    curl = about((0.35, sign * 0.84, -sign * 0.35), rng.uniform(15, 45))
    fingers = {f"finger{i}-{j}.{side}": curl for i in (2, 3, 4, 5) for j in (1, 2, 3)}
    return fingers | {
        f"shoulder01.{side}": drop,
        f"upperarm01.{side}": drop.T @ upper,
        f"lowerarm01.{side}": about(ELBOW[side], bend),
    }


def sample_pose(rng: np.random.Generator) -> tuple[str, dict[str, Floats]]:
    """A random walking, standing or turning pose: its name and the rotation of each bone that is not at rest."""
    kind = str(rng.choice(["walk", "walk", "walk", "stand", "stand", "turn"]))
    phase, stride = rng.uniform(0, 2 * np.pi), float(np.clip(rng.normal(0.85, 0.2), 0.3, 1.25))
    bones = legs(rng, kind == "walk", phase, stride)
    gesture = str(rng.choice(GESTURES))
    both = gesture == "cross" or (gesture not in ("call", "carry") and rng.random() < 0.4)
    busy = str(rng.choice(["L", "R"]))
    for side, shift in (("L", np.pi), ("R", 0.0)):
        swing = 22.0 * stride * np.sin(phase + shift) if kind == "walk" else rng.normal(0.0, 4.0)
        bones |= arm(rng, side, gesture if both or side == busy else "free", swing)
    twist = rng.normal(0.0, 18.0) if kind == "turn" else rng.normal(0.0, 4.0)
    lean = rng.normal(3.0, 3.0)
    bones["spine03"] = about(Z, twist * 0.5) @ about(X, lean)
    bones["spine01"] = about(Z, twist * 0.5)
    look = 25.0 if kind == "turn" else 14.0
    down = 22.0 if gesture == "phone" else 4.0
    bones["neck01"] = about(Z, rng.normal(0.0, look)) @ about(X, rng.normal(down, 6.0))
    return kind, bones


def rotation_table(poses: list[dict[str, Floats]]) -> Floats:
    """Poses as one table [B, J, 3, 3] for `pose_bodies`."""
    bones = load_template(COARSE).bones
    table = np.tile(np.eye(3, dtype=np.float32), (len(poses), len(bones), 1, 1))
    for row, pose in enumerate(poses):
        for name, rotation in pose.items():
            table[row, bones[name]] = rotation
    return table
