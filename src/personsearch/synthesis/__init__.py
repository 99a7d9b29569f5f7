"""Rendered people in rendered places: an endless, free benchmark.

`synthesize` is the door; the heavy parts load when it is called. Read in this order: synthesize (the driver), scenes
(one picture); outfits, bodies, garments (a person); places, layouts, props, shapes, light (where); cameras; render,
kernels, figures, textures (what a ray meets); postprocess (the file).
"""

from personsearch.synthesis.synthesize import synthesize

__all__ = ["synthesize"]
