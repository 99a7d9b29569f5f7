"""Renders a world through a lens: launches the kernels and gathers what they saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from personsearch.synthesis.kernels import count_alone, refine_pixels, render_pixels


@dataclass(frozen=True)
class Rendering:
    """One rendered picture, before its camera: color [H, W, 3] linear float32, owner [H, W] int32 (row of the person
    seen, NOBODY elsewhere), depth [H, W] metres, alone [P] pixels each person would cover with nothing in front and no
    border."""

    color: NDArray[np.float32]
    owner: NDArray[np.int32]
    depth: NDArray[np.float32]
    alone: NDArray[np.float64]


def edges(key: NDArray[np.int32], depth: NDArray[np.float32]) -> NDArray[np.int32]:
    """Flat indices of the pixels whose right or lower neighbour sees another thing or another distance."""
    edge = np.zeros(key.shape, bool)
    for axis in (0, 1):
        near = np.minimum(np.delete(depth, -1, axis), np.delete(depth, 0, axis))
        differ = (np.diff(key, axis=axis) != 0) | (np.abs(np.diff(depth, axis=axis)) > 0.08 * near)
        first = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        second = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        edge[first] |= differ
        edge[second] |= differ
    return np.flatnonzero(edge).astype(np.int32)


def coverage(world: Any, lens: Any, windows: NDArray[np.int32], device: str) -> NDArray[np.float64]:
    """Pixels covered by each person alone. windows [P, 4] are x1, y1, x2, y2 in pixels, also outside the picture.
    Windows over 40,000 pixels are sampled on a grid of every second, third, … pixel, so large people are counted to
    about 1%."""
    result = np.zeros(len(windows))
    for row, (x1, y1, x2, y2) in enumerate(windows):
        step = max(1, int(np.ceil(np.sqrt(max(0, x2 - x1) * max(0, y2 - y1) / 40000))))
        shape = (max(1, -(-(y2 - y1) // step)), max(1, -(-(x2 - x1) // step)))
        count = wp.zeros(1, dtype=int, device=device)
        window = [int(x1), int(y1), int(x2), int(y2)]
        wp.launch(count_alone, dim=shape, inputs=[world, lens, row, *window, step, count], device=device)
        result[row] = count.numpy()[0] * step * step
    return result


def render(world: Any, lens: Any, windows: NDArray[np.int32], device: str = "cpu") -> Rendering:
    """Casts all rays of one picture. windows: see `coverage`; one for each row of world.persons."""
    width, height = lens.width, lens.height
    count = width * height
    color = wp.empty(count, dtype=wp.vec3, device=device)
    depth = wp.empty(count, dtype=float, device=device)
    owner = wp.empty(count, dtype=int, device=device)
    key = wp.empty(count, dtype=int, device=device)
    wp.launch(render_pixels, dim=count, inputs=[world, lens, color, depth, owner, key], device=device)
    distance = depth.numpy().reshape(height, width)
    ragged = edges(key.numpy().reshape(height, width), distance)
    pixels = wp.array(ragged, dtype=int, device=device)
    if len(ragged):
        wp.launch(refine_pixels, dim=len(ragged), inputs=[world, lens, pixels, color], device=device)
    return Rendering(
        color=color.numpy().reshape(height, width, 3),
        owner=owner.numpy().reshape(height, width),
        depth=distance,
        alone=coverage(world, lens, windows, device),
    )
