"""Independent random streams of one seed: drawing more from one does not change what another one gives."""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """Runs resume bit for bit only while these numbers stay; a new stream takes the next one."""

    ORDER = 1
    """In which order an epoch sees its scenes"""
    PATCHES = 2
    PAIRS = 3
    """Who is asked for in which scene"""
    PAIR_VIEWS = 4
    """Size of a pair's scene, and whether scene and patch are mirrored"""
    LIGHT = 5
    SIGHTS = 6
    VIEWS = 7
    """Boxes of kept maps, and which of them a step sees"""
