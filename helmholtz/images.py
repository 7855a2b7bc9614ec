"""Image files to RGB samples, by Pillow or as it decodes them, with every conversion on the way noted.

| stored as | becomes | note |
| --- | --- | --- |
| greyscale, 1 bit | the value in all three channels | ``greyscale``, ``1-bit`` |
| palette | its colours | ``palette`` |
| 16 bits a channel | the high byte, as libpng and TensorFlow do it | ``16-bit`` |
| CMYK, YCbCr | RGB by Pillow's formula, without colour profiles | ``cmyk``, ``ycbcr`` |
| alpha or a transparent colour | the colours alone; alpha is dropped, not blended | ``alpha`` |
| several frames | the first | ``first-frame`` |
| EXIF orientation | ignored: pixels as stored, as TensorFlow sees them | ``exif-orientation`` |

TIFF is the exception to the last line: orientation is a tag of its own there, and Pillow applies it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from helmholtz.errors import BadRecord
from helmholtz.plain_images import MAX_SIDE, decode_plain

if TYPE_CHECKING:
    from helmholtz.codecs.jpeg_stream import JpegStream

# Formats that Pillow decodes by itself or by a bundled library. Not EPS, which it hands to Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

# The limit is ours, and is checked before anything is decoded. Pillow's own, fixed one would warn below it.
Image.MAX_IMAGE_PIXELS = None

_MODE_NOTES: dict[str, tuple[str, ...]] = {
    "RGB": (),
    "RGBX": (),
    "RGBA": ("alpha",),
    "L": ("greyscale",),
    "LA": ("greyscale", "alpha"),
    "1": ("1-bit",),
    "P": ("palette",),
    "PA": ("palette", "alpha"),
    "CMYK": ("cmyk",),
    "YCbCr": ("ycbcr",),
    "I;16": ("greyscale",),
    "I;16L": ("greyscale",),
    "I;16B": ("greyscale",),
    "I;16N": ("greyscale",),
}
_SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", *(b"P%d" % n for n in range(1, 7)))

Samples = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image file, decoded."""

    samples: Samples  # uint8 [height, width, 3], RGB, C-contiguous
    format: str  # one of FORMATS
    notes: tuple[str, ...]  # conversions done, see the table above
    stream: JpegStream | None = None  # of a JPEG file, if it has been read


def decode(data: bytes, max_pixels: int) -> Decoded:
    """The image in `data`, the content of a file in one of FORMATS.

    Raises BadRecord, and nothing else, for what can't be used. Size is judged by the header, before anything is decoded.
    """
    if not data:
        raise BadRecord("empty file")
    if plain := decode_plain(data, max_pixels):
        return Decoded(plain.samples, plain.format, (), plain.stream)
    return _by_pillow(data, max_pixels)


def _by_pillow(data: bytes, max_pixels: int) -> Decoded:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image.height, image.width, max_pixels)
            _check_tiles(image, max_pixels)
            return _converted(image)
    except BadRecord:
        raise
    except Exception as error:  # Pillow raises a dozen kinds on damaged content, down to struct.error and RecursionError
        raise BadRecord(_reason(data, error)) from error


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raises BadRecord if an image of this size has no pixels, more than `max_pixels`, or a side too long for JPEG."""
    if height * width > max_pixels:
        raise BadRecord(f"more than {max_pixels} pixels")
    if max(height, width) > MAX_SIDE:
        raise BadRecord("too large for JPEG")
    if not height * width:
        raise BadRecord("no pixels")


def _check_tiles(image: Image.Image, max_pixels: int) -> None:
    # A TIFF tile is decoded into a buffer of the size the file claims, however small the image is.
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(ExifTags.Base.TileWidth, 0), tags.get(ExifTags.Base.TileLength, 0)
    if width * height > max(max_pixels, 1 << 20):
        raise BadRecord(f"more than {max_pixels} pixels")


def _converted(image: Image.Image) -> Decoded:
    kind = (image.format or "").replace("MPO", "JPEG")
    mode = "I;16" if kind == "PPM" and image.mode == "I" else image.mode  # Pillow scales deep PPM to 16 bits
    if mode not in _MODE_NOTES:
        raise BadRecord(f"unsupported pixel format {mode}")
    notes = list(_MODE_NOTES[mode])
    if mode.startswith("I;16") or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        notes.append("16-bit")
    image.load()
    # Popped, so that Pillow neither looks for the transparent colour in the result nor warns about it.
    if image.info.pop("transparency", None) is not None and "alpha" not in notes:
        notes.append("alpha")
    if mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        samples = np.repeat(grey[:, :, None], 3, axis=2)
    else:
        samples = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return Decoded(np.ascontiguousarray(samples), kind, (*notes, *_container_notes(image)))


def _container_notes(image: Image.Image) -> list[str]:
    """Notes on what stands beside the first frame's pixels; if that part is damaged, the pixels are still good."""
    notes = []
    try:
        if getattr(image, "is_animated", False):
            notes.append("first-frame")
    except Exception:
        notes.append("first-frame")  # there is something behind it
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        orientation = 1
    if orientation in range(2, 9):
        notes.append("exif-orientation")
    return notes


def _reason(data: bytes, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError) and not data.startswith(_SIGNATURES):
        return "not an image"
    return "truncated image" if "truncated" in str(error).lower() or _ends_early(data) else "damaged image"


def _ends_early(data: bytes) -> bool:
    """Whether a file lacks the end that its format prescribes."""
    if data.startswith(b"\xff\xd8"):
        return not data.endswith(b"\xff\xd9")
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"GIF8"):
        return not data.endswith(b";")
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return False
