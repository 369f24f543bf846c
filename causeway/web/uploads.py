"""Takes files out of multipart requests, bounded, and hands their bytes to the knowledge base."""

from __future__ import annotations

import errno
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from causeway.errors import DiskFullError, InvalidInputError, TooLargeError
from causeway.knowledge import Added
from causeway.web.parts import UploadDoor
from causeway.web.rendering import file_size

_MOST_FILES = 50
_FORM_ROOM_BYTES = 1_000_000
"""What a form may take beside its files."""
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadForm:
    """A form with files; they live until the form is closed."""

    files: tuple[UploadFile, ...]
    fields: Mapping[str, str]


@asynccontextmanager
async def read_upload(request: Request, *, max_bytes: int) -> AsyncIterator[UploadForm]:
    """The form of ``request``, whose body may be ``max_bytes`` of files.

    Raises:
        TooLargeError: The body is larger, whatever its headers say.
        InvalidInputError: It is not a multipart form.
        DiskFullError: There is no room for it.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        msg = "send the file as multipart/form-data, in the field 'file'"
        raise InvalidInputError(msg)
    if _declared_bytes(request) > max_bytes + _FORM_ROOM_BYTES:
        raise _too_large(max_bytes)
    form = await _parse(Request(request.scope, _bounded(request, max_bytes)))
    try:
        items = form.multi_items()
        files = tuple(value for _, value in items if isinstance(value, UploadFile) and value.filename)
        fields = {name: value for name, value in items if isinstance(value, str)}
        yield UploadForm(files=files, fields=fields)
    finally:
        await form.close()


async def store(file: UploadFile, fields: Mapping[str, str], uploads: UploadDoor) -> Added:
    """Add one file of a form, into the collection and with the metadata that the form names."""
    return await uploads.receive(
        _blocks(file),
        name=file.filename or "",
        collection=fields.get("collection", "").strip() or None,
        metadata=_metadata(fields.get("metadata", "")),
    )


async def _blocks(file: UploadFile) -> AsyncIterator[bytes]:
    while block := await file.read(_BLOCK_BYTES):
        yield block


def _metadata(text: str) -> dict[str, Any]:
    try:
        metadata = json.loads(text or "{}")
    except ValueError as exc:
        raise InvalidInputError(f"metadata is not JSON: {exc}") from exc
    if not isinstance(metadata, dict):
        msg = 'metadata is not a JSON object; send one such as {"team": "support"}'
        raise InvalidInputError(msg)
    return metadata


async def _parse(request: Request) -> FormData:
    try:
        return await request.form(max_files=_MOST_FILES, max_fields=_MOST_FILES)
    except HTTPException as exc:
        raise InvalidInputError(f"the upload cannot be read: {exc.detail}") from exc
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            msg = "there is no room for the upload on Causeway's disk; free some and try again"
            raise DiskFullError(msg) from exc
        raise


def _declared_bytes(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


def _bounded(request: Request, max_bytes: int) -> Any:
    """``request.receive`` that refuses a body larger than it may be."""
    left = max_bytes + _FORM_ROOM_BYTES

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise _too_large(max_bytes)
        return message

    return receive


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"the upload is over {file_size(max_bytes)}; the limit is server.max_upload_bytes")
