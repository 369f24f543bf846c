"""Reads what programs send over OTLP, protobuf or JSON, into plain spans; what they mean is `foreign_names`' matter.

A span that cannot be kept is counted with the reason and the rest goes on, as the protocol's partial success has it:
https://opentelemetry.io/docs/specs/otlp/#otlphttp. Times stay as they were sent, however skewed the sender's clock.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from causeway.errors import InvalidInputError
from causeway.observability import genai_names as names
from causeway.observability.otlp_messages import parsed

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS: Final = {0: "internal", 1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
_FAILED: Final = 2
_MOST_ATTRIBUTES: Final = 1_000
_MOST_EVENTS: Final = 500
_LONGEST_NAME: Final = 500
_LONGEST_KEY: Final = 200
_DEEPEST: Final = 32
_LATEST_NANOSECONDS: Final = 253_370_764_800_000_000_000  # the year 9999


class AnyValue(msgspec.Struct, rename="camel"):
    """A value in JSON; numbers beyond 53 bits come as text."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    bytes_value: str | None = None


class ArrayValue(msgspec.Struct, rename="camel"):
    """A list."""

    values: list[AnyValue] = []


class KeyValueList(msgspec.Struct, rename="camel"):
    """A mapping."""

    values: list[KeyValue] = []


class KeyValue(msgspec.Struct, rename="camel"):
    """An attribute."""

    key: str = ""
    value: AnyValue | None = None


class _Event(msgspec.Struct, rename="camel"):
    time_unix_nano: int | str = 0
    name: str = ""
    attributes: list[KeyValue] = []


class _Status(msgspec.Struct, rename="camel"):
    message: str = ""
    code: int | str = 0


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = ""
    name: str = ""
    kind: int | str = 0
    start_time_unix_nano: int | str = 0
    end_time_unix_nano: int | str = 0
    attributes: list[KeyValue] = []
    events: list[_Event] = []
    status: _Status = msgspec.field(default_factory=_Status)


class _Scope(msgspec.Struct, rename="camel"):
    name: str = ""
    version: str = ""


class _ScopeSpans(msgspec.Struct, rename="camel"):
    scope: _Scope = msgspec.field(default_factory=_Scope)
    spans: list[_Span] = []


class _Resource(msgspec.Struct, rename="camel"):
    attributes: list[KeyValue] = []


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Resource = msgspec.field(default_factory=_Resource)
    scope_spans: list[_ScopeSpans] = []


class _ExportRequest(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent:
    """A moment within a step."""

    name: str
    at: datetime
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSpan:
    """A span as its program named things; those of its resource are below ``resource``."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    started_at: datetime
    duration_s: float
    failure: str | None
    attributes: dict[str, Any]
    events: Sequence[SentEvent]
    resource: Mapping[str, Any]
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a body held; ``rejected`` counts spans by why they cannot be kept."""

    spans: list[SentSpan] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


def decoded(body: bytes, *, is_json: bool) -> Sent:
    """The spans of a body.

    Raises:
        InvalidInputError: It is no export request.
    """
    request = _from_json(body) if is_json else _from_protobuf(body)
    sent = Sent()
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                try:
                    sent.spans.append(_span(span, resource, str(of_scope.scope.name)))
                except ValueError as exc:
                    sent.rejected[str(exc)] += 1
    return sent


def _from_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body, type=_ExportRequest)
    except (ValueError, RecursionError) as exc:
        raise InvalidInputError(f"the body is no OTLP request in JSON: {str(exc)[:200]}") from exc


def _from_protobuf(body: bytes) -> Any:
    try:
        return parsed("ExportRequest", body)
    except ValueError as exc:
        msg = "the body is no OTLP request in protobuf; is its content-type right?"
        raise InvalidInputError(msg) from exc


def _span(span: Any, resource: Mapping[str, Any], scope: str) -> SentSpan:
    trace_id, span_id = _id(span.trace_id, 16, "trace"), _id(span.span_id, 8, "span")
    begin, end = _nanoseconds(span.start_time_unix_nano), _nanoseconds(span.end_time_unix_nano)
    if begin == 0:
        msg = "a span needs start_time_unix_nano"
        raise ValueError(msg)
    attributes = _attributes(span.attributes)
    if end < begin:
        late = "it has no end" if end == 0 else f"it ends {(begin - end) / 1e6:,.0f} ms before it begins"
        attributes[names.CLOCK] = late
    return SentSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_parent(span.parent_span_id),
        name=span.name[:_LONGEST_NAME] or "span",
        kind=_KINDS.get(_enum(span.kind, _KIND_NAMES), "internal"),
        started_at=_moment(begin),
        duration_s=max(0, end - begin) / 1e9,
        failure=_failure(span),
        attributes=attributes,
        events=[
            SentEvent(
                name=each.name[:_LONGEST_NAME],
                at=_moment(_nanoseconds(each.time_unix_nano) or begin),
                attributes=_attributes(each.attributes),
            )
            for each in span.events[:_MOST_EVENTS]
        ],
        resource=resource,
        scope=scope,
    )


def _failure(span: Any) -> str | None:
    if _enum(span.status.code, {"STATUS_CODE_ERROR": _FAILED}) != _FAILED:
        return None
    if span.status.message:
        return str(span.status.message)
    for event in span.events[:_MOST_EVENTS]:
        if event.name == "exception":
            noted = _attributes(event.attributes)
            return str(noted.get("exception.message") or noted.get("exception.type") or "failed")
    return "failed"


_KIND_NAMES: Final = {
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
}


def _enum(value: int | str, known: Mapping[str, int]) -> int:
    """The specification wants numbers in JSON; some programs write names all the same."""
    return value if isinstance(value, int) else known.get(value, 0)


def _id(value: bytes | str, length: int, what: str) -> str:
    """An id as hex; JSON has it so, protobuf as bytes."""
    written = value.lower() if isinstance(value, str) else value.hex()
    try:
        is_one = len(bytes.fromhex(written)) == length and written.strip("0") != ""
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError(f"a {what} id is {length} bytes, not all zero")
    return written


def _parent(value: bytes | str | None) -> str | None:
    try:
        return _id(value, 8, "parent") if value else None
    except ValueError:
        return None


def _nanoseconds(value: int | str) -> int:
    try:
        return min(max(int(value), 0), _LATEST_NANOSECONDS)
    except ValueError:
        return 0


def _moment(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _attributes(given: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    left_out = 0
    for each in given:
        if len(found) >= _MOST_ATTRIBUTES:
            left_out += 1
        elif each.value is not None:
            found[each.key[:_LONGEST_KEY]] = _value(each.value, 0)
    if left_out:
        found[names.TRUNCATED] = msgspec.json.encode({"attributes": _MOST_ATTRIBUTES + left_out}).decode()
    return found


def _value(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, AnyValue):
        return _json_value(value, depth)
    which = value.WhichOneof("value")
    if which is None:
        return None
    held = getattr(value, which)
    if which == "array_value":
        return [_value(each, depth + 1) for each in held.values]
    if which == "kvlist_value":
        return {each.key: _value(each.value, depth + 1) for each in held.values}
    return base64.b64encode(held).decode() if which == "bytes_value" else held


def _json_value(value: AnyValue, depth: int) -> Any:
    if value.array_value is not None:
        return [_value(each, depth + 1) for each in value.array_value.values]
    if value.kvlist_value is not None:
        return {
            each.key: _value(each.value, depth + 1)
            for each in value.kvlist_value.values
            if each.value is not None
        }
    for number, kind in ((value.int_value, int), (value.double_value, float)):
        if number is not None:
            try:
                return kind(number)
            except ValueError:
                return number
    if value.bytes_value is not None:
        try:
            return base64.b64encode(base64.b64decode(value.bytes_value)).decode()
        except binascii.Error:
            return value.bytes_value
    return value.string_value if value.string_value is not None else value.bool_value
