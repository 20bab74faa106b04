"""What the tests of XMP share: a row, and two witnesses that never write, ElementTree and exiftool."""

import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from qinsight.ranking.rows import Row

EXIFTOOL = shutil.which("exiftool")
EXIV2 = shutil.which("exiv2")
needs_exiftool = pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")
needs_exiv2 = pytest.mark.skipif(EXIV2 is None, reason="exiv2 is not installed")

NS = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "darktable": "http://darktable.sf.net/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "qinsight": "urn:q-insight:xmp:1.0/",
}


def row(photo="IMG_1.CR2", **changes):
    values = {
        "sha256": "ab" * 32,
        "model": "ByteDance/Q-Insight bf16",
        "rating": 3.5,
        "expected_rating": 3.42,
        "distortion_class": "blur",
        "severity": "serious",
        "thinking": "The subject is soft.",
        "diagnosis": "Edges are smeared.",
    }
    return Row(photo, **{**values, **changes})


def exiftool(path, group="XMP:all"):
    """What exiftool finds in the XMP, or in all, by group and name, lists as lists, structures whole."""
    done = subprocess.run(
        [EXIFTOOL, "-j", "-G1", "-struct", f"-{group}", "-charset", "UTF8", path],
        capture_output=True,
        text=True,
        check=True,
    )
    [told] = json.loads(done.stdout)
    return {name: value for name, value in told.items() if name != "SourceFile"}


def exiv2(path):
    """What exiv2 finds in the XMP, which darktable and digiKam read with: names and their values."""
    done = subprocess.run([EXIV2, "-PXkv", path], capture_output=True, text=True, check=True)
    told = {}
    for line in done.stdout.splitlines():
        if found := re.match(r"(Xmp\.\S+)\s*(.*)", line):
            name, value = found.groups()
            is_list = name.endswith(("subject", "Subject", "TagsList", "LastKeywordXMP"))
            told.setdefault(name, []).extend(value.split(", ") if is_list else [value])
    return told


def aslist(value):
    return value if isinstance(value, list) else [value]


def qualified(name):
    prefix, local = name.split(":")
    return f"{{{NS[prefix]}}}{local}"


def values(tree, name):
    """A simple property's values, whichever way it is written."""
    found = (
        tree.iterfind(".//rdf:RDF/rdf:Description", NS)
        if tree.getroot().tag != qualified("rdf:RDF")
        else tree.getroot()
    )
    found = list(found)
    attributes = [each.get(qualified(name)) for each in found if each.get(qualified(name)) is not None]
    return attributes + [child.text for each in found for child in each if child.tag == qualified(name)]


def items(tree, name):
    return [item.text for item in tree.iterfind(f".//{name}//rdf:li", NS)]


def ratings(path):
    return values(ET.parse(path), "xmp:Rating")


def sidecar(content, attributes=""):
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{NS["rdf"]}"><rdf:Description rdf:about=""
    xmlns:xmp="{NS["xmp"]}" xmlns:dc="{NS["dc"]}" {attributes}>{content}</rdf:Description></rdf:RDF></x:xmpmeta>""".encode()


def foreign(text):
    """All of a sidecar that is not ours to change, by the W3C's canonical form: comments and attributes too."""
    tree = ET.fromstring(
        text.replace("\ufeff", ""), ET.XMLParser(target=ET.TreeBuilder(insert_comments=True, insert_pis=True))
    )
    for parent in list(tree.iter()):
        for name in list(parent.attrib):
            if name == qualified("xmp:Rating"):
                del parent.attrib[name]
        for child in list(parent):
            ours = isinstance(child.tag, str) and (
                child.tag.startswith(f"{{{NS['qinsight']}}}")
                or child.tag == qualified("xmp:Rating")
                or (child.tag == qualified("rdf:li") and (child.text or "").startswith("q-insight:"))
                or (child.tag == qualified("dc:description") and "Q-Insight: " in "".join(child.itertext()))
            )
            if ours:
                assert not (child.tail or "").strip()
                parent.remove(child)
    for parent in list(tree.iter()):  # a list we made, now empty
        for child in list(parent):
            if child.tag == qualified("dc:subject") and not "".join(child.itertext()).strip():
                parent.remove(child)
    return ET.canonicalize(ET.tostring(tree, encoding="unicode"), with_comments=True, strip_text=True)


def prefixes(text):
    return {pair for _, pair in ET.iterparse(io.BytesIO(text.encode()), events=["start-ns"])}


def instructions(text):
    return re.findall(r"<\?xpacket.*?\?>", text)
