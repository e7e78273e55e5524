"""The note in the XMP packet: new, extended, hostile; through every format that holds XMP."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retouch.image.files import open_image
from retouch.image.image import Image, Metadata
from retouch.image.xmp import ALTERED, COMPOSITE, SOURCE_TYPES, Note, UnreadableError, with_note

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_SOURCE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


def _events(packet: bytes) -> list[tuple[str | None, str | None]]:
    root = ElementTree.fromstring(packet)
    found = [li for seq in root.iter(_RDF + "Seq") for li in seq.iter(_RDF + "li")]
    return [(li.get(_EVENT + "softwareAgent"), li.get(_EVENT + "parameters")) for li in found]


def _property(packet: bytes, name: str) -> list[str]:
    root = ElementTree.fromstring(packet)
    attributes = [d.get(name) for d in root.iter(_RDF + "Description") if d.get(name) is not None]
    elements = [e.get(_RDF + "resource") or e.text for e in root.iter(name)]
    return [str(value) for value in (*attributes, *elements)]


def _packet(inner: str, attributes: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="uuid:7" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:a="http://ns.adobe.com/xap/1.0/" '
        'xmlns:m="http://ns.adobe.com/xap/1.0/mm/" xmlns:e="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" '
        f'xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {attributes}>{inner}</rdf:Description></rdf:RDF>'
        '</x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def test_a_new_packet_says_tool_event_and_source() -> None:
    packet = with_note(None, Note("Retouch 1", "task=denoise", ALTERED))
    assert packet.startswith(b"<?xpacket begin=")
    assert packet.rstrip().endswith(b"?>")
    assert _events(packet) == [("Retouch 1", "task=denoise")]
    assert _property(packet, _XMP + "CreatorTool") == ["Retouch 1"]
    assert _property(packet, _SOURCE) == [SOURCE_TYPES + ALTERED]
    assert _property(with_note(None, Note("Retouch 1", "task=degrade")), _SOURCE) == []


@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_words_survive_and_each_run_adds_one_event(texts: list[str]) -> None:
    packet: bytes | None = None
    for text in texts:
        packet = with_note(packet, Note("Retouch 1", text))
    assert packet is not None
    printable = ["".join(c if c.isprintable() else " " for c in text) for text in texts]
    assert [words for _, words in _events(packet)] == printable


def test_what_is_there_stays() -> None:
    history = (
        '<m:History><rdf:Seq><rdf:li e:action="saved" e:softwareAgent="Camera" e:parameters="x"/></rdf:Seq></m:History>'
    )
    title = (
        '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">A &lt;b&gt; \u00e9</rdf:li></rdf:Alt></dc:title><!-- kept -->'
    )
    packet = with_note(_packet(title + history, 'a:CreatorTool="Camera 3"'), Note("Retouch 1", "y"))
    assert _events(packet) == [("Camera", "x"), ("Retouch 1", "y")]
    assert _property(packet, _XMP + "CreatorTool") == ["Camera 3"]
    root = ElementTree.fromstring(packet)
    assert next(li.text for li in root.iter(_RDF + "li")) == "A <b> \u00e9"
    assert b"<!-- kept -->" in packet
    assert {d.get(_RDF + "about") for d in root.iter(_RDF + "Description")} == {"uuid:7"}


_CAPTURE, _TRAINED = SOURCE_TYPES + "digitalCapture", SOURCE_TYPES + "trainedAlgorithmicMedia"


@pytest.mark.parametrize("form", ["attribute", "text", "resource"])
@pytest.mark.parametrize(
    ("before", "source", "after"),
    [
        (_CAPTURE, ALTERED, SOURCE_TYPES + ALTERED),
        (_CAPTURE, COMPOSITE, SOURCE_TYPES + COMPOSITE),
        (SOURCE_TYPES + ALTERED, COMPOSITE, SOURCE_TYPES + COMPOSITE),
        (SOURCE_TYPES + COMPOSITE, ALTERED, SOURCE_TYPES + COMPOSITE),
        (_TRAINED, COMPOSITE, _TRAINED),
        (SOURCE_TYPES + "screenCapture", ALTERED, SOURCE_TYPES + "screenCapture"),
        (_CAPTURE, None, _CAPTURE),
    ],
)
def test_the_source_type_is_revised_never_weakened(form: str, before: str, source: object, after: str) -> None:
    if form == "attribute":
        packet = _packet("", f'i:DigitalSourceType="{before}"')
    elif form == "text":
        packet = _packet(f"<i:DigitalSourceType>{before}</i:DigitalSourceType>")
    else:
        packet = _packet(f'<i:DigitalSourceType rdf:resource="{before}"/>')
    assert _property(with_note(packet, Note("Retouch 1", "x", source)), _SOURCE) == [after]  # type: ignore[arg-type]


_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">&b;</rdf:RDF>'
)
_FILE = b'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/hostname">]><r>&a;</r>'


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (_BOMB, "document type"),
        (_FILE, "document type"),
        (b"", "well-formed"),
        (b"not xml", "well-formed"),
        (b"<a><b></a>", "well-formed"),
        (b"<a/>", "no rdf:RDF"),
        (b"\xff\xfe\x00", "well-formed"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "well-formed"),
        (b"<a>" * 100 + b"</a>" * 100, "too deep"),
        (b"<a>" * 200_000, "too deep"),
        (b"<a>" + b" " * (5 << 20) + b"</a>", "bytes"),
        (_packet("<m:History>words</m:History>"), "no list"),
        (_packet("", 'm:History="words"'), "no list"),
    ],
)
def test_a_packet_that_cannot_be_extended_is_refused(packet: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        with_note(packet, Note("Retouch 1", "x"))


@given(packet=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_nothing_else_is_raised(packet: bytes) -> None:
    with pytest.raises(UnreadableError):
        with_note(packet, Note("Retouch 1", "x"))


def test_a_note_never_makes_a_packet_too_large_for_its_jpeg() -> None:
    full = _packet(f"<dc:rights>{'x' * 64_500}</dc:rights>")
    assert len(full) < 65504
    with pytest.raises(UnreadableError, match="no room"):
        with_note(full, Note("Retouch 1", "y" * 500))


def test_utf_16_and_padding_are_read() -> None:
    packet = _packet("").decode().removeprefix('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>')
    assert len(_events(with_note(packet.encode("utf-16"), Note("Retouch 1", "x")))) == 1
    assert len(_events(with_note(_packet("") + bytes(40), Note("Retouch 1", "x")))) == 1


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "avif"])
def test_every_format_keeps_the_note_and_takes_a_second(ending: str, tmp_path: Path) -> None:
    image = Image(torch.rand(3, 16, 20, generator=torch.Generator().manual_seed(0)), metadata=Metadata())
    for run in range(2):
        packet = with_note(image.metadata.xmp, Note("Retouch 1", f"run {run}", ALTERED))
        image = dataclasses.replace(image, metadata=dataclasses.replace(image.metadata, xmp=packet))
        image.save(tmp_path / f"{run}.{ending}")
        image = open_image(tmp_path / f"{run}.{ending}")
    assert image.metadata.xmp is not None
    assert _events(image.metadata.xmp) == [("Retouch 1", "run 0"), ("Retouch 1", "run 1")]
