"""Rendered people in rendered places: an endless, free benchmark. `synthesize` is the door; the heavy parts load when
called.

Read in this order: synthesize (the driver), scenes (one picture), outfits, bodies, garments (a person), places and
shapes, light, cameras, render, figures and textures (the kernels), postprocess.
"""

from personsearch.synthesis.synthesize import synthesize

__all__ = ["synthesize"]
