"""What a person looks like: body, hair, skin and clothes, drawn once for an identity and the same in every picture."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis import figures as f
from personsearch.synthesis import textures as t
from personsearch.synthesis.streams import Stream

Floats = NDArray[Any]
Color = tuple[float, float, float]  # sRGB, 0..1

SKINS = (
    (0.94, 0.78, 0.67),
    (0.89, 0.71, 0.58),
    (0.80, 0.61, 0.47),
    (0.66, 0.47, 0.34),
    (0.47, 0.32, 0.23),
    (0.33, 0.22, 0.16),
)
HAIRS = (
    (0.07, 0.06, 0.06),
    (0.12, 0.09, 0.07),
    (0.24, 0.16, 0.11),
    (0.38, 0.26, 0.16),
    (0.62, 0.48, 0.30),
    (0.55, 0.54, 0.53),
    (0.78, 0.77, 0.75),
    (0.45, 0.20, 0.11),
)
HAIR_SHARES = (0.31, 0.26, 0.16, 0.09, 0.08, 0.05, 0.02, 0.03)
DARKS = (
    (0.06, 0.06, 0.07),
    (0.10, 0.10, 0.12),
    (0.14, 0.15, 0.18),
    (0.11, 0.13, 0.22),
    (0.16, 0.13, 0.12),
    (0.22, 0.23, 0.25),
)
MUTED = (
    (0.35, 0.36, 0.38),
    (0.52, 0.53, 0.54),
    (0.70, 0.70, 0.70),
    (0.88, 0.87, 0.85),
    (0.95, 0.95, 0.94),
    (0.60, 0.52, 0.42),
    (0.75, 0.67, 0.55),
    (0.42, 0.34, 0.26),
    (0.33, 0.36, 0.27),
    (0.25, 0.32, 0.42),
    (0.45, 0.55, 0.65),
    (0.48, 0.25, 0.27),
    (0.62, 0.50, 0.55),
    (0.40, 0.43, 0.50),
    (0.55, 0.60, 0.52),
    (0.80, 0.74, 0.70),
)
VIVID = (
    (0.75, 0.11, 0.12),
    (0.10, 0.30, 0.65),
    (0.12, 0.45, 0.25),
    (0.92, 0.75, 0.12),
    (0.90, 0.42, 0.10),
    (0.85, 0.30, 0.50),
    (0.45, 0.18, 0.50),
    (0.10, 0.60, 0.65),
    (0.60, 0.80, 0.90),
    (0.95, 0.70, 0.75),
    (0.70, 0.85, 0.20),
    (0.05, 0.15, 0.60),
    (0.55, 0.05, 0.10),
)
DENIM = ((0.15, 0.19, 0.29), (0.22, 0.29, 0.41), (0.34, 0.43, 0.56), (0.50, 0.59, 0.69), (0.11, 0.12, 0.16))
LEATHER = ((0.08, 0.07, 0.07), (0.28, 0.17, 0.11), (0.45, 0.29, 0.17), (0.60, 0.45, 0.32))

HAIR_STYLES = ("bald", "short", "crop", "bob", "long", "tail", "bun", "cap", "beanie", "scarf")
BAGS = ("none", "backpack", "shoulder", "handbag", "carrier")


@dataclass(frozen=True)
class Outfit:
    """Clothes: `row` are the columns of figures.py, the others shape extra cloth and things carried."""

    row: Floats  # [PERSON_COLUMNS]
    top_thick: float  # metres by which the top stands off the body
    bottom_thick: float
    flare: float  # extra width of trouser legs at their end, metres
    coat: float  # length below the waist of a long top, metres; 0 none
    loose: bool  # the top falls straight from the chest
    skirt: float  # length below the waist of a skirt, metres; 0 none
    bag: str
    bag_size: tuple[float, float, float]
    bag_side: int  # -1 right, 1 left


@dataclass(frozen=True)
class Identity:
    """One person: body (the order of bodies.PHENOTYPES), hair style and clothes."""

    phenotype: Floats  # [6]
    hair: str
    hair_length: float  # metres below the crown, for styles that hang
    outfit: Outfit


def linear(color: Color) -> Floats:
    """sRGB to linear RGB; no cloth is blacker than 1%."""
    return (0.99 * np.asarray(color, np.float32) ** 2.2 + 0.01).astype(np.float32)


def pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    """One of the colours, slightly off."""
    base = np.asarray(colors[rng.integers(len(colors))])
    shifted = np.clip(base * rng.uniform(0.85, 1.12) + rng.normal(0, 0.018, 3), 0.02, 0.97)
    return tuple(float(v) for v in shifted)  # type: ignore[return-value]


def cloth_color(rng: np.random.Generator, dark: float, vivid: float) -> Color:
    """A colour of clothes: `dark` and `vivid` are shares, the rest is muted."""
    draw = rng.random()
    if draw < dark:
        return pick(rng, DARKS)
    if draw < dark + vivid:
        return pick(rng, VIVID)
    return pick(rng, MUTED)


TOP_KINDS = (
    t.CLOTH_PLAIN,
    t.CLOTH_HOOPS,
    t.CLOTH_PINSTRIPES,
    t.CLOTH_CHECKS,
    t.CLOTH_BLOBS,
    t.CLOTH_PRINT,
    t.CLOTH_TWO_TONE,
    t.CLOTH_LOGO,
    t.CLOTH_DOTS,
    t.CLOTH_BAND,
    t.CLOTH_MELANGE,
    t.CLOTH_TEXT,
    t.CLOTH_GRADIENT,
    t.CLOTH_FLORAL,
)
TOP_SHARES = np.array([0.38, 0.09, 0.03, 0.08, 0.03, 0.08, 0.04, 0.06, 0.02, 0.04, 0.07, 0.06, 0.01, 0.03])
BOTTOM_KINDS = (
    t.CLOTH_PLAIN,
    t.CLOTH_PINSTRIPES,
    t.CLOTH_CHECKS,
    t.CLOTH_BLOBS,
    t.CLOTH_MELANGE,
    t.CLOTH_FLORAL,
    t.CLOTH_DOTS,
)
BOTTOM_SHARES = np.array([0.8, 0.03, 0.04, 0.03, 0.07, 0.02, 0.01])


def paint(row: Floats, column: int, color: Color) -> None:
    row[column : column + 3] = linear(color)


def dress_top(rng: np.random.Generator, row: Floats) -> dict[str, Any]:
    """Writes the top's columns; returns its thickness and the length of a coat's skirt."""
    jacket = rng.random() < 0.42
    kind = int(rng.choice(TOP_KINDS, p=TOP_SHARES / TOP_SHARES.sum()))
    if jacket and rng.random() < 0.6:
        kind = int(rng.choice([t.CLOTH_PLAIN, t.CLOTH_MELANGE, t.CLOTH_TWO_TONE]))
    a = cloth_color(rng, 0.58 if jacket else 0.27, 0.09 if jacket else 0.19)
    b = cloth_color(rng, 0.3, 0.2)
    while np.abs(np.subtract(a, b)).sum() < 0.35:
        b = cloth_color(rng, 0.3, 0.4)
    paint(row, f.TOP_A, a)
    paint(row, f.TOP_B, b)
    paint(row, f.TOP_C, cloth_color(rng, 0.3, 0.4))
    paint(row, f.INNER, pick(rng, MUTED) if rng.random() < 0.7 else cloth_color(rng, 0.4, 0.4))
    row[f.TOP_KIND] = kind
    row[f.TOP_SCALE] = rng.choice([0.03, 0.045, 0.06, 0.09, 0.13]) * rng.uniform(0.85, 1.2)
    row[f.SLEEVE] = 0.98 if jacket else rng.choice([0.06, 0.3, 0.42, 0.6, 0.96], p=[0.06, 0.27, 0.2, 0.07, 0.4])
    row[f.SLEEVE_KIND] = float(rng.random() < (0.1 if jacket else 0.08))
    row[f.HEM] = rng.uniform(-0.03, 0.10) if rng.random() < 0.8 else rng.uniform(-0.12, -0.03)
    row[f.COLLAR] = rng.uniform(0.545, 0.585) if jacket else rng.uniform(0.525, 0.555)
    row[f.NECK_DEPTH] = rng.choice([0.0, 0.03, 0.07]) if not jacket else rng.choice([0.0, 0.06, 0.12])
    row[f.OPENING] = rng.uniform(0.03, 0.09) if jacket and rng.random() < 0.5 else (-1.0 if rng.random() < 0.4 else 0.0)
    row[f.WRINKLES] = rng.uniform(0.4, 0.95)
    coat = rng.uniform(0.22, 0.62) if jacket and rng.random() < 0.3 else 0.0
    return {
        "top_thick": rng.uniform(0.014, 0.04) if jacket else rng.uniform(0.006, 0.02),
        "coat": coat,
        "loose": bool(rng.random() < (0.7 if jacket else 0.35)),
    }


def dress_bottom(rng: np.random.Generator, row: Floats, woman: bool) -> dict[str, Any]:
    """Writes the columns of trousers, shorts or skirt, socks and shoes; returns thickness, flare and skirt length."""
    skirt = woman and rng.random() < 0.3
    denim = not skirt and rng.random() < 0.38
    a = pick(rng, DENIM) if denim else cloth_color(rng, 0.55, 0.05 if not skirt else 0.2)
    paint(row, f.BOTTOM_A, a)
    paint(row, f.BOTTOM_B, cloth_color(rng, 0.3, 0.2))
    row[f.BOTTOM_KIND] = t.CLOTH_PLAIN if denim else rng.choice(BOTTOM_KINDS, p=BOTTOM_SHARES / BOTTOM_SHARES.sum())
    row[f.BOTTOM_SCALE] = rng.choice([0.03, 0.05, 0.09]) * rng.uniform(0.85, 1.2)
    short = rng.random()
    row[f.LEG_END] = -0.8 if short < 0.76 else (rng.uniform(-0.72, -0.5) if short < 0.84 else rng.uniform(-0.42, -0.14))
    if skirt:
        row[f.LEG_END] = -0.05
    bare = rng.random() < (0.6 if skirt or row[f.LEG_END] > -0.5 else 0.4)
    paint(row, f.SOCK, cloth_color(rng, 0.6, 0.1))
    if bare:
        row[f.SOCK : f.SOCK + 3] = row[f.SKIN : f.SKIN + 3]
    row[f.SHOE_TOP] = rng.choice([-0.80, -0.77, -0.62, -0.52], p=[0.5, 0.4, 0.05, 0.05])
    paint(row, f.SHOE, cloth_color(rng, 0.55, 0.12))
    paint(row, f.SOLE, pick(rng, ((0.9, 0.9, 0.88), (0.1, 0.1, 0.1), (0.5, 0.4, 0.3))))
    row[f.BELT] = float(rng.random() < 0.2)
    return {
        "bottom_thick": rng.uniform(0.004, 0.02) if rng.random() < 0.65 else rng.uniform(0.02, 0.036),
        "flare": rng.choice([0.0, 0.01, 0.03], p=[0.4, 0.4, 0.2]),
        "skirt": rng.uniform(0.32, 0.75) if skirt else 0.0,
    }


def carry(rng: np.random.Generator, row: Floats, woman: bool) -> tuple[str, tuple[float, float, float], int]:
    """Writes the columns of a bag; returns its kind, its size (metres) and its side."""
    shares = [0.47, 0.2, 0.18, 0.1, 0.05] if woman else [0.55, 0.25, 0.12, 0.02, 0.06]
    bag = str(rng.choice(BAGS, p=shares))
    side = int(rng.choice([-1, 1]))
    color = (
        pick(rng, LEATHER) if bag in ("shoulder", "handbag") and rng.random() < 0.55 else cloth_color(rng, 0.5, 0.28)
    )
    paint(row, f.BAG_COLOR, color)
    paint(row, f.BAG_B, cloth_color(rng, 0.4, 0.3))
    row[f.STRAPS] = {"backpack": 3.0, "shoulder": 1.0 if side > 0 else 2.0}.get(bag, 0.0)
    base = {
        "backpack": (0.15, 0.085, 0.22),
        "shoulder": (0.06, 0.14, 0.11),
        "handbag": (0.05, 0.14, 0.12),
        "carrier": (0.06, 0.14, 0.19),
    }
    x, y, z = base.get(bag, (0.1, 0.1, 0.1))
    return bag, (x * rng.uniform(0.8, 1.2), y * rng.uniform(0.8, 1.25), z * rng.uniform(0.75, 1.2)), side


def sample_outfit(rng: np.random.Generator, woman: bool) -> Outfit:
    """Clothes and bag; the columns of skin and hair are left to `sample_identity`."""
    row = np.zeros(f.PERSON_COLUMNS, np.float32)
    row[f.SEED] = rng.integers(1, 9000)
    top = dress_top(rng, row)
    bottom = dress_bottom(rng, row, woman)
    if bottom["skirt"] and rng.random() < 0.4:  # a dress
        row[f.BOTTOM_A : f.BOTTOM_B + 3] = row[f.TOP_A : f.TOP_B + 3]
        row[f.BOTTOM_KIND], row[f.BOTTOM_SCALE] = row[f.TOP_KIND], row[f.TOP_SCALE]
    bag, size, side = carry(rng, row, woman)
    return Outfit(row=row, **top, **bottom, bag=bag, bag_size=size, bag_side=side)


def sample_identity(rng: np.random.Generator) -> Identity:
    """A new person."""
    woman = bool(rng.random() < 0.48)
    gender = float(np.clip(rng.normal(0.9 if woman else 0.1, 0.08), 0, 1))
    age = float(np.clip(rng.normal(0.72, 0.08), 0.58, 0.95))
    rest = np.clip(rng.normal((0.5, 0.45, 0.5, 0.5), (0.16, 0.2, 0.13, 0.2)), 0.1, 0.95)
    phenotype = np.array([gender, age, *rest], np.float32)
    outfit = sample_outfit(rng, woman)
    return with_head(rng, phenotype, woman, outfit)


def with_head(rng: np.random.Generator, phenotype: Floats, woman: bool, outfit: Outfit) -> Identity:
    """Adds skin, hair and hat to a body and an outfit."""
    row = outfit.row.copy()
    skin = int(rng.choice(len(SKINS), p=[0.2, 0.3, 0.22, 0.12, 0.09, 0.07]))
    old = row[f.SOCK : f.SOCK + 3].copy(), row[f.SKIN : f.SKIN + 3].copy()
    paint(row, f.SKIN, pick(rng, (SKINS[skin],)))
    if np.allclose(*old):
        row[f.SOCK : f.SOCK + 3] = row[f.SKIN : f.SKIN + 3]
    shares = HAIR_SHARES if skin < 3 else (0.55, 0.3, 0.1, 0.0, 0.0, 0.03, 0.02, 0.0)
    paint(row, f.HAIR_COLOR, pick(rng, (HAIRS[int(rng.choice(len(HAIRS), p=shares))],)))
    paint(row, f.HAT_COLOR, cloth_color(rng, 0.45, 0.3))
    style_shares = (
        [0.0, 0.06, 0.04, 0.2, 0.34, 0.14, 0.07, 0.05, 0.05, 0.05]
        if woman
        else [0.07, 0.48, 0.24, 0.03, 0.02, 0.01, 0.0, 0.09, 0.06, 0.0]
    )
    hair = str(rng.choice(HAIR_STYLES, p=style_shares))
    row[f.HAIRLINE] = {"bald": 0.0, "cap": 2.0, "beanie": 2.0, "scarf": 2.0}.get(hair, 1.0)
    row[f.BEARD] = float(not woman and rng.random() < 0.22)
    length = {"bob": rng.uniform(0.2, 0.28), "long": rng.uniform(0.3, 0.48), "scarf": rng.uniform(0.22, 0.34)}.get(
        hair, 0.0
    )
    return Identity(phenotype, hair, length, dataclasses.replace(outfit, row=row))


def identity_of(seed: int, number: int) -> Identity:
    """The person with this number, the same at each call."""
    return sample_identity(np.random.default_rng([seed, Stream.PERSON, number]))


def look_alike(rng: np.random.Generator, other: Identity) -> Identity:
    """A bystander dressed much like someone else: same clothes, another body, head and bag, colours slightly off."""
    stranger = sample_identity(rng)
    row = other.outfit.row.copy()
    row[: f.TOP_KIND] = np.clip(row[: f.TOP_KIND] * rng.uniform(0.75, 1.3, f.TOP_KIND), 0.002, 0.95)
    row[f.SEED] = rng.integers(1, 9000)
    if rng.random() < 0.6:  # only one half of the clothes is alike
        columns = slice(f.BOTTOM_A, f.BOTTOM_B + 3) if rng.random() < 0.5 else slice(f.TOP_A, f.TOP_C + 3)
        row[columns] = stranger.outfit.row[columns]
    row[f.STRAPS] = stranger.outfit.row[f.STRAPS]
    source = stranger.outfit
    outfit = dataclasses.replace(
        other.outfit, row=row, bag=source.bag, bag_size=source.bag_size, bag_side=source.bag_side
    )
    return with_head(rng, stranger.phenotype, bool(stranger.phenotype[0] > 0.5), outfit)
