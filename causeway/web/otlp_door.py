"""``POST /otlp/v1/traces``: other programs' spans, as every OpenTelemetry exporter sends them over HTTP.

Point an exporter at ``http://<this>/otlp`` with a key's ``authorization`` header. Answers are the protocol's own, in the
request's encoding: a partial success says how many spans were not kept and why, and an exporter tries again after 429 and 503
alone (https://opentelemetry.io/docs/specs/otlp/#otlphttp-response).
"""

from __future__ import annotations

import json
import zlib
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from causeway.contracts.identity import Principal, Scope
from causeway.errors import (
    CausewayError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
    UnreadableBodyError,
)
from causeway.observability.otlp_import import Imported
from causeway.observability.otlp_messages import message
from causeway.web.sign_in import Caller, Parts

router = APIRouter(tags=["Traces"])

_JSON: Final = "application/json"
_PROTOBUF: Final = "application/x-protobuf"
_RETRY_AFTER_S: Final = "5"
_PIECE: Final = 65_536


def _sender(caller: Caller) -> Principal:
    caller.require(Scope.TRACES)
    return caller


@router.post(
    "/otlp/v1/traces",
    name="otlp_traces",
    response_class=Response,
    openapi_extra={"requestBody": {"content": {_PROTOBUF: {}, _JSON: {}}, "required": True}},
)
async def take(request: Request, parts: Parts, sender: Annotated[Principal, Depends(_sender)]) -> Response:
    """Store the spans of an OTLP request (protobuf or JSON, gzip or plain) under the key's owner."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == _JSON
    telemetry = parts.telemetry
    try:
        if telemetry is None:
            msg = "traces are not taken in here"
            raise NotFoundError(msg)
        if kind not in (_JSON, _PROTOBUF):
            raise UnreadableBodyError(f"content-type '{kind}' is not read here; send {_PROTOBUF} or {_JSON}")
        body = await _body(request, telemetry.import_max_bytes)
        done = await telemetry.imports.take(body, is_json=is_json, sender=sender)
    except CausewayError as exc:
        return _refused(exc, is_json=is_json)
    return _taken(done, is_json=is_json)


def _taken(done: Imported, *, is_json: bool) -> Response:
    if is_json:
        partial = (
            {"rejectedSpans": str(done.rejected), "errorMessage": done.reasons} if done.rejected else None
        )
        answer = {"partialSuccess": partial} if partial else {}
        return Response(json.dumps(answer), media_type=_JSON)
    written = message("ExportResponse")
    if done.rejected:
        written.partial_success.rejected_spans = done.rejected
        written.partial_success.error_message = done.reasons
    return Response(written.SerializeToString(), media_type=_PROTOBUF)


def _refused(error: CausewayError, *, is_json: bool) -> Response:
    """Google's ``Status``, as the protocol wants it; only what may be tried again says so."""
    status = 503 if error.retryable else error.http_status
    headers = {"retry-after": _RETRY_AFTER_S} if error.retryable else {}
    if is_json:
        body: bytes = json.dumps({"message": error.message}).encode()
        return Response(body, status_code=status, headers=headers, media_type=_JSON)
    written = message("RpcStatus")
    written.message = error.message
    return Response(written.SerializeToString(), status_code=status, headers=headers, media_type=_PROTOBUF)


async def _body(request: Request, most: int) -> bytes:
    """The body, unpacked; no more of it is held than ``most`` bytes, however much it would unpack to.

    Raises:
        TooLargeError: It is larger.
        InvalidInputError: It is not packed as its header says.
        UnreadableBodyError: Its packing is none that is read here.
    """
    packing = request.headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "", "gzip"):
        raise UnreadableBodyError(f"content-encoding '{packing}' is not read here; send gzip or plain")
    unpacking = zlib.decompressobj(wbits=31) if packing == "gzip" else None
    pieces: list[bytes] = []
    size, received = 0, 0
    async for sent in request.stream():
        received += len(sent)
        rest = sent
        while rest:
            if unpacking is None:
                piece, rest = rest, b""
            else:
                try:
                    piece = unpacking.decompress(rest, _PIECE)
                except zlib.error as exc:
                    msg = "the body is not packed with gzip, as its content-encoding says"
                    raise InvalidInputError(msg) from exc
                rest = unpacking.unconsumed_tail
                if unpacking.eof and unpacking.unused_data:
                    rest, unpacking = unpacking.unused_data, zlib.decompressobj(wbits=31)
            size += len(piece)
            if size > most:
                raise TooLargeError(
                    f"the request is larger than telemetry.import_max_bytes, {most:,} bytes; send fewer spans at once"
                )
            pieces.append(piece)
    if unpacking is not None:
        pieces.append(unpacking.flush())
    if unpacking is not None and not unpacking.eof and received:
        msg = "the packed body broke off; send it again whole"
        raise InvalidInputError(msg)
    return b"".join(pieces)
