"""What a person of a wardrobe wears: garments, dyes, fabrics, hair and skin, drawn once for an identity."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis import cloths as c
from personsearch.synthesis import figures as f
from personsearch.synthesis import outfits as o
from personsearch.synthesis import textures as t
from personsearch.synthesis.streams import Stream
from personsearch.synthesis.wardrobe import Fabric, Garment, Skin, Wardrobe

Floats = NDArray[Any]
Rng = np.random.Generator
PAINTED_SKIRTS, PAINTED_OTHERS, TWIN_SHARE = 0.85, 0.06, 0.15
UNCUT = 9.0
IRISES = ((0.25, 0.14, 0.08), (0.18, 0.10, 0.06), (0.35, 0.42, 0.5), (0.3, 0.33, 0.2))
SHOE, BOTTOM, TUCKED, TOP, LOOSE, OUTER, HAIR, HAT = range(8)
"""Layers from the skin outwards; a thing hides what lies under it in lower layers. HAIR hides nothing."""


@dataclass(frozen=True)
class Layer:
    """A garment of the wardrobe, the row of cloths.py that colours it, metres that it is wider than cut, its place."""

    garment: int
    row: Floats  # [CLOTH_COLUMNS]
    ease: float
    place: int


@dataclass(frozen=True)
class Attire:
    """`painted`: clothes of formulas are worn, a coat, a skirt or all; `layers` are what goes with them."""

    painted: bool
    skin: Floats  # [CLOTH_COLUMNS]
    eyes: Floats
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Dressed(o.Identity):
    """A person who wears things of a wardrobe."""

    attire: Attire


def attire_of(wardrobe: Wardrobe, seed: int, number: int) -> Dressed:
    """The person with this number in what they wear, the same at each call. Some dress like their neighbour in
    number."""
    person = o.identity_of(seed, number)
    rng = np.random.default_rng([seed, Stream.ATTIRE, number])
    own = sample_attire(rng, wardrobe, person)
    if number and rng.random() < TWIN_SHARE:
        other = np.random.default_rng([seed, Stream.ATTIRE, number - 1])
        neighbour = o.identity_of(seed, number - 1)
        model = sample_attire(other, wardrobe, neighbour)
        if not model.painted and not own.painted and is_woman(person) == is_woman(neighbour):
            own = attire_like(rng, model, own)
    return put_on(person, own)


def is_woman(person: o.Identity) -> bool:
    return bool(person.phenotype[0] > 0.5)


def bystander(rng: Rng, wardrobe: Wardrobe) -> Dressed:
    """Somebody new."""
    person = o.sample_identity(rng)
    return put_on(person, sample_attire(rng, wardrobe, person))


def dressed_alike(rng: Rng, wardrobe: Wardrobe, seed: int, number: int) -> Dressed:
    """A bystander dressed much like the person with this number; see outfits.look_alike."""
    other = o.identity_of(seed, number)
    stranger = o.look_alike(rng, other)
    while is_woman(stranger) != is_woman(other):
        stranger = o.look_alike(rng, other)
    own = sample_attire(rng, wardrobe, stranger)
    return put_on(stranger, attire_like(rng, attire_of(wardrobe, seed, number).attire, own))


def attire_like(rng: Rng, other: Attire, own: Attire) -> Attire:
    """The other's clothes, their dyes slightly off, with one's own skin, hair and hat; often only one half is alike."""
    heads = [x for x in own.layers if x.place >= HAIR]
    body = [shifted(rng, x) for x in other.layers if x.place < HAIR]
    if rng.random() < 0.5 and not other.painted and not own.painted:
        legs = rng.random() < 0.5
        mine = [x for x in own.layers if (x.place in (SHOE, BOTTOM)) == legs and x.place < HAIR]
        whole = any(x.place == LOOSE for x in (*mine, *body))  # a suit has no halves
        body = body if whole else [x for x in body if (x.place in (SHOE, BOTTOM)) != legs] + mine
    return dataclasses.replace(own, painted=other.painted, layers=tuple(body + heads))


def shifted(rng: Rng, layer: Layer) -> Layer:
    """The same thing from another batch of dye."""
    row = layer.row.copy()
    dyes = slice(c.DYE_A, c.DYE_C + 3)
    row[dyes] = np.clip(row[dyes] * np.tile(rng.uniform(0.78, 1.28, 3), 3), 0.004, 0.95)
    row[c.SEED] = rng.integers(1, 9000)
    row[c.HUE] += rng.normal(0, 0.12)
    return dataclasses.replace(layer, row=row)


def put_on(person: o.Identity, attire: Attire) -> Dressed:
    """The person in the attire: hair and skin of formulas give way to textures."""
    row = person.outfit.row.copy()
    bare = slice(f.SKIN, f.SKIN + 3)
    if np.allclose(row[f.SOCK : f.SOCK + 3], row[bare]):
        row[f.SOCK : f.SOCK + 3] = (-1, 0, 0)
    row[bare] = (-1, 0, 0)  # marks where cloths.painted_color shows the skin's texture
    hatted = person.hair in ("cap", "beanie", "scarf") and not any(x.place >= HAIR for x in attire.layers)
    row[f.HAIRLINE] = 2.0 if hatted else 0.0
    row[f.SHOE_TOP] = -9.0
    hair = person.hair if hatted else "bald"
    row[f.SLEEVE] = min(row[f.SLEEVE], 0.88)  # the base mesh's hands begin there
    outfit = dataclasses.replace(person.outfit, row=row)
    if any(x.place in (TUCKED, TOP) for x in attire.layers):
        row[f.SLEEVE], row[f.COLLAR] = -UNCUT, 0.2  # bare where the top is
        thick = max(outfit.bottom_thick, 0.018)
        outfit = dataclasses.replace(outfit, top_thick=0.0, bottom_thick=thick, coat=0.0, loose=False)
    if any(x.place == BOTTOM for x in attire.layers):
        row[f.LEG_END], row[f.SOCK : f.SOCK + 3] = 0.0, (-1, 0, 0)  # bare below the trousers
        outfit = dataclasses.replace(outfit, bottom_thick=0.0, flare=0.0, skirt=0.0)
    fields = {x.name: getattr(person, x.name) for x in dataclasses.fields(o.Identity)}
    fields |= {"hair": hair, "outfit": outfit}
    return Dressed(**fields, attire=attire)


def sample_attire(rng: Rng, wardrobe: Wardrobe, person: o.Identity) -> Attire:
    """New clothes for a person; whom formulas dress keeps those of their outfit."""
    woman = is_woman(person)
    skin, dark = choose_skin(rng, wardrobe, person, woman)
    eyes = blank(c.EYE_MODE)
    iris = int(rng.choice(4, p=[1, 0, 0, 0] if dark else [0.35, 0.3, 0.2, 0.15]))
    eyes[c.DYE_A : c.DYE_A + 3] = o.linear(IRISES[iris])
    special = person.outfit.skirt > 0 or person.outfit.coat > 0  # what no wardrobe holds
    painted = bool(rng.random() < (PAINTED_SKIRTS if special else PAINTED_OTHERS))
    layers = beside_paint(rng, wardrobe, person, woman) if painted else clothes(rng, wardrobe, woman)
    layers += [shoes(rng, wardrobe), *head(rng, wardrobe, person, woman, dark)]
    return Attire(painted, skin, eyes, tuple(layers))


def beside_paint(rng: Rng, wardrobe: Wardrobe, person: o.Identity, woman: bool) -> list[Layer]:
    """What goes with clothes of formulas: trousers with a coat, a top with a skirt."""
    if person.outfit.coat and wardrobe.of("bottom"):
        return [bottom(rng, wardrobe, pick_garment(rng, wardrobe, "bottom", woman))]
    if person.outfit.skirt and wardrobe.of("top"):
        return [top(rng, wardrobe, pick_garment(rng, wardrobe, "top", woman), TOP, rng.uniform(0, 0.01))]
    return []


def blank(mode: int) -> Floats:
    """A row of cloths.py for a whole thing without texture, pattern and fabric."""
    row = np.zeros(c.CLOTH_COLUMNS, np.float32)
    row[c.MODE], row[c.FABRIC], row[c.FABRIC_TONE], row[c.METRES], row[c.TONE] = mode, -1, 1, 1, 1
    row[c.SLEEVE_END], row[c.HEM_END], row[c.RELIEF] = UNCUT, -UNCUT, 1
    return row


def row_of(garment: Garment, mode: int, dye: Floats, keep: float, relief: float) -> Floats:
    """A row of cloths.py for a garment in one dye (linear RGB)."""
    row = blank(mode)
    row[c.TEXTURE], row[c.TONE], row[c.METRES] = garment.texture, garment.tone, garment.metres
    row[c.DYE_A : c.DYE_C + 3] = np.tile(dye, 3)
    row[c.GREY : c.GREY + 3] = garment.grey
    row[c.KEEP], row[c.RELIEF] = keep, relief
    return row


def choose_skin(rng: Rng, wardrobe: Wardrobe, person: o.Identity, woman: bool) -> tuple[Floats, bool]:
    """The row of a skin that fits sex, age and tone of the person, and whether it is a dark one."""
    target = person.outfit.row[f.SKIN : f.SKIN + 3]
    dark = float(target @ [0.3, 0.59, 0.11]) < 0.13
    age = "old" if person.phenotype[1] > 0.86 else "middleage" if person.phenotype[1] > 0.76 else "young"

    def unlike(skin: Skin) -> float:
        tone = float(np.dot(skin.color, [0.3, 0.59, 0.11]))
        sex = 0.0 if skin.woman in (None, woman) else 100.0
        return sex + 10 * float((tone < 0.13) != dark) + float(skin.age not in ("", age)) + 0.5 * rng.random()

    skin = min(wardrobe.skins, key=unlike)
    row = blank(c.SKIN_MODE)
    row[c.TEXTURE], row[c.METRES] = skin.texture, 2.4
    tint = (target / np.asarray(skin.color)) ** (0.35 if dark else 0.5)
    row[c.DYE_A : c.DYE_A + 3] = np.clip(tint, 0.5, 1.4) * min(1.0, 0.86 / float(tint.max()))
    row[c.SHEEN] = 0.15
    return row, dark


def colour(row: Floats, rng: Rng, wardrobe: Wardrobe, kinds: Any, shares: Any) -> None:
    """Writes a pattern of further dyes, and a fabric where there are some."""
    kind = int(rng.choice(kinds, p=np.asarray(shares) / np.sum(shares)))
    row[c.SEED] = rng.integers(1, 9000)
    row[c.SCALE] = rng.choice([0.03, 0.045, 0.06, 0.09, 0.13]) * rng.uniform(0.85, 1.2)
    for column in (c.DYE_B, c.DYE_C):
        row[column : column + 3] = o.linear(o.cloth_color(rng, 0.3, 0.25))
    row[c.KIND] = kind
    row[c.FOLDS] = rng.uniform(0.15, 0.5)
    row[c.SHEEN] = rng.choice([0.02, 0.06, 0.2], p=[0.6, 0.3, 0.1])
    if not wardrobe.fabrics or rng.random() < 0.2:
        return
    plaid = [x for x in wardrobe.fabrics if x.patterned]
    even = [x for x in wardrobe.fabrics if not x.patterned]
    if (plaid and kind == t.CLOTH_CHECKS) or not even:
        weave(row, rng, plaid[int(rng.integers(len(plaid)))])
        row[c.KIND], row[c.FABRIC_KEEP] = t.CLOTH_PLAIN, rng.uniform(0.4, 0.9)
        row[c.HUE] = rng.uniform(-np.pi, np.pi) if rng.random() < 0.5 else rng.normal(0, 0.3)
    else:
        weave(row, rng, even[int(rng.integers(len(even)))])


def weave(row: Floats, rng: Rng, fabric: Fabric) -> None:
    """Writes a fabric: a tile of it spans some centimetres, and lies straight or askew."""
    span = rng.uniform(0.12, 0.4) if fabric.patterned else rng.uniform(0.04, 0.15)
    angle = rng.choice([0.0, 0.5 * np.pi]) + rng.normal(0, 0.05) if fabric.patterned else rng.uniform(0, 2 * np.pi)
    size = row[c.METRES] / span
    row[c.FABRIC], row[c.FABRIC_TONE] = fabric.texture, max(fabric.tone, 0.01)
    row[c.FABRIC_X], row[c.FABRIC_Y] = size * np.cos(angle), size * np.sin(angle)


def fits(garment: Garment, woman: bool, rng: Rng) -> bool:
    """Whether somebody would choose it: what was cut for women is for women."""
    name = garment.name.lower()
    if name.startswith("female"):
        return woman
    return not (name.startswith("male") and woman) or bool(rng.random() < 0.3)


def pick_garment(rng: Rng, wardrobe: Wardrobe, kind: str, woman: bool) -> int:
    """The number of a garment of a kind, of which the wardrobe has some; one that fits where there is one."""
    every = wardrobe.of(kind)
    fitting = [k for k in every if fits(wardrobe.garments[k], woman, rng)] or every
    long = [k for k in fitting if kind != "top" or wardrobe.garments[k].rest[:, 2].min() < 0.15]
    return int(rng.choice(long if long and rng.random() < 0.9 else fitting))  # few show their belly


def clothes(rng: Rng, wardrobe: Wardrobe, woman: bool) -> list[Layer]:
    """Top and bottom, or a suit of one piece; some wear a second top over the first."""
    suits, tops, bottoms = (wardrobe.of(kind) for kind in ("suit", "top", "bottom"))
    if suits and (not tops or not bottoms or rng.random() < (0.03 if woman else 0.08)):
        number = int(rng.choice(suits))
        return [top(rng, wardrobe, number, LOOSE, rng.uniform(0, 0.006), kept=0.2)]
    number = pick_garment(rng, wardrobe, "top", woman)
    legs = pick_garment(rng, wardrobe, "bottom", woman)
    tucked = rng.random() < 0.2
    upper = top(rng, wardrobe, number, TUCKED if tucked else TOP, rng.uniform(0.0, 0.01))
    result = [bottom(rng, wardrobe, legs), upper]
    if tucked:
        result[0] = dataclasses.replace(result[0], place=TOP)
    long = [k for k in tops if sleeve(wardrobe.garments[k]) > 0.8 and fits(wardrobe.garments[k], woman, rng)]
    if long and sleeve(wardrobe.garments[number]) < 0.8 and rng.random() < 0.45:
        result.append(jacket(rng, wardrobe, int(rng.choice(long))))
    return result


def sleeve(garment: Garment) -> float:
    """Where its sleeves end: 0 the shoulder, 1 the wrist."""
    return float((np.abs(garment.rest[:, 0]).max() - 0.162) / 0.284)


def top(rng: Rng, wardrobe: Wardrobe, number: int, place: int, ease: float, kept: float = 0.1) -> Layer:
    garment = wardrobe.garments[number]
    dye = o.linear(o.cloth_color(rng, 0.6, 0.04) if place == LOOSE else o.cloth_color(rng, 0.3, 0.17))
    original = rng.random() < kept
    row = row_of(garment, c.CLOTH_MODE, dye, rng.uniform(0.7, 1.0) if original else 0.0, rng.uniform(0.35, 0.8))
    colour(row, rng, wardrobe, o.TOP_KINDS, o.TOP_SHARES)
    if original or place == LOOSE:
        row[c.KIND], row[c.HUE] = t.CLOTH_PLAIN, rng.normal(0, 0.5)
    if place == LOOSE:
        row[c.FABRIC] = -1
        row[c.RELIEF] *= 0.6
    if sleeve(garment) > 0.8 and place != LOOSE and rng.random() < 0.2:
        row[c.SLEEVE_END] = rng.uniform(0.25, 0.6)
    elif sleeve(garment) < 0.5 and rng.random() < 0.06:
        row[c.SLEEVE_END] = 0.04
    return Layer(number, row, ease, place)


def jacket(rng: Rng, wardrobe: Wardrobe, number: int) -> Layer:
    """A wide top with long sleeves over another, mostly open in front."""
    garment = wardrobe.garments[number]
    row = row_of(garment, c.CLOTH_MODE, o.linear(o.cloth_color(rng, 0.6, 0.1)), 0.0, rng.uniform(0.3, 0.7))
    colour(row, rng, wardrobe, [t.CLOTH_PLAIN, t.CLOTH_MELANGE, t.CLOTH_TWO_TONE, t.CLOTH_CHECKS], [0.7, 0.1, 0.1, 0.1])
    row[c.OPEN] = rng.uniform(0.035, 0.1) if rng.random() < 0.65 else 0.0
    return Layer(number, row, rng.uniform(0.012, 0.026), OUTER)


def bottom(rng: Rng, wardrobe: Wardrobe, number: int) -> Layer:
    garment = wardrobe.garments[number]
    denim = not garment.skirt and rng.random() < 0.42
    dye = o.linear(o.pick(rng, o.DENIM) if denim else o.cloth_color(rng, 0.6, 0.05))
    relief = rng.uniform(0.6, 1.0) if denim else rng.uniform(0.1, 0.5)
    row = row_of(garment, c.CLOTH_MODE, dye, 0.15 if denim else 0.0, relief)
    colour(row, rng, wardrobe, o.BOTTOM_KINDS, o.BOTTOM_SHARES)
    if denim:
        row[c.KIND], row[c.FABRIC] = t.CLOTH_PLAIN, -1
    if garment.rest[:, 2].min() < -0.6 and rng.random() < 0.15:
        row[c.HEM_END] = rng.uniform(-0.5, -0.2)
    return Layer(number, row, rng.uniform(0.0, 0.012), BOTTOM)


def shoes(rng: Rng, wardrobe: Wardrobe) -> Layer:
    number = int(rng.choice(wardrobe.of("shoes")))
    dye = o.linear(o.pick(rng, o.LEATHER) if rng.random() < 0.4 else o.cloth_color(rng, 0.5, 0.12))
    row = row_of(wardrobe.garments[number], c.CLOTH_MODE, dye, float(rng.choice([0.0, 0.35, 0.9])), 0.7)
    row[c.SHEEN] = 0.25
    return Layer(number, row, 0.0, SHOE)


def head(rng: Rng, wardrobe: Wardrobe, person: o.Identity, woman: bool, dark: bool) -> list[Layer]:
    """Hair, or a hat over short hair. Caps, beanies and scarves are of formulas and leave no hair."""
    if person.hair in ("bald", "cap", "beanie", "scarf"):
        return []
    hats = wardrobe.of("hat")
    hatted = bool(hats) and rng.random() < 0.025
    choices = wardrobe.of("hair")
    weights = np.array([hair_share(wardrobe.garments[k], woman and not hatted, dark) for k in choices])
    number = int(rng.choice(choices, p=weights / weights.sum()))
    dye = np.asarray(person.outfit.row[f.HAIR_COLOR : f.HAIR_COLOR + 3])
    row = row_of(wardrobe.garments[number], c.HAIR_MODE, dye, 0.0, rng.uniform(0.6, 0.9))
    row[c.SHEEN] = 0.2
    layers = [Layer(number, row, rng.uniform(0.0, 0.004), HAIR)]
    if hatted:
        hat = int(rng.choice(hats))
        cover = row_of(wardrobe.garments[hat], c.CLOTH_MODE, o.linear(o.cloth_color(rng, 0.5, 0.1)), 0.2, 0.6)
        layers.append(Layer(hat, cover, 0.003, HAT))
    return layers


def hair_share(garment: Garment, woman: bool, dark: bool) -> float:
    """How often a style is worn, by its length and by who wears it."""
    low = float(garment.rest[:, 2].min())
    if "afro" in garment.name.lower():
        return 0.6 if dark else 0.04
    if low < 0.58:
        return 1.0 if woman else 0.03
    return 0.12 if woman else 1.0
