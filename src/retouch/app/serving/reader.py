"""The process that decodes uploads: it checks them and makes the small pictures for the screen. It needs no torch.

Hostile bytes meet the decoders here and not in the server: what hangs or crashes is this process, which is replaced.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retouch.app.serving.pipe import ServerPipe, without_path

if TYPE_CHECKING:
    import PIL.Image

_QUALITY = 90


def main() -> None:
    """Answer one request after the other until the server closes the pipe."""
    pipe = ServerPipe()
    import PIL.Image
    import PIL.JpegImagePlugin  # noqa: F401

    from retouch.image import files, pillow  # noqa: F401

    pipe.say("ready")
    while True:
        pipe.say(**answer(pipe.next()))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What is said to a request ``{"path", "name", "to", "side", "max_pixels"}``.

    The picture, its longer side at most ``side``, is written to ``to``. ``{"kind": "read", ...}`` tells what the file
    is and the type of the small picture, ``{"kind": "refused", "detail"}`` why it is no picture.
    """
    from retouch.image.errors import RetouchError
    from retouch.image.files import open_preview

    path, target = request["path"], Path(request["to"])
    try:
        preview = open_preview(path, request["side"], max_pixels=request["max_pixels"])
        media_type = write_picture(preview.picture, target, preview.icc)
    except RetouchError as error:
        return {"kind": "refused", "detail": without_path(str(error), path, request["name"])}
    except OSError as error:
        return {"kind": "failed", "detail": error.strerror or type(error).__name__}
    return {
        "kind": "read",
        "width": preview.width,
        "height": preview.height,
        "format": preview.info.format,
        "has_alpha": preview.picture.mode == "RGBA",
        "type": media_type,
    }


def write_picture(picture: PIL.Image.Image, target: Path, icc: bytes | None) -> str:
    """Write a picture for the screen, PNG if it has alpha and JPEG else; the media type. ``target`` appears whole."""
    from retouch.image.atomic import replacing

    opaque = picture.mode != "RGBA"
    options: dict[str, Any] = {"quality": _QUALITY} if opaque else {"compress_level": 1}
    if icc is not None and _fits(icc, picture.mode):
        options["icc_profile"] = icc
    with replacing(target) as partial, contextlib.ExitStack() as stack:
        file = stack.enter_context(partial.open("wb"))
        picture.save(file, format="JPEG" if opaque else "PNG", **options)
    return "image/jpeg" if opaque else "image/png"


def _fits(icc: bytes, mode: str) -> bool:
    """Whether the profile is for colours of this kind, and small enough to be worth sending with every preview."""
    space = icc[16:20]
    return len(icc) < 1 << 20 and space == (b"GRAY" if mode == "L" else b"RGB ")


if __name__ == "__main__":
    main()
