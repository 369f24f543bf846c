"""OTLP's trace messages for the protobuf library, built from their field numbers: the library is there, their package is not.

As in opentelemetry-proto 1.x (https://github.com/open-telemetry/opentelemetry-proto, trace/v1, common/v1, resource/v1,
collector/trace/v1), whose wire format is stable; fields that nothing here reads are left out and skipped by the parser. A
pool of its own keeps them apart from that package where it is installed too.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from causeway.seams import deferred

descriptor_pb2 = deferred("google.protobuf.descriptor_pb2")
descriptor_pool = deferred("google.protobuf.descriptor_pool")
message_factory = deferred("google.protobuf.message_factory")
protobuf_message = deferred("google.protobuf.message")

_PACKAGE: Final = "causeway.otlp"
_MANY: Final = "*"
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "AnyValue": {
        "string_value": (1, "string"),
        "bool_value": (2, "bool"),
        "int_value": (3, "int64"),
        "double_value": (4, "double"),
        "array_value": (5, "ArrayValue"),
        "kvlist_value": (6, "KeyValueList"),
        "bytes_value": (7, "bytes"),
    },
    "ArrayValue": {"values": (1, "*AnyValue")},
    "KeyValueList": {"values": (1, "*KeyValue")},
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "Resource": {"attributes": (1, "*KeyValue")},
    "Scope": {"name": (1, "string"), "version": (2, "string")},
    "Event": {"time_unix_nano": (1, "fixed64"), "name": (2, "string"), "attributes": (3, "*KeyValue")},
    "Status": {"message": (2, "string"), "code": (3, "int32")},
    "Span": {
        "trace_id": (1, "bytes"),
        "span_id": (2, "bytes"),
        "parent_span_id": (4, "bytes"),
        "name": (5, "string"),
        "kind": (6, "int32"),
        "start_time_unix_nano": (7, "fixed64"),
        "end_time_unix_nano": (8, "fixed64"),
        "attributes": (9, "*KeyValue"),
        "events": (11, "*Event"),
        "status": (15, "Status"),
    },
    "ScopeSpans": {"scope": (1, "Scope"), "spans": (2, "*Span")},
    "ResourceSpans": {"resource": (1, "Resource"), "scope_spans": (2, "*ScopeSpans")},
    "ExportRequest": {"resource_spans": (1, "*ResourceSpans")},
    "PartialSuccess": {"rejected_spans": (1, "int64"), "error_message": (2, "string")},
    "ExportResponse": {"partial_success": (1, "PartialSuccess")},
    "RpcStatus": {"code": (1, "int32"), "message": (2, "string")},
}
_ONE_OF: Final = {"AnyValue": "value"}


def message(name: str) -> Any:
    """A new, empty message: ``ExportRequest``, ``ExportResponse`` or ``RpcStatus``; its fields are made through it."""
    return _classes()[name]()


def parsed(name: str, body: bytes) -> Any:
    """The message that ``body`` holds.

    Raises:
        ValueError: It holds none.
    """
    made = message(name)
    try:
        made.ParseFromString(body)
    except protobuf_message.DecodeError as exc:
        raise ValueError(str(exc)) from exc
    return made


@cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="causeway/otlp.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        built = file.message_type.add(name=name)
        if name in _ONE_OF:
            built.oneof_decl.add(name=_ONE_OF[name])
        for field_name, (number, kind) in fields.items():
            field = built.field.add(name=field_name, number=number)
            field.label = field.LABEL_REPEATED if kind.startswith(_MANY) else field.LABEL_OPTIONAL
            plain = kind.removeprefix(_MANY)
            if plain in _MESSAGES:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
            else:
                field.type = getattr(field, f"TYPE_{plain.upper()}")
            if name in _ONE_OF:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }
