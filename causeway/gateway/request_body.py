"""A request's body, from bytes that anybody may send to checked values.

Bounded before it is whole: in size, in time, in nesting, in values. JSON is read as RFC 8259 has it: UTF-8, no ``NaN``, no lone
surrogates; of a name given twice the last counts.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec

from causeway.errors import InvalidInputError, SlowClientError, TooLargeError, UnreadableBodyError
from causeway.gateway.call_deadline import CallDeadline
from causeway.gateway.request_head import RequestHead

ModelName = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
"""What ledgers and messages repeat: short, and without control characters."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Body = TypeVar("Body")

_MOST_NESTING = 100
_SMALL_BYTES = 1_000_000
_MOST_LISTS = 200_000
_MOST_VALUES = 1_000_000
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON string; one without an end goes to the end of the body, so that the search is linear whatever it is given."""
_LONGEST_REASON = 300
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class ClientGoneError(Exception):
    """The client closed its connection; nobody is left to be answered."""


def require_body(head: RequestHead, body: bytes, *, max_bytes: int) -> None:
    """Pass when ``body``, which has come whole, may be read.

    Raises:
        TooLargeError: It is over ``max_bytes``.
        UnreadableBodyError: It is not JSON, or is compressed.
    """
    if not head.is_plain_json:
        _require_plain_json(head)
    if len(body) > max_bytes:
        raise _too_large(max_bytes)


async def read_body(head: RequestHead, receive: Receive, *, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Args:
        head: Says what the body is.
        receive: ASGI's.
        max_bytes: How long it may be.
        timeout_s: How long it may take.

    Raises:
        TooLargeError: It is over ``max_bytes``; a body that says so in its header is not read.
        SlowClientError: It was not complete after ``timeout_s``.
        UnreadableBodyError: It is not JSON, or is compressed.
        ClientGoneError: The client left before its request was complete.
    """
    if not head.is_plain_json:
        _require_plain_json(head)
    declared = head.text(b"content-length")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    try:
        with CallDeadline(timeout_s) as deadline:
            return await deadline.wait(partial(_read, receive, max_bytes))
    except TimeoutError:
        raise SlowClientError(
            f"the request's body was not complete after {timeout_s:g} s; send it faster, or less of it"
        ) from None


def _require_plain_json(head: RequestHead) -> None:
    media_type, _, parameters = head.text(b"content-type").lower().partition(";")
    if media_type.strip() not in ("application/json", ""):
        raise UnreadableBodyError(
            f"the body is '{media_type.strip()[:100]}'; send JSON with 'content-type: application/json'"
        )
    if "charset" in parameters and "utf-8" not in parameters and "utf8" not in parameters:
        raise UnreadableBodyError(f"the body has '{parameters.strip()[:100]}'; send JSON in UTF-8")
    encoding = head.text(b"content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise UnreadableBodyError(f"the body is encoded as '{encoding[:100]}'; send it uncompressed")


async def _read(receive: Receive, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"the body is over {max_bytes} bytes; send less in one call")


def is_small(body: bytes) -> bool:
    """Whether ``body`` may be read before its values are counted."""
    return len(body) <= _SMALL_BYTES


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``.

    Raises:
        TooLargeError: It has very many values.
        InvalidInputError: It holds something else, or is nested too deep to be meant.
    """
    if not is_small(body):
        _require_few_values(body)
    try:
        read = _decode(body)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"the body is not a JSON object: {_reason(exc)}") from exc
    # what cannot nest deeper than the bound, which is nearly every body, is not walked
    if body.count(b"{") + body.count(b"[") > _MOST_NESTING:
        _require_shallow(read)
    return read


def _require_few_values(body: bytes) -> None:
    """Refuse a body whose values would take many times its size: ``{},`` is three bytes, and 72 once it is read."""
    if _has_few_values(body):
        return
    if not _has_few_values(_STRING.sub(b"", body)):  # brackets and commas within texts are no values
        msg = f"the body has over {_MOST_VALUES} values; send less in one call"
        raise TooLargeError(msg)


def _has_few_values(body: bytes) -> bool:
    return body.count(b"{") + body.count(b"[") <= _MOST_LISTS and body.count(b",") <= _MOST_VALUES


def _require_shallow(read: object) -> None:
    level: list[Any] = [read]
    for _ in range(_MOST_NESTING):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> InvalidInputError:
    return InvalidInputError(f"the body is nested over {_MOST_NESTING} levels deep; flatten it")


def read_as(shape: type[Body], raw: Mapping[str, Any]) -> Body:
    """``raw`` as a struct.

    Raises:
        InvalidInputError: A field is missing or of the wrong type; the message names the place.
    """
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as exc:
        raise InvalidInputError(f"the body is not as the API describes: {_reason(exc)}") from exc


def require_few(name: str, count: int, most: int) -> None:
    """Pass when the list ``name`` has from one to ``most`` entries.

    Raises:
        InvalidInputError: It is empty or longer.
    """
    if count == 0:
        raise InvalidInputError(f"'{name}' is empty; send at least one entry")
    if count > most:
        raise InvalidInputError(f"'{name}' has {count} entries; send at most {most} in one call")


def _reason(error: Exception) -> str:
    """What the parser says; it may quote the body, so it is for the caller and never for a log."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error)[:_LONGEST_REASON]
