import io
import os
import random
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from personsearch.data import pictures
from personsearch.data.pictures import IMAGE_SUFFIXES, ImageFile, picture_size, save_jpeg
from personsearch.errors import ImageError

ORIENTATION = 0x0112


def _refused(path, reason):
    for call in (ImageFile(path).read, lambda: picture_size(path)):
        with pytest.raises(ImageError, match=reason) as caught:
            call()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def _png_header(path, width, height):
    """A PNG that claims a size and holds nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_a_missing_file(tmp_path):
    _refused(tmp_path / "none.jpg", "does not exist")


@pytest.mark.parametrize("content", [b"", b"hello, I am a text"])
def test_not_a_picture(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    _refused(tmp_path / "a.jpg", "not a picture")


def test_a_folder_is_not_a_picture(tmp_path):
    _refused(tmp_path, "cannot be read")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_picture(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.effect_noise((200, 100), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=f"a{suffix} cannot be read"):
        ImageFile(path).read()
    assert picture_size(path) == (200, 100)


@pytest.mark.parametrize("side", [20_000, 10_000, 8_100])
def test_a_huge_picture_is_refused_by_its_header(tmp_path, side):
    _png_header(tmp_path / "bomb.png", side, side)
    _refused(tmp_path / "bomb.png", "64 megapixels are the limit")


def test_a_picture_at_the_limit_passes_the_header(tmp_path):
    _png_header(tmp_path / "large.png", 8_000, 8_000)
    assert picture_size(tmp_path / "large.png") == (8_000, 8_000)


def _marked():
    """40x20, and no two of its corners alike, so that each of the eight orientations gives another picture."""
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 16, 8))
    image.paste("yellow", (24, 0, 40, 8))
    return image


def _exif(orientation):
    """Exif as cameras write it, with folders of its own for exposure and place."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010E] = "description"
    exif[0x011A] = IFDRational(72, 1)
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    return exif


def _upright(pixels, orientation):
    """By the table of the Exif standard: where row 0 and column 0 of what is stored belong."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg", ".avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(tmp_path, suffix, orientation):
    path = tmp_path / f"a{suffix}"
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 95, "subsampling": 0}}.get(suffix, {})
    _marked().save(path, exif=_exif(orientation), **options)
    read = ImageFile(path).read()
    expected = _upright(np.asarray(_marked(), dtype=int), orientation)
    assert (read.height, read.width) == expected.shape[:2]
    assert picture_size(path) == read.size
    assert np.median(abs(np.asarray(read, dtype=int) - expected)) < 8
    assert abs(np.asarray(read, dtype=int) - expected).mean() < 8


def test_exif_that_cannot_be_written_again_turns_the_picture(tmp_path):
    """A rational where text belongs: Pillow reads it, and fails to store it."""
    exif = _exif(6)
    stored = exif.tobytes()
    order = "<" if b"II" in stored[:8] else ">"
    text, rational = (struct.pack(f"{order}HHL", 0x010E, *kind) for kind in ((2, 12), (5, 1)))
    assert stored.count(text) == 1
    broken = stored.replace(text, rational)
    _marked().save(tmp_path / "a.jpg", exif=broken)
    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(AttributeError):
        image.getexif().tobytes()
    assert ImageFile(tmp_path / "a.jpg").read().size == picture_size(tmp_path / "a.jpg") == (20, 40)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_no_exif_keeps_pixels_from_being_read(tmp_path, suffix):
    chance = random.Random(suffix)
    whole = _exif(6).tobytes()
    path = tmp_path / f"a{suffix}"
    for _ in range(60):
        broken = bytearray(whole)
        for place in chance.choices(range(6, len(whole)), k=chance.randint(1, 8)):
            broken[place] = chance.choice((0, 255, chance.randrange(256)))
        _marked().save(path, exif=bytes(broken))
        assert ImageFile(path).read().size == picture_size(path)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_with_damaged_folders_of_exif_is_read(tmp_path, compression):
    path = tmp_path / "a.tif"
    _marked().save(path, exif=_exif(6), compression=compression)
    stored = path.read_bytes()
    resolution = stored.index(struct.pack("<HHL", 0x011A, 5, 1))  # an entry that is not missed
    for tag in (0x8769, 0x8825, 0xA005):
        for offset in (0, 5, len(stored) - 3, 0xFFFFFFFF):
            pointer = struct.pack("<HHLL", tag, 4, 1, offset)
            path.write_bytes(stored[:resolution] + pointer + stored[resolution + 12 :])
            assert ImageFile(path).read().size == picture_size(path) == (20, 40)


RAISED = (AttributeError, ZeroDivisionError, KeyError, IndexError, OverflowError, RecursionError, MemoryError)


@pytest.mark.parametrize("error", [*RAISED, TypeError, zlib.error, struct.error, EOFError, SystemError, AssertionError])
@pytest.mark.parametrize("where", ["open", "load"])
def test_whatever_a_decoder_raises_is_one_line(tmp_path, monkeypatch, where, error):
    def fail(*_args, **_options):
        raise error("one\ntwo")

    _marked().save(tmp_path / "a.png")
    monkeypatch.setattr(*{"open": (Image, "open"), "load": (Image.Image, "load")}[where], fail)
    with pytest.raises(ImageError, match=r"a\.png cannot be read \(.*one.*two") as caught:
        ImageFile(tmp_path / "a.png").read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["JPEG", "MPO", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000"])
def test_mutated_pictures_are_read_or_refused_in_one_line(tmp_path, form):
    chance = random.Random(form)
    buffer = io.BytesIO()
    _marked().save(buffer, form, **({"exif": _exif(6)} if form not in ("GIF", "BMP", "JPEG2000") else {}))
    path = tmp_path / "a"
    refused = []
    for _ in range(60):
        broken = bytearray(buffer.getvalue())
        reach = chance.choice((100, len(broken)))
        for place in chance.choices(range(min(reach, len(broken))), k=chance.randint(1, 5)):
            broken[place] = chance.choice((0, 255, chance.randrange(256)))
        path.write_bytes(broken[: chance.choice((len(broken), chance.randrange(len(broken))))])
        for call in (ImageFile(path).read, lambda: picture_size(path)):
            try:
                call()
            except ImageError as error:
                refused.append(str(error))
    assert refused
    assert not any("\n" in line for line in refused)


@pytest.mark.parametrize("suffix", [".webp", ".tif", ".gif", ".png"])
def test_the_first_of_several_frames_is_taken(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    _marked().save(path, save_all=True, append_images=[Image.new("RGB", (40, 20), "black")], **options)
    read = ImageFile(path).read()
    assert read.size == picture_size(path) == (40, 20)
    assert abs(np.asarray(read, dtype=int) - np.asarray(_marked(), dtype=int)).max() < 8


def test_a_suffix_may_lie(tmp_path):
    _marked().save(tmp_path / "a.jpg", "PNG")
    assert ImageFile(tmp_path / "a.jpg").read().tobytes() == _marked().tobytes()


def test_what_runs_programs_is_not_opened(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    _refused(tmp_path / "a.jpg", "not a picture")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    _refused(tmp_path / "a.jpg", "it is no file")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.new("RGB", (8, 6), "white").convert(mode).save(path if mode != "LA" else path.with_suffix(".png"))
    path = path if path.exists() else path.with_suffix(".png")
    read = ImageFile(path).read()
    assert (read.mode, read.size) == ("RGB", (8, 6))
    assert read.getpixel((3, 3)) == (255, 255, 255)


def _grey_of(path, values):
    Image.fromarray(values).save(path)
    read = ImageFile(path).read()
    assert read.mode == "RGB"
    return np.asarray(read)[..., 0]


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(("suffix", "kind"), [(".png", np.uint16), (".tif", np.uint16), (".tif", np.int32)])
def test_whole_numbers_are_scaled_by_the_bits_they_use(tmp_path, depth, suffix, kind):
    values = np.linspace(0, 2**depth - 1, 48).reshape(6, 8).astype(kind)
    expected = np.rint(values * (255 / (2**depth - 1)))
    assert (_grey_of(tmp_path / f"a{suffix}", values) == expected).all()


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_floats_are_scaled_by_their_range(tmp_path, top):
    values = np.linspace(0, 1.005 * top, 48, dtype=np.float32).reshape(6, 8)  # a little beyond, as resampling gives
    expected = np.rint((values * (255 / top)).clip(0, 255))
    assert (_grey_of(tmp_path / "a.tif", values) == expected).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -3.0, 3.0, 15.9, 300.0])
def test_floats_of_another_range_are_refused(tmp_path, value):
    values = np.zeros((6, 8), np.float32)
    values[2, 3] = value
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"its pixels go from .*, not from 0 to 1 or from 0 to 255, so scale them"):
        ImageFile(tmp_path / "a.tif").read()


@pytest.mark.parametrize("value", [-1, 65536])
def test_whole_numbers_beyond_sixteen_bits_are_refused(tmp_path, value):
    values = np.zeros((6, 8), np.int32)
    values[2, 3] = value
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"its pixels go from .*, not from 0 to 65535"):
        ImageFile(tmp_path / "a.tif").read()


def _deep_png(path, colours):
    """A PNG of 16-bit RGB colours [H, W, 3]."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = colours.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_colours_in_the_lower_of_sixteen_bits_are_refused_not_black(tmp_path):
    colours = np.arange(144).reshape(6, 8, 3) * 400
    _deep_png(tmp_path / "a.png", colours)
    assert (np.asarray(ImageFile(tmp_path / "a.png").read()) == colours // 256).all()
    _deep_png(tmp_path / "a.png", colours * 4095 // colours.max())
    with pytest.raises(ImageError, match="use the lower bits alone"):
        ImageFile(tmp_path / "a.png").read()
    _deep_png(tmp_path / "a.png", colours * 0)
    assert ImageFile(tmp_path / "a.png").read().getextrema() == ((0, 0),) * 3


def test_transparent_pixels_lie_on_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert ImageFile(tmp_path / "a.png").read().getpixel((0, 0)) == (255, 255, 255)
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "b.png", transparency=1)
    assert ImageFile(tmp_path / "b.png").read().getpixel((0, 0)) == (255, 255, 255)
    Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / "c.png", transparency=(9, 8, 7))
    assert ImageFile(tmp_path / "c.png").read().getpixel((0, 0)) == (255, 255, 255)


def _heic(path):
    path.write_bytes(b"\0\0\0\x1cftypheic" + bytes(40))
    return path


def test_heic_without_a_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_HEIF_READERS", ("no_such_package",))
    _refused(_heic(tmp_path / "a.heic"), r"pip install 'personsearch\[heic\]'")
    _refused(_heic(tmp_path / "a.jpg"), "is a HEIC picture")


def test_a_film_with_the_name_of_a_picture_is_no_heic(tmp_path):
    path = tmp_path / "film.jpg"
    path.write_bytes(b"\0\0\0\x1cftypisom" + bytes(40))
    _refused(path, "is not a picture that can be read")


def test_heic_is_read_by_what_is_installed(tmp_path, monkeypatch):
    """A stand-in for the package: it shows what Pillow would be told."""
    reader = types.ModuleType("no_such_reader")
    asked = []
    monkeypatch.setitem(sys.modules, "no_such_reader", reader)
    monkeypatch.setattr(pictures, "_HEIF_READERS", ("no_such_package", "no_such_reader"))
    opened = Image.open

    def answer(path, formats):
        asked.append(formats)
        return _marked() if formats == ("HEIF",) else opened(path, formats=formats)

    monkeypatch.setattr(Image, "open", answer)
    reader.register_heif_opener = lambda: asked.append("registered")
    assert ImageFile(_heic(tmp_path / "a.heic")).read().tobytes() == _marked().tobytes()
    assert asked[1:] == ["registered", ("HEIF",)]


def test_phones_and_browsers_suffixes_are_pictures(tmp_path):
    assert {".heic", ".heif", ".jfif", ".jpe", ".avif", ".gif", ".jp2"} <= IMAGE_SUFFIXES
    _marked().save(tmp_path / "a.jfif", "JPEG")
    save_jpeg(ImageFile(tmp_path / "a.jfif"), tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").read_bytes() == (tmp_path / "a.jfif").read_bytes()
