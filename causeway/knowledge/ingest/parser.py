"""One file -> one `ParsedDocument`: finds out what it is and hands it to the reader of its kind.

Runs inside the disposable process of `sandbox`, so each reader is imported only when a file of its kind arrives.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from causeway.errors import EmptyDocumentError, UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest import sniff
from causeway.knowledge.ingest.reading import Reading

# ruff: noqa: PLC0415 - a process reads one file: it pays for one reader

MAX_DEPTH = 1
"""Files in files: an archive may hold an archive or a mail with attachments, and these are taken as they are."""

_OFFICE = frozenset(
    (
        sniff.WORD,
        sniff.SLIDES,
        sniff.SHEETS,
        sniff.OPEN_TEXT,
        sniff.OPEN_SLIDES,
        sniff.OPEN_SHEETS,
        sniff.OLD_WORD,
        sniff.OLD_SLIDES,
        sniff.OLD_SHEETS,
    )
)
_HOLDERS = frozenset((sniff.MAIL, sniff.OUTLOOK, sniff.ZIP))
_TOO_NESTED = "the archive lies too deep in other files; unpack it and add the files inside"
_NO_TEXT = "the file has no text"
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def parse_file(path: Path, *, name: str, reading: Reading) -> ParsedDocument:
    """The document in ``path``; ``name`` is what its owner calls it.

    Raises:
        UnreadableDocumentError: It cannot be made searchable; the message tells its owner why.
    """
    from causeway.knowledge.ingest.language import language_of

    with path.open("rb") as file:
        parsed = parse_bytes(file.read(), name=name, reading=replace(reading, file=file.fileno()))
    if not reading.tells_language:
        return parsed
    language = language_of(parsed.blocks)
    return replace(parsed, metadata={"language": language, **parsed.metadata}) if language else parsed


def parse_bytes(content: bytes, *, name: str, reading: Reading) -> ParsedDocument:
    """The document in ``content``.

    Raises:
        UnreadableDocumentError: It cannot be made searchable.
    """
    media_type = sniff.media_type_of(content, name)
    if media_type == sniff.MAIL and reading.depth > MAX_DEPTH:
        media_type = sniff.PLAIN  # mails in mails are not unpacked
    parsed = _parse(content, media_type, reading)
    blocks = tuple(_storable(block) for block in parsed.blocks)
    if not any(block.text.strip() for block in blocks):
        raise EmptyDocumentError(_NO_TEXT)
    return replace(
        parsed,
        title=_clean(parsed.title),
        blocks=blocks,
        metadata={_clean(key): _clean(value) for key, value in parsed.metadata.items()},
    )


def load_readers() -> None:
    """Import every reader, for a process that many are forked from; none of them starts a thread."""
    from causeway.knowledge.ingest import (  # noqa: F401
        parse_archive,
        parse_csv,
        parse_epub,
        parse_mail,
        parse_markdown,
        parse_office,
        parse_outlook,
        parse_pdf,
        parse_rtf,
        parse_text,
        parse_web,
        read_image,
    )


def load_ocr(languages: str) -> None:
    """Load the language data that pictures are read with, for the same process.

    Raises:
        UnreadableDocumentError: There are no data for these languages.
    """
    from causeway.knowledge.ingest.ocr import choose_engine

    choose_engine(languages).prepare()


def load_language_model() -> None:
    """Load what tells languages apart, for the same process."""
    from causeway.knowledge.ingest import language

    language.model()


def _parse(content: bytes, media_type: str, reading: Reading) -> ParsedDocument:
    if media_type in sniff.PICTURES:
        from causeway.knowledge.ingest.read_image import read_image

        return read_image(content, media_type, reading)
    if media_type in _OFFICE:
        from causeway.knowledge.ingest.parse_office import parse_office

        return parse_office(content, media_type)
    if media_type in _HOLDERS:
        return _parse_holder(content, media_type, reading)
    match media_type:
        case sniff.PDF:
            from causeway.knowledge.ingest.parse_pdf import parse_pdf

            return parse_pdf(content, reading)
        case sniff.HTML:
            from causeway.knowledge.ingest.parse_web import parse_html

            return parse_html(content)
        case sniff.CSV:
            from causeway.knowledge.ingest.parse_csv import parse_csv

            return parse_csv(content)
        case sniff.RTF:
            from causeway.knowledge.ingest.parse_rtf import parse_rtf

            return parse_rtf(content)
        case sniff.EPUB:
            from causeway.knowledge.ingest.parse_epub import parse_epub

            return parse_epub(content)
        case sniff.MARKDOWN:
            from causeway.knowledge.ingest.parse_markdown import parse_markdown

            return parse_markdown(content)
        case _:
            from causeway.knowledge.ingest.parse_text import parse_plain

            return parse_plain(content)


def _parse_holder(content: bytes, media_type: str, reading: Reading) -> ParsedDocument:
    """A file that holds other files."""
    if media_type == sniff.MAIL:
        from causeway.knowledge.ingest.parse_mail import parse_mail

        return parse_mail(content, partial(_attached, reading))
    if media_type == sniff.OUTLOOK:
        from causeway.knowledge.ingest.parse_outlook import parse_outlook

        return parse_outlook(content, partial(_attached, reading))
    if reading.depth > MAX_DEPTH:
        raise UnreadableDocumentError(_TOO_NESTED)
    from causeway.knowledge.ingest.parse_archive import parse_archive

    return parse_archive(content, partial(_attached, reading))


def _attached(reading: Reading, content: bytes, name: str) -> ParsedDocument:
    return parse_bytes(content, name=name, reading=replace(reading, depth=reading.depth + 1, file=None))


def _storable(block: Block) -> Block:
    text = _clean(block.text)
    return block if text == block.text else replace(block, text=text)


def _clean(text: str) -> str:
    """Without what neither JSON nor PostgreSQL can hold."""
    return _UNSTORABLE.sub("", text) if _UNSTORABLE.search(text) else text
