"""Takes files out of multipart requests, bounded, and hands their bytes to the knowledge base as they come.

A form says to which collection its file belongs before or after the file, as it likes. Hence a file is written where it
will stay while it arrives, and added when the whole form has been read: what was not, for whatever reason, is gone
when the form is closed. Multipart forms: https://www.rfc-editor.org/rfc/rfc7578
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from causeway.contracts.identity import Principal
from causeway.errors import InvalidInputError, TooLargeError
from causeway.knowledge import Added
from causeway.web.parts import ArrivalDoor, UploadDoor
from causeway.web.rendering import file_size

_MOST_PARTS = 50
"""Files in a form, and fields beside them."""
_FORM_ROOM_BYTES = 1_000_000
"""What a form may take beside its files: its fields and its headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadForm:
    """A form that has arrived whole; its files live until it is closed."""

    files: tuple[ArrivalDoor, ...]
    fields: Mapping[str, str]


@asynccontextmanager
async def read_upload(request: Request, uploads: UploadDoor, *, max_bytes: int) -> AsyncIterator[UploadForm]:
    """The form of ``request``, whose body may be ``max_bytes`` of files.

    Raises:
        TooLargeError: The body is larger, whatever its headers say.
        InvalidInputError: It is not a multipart form, or not a whole one, or a file's name cannot be used.
        DiskFullError: There is no room for it.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        msg = "send the file as multipart/form-data, in the field 'file'"
        raise InvalidInputError(msg)
    if _declared_bytes(request) > max_bytes + _FORM_ROOM_BYTES:
        raise _too_large(max_bytes)
    async with AsyncExitStack() as opened:
        reader = _Reader(boundary, uploads, opened)
        try:
            async for piece in _bounded(request, max_bytes):
                await reader.feed(piece)
        except FormParserError as exc:
            raise InvalidInputError(f"the upload cannot be read as a multipart form: {exc}") from exc
        except ClientDisconnect as exc:
            msg = "the upload broke off; send it again"
            raise InvalidInputError(msg) from exc
        yield reader.form()


async def store(file: ArrivalDoor, fields: Mapping[str, str], *, by: Principal, key: str = "") -> Added:
    """Add one file of a form, into the collection and with the metadata that the form names; ``key`` names the upload."""
    return await file.add(
        by=by,
        collection=fields.get("collection", "").strip() or None,
        metadata=_metadata(fields.get("metadata", "")),
        key=key,
    )


@dataclass(slots=True)
class _Part:
    """A part of the form that is being read: a field's text, or a file's bytes.

    Attributes:
        text: So far, of a field.
        file: None for a field, and for a file that a browser sends when none was chosen.
    """

    name: str = ""
    is_file: bool = False
    text: bytearray = field(default_factory=bytearray)
    file: ArrivalDoor | None = None


@dataclass(frozen=True, slots=True)
class _Begun:
    headers: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Ended:
    pass


class _Reader:
    """Reads a form piece by piece; the parser's callbacks only note what to do, since they cannot wait."""

    def __init__(self, boundary: bytes, uploads: UploadDoor, opened: AsyncExitStack) -> None:
        self._uploads = uploads
        self._opened = opened
        self._noted: list[_Begun | bytes | _Ended] = []
        self._headers: dict[bytes, bytes] = {}
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._part = _Part()
        self._files: list[ArrivalDoor] = []
        self._fields: dict[str, str] = {}
        self._counts = {"files": 0, "fields": 0}
        self._field_bytes = 0
        self._is_whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
                "on_header_end": self._on_header_end,
                "on_headers_finished": lambda: self._noted.append(_Begun(dict(self._headers))),
                "on_part_data": lambda data, start, end: self._noted.append(data[start:end]),
                "on_part_end": lambda: self._noted.append(_Ended()),
                "on_end": self._on_end,
            },
        )

    async def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._parser.write(piece)
        for noted in self._noted:
            match noted:
                case _Begun(headers):
                    await self._begin(headers)
                case _Ended():
                    self._end()
                case data:
                    await self._take(data)
        self._noted.clear()

    def form(self) -> UploadForm:
        """All of it.

        Raises:
            InvalidInputError: Its end has not come.
        """
        if not self._is_whole:
            msg = "the upload ends before its form does; send it again"
            raise InvalidInputError(msg)
        return UploadForm(files=tuple(self._files), fields=self._fields)

    def _on_header_end(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _on_end(self) -> None:
        self._is_whole = True

    async def _begin(self, headers: Mapping[bytes, bytes]) -> None:
        _, options = parse_options_header(headers.get(b"content-disposition"))
        if b"name" not in options:
            msg = "a part of the upload's form has no name; send the file in the field 'file'"
            raise InvalidInputError(msg)
        self._part = _Part(_text(options[b"name"]), is_file=b"filename" in options)
        counted = "files" if self._part.is_file else "fields"
        self._counts[counted] += 1
        if self._counts[counted] > _MOST_PARTS:
            raise InvalidInputError(f"the upload has more than {_MOST_PARTS} {counted}; send it in several")
        if name := _text(options.get(b"filename", b"")):
            self._part.file = await self._opened.enter_async_context(self._uploads.arriving(name))

    async def _take(self, data: bytes) -> None:
        if self._part.file is not None:
            await self._part.file.write(data)
        elif not self._part.is_file:
            self._field_bytes += len(data)
            if self._field_bytes > _FORM_ROOM_BYTES:
                raise TooLargeError(
                    f"the fields beside the file are over {file_size(_FORM_ROOM_BYTES)}; send them shorter"
                )
            self._part.text.extend(data)

    def _end(self) -> None:
        if self._part.file is not None:
            self._files.append(self._part.file)
        elif not self._part.is_file:
            self._fields[self._part.name] = _text(self._part.text)


def _text(raw: bytes | bytearray) -> str:
    """What browsers send is UTF-8; what old programs send may be anything."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _metadata(text: str) -> dict[str, Any]:
    try:
        metadata = json.loads(text or "{}")
    except ValueError as exc:
        raise InvalidInputError(f"metadata is not JSON: {exc}") from exc
    if not isinstance(metadata, dict):
        msg = 'metadata is not a JSON object; send one such as {"team": "support"}'
        raise InvalidInputError(msg)
    return metadata


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


async def _bounded(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body of ``request``, refused once it is larger than it may be."""
    left = max_bytes + _FORM_ROOM_BYTES
    async for piece in request.stream():
        left -= len(piece)
        if left < 0:
            raise _too_large(max_bytes)
        yield piece


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"the upload is over {file_size(max_bytes)}; the limit is server.max_upload_bytes")
