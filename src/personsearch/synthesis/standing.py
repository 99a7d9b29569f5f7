"""Where people stand in a picture, and which way they face."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis.cameras import Camera
from personsearch.synthesis.places import Place

Rng = np.random.Generator
Spot = tuple[float, float, float, float]
"""x and y in metres, height in pixels, direction in radians that the person faces"""
CROWDED = 0.3
"""Part of the pictures of a wardrobe in which people stand close together."""


def project(camera: Camera, points: NDArray[Any], width: int, height: int) -> NDArray[np.float64]:
    """Pixels x, y and depth [N, 3] of points [N, 3] metres; behind the camera the depth is negative."""
    p = (np.asarray(points, np.float64) - camera.at) @ camera.axes.T
    z = np.where(np.abs(p[:, 2]) < 1e-3, 1e-3, p[:, 2])
    f = camera.focal * width
    return np.stack([p[:, 0] / z * f + width / 2, p[:, 1] / z * f + height / 2, p[:, 2]], 1)


def stand(
    camera: Camera, place: Place, width: int, height: int, rng: Rng, taken: list[Any]
) -> tuple[float, float, float] | None:
    """A free point of the ground in view: x, y and the height in pixels of a person there. None if there is none."""
    scale, near_share = height / 600, rng.random()
    for _ in range(60):
        middle, spread = (105, 0.42) if near_share < 0.55 else (190, 0.42)
        tall = float(np.clip(np.exp(rng.normal(np.log(middle), spread)), 36, 520)) * scale
        distance = camera.focal * width * 1.7 / tall
        side = rng.uniform(-0.54, 0.54) / camera.focal
        flat = camera.axes[2, :2] / np.linalg.norm(camera.axes[2, :2])
        right = np.array([flat[1], -flat[0]])
        x, y = camera.at[:2] + flat * distance + right * side * distance
        if not place.free(float(x), float(y)):
            continue
        if any((x - a) ** 2 + (y - b) ** 2 < 0.32 for a, b, _ in taken):
            continue
        feet, head = project(camera, np.array([[x, y, 0], [x, y, 1.7]]), width, height)
        inside = min(feet[1], height) - max(head[1], 0)
        if head[2] > 1.0 and -20 * scale < head[0] < width + 20 * scale and inside > 0.45 * (feet[1] - head[1]):
            return float(x), float(y), float(feet[1] - head[1])
    return None


def positions(camera: Camera, place: Place, size: tuple[int, int], count: int, rng: Rng) -> list[Spot]:
    """Up to `count` standing points: x, y, height in pixels and the direction (radians) the person faces. Some walk in
    pairs. `size` is the picture's width and height in pixels."""
    found: list[tuple[float, float, float]] = []
    headings: list[float] = []
    flow = rng.uniform(0, 2 * np.pi)
    for _ in range(count):
        if found and rng.random() < 0.22:
            x, y, tall = found[-1]
            turn = headings[-1]
            gap = rng.uniform(0.55, 0.75) * rng.choice([-1, 1])
            near = (x + gap * np.cos(turn), y + gap * np.sin(turn))
            clear = all((near[0] - a) ** 2 + (near[1] - b) ** 2 > 0.2 for a, b, _ in found)
            if clear and place.free(*near):
                found.append((*near, tall))
                headings.append(turn + rng.normal(0, 0.2))
                continue
        point = stand(camera, place, *size, rng, found)
        if point is not None:
            found.append(point)
            along = flow + rng.choice([0, np.pi]) + rng.normal(0, 0.3)
            headings.append(float(along if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)))
    return [(*p, h) for p, h in zip(found, headings, strict=True)]


def crowd(rng: Rng) -> int:
    """How many people more stand close to those that a picture holds anyway."""
    many = int(rng.integers(3, 13))
    return many if rng.random() < CROWDED else 0


def gather(camera: Camera, place: Place, spots: list[Spot], count: int, rng: Rng) -> list[Spot]:
    """Up to `count` spots close to the given ones: half of them anywhere around, half between them and the camera."""
    found: list[Spot] = []
    for _ in range(3 * count):
        x, y, tall, turn = spots[int(rng.integers(len(spots)))]
        to_camera = camera.at[:2] - (x, y)
        angle = np.arctan2(to_camera[1], to_camera[0])
        angle += rng.normal(0, 0.45) if rng.random() < 0.5 else rng.uniform(-np.pi, np.pi)
        far = rng.uniform(0.4, 1.1)
        x, y = float(x + far * np.cos(angle)), float(y + far * np.sin(angle))
        clear = all((x - a) ** 2 + (y - b) ** 2 > 0.14 for a, b, *_ in [*spots, *found])
        if clear and len(found) < count and place.free(x, y) and np.hypot(*(camera.at[:2] - (x, y))) > 2.0:
            found.append((x, y, tall, float(turn + rng.normal(0, 0.5))))
    return found


def velocity(camera: Camera, spots: list[Spot], moves: list[str], size: tuple[int, int]) -> NDArray[np.float64]:
    """How fast each person crosses the picture [P, 2], pixels a second, for their way of moving."""
    speed = np.array([{"walk": 1.3, "run": 3.2, "step": 0.6}.get(move, 0.1) for move in moves])
    x, y, _, turn = np.asarray(spots, np.float64).reshape(-1, 4).T
    here = np.stack([x, y, np.ones_like(x)], 1)
    step = 0.01 * np.stack([np.sin(turn), -np.cos(turn), np.zeros_like(x)], 1) * speed[:, None]
    return (project(camera, here + step, *size) - project(camera, here, *size))[:, :2] * 100
