"""Independent random streams of one seed: drawing more from one does not change what another one gives."""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """Benchmarks that were rendered depend on these numbers: they stay, and a new stream takes the next one."""

    PERSON = 1
    PLACE = 2
    CAMERA = 3
    CROWD = 4
    """How many people a scene holds"""
    CAST = 5
    """Who is in which scene"""
    SCENE = 6
    HOME = 7
    """Who of a place's residents is at home"""
    ATTIRE = 8
    """What a person of a wardrobe wears"""
    SENSOR = 9
    """What a camera makes of light, with a wardrobe"""
    VARIETY = 10
    """What a picture varies with a wardrobe: light, poses, things carried, crowds"""
    MOUNT = 11
    """How a camera hangs, with a wardrobe"""
