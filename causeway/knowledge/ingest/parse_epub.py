"""EPUB -> blocks: the chapters in the order of the book's spine, each read as the web page it is (EPUB 3.3, W3C 2023).

XML is read by expat, which fetches nothing; a package document that declares entities is refused. Chapters go through
the HTML reader, which runs and fetches nothing either.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from urllib.parse import unquote
from xml.etree import ElementTree

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.parse_web import parse_html
from causeway.knowledge.ingest.sniff import EPUB

_CONTAINER = "META-INF/container.xml"
_MAX_CHAPTER_BYTES = 20_000_000
_MAX_XML_BYTES = 5_000_000
_MAX_CHAPTERS = 2_000
_DAMAGED = "the book is damaged or was cut short: it cannot be opened; get a whole copy and add it again"
_PROTECTED = "the book is protected (DRM); add a copy without protection"
_PAGES = ("application/xhtml+xml", "text/html")


def parse_epub(content: bytes) -> ParsedDocument:
    """The document in an EPUB file.

    Raises:
        UnreadableDocumentError: It is damaged or protected, or unpacks to too much.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            if "META-INF/rights.xml" in book.namelist():
                raise UnreadableDocumentError(_PROTECTED)
            opf = _package_path(book)
            package = _xml(book, opf)
            blocks = tuple(block for name in _spine(package, opf) for block in _chapter(book, name))
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, OSError, ValueError, zlib.error) as exc:
        raise UnreadableDocumentError(_DAMAGED) from exc
    found = {name: _said(package, name) for name in ("title", "creator", "subject", "date")}
    metadata = {"author": found["creator"], "subject": found["subject"], "created": found["date"][:10]}
    return ParsedDocument(
        title=found["title"],
        media_type=EPUB,
        blocks=blocks,
        metadata={name: value for name, value in metadata.items() if value},
    )


def _package_path(book: zipfile.ZipFile) -> str:
    for node in _xml(book, _CONTAINER).iter():
        if _local(node) == "rootfile" and node.get("full-path"):
            return str(node.get("full-path"))
    raise UnreadableDocumentError(_DAMAGED)


def _xml(book: zipfile.ZipFile, name: str) -> ElementTree.Element:
    content = _read(book, name, _MAX_XML_BYTES)
    if b"<!ENTITY" in content:
        raise UnreadableDocumentError(_DAMAGED)
    return ElementTree.fromstring(content)  # noqa: S314 - no entities, and expat fetches nothing


def _read(book: zipfile.ZipFile, name: str, most: int) -> bytes:
    with book.open(name) as packed:
        content = packed.read(most + 1)
    if len(content) > most:
        raise UnreadableDocumentError(
            f"the book's '{name}' unpacks to more than {most / 1e6:,.0f} MB; it is damaged or made to do harm"
        )
    return content


def _spine(package: ElementTree.Element, opf: str) -> Iterator[str]:
    """The chapters' names in the archive, in reading order."""
    manifest = {node.get("id"): node for node in package.iter() if _local(node) == "item"}
    references = [node for node in package.iter() if _local(node) == "itemref"]
    for reference in references[:_MAX_CHAPTERS]:
        item = manifest.get(reference.get("idref"))
        is_contents = item is not None and "nav" in (item.get("properties") or "").split()
        if item is not None and item.get("media-type") in _PAGES and not is_contents:
            href = unquote((item.get("href") or "").split("#", 1)[0])
            yield posixpath.normpath(posixpath.join(posixpath.dirname(opf), href))


def _chapter(book: zipfile.ZipFile, name: str) -> tuple[Block, ...]:
    try:
        return parse_html(_read(book, name, _MAX_CHAPTER_BYTES)).blocks
    except KeyError:  # the book lacks a chapter that it lists
        return ()


def _said(package: ElementTree.Element, name: str) -> str:
    texts = [" ".join((node.text or "").split()) for node in package.iter() if _local(node) == name]
    return next((text for text in texts if text), "")


def _local(node: ElementTree.Element) -> str:
    """The element's name without its namespace."""
    return str(node.tag).rpartition("}")[2]
