"""The kernel that finds what a garment covers."""
# mypy: ignore-errors

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def find_cloth(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    depth: float,
    reach: float,
    found: wp.array(dtype=int),
):
    """Marks the points from which a ray along the normal, begun `depth` behind them, meets cloth that faces as they do
    within `reach` of them."""
    i = wp.tid()
    n = normals[i]
    hit = wp.mesh_query_ray(mesh, points[i] - n * depth, n, depth + reach)
    if hit.result and wp.dot(hit.normal, n) > 0.1:
        found[i] = 1
