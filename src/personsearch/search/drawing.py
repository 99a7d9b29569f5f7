"""Pictures of answers: boxes drawn into a scene, and a sheet with a query and its ranked hits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from personsearch.data.records import Box
from personsearch.errors import InputError
from personsearch.search.files import one_line
from personsearch.search.hits import GalleryHit, clock
from personsearch.search.sources import State

_PAPER, _CARD, _EDGE = "#eef0f4", "#ffffff", "#d9dde5"
_INK, _FAINT, _VOID = "#171b24", "#6b7280", "#e4e7ed"
_BLUE, _GREEN, _RED, _AMBER = "#2563eb", "#15924b", "#d92d20", "#f59e0b"

_WIDTH, _MARGIN, _GAP = 1760, 36, 22
_CROP, _MEDIA = (134, 268), 268
"""Size of a person's enlarged crop, and the height of a card's pictures, in pixels."""
_CAPTION = 78
_QUERY_CROP, _QUERY_MEDIA = (170, 340), 340


def draw_scene(
    image: Image.Image,
    boxes: Sequence[Box],
    labels: Sequence[str] | None = None,
    color: str = _AMBER,
    stroke: int | None = None,
) -> Image.Image:
    """A copy of the picture with boxes, and a label on top of each; strokes fit the picture's size."""
    drawn = image.convert("RGB").copy()
    pen = ImageDraw.Draw(drawn)
    stroke = stroke or max(2, round(max(image.size) / 400))
    for box, label in zip(boxes, labels or [""] * len(boxes), strict=True):
        x1, y1, x2, y2 = (round(v) for v in box)
        pen.rectangle((x1 - stroke, y1 - stroke, x2 + stroke, y2 + stroke), outline="white", width=1)
        pen.rectangle((x1 - stroke + 1, y1 - stroke + 1, x2 + stroke - 1, y2 + stroke - 1), None, color, stroke)
        if label:
            _label(pen, (x1 - stroke, y1 - stroke), label, color, size=max(13, 7 * stroke))
    return drawn


def contact_sheet(
    query_image: Image.Image,
    query_box: Box,
    hits: Sequence[GalleryHit],
    *,
    title: str = "Where else is this person?",
    notes: Sequence[str] = (),
    correct: Sequence[bool | None] | None = None,
    columns: int = 3,
) -> Image.Image:
    """The query on top, then the ranked hits: scene with box, enlarged person, similarity, place and time.

    `notes` are lines beside the query. With `correct`, one entry a hit, right ones are framed green and wrong
    ones red. A hit whose picture is gone, or has changed since it was indexed, gets an empty card that says so, as
    its box belongs to the old pixels.
    """
    width = (_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    height = _MEDIA + _CAPTION
    rows = -(-len(hits) // columns)
    top = _MARGIN + _QUERY_MEDIA + 2 * 14 + _GAP
    sheet = Image.new("RGB", (_WIDTH, top + rows * (height + _GAP) + (_MARGIN - _GAP if rows else 14)), _PAPER)
    _paste_query(sheet, query_image, query_box, title, notes if hits else [*notes, "Nobody was found."])
    for number in sorted(range(len(hits)), key=lambda n: (str(hits[n].source), hits[n].frame or 0)):
        # in reading order, for going back in a video is slow; and one picture in memory at a time
        row, column = divmod(number, columns)
        card = _card(number + 1, hits[number], width, None if correct is None else correct[number])
        sheet.paste(card, (_MARGIN + column * (width + _GAP), top + row * (height + _GAP)))
    return sheet


# -------------------------------------------------------------------- one card


def _card(rank: int, hit: GalleryHit, width: int, correct: bool | None) -> Image.Image:
    color = _AMBER if correct is None else _GREEN if correct else _RED
    card = Image.new("RGB", (width, _MEDIA + _CAPTION), _CARD)
    pen = ImageDraw.Draw(card)
    scene_width = width - _CROP[0] - 4
    state = hit.state
    image = _image_of(hit, state)
    if isinstance(image, str):
        pen.rectangle((0, 0, width, _MEDIA), fill=_VOID)
        _text(pen, (16, _MEDIA // 2 - 10), image, 16, _FAINT, width - 32)
    else:
        card.paste(_framed(image, hit.box, (scene_width, _MEDIA), color), (0, 0))
        card.paste(person_crop(image, hit.box, _CROP), (scene_width + 4, 0))
    _caption(pen, rank, hit, state, width, color, correct)
    edge = _EDGE if correct is None else color
    pen.rectangle((0, 0, width - 1, card.height - 1), outline=edge, width=1 if correct is None else 3)
    return card


def _image_of(hit: GalleryHit, state: State) -> Image.Image | str:
    """The scene in which the hit's box was found, or one line that says why there is none."""
    changed = "changed since it was indexed: index it again"
    if state is State.CHANGED:
        return changed
    if state is State.GONE:
        return "gone: moved or deleted since it was indexed"
    try:
        image = hit.read()
    except InputError as error:
        return str(error)
    if hit.indexed is not None and image.size != (hit.width, hit.height):
        return changed
    return image


def _caption(
    pen: ImageDraw.ImageDraw, rank: int, hit: GalleryHit, state: State, width: int, color: str, correct: bool | None
) -> None:
    top = _MEDIA + 14
    pen.rounded_rectangle((14, top, 64, top + 50), radius=8, fill=_INK if correct is None else color)
    pen.text((39, top + 25), str(rank), font=_font(26), fill="white", anchor="mm")
    pen.text((80, top - 3), f"{hit.similarity:.3f}", font=_font(28), fill=_INK)
    bar = (80, top + 38, 170, top + 45)
    pen.rounded_rectangle(bar, radius=3, fill=_VOID)
    filled = bar[0] + round((bar[2] - bar[0]) * max(0.0, min(1.0, hit.similarity)))
    if filled - bar[0] > 6:
        pen.rounded_rectangle((*bar[:2], filled, bar[3]), radius=3, fill=color)
    left = 190
    _text(pen, (left, top), place_of(hit.source), 19, _INK, width - left - 14)
    when = f"at {clock(hit.time)}" if hit.time is not None else f"{hit.width} x {hit.height}"
    x1, y1, x2, y2 = (round(v) for v in hit.box)
    note = "" if state is State.CURRENT else f"   {state}"
    _text(pen, (left, top + 28), f"{when}   box {x1} {y1} {x2} {y2}{note}", 16, _FAINT, width - left - 14)


def _paste_query(sheet: Image.Image, image: Image.Image, box: Box, title: str, notes: Sequence[str]) -> None:
    pen = ImageDraw.Draw(sheet)
    bottom = _MARGIN + _QUERY_MEDIA + 2 * 14
    pen.rectangle((_MARGIN, _MARGIN, _WIDTH - _MARGIN - 1, bottom), fill=_CARD, outline=_EDGE)
    pen.rectangle((_MARGIN, _MARGIN, _MARGIN + 7, bottom), fill=_BLUE)
    x, y = _MARGIN + 14 + 8, _MARGIN + 14
    sheet.paste(person_crop(image, box, _QUERY_CROP), (x, y))
    x += _QUERY_CROP[0] + 6
    widest = round(_QUERY_MEDIA * 16 / 9)
    scene_width = min(widest, round(_QUERY_MEDIA * image.width / image.height))
    sheet.paste(_framed(image, box, (scene_width, _QUERY_MEDIA), _BLUE), (x, y))
    x += scene_width + 34
    room = _WIDTH - _MARGIN - x - 20
    _text(pen, (x, y + 8), "QUERY", 18, _BLUE, room)
    _text(pen, (x, y + 36), title, 38, _INK, room)
    for line, note in enumerate(notes):
        _text(pen, (x, y + 104 + 34 * line), note, 22, _FAINT if line else _INK, room)


# -------------------------------------------------------------------- parts


def place_of(path: Path) -> str:
    """Where a file is, in short: its folder and its name."""
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def person_crop(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """The person in `box` with a little room around, enlarged to `size`, never stretched."""
    x1, y1, x2, y2 = box
    aspect = size[0] / size[1]
    height = max((y2 - y1) * 1.12, (x2 - x1) * 1.12 / aspect, 1.0)
    width = height * aspect
    left, upper = (x1 + x2 - width) / 2, (y1 + y2 - height) / 2
    left = min(max(left, 0.0), max(0.0, image.width - width))
    upper = min(max(upper, 0.0), max(0.0, image.height - height))
    region = (left, upper, min(left + width, image.width), min(upper + height, image.height))
    scale = min(size[0] / (region[2] - region[0]), size[1] / (region[3] - region[1]))
    inner = (
        max(1, min(size[0], round((region[2] - region[0]) * scale))),
        max(1, min(size[1], round((region[3] - region[1]) * scale))),
    )
    crop = image.resize(inner, Image.Resampling.LANCZOS, box=region)
    return _centred(crop, size)


def _framed(image: Image.Image, box: Box, size: tuple[int, int], color: str) -> Image.Image:
    """The whole picture made small, its box drawn after that so that the stroke stays thin and sharp."""
    small = ImageOps.contain(image, size, Image.Resampling.LANCZOS)
    x, y = small.width / image.width, small.height / image.height
    x1, y1, x2, y2 = box
    return _centred(draw_scene(small, [(x1 * x, y1 * y, x2 * x, y2 * y)], color=color, stroke=3), size)


def _centred(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    ground = Image.new("RGB", size, _VOID)
    ground.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return ground


def _label(pen: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, color: str, size: int) -> None:
    font = _font(size)
    x1, y1, x2, y2 = pen.textbbox((0, 0), one_line(text), font=font)
    width, height = x2 - x1 + 8, y2 - y1 + 6
    x, y = max(0, corner[0]), max(0, corner[1] - height)
    pen.rectangle((x, y, x + width, y + height), fill=color)
    pen.text((x + 4 - x1, y + 3 - y1), one_line(text), font=font, fill="white")


def _text(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, color: str, width: int) -> None:
    """One line. A text that is too long loses its middle: a path says most at its ends."""
    text, font = one_line(text), _font(size)
    kept = len(text)
    shown = text
    while kept > 2 and pen.textlength(shown, font=font) > width:
        kept -= 1
        shown = f"{text[: kept // 3]}...{text[len(text) - (kept - kept // 3) :]}"
    pen.text(at, shown, font=font, fill=color)


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
