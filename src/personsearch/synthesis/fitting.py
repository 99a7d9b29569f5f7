"""Garments on bodies: each is fitted to a body's own rest shape, then carried by the bones of the skin around it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import warp as wp
from numpy.typing import NDArray

from personsearch.synthesis.bodies import Posed, Template, load_template
from personsearch.synthesis.covering import find_cloth
from personsearch.synthesis.makehuman import Binding

Floats = NDArray[Any]
Ints = NDArray[Any]
Bools = NDArray[np.bool_]

BASE = "makehuman-tris"
"""The topology that keeps every vertex of MakeHuman's base mesh, also the helpers that garments are bound to."""
SKIN_END, EYES_START, EYES_END = 13380, 14598, 14742
"""Vertices of the skin come first; those of the eyes stand between helpers, which are not drawn."""


@dataclass(frozen=True)
class Base:
    """What all fitted bodies share: the template with every vertex; its faces of skin and of eyes with the texture
    coordinates of their corners; dense bone weights [V, J]; and the skin's normals at rest [SKIN_END, 3]."""

    template: Template
    skin: Ints
    skin_uv: Floats
    eyes: Ints
    weights: Floats
    normals: Floats


@functools.cache
def load_base() -> Base:
    """Loads the base mesh, once a process."""
    template = load_template(BASE)
    model, faces = template.model, template.faces
    uv = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()].astype(np.float32)
    skin = faces.max(1) < SKIN_END
    weights = np.zeros((len(template.rest), len(template.bones)), np.float32)
    indices, shares = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    np.add.at(weights, (np.arange(len(weights))[:, None], indices), shares)
    return Base(
        template,
        skin=faces[skin],
        skin_uv=uv[skin],
        eyes=faces[faces.min(1) >= EYES_START],
        weights=weights,
        normals=mesh_normals(template.rest[:SKIN_END], faces[skin]),
    )


def mesh_normals(points: Floats, faces: Ints) -> Floats:
    """Unit normals [V, 3], the mean of the faces around each vertex by their area."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    corners = faces.ravel()
    total = np.stack([np.bincount(corners, np.repeat(flat[:, k], 3), len(points)) for k in range(3)], 1)
    return np.asarray(total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12), np.float32)


def fit(binding: Binding, rest: Floats) -> Floats:
    """The garment's vertices [V, 3] on a body whose base mesh at rest is `rest` [BASE_VERTICES, 3] metres, z up."""
    scale = [abs(rest[a, axis] - rest[b, axis]) / d for (a, b, d), axis in zip(binding.scales, (0, 2, 1), strict=True)]
    right, up, ahead = (binding.offsets * np.array(scale)).T
    placed = (rest[binding.corners] * binding.weights[..., None]).sum(1)
    return np.asarray(placed + np.stack([right, -ahead, up], 1), np.float32)


def bone_weights(binding: Binding, skirt: bool = False) -> Floats:
    """The share of each bone in each garment vertex [V, J], interpolated as the vertices are. A skirt between the legs
    follows both: else it would tear where left turns into right."""
    base = load_base()
    shares = np.einsum("vk,vkj->vj", binding.weights, base.weights[binding.corners])
    shares = np.clip(shares, 0, None)
    if skirt:
        x = fit(binding, base.template.rest)[:, 0]
        left = np.clip(x / 0.3 + 0.5, 0, 1)[:, None]
        left = left * left * (3 - 2 * left)
        for name, one in base.template.bones.items():
            if "leg" in name and name.endswith("L"):
                other = base.template.bones[name[:-1] + "R"]
                both = shares[:, [one]] + shares[:, [other]]
                shares[:, [one]], shares[:, [other]] = both * left, both * (1 - left)
    return np.asarray(shares / (shares.sum(1, keepdims=True) + 1e-9), np.float32)


def carry(points: Floats, weights: Floats, motion: Floats) -> Floats:
    """Rest points [V, 3] moved by the bones: weights [V, J], motion [J, 4, 4]."""
    mixed = (weights @ motion[:, :3].reshape(len(motion), 12)).reshape(-1, 3, 4)
    return np.asarray(np.einsum("vij,vj->vi", mixed[..., :3], points) + mixed[..., 3], np.float32)


@functools.cache
def skin_template() -> Template:
    """The base mesh without helpers, for what dresses a body by formulas."""
    base = load_base()
    whole = base.template
    faces = np.concatenate([base.skin, base.eyes])
    return Template(whole.model, faces, whole.rest[:EYES_END], whole.arm[:EYES_END], whole.bones)


@dataclass(frozen=True)
class Wearer:
    """A posed body of skin and eyes, and the rest shape of its whole base mesh [BASE_VERTICES, 3]."""

    body: Posed
    base_rest: Floats


def pose_wearers(phenotypes: Floats, rotations: Floats) -> list[Wearer]:
    """Poses B bodies of the base mesh; see `bodies.pose_bodies`. The bare soles of each touch z = 0."""
    if not len(phenotypes):
        return []
    base, template = load_base(), skin_template()
    pose = torch.eye(4).repeat(*rotations.shape[:2], 1, 1)
    pose[:, :, :3, :3] = torch.from_numpy(rotations)
    with torch.no_grad():
        out = base.template.model(pose_parameters=pose, phenotype_kwargs=torch.from_numpy(phenotypes))
        motion = (out["bone_poses"] @ torch.linalg.inv(out["rest_bone_poses"])).numpy()
        rest = out["rest_vertices"].expand_as(out["vertices"]).numpy()
        vertices, joints = out["vertices"][:, :EYES_END].numpy(), out["bone_poses"][:, :, :3, 3].numpy()
    wearers = []
    for b in range(len(phenotypes)):
        lift = vertices[b, :SKIN_END, 2].min()
        up = np.array([0, 0, -lift], np.float32)
        motion[b, :, 2, 3] -= lift
        normals = mesh_normals(vertices[b], template.faces)
        body = Posed(template, rest[b, :EYES_END], vertices[b] + up, normals, motion[b], joints[b] + up)
        wearers.append(Wearer(body, rest[b]))
    return wearers


def covered(points: Floats, normals: Floats, cloth: Floats, faces: Ints, depth: float, reach: float) -> Bools:
    """Which points [V] have cloth over them: it faces the same way, at most `reach` metres out and `depth` in."""
    device = "cpu"
    mesh = wp.Mesh(
        points=wp.array(cloth, dtype=wp.vec3, device=device),
        indices=wp.array(faces.ravel(), dtype=int, device=device),
    )
    found = wp.zeros(len(points), dtype=int, device=device)
    rays = [wp.array(np.asarray(v, np.float32), dtype=wp.vec3, device=device) for v in (points, normals)]
    wp.launch(find_cloth, dim=len(points), inputs=[mesh.id, *rays, depth, reach, found], device=device)
    return np.asarray(found.numpy() > 0)


def inside(faces: Ints, hidden: Bools) -> Bools:
    """Which faces [F] can be left out: hidden, and so are all faces around them."""
    seen = np.zeros(len(hidden), bool)
    seen[faces[~hidden[faces].all(1)]] = True
    return np.asarray(~seen[faces].any(1))
