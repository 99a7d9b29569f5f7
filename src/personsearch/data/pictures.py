"""Picture files as RGB, upright, and never larger than what memory was meant for."""

from __future__ import annotations

import shutil
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from personsearch.data.records import Picture
from personsearch.errors import ImageError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
MAX_PIXELS = 64_000_000
_ORIENTATION = 0x0112  # the Exif tag
_LYING = (5, 6, 7, 8)  # its values that swap width and height


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture in a file; nothing is read before `read`."""

    path: Path

    def read(self) -> Image.Image:
        """The picture in RGB, turned upright by its Exif orientation; transparent pixels lie on white.

        Raises ImageError when it is missing, not a picture, damaged, or of more than 64 megapixels: the last
        is seen in the header, before anything is decoded.
        """
        with _opened(self.path) as image:
            return _to_rgb(ImageOps.exif_transpose(image))


def save_jpeg(picture: Picture, target: Path) -> None:
    """The picture as a JPEG file: a copy where it is one already. Raises ImageError or VideoError."""
    if isinstance(picture, ImageFile) and picture.path.suffix.lower() in (".jpg", ".jpeg"):
        shutil.copyfile(picture.path, target)
    else:
        picture.read().save(target, "JPEG", quality=95)


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture, from its header alone. Raises ImageError like `read`."""
    with _opened(path) as image:
        width, height = image.size
        # Pillow decodes a whole PNG to look for Exif behind the pixels; those few are taken as upright.
        has_exif = image.format != "PNG" or "exif" in image.info
        lying = has_exif and image.getexif().get(_ORIENTATION) in _LYING
    return (height, width) if lying else (width, height)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The picture with its header read; whatever goes wrong inside becomes one line of ImageError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path)
        with image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(_too_large(path, f"{width}x{height} pixels"))
            yield image
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist: check the path of the picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(_too_large(path, "far more pixels")) from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not a picture that can be read: give a JPEG, PNG, BMP, WebP or TIFF") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        reason = " ".join(str(error).split())
        raise ImageError(f"{path} cannot be read ({reason}): copy it again or leave it out") from None


def _too_large(path: Path, size: str) -> str:
    return f"{path} has {size}, and {MAX_PIXELS // 1_000_000} megapixels are the limit: make it smaller first"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow would cut at 255 instead of scaling
        return Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")
