"""What a ranking says in XMP: stars, keywords, the reasoning and our own properties; foreign content stays."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any
from xml.dom import XMLNS_NAMESPACE, minidom
from xml.parsers import expat

from qinsight.errors import QInsightError
from qinsight.ranking.rows import Row
from qinsight.ranking.tables import clean, reasoning

KEYWORD = "q-insight:"  # keywords that begin so are ours to replace


STARS = (
    1.8,
    2.6,
    3.4,
    4.2,
)  # the rating from which a photo has 2, 3, 4 and 5 stars: five equal parts of 1 to 5


def merged(
    xmp: bytes | None,
    row: Row,
    *,
    stars: int | None,
    keep_ratings: bool = True,
    caption: bool = False,
    what: str = "a sidecar",
) -> bytes:
    """XMP with the row in it and all else as it was; a new sidecar from None. The same again changes nothing.

    Stars that a person gave stay, or without `keep_ratings` are remembered as `qinsight:formerRating`. With
    `caption` the reasoning is the description of a photo that has none. `what` it is, for a refusal.
    """
    document = _parsed(xmp or _NEW_SIDECAR, what)
    properties = _descriptions(document, what)
    if row.by_person is not None:
        _put_by_person(properties, row.by_person)
    elif stars is not None:
        _put_rating(properties, stars, keep_ratings)
    _put_description(properties, reasoning(row), caption)
    _put_keywords(properties, _keywords(row))
    for name, field in _OUR_FIELDS.items():
        value = getattr(row, field)
        _put(properties, _OURS, name, None if value is None else clean(str(value)))
    return "".join(_document_text(document)).encode()


def rewritten(xmp: bytes, what: str) -> bytes:
    """XMP as `merged` writes it, with nothing changed."""
    return "".join(_document_text(_parsed(xmp, what))).encode()


def by_hand(xmp: bytes, what: str = "a sidecar") -> float | None:
    """The stars that a person gave, -1 for a rejected photo; None where nobody did."""
    given = _by_hand(_descriptions(_parsed(xmp, what), what))
    return None if given is None else _number(given)


def holds_ours(xmp: bytes, what: str) -> bool:
    """Whether there is a property in it that `merged` may write."""
    properties = _descriptions(_parsed(xmp, what), what)
    written = [
        (_XMP, "Rating"),
        (_DC, "description"),
        *_KEYWORD_LISTS,
        *((_OURS, name) for name in _OUR_NAMES),
    ]
    return any(_texts(properties, uri, name) for uri, name in written)


def check_stars(stars: Sequence[float]) -> None:
    """Refuse thresholds that make no sense."""
    if len(stars) != 4 or not all(map(math.isfinite, stars)) or list(stars) != sorted(stars):
        told = ", ".join(map(str, stars))
        raise QInsightError(f"expected four rising ratings at which 2, 3, 4 and 5 stars begin, got {told}")


def stars_of(row: Row, stars: Sequence[float], reject_below: float | None) -> int | None:
    """One star, and one more for each of `stars` that the expected rating reaches; -1 below `reject_below`.

    A threshold rejects no frame of a bracket, and none that a person picked.
    """
    rating = row.rating if row.expected_rating is None else row.expected_rating
    if rating is None or math.isnan(rating):
        return None
    free = row.bracket or row.pick == "picked"
    if reject_below is not None and rating < reject_below and not free:
        return -1
    return 1 + bisect_right(stars, rating)


# --- what we say --------------------------------------------------------------------

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_DC = "http://purl.org/dc/elements/1.1/"
_LIGHTROOM = "http://ns.adobe.com/lightroom/1.0/"
_DIGIKAM = "http://www.digikam.org/ns/1.0/"
_MICROSOFT = "http://ns.microsoft.com/photo/1.0/"
_XML = "http://www.w3.org/XML/1998/namespace"
_OURS = "urn:q-insight:xmp:1.0/"  # XMP wants / or # at the end; exiv2 adds one otherwise
_PREFIXES = {_RDF: "rdf", _XMP: "xmp", _DC: "dc", _OURS: "qinsight"}

# No name that another namespace has: `exiftool -Rating` answers with any Rating, `-Model` is the camera.
_OUR_FIELDS = {
    "expectedRating": "expected_rating",
    "writtenRating": "rating",
    "distortionClass": "distortion_class",
    "distortionSeverity": "severity",
    "ratedBy": "model",
    "photoSha256": "sha256",
    "personPick": "pick",
    "appHeap": "app_heap",
    "appLow": "app_low",
    "appHigh": "app_high",
}
_OUR_NAMES = (*_OUR_FIELDS, "reasoning", "stars", "formerRating")

# darktable and digiKam read the first list of keywords they find and dc:subject last, so each that is
# there gets ours (darktable src/common/exif.cc; digiKam dmetadatasettingscontainer.cpp).
_KEYWORD_LISTS = (
    (_DC, "subject"),
    (_LIGHTROOM, "hierarchicalSubject"),
    (_DIGIKAM, "TagsList"),
    (_MICROSOFT, "LastKeywordXMP"),
)

_NOTHING_YET = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Q-Insight">
 <rdf:RDF xmlns:rdf="{_RDF}">
  <rdf:Description rdf:about="" xmlns:xmp="{_XMP}" xmlns:dc="{_DC}" xmlns:qinsight="{_OURS}">
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
_NEW_SIDECAR = f'<?xml version="1.0" encoding="UTF-8"?>\n{_NOTHING_YET}'.encode()
NEW_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
{_NOTHING_YET}<?xpacket end="w"?>""".encode()


def _keywords(row: Row) -> list[str]:
    """q-insight:blur and q-insight:serious, or q-insight:clean; q-insight:best in a burst, q-insight:bracket.

    With a bound also the app's heap: q-insight:accept, q-insight:reject or q-insight:look.
    """
    found = ["clean"] if row.distortion_class == "null" else [row.distortion_class, row.severity]
    best = "best" if row.best and row.group is not None else None
    bracket = "bracket" if row.bracket else None
    told = (*found, best, bracket, "picked" if row.pick == "picked" else None, row.app_heap)
    return [KEYWORD + clean(word) for word in told if word not in (None, "null")]


def _put_by_person(properties: list[minidom.Element], stars: int) -> None:
    """What a person says now takes the place of what stood there, which is remembered; it does not count as ours."""
    given = _by_hand(properties)
    if given is not None and _number(given) != stars:
        _put(properties, _OURS, "formerRating", given)
    _put(properties, _XMP, "Rating", str(stars))
    _put(properties, _OURS, "stars", None)


def _put_rating(properties: list[minidom.Element], stars: int, keep_ratings: bool) -> None:
    """Stars that are not those we gave last are a person's."""
    given = _by_hand(properties)
    if given is not None and keep_ratings:
        _put(properties, _OURS, "stars", None)
        return
    if given is not None:
        _put(properties, _OURS, "formerRating", given)
    _put(properties, _XMP, "Rating", str(stars))
    _put(properties, _OURS, "stars", str(stars))


def _by_hand(properties: list[minidom.Element]) -> str | None:
    """The rating as a person left it. It is a real number: 0.0 is unrated, and our 4 may come back as 4.0."""
    ours = _number(_value(properties, _OURS, "stars") or "")
    told = [text.strip() for text in _texts(properties, _XMP, "Rating") if text.strip()]
    percent = _number(_value(properties, _MICROSOFT, "Rating") or "")
    if not told and percent:  # 1, 25, 50, 75 and 99, as Windows counts
        return str(1 + round(percent / 25))
    return next((text for text in told if _number(text) is None or _number(text) not in (0, ours)), None)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _put_description(properties: list[minidom.Element], reasoning: str, caption: bool) -> None:
    """The reasoning is always in our own property; on demand the photo's caption where no person wrote one.

    A caption that is still our own goes along with it.
    """
    ours = (_value(properties, _OURS, "reasoning") or "").split()
    text = f"Q-Insight: {reasoning}" if reasoning else None
    _put(properties, _OURS, "reasoning", text)
    captions = [words for words in _texts(properties, _DC, "description") if words.strip()]
    if any(words.split() != ours for words in captions):
        return
    if captions and text:
        _refill(properties, _DC, "description", text)
    elif captions:
        _put(properties, _DC, "description", None)
    elif text and caption:
        _put(properties, _DC, "description", None)
        item = _append(_append(_append(properties[0], _DC, "description"), _RDF, "Alt"), _RDF, "li")
        item.setAttributeNS(_XML, "xml:lang", "x-default")
        _fill(item, text)


def _put_keywords(properties: list[minidom.Element], words: list[str]) -> None:
    for uri, name in _KEYWORD_LISTS:
        _list_from_attribute(properties, uri, name)
        lists = [_array(element) for element in _found(properties, uri, name)]
        for item in [item for array in lists for item in _elements(array) if _text(item).startswith(KEYWORD)]:
            _drop(item)
        if words and not lists and uri == _DC:
            lists = [_append(_append(properties[0], uri, name), _RDF, "Bag")]
        for word in words if lists else ():
            _fill(_append(lists[0], _RDF, "li"), word)


def _list_from_attribute(properties: list[minidom.Element], uri: str, name: str) -> None:
    """Some programs write a single keyword as plain text, where XMP asks for a list."""
    for described in properties:
        if described.hasAttributeNS(uri, name):
            keyword = described.getAttributeNS(uri, name)
            described.removeAttributeNS(uri, name)
            _fill(_append(described, uri, name), keyword)


def _array(element: minidom.Element) -> minidom.Element:
    for child in _elements(element):
        if child.namespaceURI == _RDF and child.localName in ("Bag", "Seq", "Alt"):
            return child
    keyword = _text(element).strip()
    _fill(element, "")
    array = _append(element, _RDF, "Bag")
    if keyword:
        _fill(_append(array, _RDF, "li"), keyword)
    return array


# --- XML ------------------------------------------------------------------------------------


_MOST_DEPTH = 100  # XMP nests about ten deep


def _parsed(data: bytes, what: str) -> minidom.Document:
    """Its tree, once we know that there are no entities to unfold and no depth to fall into."""
    scan = expat.ParserCreate()
    depth = 0

    def refuse_doctype(*_: object) -> None:
        raise QInsightError(f"expected {what} without a DOCTYPE, got one with it; it is unchanged")

    def enter(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise QInsightError(
                f"expected {what} at most {_MOST_DEPTH} elements deep, got more; it is unchanged"
            )

    def leave(_: str) -> None:
        nonlocal depth
        depth -= 1

    scan.StartDoctypeDeclHandler = refuse_doctype
    scan.StartElementHandler = enter
    scan.EndElementHandler = leave
    try:
        scan.Parse(data, True)
        return minidom.parseString(data)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: its encoding
        raise QInsightError(f"expected {what} in XML, got {error}; it is unchanged") from error


def _descriptions(document: minidom.Document, what: str) -> list[minidom.Element]:
    """Where the properties of the photo are: XMP may spread them over several rdf:Description."""
    found = document.getElementsByTagNameNS(_RDF, "RDF")
    if not found:
        raise QInsightError(f"expected {what} that holds rdf:RDF, got XML without rdf:RDF; it is unchanged")
    described = [child for child in _elements(found[0]) if _is(child, _RDF, "Description")]
    if not described:
        described = [_append(found[0], _RDF, "Description")]
        described[0].setAttributeNS(_RDF, f"{_prefix(described[0], _RDF)}:about", "")
    return described


def _value(properties: list[minidom.Element], uri: str, name: str) -> str | None:
    return next(iter(_texts(properties, uri, name)), None)


def _texts(properties: list[minidom.Element], uri: str, name: str) -> list[str]:
    """A property's values: of an attribute, an element or the items of a list."""
    texts = [each.getAttributeNS(uri, name) for each in properties if each.hasAttributeNS(uri, name)]
    return texts + [_text(holder) for holder in _holders(properties, uri, name)]


def _put(properties: list[minidom.Element], uri: str, name: str, value: str | None) -> None:
    """Set a simple property in the form it has, add it, or with None remove it."""
    if value is None:
        _drop_attribute(properties, uri, name)
        for element in _found(properties, uri, name):
            _drop(element)
        return
    if not _texts(properties, uri, name):
        _append(properties[0], uri, name)
    _refill(properties, uri, name, value)


def _refill(properties: list[minidom.Element], uri: str, name: str, value: str) -> None:
    for each in properties:
        if node := each.getAttributeNodeNS(uri, name):
            node.value = value
    for holder in _holders(properties, uri, name):
        _fill(holder, value)


def _drop_attribute(properties: list[minidom.Element], uri: str, name: str) -> None:
    for each in properties:
        if each.hasAttributeNS(uri, name):
            each.removeAttributeNS(uri, name)


def _found(properties: list[minidom.Element], uri: str, name: str) -> list[minidom.Element]:
    return [child for each in properties for child in _elements(each) if _is(child, uri, name)]


def _holders(properties: list[minidom.Element], uri: str, name: str) -> list[minidom.Element]:
    """The elements in which a property's text is: the items of its list, or itself."""
    found = _found(properties, uri, name)
    return [holder for each in found for holder in each.getElementsByTagNameNS(_RDF, "li") or [each]]


def _elements(parent: minidom.Element) -> list[minidom.Element]:
    return [child for child in parent.childNodes if isinstance(child, minidom.Element)]


def _is(element: minidom.Element, uri: str, name: str) -> bool:
    return (element.namespaceURI, element.localName) == (uri, name)


def _text(element: minidom.Element) -> str:
    pieces = (
        _text(node) if isinstance(node, minidom.Element) else node.data
        for node in element.childNodes
        if isinstance(node, minidom.Element | minidom.Text)
    )
    return "".join(pieces)


def _fill(element: minidom.Element, text: str) -> None:
    for child in list(element.childNodes):
        if not isinstance(child, minidom.Comment):
            element.removeChild(child)
    element.appendChild(_document(element).createTextNode(text))


def _append(parent: minidom.Element, uri: str, name: str) -> minidom.Element:
    """A new last element, indented as deep as it lies."""
    document = _document(parent)
    child = document.createElementNS(uri, f"{_prefix(parent, uri)}:{name}")
    depth, above = 0, parent.parentNode
    while isinstance(above, minidom.Element):
        depth, above = depth + 1, above.parentNode
    if not _is_blank(parent.lastChild):
        parent.appendChild(document.createTextNode("\n" + " " * depth))
    parent.insertBefore(document.createTextNode("\n" + " " * (depth + 1)), parent.lastChild)
    parent.insertBefore(child, parent.lastChild)
    return child


def _drop(element: minidom.Element) -> None:
    """Remove an element with its indentation, so that a second run leaves no blank lines."""
    parent, before = element.parentNode, element.previousSibling
    assert isinstance(parent, minidom.Element)
    if isinstance(before, minidom.Text) and _is_blank(before):
        parent.removeChild(before)
    parent.removeChild(element)


def _is_blank(node: object) -> bool:
    return isinstance(node, minidom.Text) and not node.data.strip()


def _prefix(element: minidom.Element, uri: str) -> str:
    """The prefix that means `uri` at this element; declared there, under a name not yet in use, if none does."""
    meanings: dict[str, str] = {}
    above: Any = element
    while isinstance(above, minidom.Element):
        for name, value in above.attributes.items():
            if name.startswith("xmlns:"):
                meanings.setdefault(name.removeprefix("xmlns:"), value)
        above = above.parentNode
    for prefix, meaning in meanings.items():
        if meaning == uri:
            return prefix
    # Where one namespace has two prefixes, the XMP toolkit in exiv2 (darktable, digiKam) reads nothing at all.
    wanted = prefix = next(_prefixes_of(uri, _document(element)), _PREFIXES[uri])
    while prefix in meanings:
        prefix = f"{wanted}{len(prefix)}"
    element.setAttributeNS(XMLNS_NAMESPACE, f"xmlns:{prefix}", uri)
    return prefix


def _prefixes_of(uri: str, document: minidom.Document) -> Iterator[str]:
    for element in document.getElementsByTagName("*"):
        for name, value in element.attributes.items():
            if value == uri and name.startswith("xmlns:"):
                yield name.removeprefix("xmlns:")


def _document(element: minidom.Element) -> minidom.Document:
    document = element.ownerDocument
    assert document is not None
    return document


def _document_text(document: minidom.Document) -> Iterator[str]:
    if document.version:
        yield f'<?xml version="{document.version}" encoding="UTF-8"?>\n'
    for node in document.childNodes:
        yield from _node_text(node)
        yield "\n"


def _node_text(node: object) -> Iterator[str]:
    """As minidom's own `toxml`, which loses line breaks in attributes and carriage returns (Python 3.11)."""
    match node:
        case minidom.Element():
            named = sorted(node.attributes.items(), key=lambda item: not item[0].startswith("xmlns"))
            attributes = (f' {name}="{_attribute_text(value)}"' for name, value in named)
            yield f"<{node.tagName}{''.join(attributes)}"
            yield ">" if node.childNodes else "/>"
            for child in node.childNodes:
                yield from _node_text(child)
            yield f"</{node.tagName}>" if node.childNodes else ""
        case minidom.CDATASection():
            yield f"<![CDATA[{node.data}]]>"
        case minidom.Text():
            yield _escaped(node.data)
        case minidom.Comment():
            yield f"<!--{node.data}-->"
        case minidom.ProcessingInstruction():
            yield f"<?{f'{node.target} {node.data}'.rstrip()}?>"
        case _:
            raise AssertionError(f"expected no {type(node).__name__} in XML without a DOCTYPE")


def _attribute_text(text: str) -> str:
    return _escaped(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def _escaped(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")
