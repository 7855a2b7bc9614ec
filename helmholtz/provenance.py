"""What a number was made by, beside the libraries."""

from __future__ import annotations

import os

IMAGE = "HELMHOLTZ_IMAGE"  # set in our images: name and tag, which is the hash of all that an image is built from


def image() -> dict[str, str]:
    """The container image this process runs in, under ``image``; nothing outside of ours."""
    return {"image": os.environ[IMAGE]} if os.environ.get(IMAGE) else {}
