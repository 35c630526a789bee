"""Is it the picture that was asked for? Looked at before it counts as success (B5)."""

from __future__ import annotations

import io
from hashlib import sha256

from functions.core.errors import CorruptPictureError
from functions.core.input.identity import PictureSpec
from functions.core.jobs.records import Picture

MAX_BYTES = 32 * 1024 * 1024
"""More than any picture of the supported sizes needs."""

_MAGIC = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF"}


def check_picture(data: bytes, spec: PictureSpec) -> Picture:
    """Check type, dimensions and that every pixel can be decoded, in the order that keeps an image bomb closed.

    Raises:
        CorruptPictureError: saying what is wrong.
    """
    if len(data) > MAX_BYTES:
        raise CorruptPictureError(f"the picture has {len(data)} bytes; at most {MAX_BYTES} are taken")
    if not data.startswith(_MAGIC[spec.format]):
        raise CorruptPictureError(f"the bytes are not a {spec.format} picture")
    width, height = _decode(data, spec)
    return Picture(width=width, height=height, size=len(data), format=spec.format, sha256=sha256(data).hexdigest())


def _decode(data: bytes, spec: PictureSpec) -> tuple[int, int]:
    # Pillow is a third of the worker's import time and is first needed when a picture has arrived.
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=[spec.format.upper()]) as image:
            size = image.size
            if size != (spec.width, spec.height):
                raise CorruptPictureError(
                    f"the picture is {size[0]}×{size[1]}; {spec.width}×{spec.height} was asked for"
                )
            image.load()
    except CorruptPictureError:
        raise
    # Pillow's decoders raise whatever their format makes of broken bytes: OSError, SyntaxError, ValueError and more.
    except Exception as error:
        raise CorruptPictureError(f"the picture cannot be decoded ({type(error).__name__})") from error
    return size
