"""Picture files as RGB, upright, and of a limited size."""

from __future__ import annotations

import importlib
import shutil
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from personsearch.data.depth import check_upper_bits, keeps_upper_bits_only, to_grey
from personsearch.data.records import Picture
from personsearch.errors import ImageError

_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
IMAGE_SUFFIXES = _JPEG | {".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".jp2", ".avif", ".heic", ".heif"}
MAX_PIXELS = 64_000_000
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What is tried, whatever a file's suffix says. Pillow alone would start Ghostscript for a PostScript file."""
_ORIENTATION = 0x0112  # the Exif tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The tag's values, and what turns the stored picture upright."""
_LYING = (5, 6, 7, 8)  # those that swap width and height
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1", b"miaf")
"""Brands of such pictures; films have others."""
_HEIF_READERS = ("pi_heif", "pillow_heif")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture in a file; nothing is read before `read`."""

    path: Path

    def read(self) -> Image.Image:
        """The picture in RGB, turned upright by its Exif orientation; transparent pixels lie on white.

        Of a file with several frames it is the first; pixels of more than 8 bits are scaled as `to_grey` says. Damaged
        Exif counts as none. Raises ImageError when the file is missing, not a picture, damaged, or of more than
        64 megapixels: the last is seen in the header, before anything is decoded.
        """
        with _opened(self.path) as image:
            cut = keeps_upper_bits_only(image)
            _orientation(image)  # forgets other Exif, before a TIFF turns itself while loading and stumbles over it
            image.load()
            turn = _TURNS.get(_orientation(image))  # a TIFF says that it is upright by now
            rgb = _to_rgb(image)
            if cut:
                check_upper_bits(rgb)
            return rgb if turn is None else rgb.transpose(turn)


def save_jpeg(picture: Picture, target: Path) -> None:
    """The picture as a JPEG file: a copy where it is one already. Raises ImageError or VideoError."""
    if isinstance(picture, ImageFile) and picture.path.suffix.lower() in _JPEG:
        shutil.copyfile(picture.path, target)
    else:
        picture.read().save(target, "JPEG", quality=95)


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture, from its header alone. Raises ImageError like `read`."""
    with _opened(path) as image:
        width, height = image.size
        # Pillow decodes a whole PNG to look for Exif behind the pixels; those few are taken as upright.
        # The size of a TIFF is that of the upright picture already.
        turned = image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info)
        lying = not turned and _orientation(image) in _LYING
    return (height, width) if lying else (width, height)


def _orientation(image: Image.Image) -> int:
    """The Exif orientation, 1 for upright. All other Exif is forgotten, so that nothing stumbles over it later."""
    try:
        exif = image.getexif()
        for tag in set(exif) - {_ORIENTATION}:
            del exif[tag]
        value = exif.get(_ORIENTATION, 1)
        return int(value) if value in _TURNS else 1
    except Exception:  # Pillow's reader of Exif raises whatever it stumbles over; pixels count, not Exif
        return 1


# ------------------------------------------------------------------------------------------------- opening


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture with its header read; whatever goes wrong inside becomes one line of ImageError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, which nobody here reads
            if not stat.S_ISREG(path.stat().st_mode):
                raise ImageError(f"{path} cannot be read (it is no file): name a picture")
            with _open(path) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ImageError(_too_large(path, f"{width}x{height} pixels"))
                yield image
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist: check the path of the picture") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(path, "far more pixels")) from None
    except UnidentifiedImageError:
        known = "JPEG, PNG, BMP, GIF, WebP, TIFF, JPEG 2000, AVIF or HEIC"
        raise ImageError(f"{path} is not a picture that can be read: give a {known}") from None
    except Exception as error:  # Pillow's decoders raise whatever they stumble over in a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path} cannot be read ({reason}): copy it again or leave it out") from None


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            head = file.read(12)
        if head[4:8] != b"ftyp" or head[8:12] not in _HEIC:
            raise
    _register_heif(path)
    return Image.open(path, formats=("HEIF",))


def _register_heif(path: Path) -> None:
    """Teaches Pillow HEIC, with either of the two packages that can."""
    for name in _HEIF_READERS:
        try:
            importlib.import_module(name).register_heif_opener()
        except ImportError:
            continue
        return
    raise ImageError(f"{path} is a HEIC picture: pip install 'personsearch[heic]', or save it as JPEG")


def _too_large(path: Path, size: str) -> str:
    return f"{path} has {size}, and {MAX_PIXELS // 1_000_000} megapixels are the limit: make it smaller first"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return to_grey(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")
