"""The before/after page is one well-formed file that asks the network for nothing and shows what it was given."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import torch

from retouch.image.errors import PictureError
from retouch.image.image import Image, Metadata
from retouch.image.page import before_after_page
from retouch.image.sheet import before_after_page as from_sheet

VOID = {"meta", "img", "link", "br", "hr", "input", "path"}


class _Reader(HTMLParser):
    """Holds every element to be closed in its order; an SVG path closes itself."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def text(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def _data(attributes: dict[str, str | None]) -> tuple[str, bytes]:
    found = re.fullmatch(r"data:(image/\w+);base64,([\w+/=]+)", attributes["src"] or "")
    assert found is not None
    return found[1], base64.b64decode(found[2], validate=True)


def _picture(height: int, width: int, channels: int = 3, seed: int = 0, metadata: Metadata | None = None) -> Image:
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.from_array(array if channels > 1 else array[:, :, 0], metadata)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_embedded_pictures_are_those_given(channels: int) -> None:
    before, after = _picture(9, 13, channels), _picture(18, 26, channels, seed=1)
    images = _Reader(before_after_page([(before, after, "one")])).all("img")
    assert len(images) == 2
    for image, attributes in zip((before, after), images, strict=True):
        kind, data = _data(attributes)
        assert kind == "image/png"
        assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(data))), image.to_array(8))
        assert attributes.get("class") == ("clear" if channels in (2, 4) else None)


def test_asks_the_network_for_nothing() -> None:
    page = before_after_page([(_picture(4, 4), _picture(4, 4, seed=1), "one")])
    assert not re.search(
        r"(?i)https?:|//[a-z]|@import|url\(|<link|srcset|<iframe", re.sub(r"base64,[\w+/=]+", "", page)
    )
    policy = [m["content"] or "" for m in _Reader(page).all("meta") if "http-equiv" in m]
    assert len(policy) == 1
    assert policy[0].startswith("default-src 'none'; img-src data:;")
    for tag, attributes in _Reader(page).found:
        assert not attributes.keys() & {"href", "action", "srcset"}, tag


def test_the_divider_is_a_slider_for_everybody() -> None:
    page = before_after_page([(_picture(4, 4), _picture(4, 4), "")], labels=("noisy", "mended"))
    sliders = [a for _, a in _Reader(page).found if a.get("role") == "slider"]
    assert len(sliders) == 1
    slider = sliders[0]
    assert slider["tabindex"] == "0"
    assert (slider["aria-valuemin"], slider["aria-valuemax"], slider["aria-valuenow"]) == ("0", "100", "50")
    assert slider["aria-label"] == "divider between noisy and mended"
    assert [i["alt"] for i in _Reader(page).all("img")] == ["noisy", "mended"]
    for button in _Reader(page).all("button"):
        assert button["aria-label"]


def test_several_pairs_in_their_order() -> None:
    pairs = [(_picture(4, 5, seed=2 * i), _picture(4, 5, seed=2 * i + 1), f"number {i}") for i in range(3)]
    reader = _Reader(before_after_page(pairs, title="Three"))
    assert reader.text("figcaption") == ["number 0", "number 1", "number 2"]
    assert reader.text("title") == ["Three"]
    assert len(reader.all("figure")) == 3
    given = [image.to_array(8) for pair in pairs for image in pair[:2]]
    for array, attributes in zip(given, reader.all("img"), strict=True):
        assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(_data(attributes)[1]))), array)


@pytest.mark.parametrize(
    "name",
    [
        "</script><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "a & b &amp; c",
        "{{title}} {{figures}} {{nothing}}",
        r"back\1slash \g<0>",
        "Ünïcode 中文 🐈",
    ],
)
def test_names_are_plain_text(name: str) -> None:
    picture = _picture(3, 3)
    plain = _Reader(before_after_page([(picture, picture, "x")]))
    reader = _Reader(before_after_page([(picture, picture, name)], title=name, labels=(name, name)))
    assert reader.text("figcaption") == [name]
    assert reader.text("title") == [name]
    assert [image["alt"] for image in reader.all("img")] == [name, name]
    assert [tag for tag, _ in reader.found] == [tag for tag, _ in plain.found]


def test_files_are_embedded_as_they_are() -> None:
    files = {}
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        stream = io.BytesIO()
        PIL.Image.fromarray(_picture(8, 8).to_array()).save(stream, kind)
        files[kind] = stream.getvalue()
    for kind, data in files.items():
        images = _Reader(before_after_page([(data, files["PNG"], kind)])).all("img")
        assert _data(images[0]) == (f"image/{kind.lower()}", data)


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4"])
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="before/after page takes"):
        before_after_page([(data, _picture(3, 3), "x")])


def test_the_profile_goes_along() -> None:
    icc = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    picture = _picture(5, 5, metadata=Metadata(icc=icc))
    _, data = _data(_Reader(before_after_page([(picture, _picture(5, 5), "x")])).all("img")[0])
    assert PIL.Image.open(io.BytesIO(data)).info["icc_profile"] == icc


def test_large_pictures_are_embedded_as_webp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retouch.image.page._LOSSLESS_PIXELS", 100)
    smooth = torch.linspace(0, 1, 400).view(1, 20, 20).expand(3, 20, 20).contiguous()
    kind, data = _data(_Reader(before_after_page([(Image(smooth), Image(smooth), "x")])).all("img")[0])
    assert kind == "image/webp"
    decoded: Any = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
    assert np.abs(decoded - Image(smooth).to_array(8)).mean() < 3
    monkeypatch.setattr("retouch.image.page._WEBP_SIDE", 19)  # a side that WebP cannot hold
    assert _data(_Reader(before_after_page([(Image(smooth), Image(smooth), "x")])).all("img")[0])[0] == "image/png"


def test_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        before_after_page([])


def test_reachable_from_sheet() -> None:
    assert from_sheet is before_after_page
