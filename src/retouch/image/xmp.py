"""The note in a picture's XMP packet of what was done to it, and by what.

A packet that is there is kept and extended: one more event in ``xmpMM:History``; ``xmp:CreatorTool`` (the first tool,
so only where none is named); ``Iptc4xmpExt:DigitalSourceType`` where the old one is no longer true.

Source: ISO 16684-1:2019 (XMP), section 8 and the media management schema; IPTC Photo Metadata Standard 2023.1 with the
vocabulary http://cv.iptc.org/newscodes/digitalsourcetype/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from xml.dom import minidom
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SourceType = Literal["algorithmicallyEnhanced", "compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicMedia"]
ALTERED: Final = "algorithmicallyEnhanced"
COMPOSITE: Final = "compositeWithTrainedAlgorithmicMedia"
GENERATED: Final = "trainedAlgorithmicMedia"
"""Terms of the vocabulary: modified by an algorithm that keeps the substance; parts made by a trained network; all of
it."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP, _MEDIA = "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/xap/1.0/mm/"
_EVENT, _IPTC = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_SPACES = {"rdf": _RDF, "xmp": _XMP, "xmpMM": _MEDIA, "stEvt": _EVENT, "Iptc4xmpExt": _IPTC}
_HEAD, _TAIL = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n', '\n<?xpacket end="w"?>'

_LARGEST = 4 << 20  # bytes of a packet that is taken apart; larger ones hold editors' layers
_DEEPEST = 64  # elements within elements; the writer goes down by recursion
_JPEG_ROOM = 65504  # bytes of the one XMP segment of a JPEG
# a picture of one of these sources is no longer just that after a change by algorithm
_CAPTURED = {
    "digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm", "print", "minorHumanEdits", "humanEdits",
    "compositeCapture", ALTERED,
}  # fmt: skip
_SYNTHETIC = {"trainedAlgorithmicMedia", "compositeSynthetic", "algorithmicMedia", "dataDrivenMedia", COMPOSITE}


class UnreadableError(ValueError):
    """The packet cannot be extended; the message says why."""


@dataclass(frozen=True)
class Note:
    """One event. ``agent``: software and version; ``parameters``: what was done, in words; ``source``: see above."""

    agent: str
    parameters: str
    source: SourceType | None = None


def with_note(packet: bytes | None, note: Note) -> bytes:
    """The packet with the event added, or a new one; UTF-8. The same call gives the same bytes: no date is written.

    Raises ``UnreadableError`` for a packet that is not well-formed XML or RDF, has a document type (entities could be
    anything), is larger than 4 MB or too deep, or would no longer fit a JPEG that it did fit.
    """
    if packet is None:
        return _new(note)
    document = _parsed(packet)
    rdf = _one(document.getElementsByTagNameNS(_RDF, "RDF"))
    if rdf is None:
        raise UnreadableError("it holds no rdf:RDF")
    about = [d for d in _children(rdf) if (d.namespaceURI, d.localName) == (_RDF, "Description")]
    wanted = dict(_properties(note))
    if _find(about, _XMP, "CreatorTool") is not None:
        del wanted["xmp:CreatorTool"]
    if note.source is not None and _revise(_find(about, _IPTC, "DigitalSourceType"), note.source):
        del wanted["Iptc4xmpExt:DigitalSourceType"]
    history = _find(about, _MEDIA, "History")
    if isinstance(history, minidom.Element):
        container = _one([c for c in _children(history) if c.namespaceURI == _RDF])
        if container is None:
            raise UnreadableError("its History is no list")
        container.appendChild(_element(document, _event(note)))
    elif history is not None:
        raise UnreadableError("its History is no list")
    if wanted or history is None:
        subject = next((d.getAttributeNS(_RDF, "about") for d in about if d.hasAttributeNS(_RDF, "about")), "")
        rdf.appendChild(_element(document, _description(subject, wanted, note if history is None else None)))
    text = "".join(node.toxml() for node in document.childNodes)
    if not text.startswith("<?xpacket"):
        text = _HEAD + text + _TAIL
    made = text.encode()
    if len(packet) <= _JPEG_ROOM < len(made):
        raise UnreadableError("there is no room in it")
    return made


def _new(note: Note) -> bytes:
    body = _description("", dict(_properties(note)), note)
    return (
        f'{_HEAD}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">{body}</rdf:RDF></x:xmpmeta>{_TAIL}'
    ).encode()


def _properties(note: Note) -> list[tuple[str, str]]:
    source = [] if note.source is None else [("Iptc4xmpExt:DigitalSourceType", SOURCE_TYPES + note.source)]
    return [("xmp:CreatorTool", note.agent), *source]


def _description(subject: str, properties: dict[str, str], note: Note | None) -> str:
    """An element of our own, with our own prefixes: whatever else the packet binds them to, it is right by itself."""
    spaces = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in _SPACES.items())
    values = "".join(f" {name}={_quoted(value)}" for name, value in properties.items())
    inner = "" if note is None else f"<xmpMM:History><rdf:Seq>{_event(note)}</rdf:Seq></xmpMM:History>"
    return f"<rdf:Description{spaces} rdf:about={_quoted(subject)}{values}>{inner}</rdf:Description>"


def _event(note: Note) -> str:
    return (
        f'<rdf:li xmlns:rdf="{_RDF}" xmlns:stEvt="{_EVENT}" stEvt:action="edited" '
        f"stEvt:softwareAgent={_quoted(note.agent)} stEvt:parameters={_quoted(note.parameters)}/>"
    )


def _quoted(text: str) -> str:
    """An attribute value; control characters, which XML cannot hold, become spaces."""
    return quoteattr("".join(c if c.isprintable() else " " for c in text))


def _parsed(packet: bytes) -> minidom.Document:
    if not packet.startswith((b"\xff\xfe", b"\xfe\xff")):
        packet = packet.strip(b"\0")  # padding; in UTF-16 every other byte of the text is zero
    if len(packet) > _LARGEST:
        raise UnreadableError(f"it has {len(packet)} bytes")
    depth = 0

    def deeper(*element: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise UnreadableError("its elements lie too deep")

    def higher(*element: object) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*declaration: object) -> None:
        raise UnreadableError("it declares a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = deeper, higher
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(packet, True)
        return minidom.parseString(packet)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError("it is not well-formed") from error


def _element(document: minidom.Document, text: str) -> minidom.Element:
    root = minidom.parseString(text.encode()).documentElement
    assert root is not None
    return document.importNode(root, True)


def _one(nodes: list[minidom.Element]) -> minidom.Element | None:
    return nodes[0] if nodes else None


def _children(node: minidom.Element) -> list[minidom.Element]:
    return [child for child in node.childNodes if isinstance(child, minidom.Element)]


def _find(about: list[minidom.Element], space: str, name: str) -> minidom.Element | minidom.Attr | None:
    """A property, written as an element or as an attribute."""
    for description in about:
        if description.hasAttributeNS(space, name):
            return description.getAttributeNodeNS(space, name)
        for child in _children(description):
            if (child.namespaceURI, child.localName) == (space, name):
                return child
    return None


def _revise(found: minidom.Element | minidom.Attr | None, source: SourceType) -> bool:
    """Bring a stated source type up to date; whether there was one. What was synthetic before stays so."""
    if found is None:
        return False
    if isinstance(found, minidom.Attr):
        old = found.value
    elif found.hasAttributeNS(_RDF, "resource"):
        old = found.getAttributeNS(_RDF, "resource")
    else:
        old = "".join(node.data for node in found.childNodes if isinstance(node, minidom.Text))
    term = old.strip().rpartition("/")[2]
    if term in _SYNTHETIC or (source == ALTERED and term not in _CAPTURED):
        return True
    value = SOURCE_TYPES + source
    if isinstance(found, minidom.Attr):
        found.value = value
    elif (resource := found.getAttributeNodeNS(_RDF, "resource")) is not None:
        resource.value = value
    else:
        while found.firstChild is not None:
            found.removeChild(found.firstChild)
        assert found.ownerDocument is not None
        found.appendChild(found.ownerDocument.createTextNode(value))
    return True
