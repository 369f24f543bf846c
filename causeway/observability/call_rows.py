"""A call's span as PostgreSQL takes it: a line of COPY and a line of ``trace_summaries``, without a dictionary in between.

The same as any span becomes in `causeway.observability.trace_store`, for a tenth of the processor time; a call that has
something unusual to it (values to mask, to cut or to clean) goes that way.
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from causeway.observability import genai_names as names
from causeway.observability.call_facts import CallContent, CallFacts, shown_text
from causeway.observability.spans import Span
from causeway.observability.storable import StoredSpan
from causeway.observability.trace_policy import TracePolicy
from causeway.observability.trace_summaries import CALLS, CHATS, MOST_CHARACTERS, MOST_MS, Line

_encode = msgspec.json.Encoder().encode
_ESCAPED = re.compile(r"\\(.)")
_OUT_OF_COPY = {"t": "\t", "n": "\n", "r": "\r"}
_IN_COPY = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class CallRow(msgspec.Struct, frozen=True, gc=False):
    """A call's span, ready to be stored.

    Attributes:
        row: Its line of COPY, in the order of `COLUMNS`.
        line: What it tells of its trace, `causeway.observability.trace_summaries.Line` as JSON.
    """

    trace_id: str
    row: bytes
    line: bytes


COLUMNS = "span_id, trace_id, parent_id, name, kind, started_at, duration_ms, status, status_message, attributes, events"


_SHORT = 16_000
"""Characters that are written down within some ten microseconds."""


def is_short(span: Span) -> bool:
    """Whether so little was said in a call that it may be written down on the call's own way; False for what is no call."""
    if span.facts is None:
        return False
    content = span.content
    if content is None:
        return True
    length = 0 if content.said is None else len(content.said)
    for message in content.asked or ():
        length += len(message.content)  # parts count one each
    return length <= _SHORT and not content.called


def call_row(span: Span, policy: TracePolicy) -> CallRow | None:
    """``span`` ready to be stored; None when it is no call, or has to be looked at more closely."""
    facts = span.facts
    if facts is None or span.events or _has_null(span, facts) or not policy.keeps_all(facts.team):
        return None
    if span.content is not None:
        facts.write_content(span.content)
    try:
        attributes = _encode(facts)
        if span.noted:
            noted = _encode(span.noted)
            if b"\\u0000" in noted:
                return None
            attributes = b"".join((attributes[:-1], b",", noted[1:]))
        head = _head(span).encode()
        line = _encode(call_line(span, facts))
    except UnicodeEncodeError:
        return None
    if len(attributes) > policy.longest:
        return None
    return CallRow(span.trace_id, b"".join((head, attributes.replace(b"\\", b"\\\\"), b"\t[]\n")), line)


def stored_call(call: CallRow) -> StoredSpan:
    """The span itself, for whoever has to store it another way; its time to the millisecond."""
    fields = [_field(each) for each in call.row.decode().removesuffix("\n").split("\t")]
    span_id, trace_id, parent_id, name, kind, started_at, duration_ms, _, failure, attributes, _ = fields
    return StoredSpan(
        trace_id=trace_id or "",
        span_id=span_id or "",
        parent_id=parent_id,
        name=name or "",
        kind=kind or "",
        started_at=datetime.fromisoformat(started_at or ""),
        duration_s=int(duration_ms or 0) / 1000,
        failure=failure,
        attributes=msgspec.json.decode(attributes or "{}"),
        events=[],
    )


def _field(written: str) -> str | None:
    """A field of a line of COPY."""
    if written == "\\N":
        return None
    return _ESCAPED.sub(lambda escaped: _OUT_OF_COPY.get(escaped[1], escaped[1]), written)


def _has_null(span: Span, facts: CallFacts) -> bool:
    """Whether U+0000, which PostgreSQL does not take, is in what a caller wrote; in messages, JSON within JSON, it does no harm."""
    return "\0" in f"{span.name}{facts.request_model}{facts.conversation}{span.failure}"


def _in_copy(text: str) -> str:
    """``text`` as a line of COPY has it."""
    return text if text.isprintable() and "\\" not in text else text.translate(_IN_COPY)


def _head(span: Span) -> str:
    """What comes before the attributes."""
    parent = "\\N" if span.parent_id is None else span.parent_id
    ended = "ok\t\\N" if span.failure is None else f"error\t{_in_copy(span.failure)}"
    return (
        f"{span.span_id}\t{span.trace_id}\t{parent}\t{_in_copy(span.name)}\t{span.kind}"
        f"\t{_encode(span.started_at)[1:-1].decode()}\t{round(span.duration_s * 1000)}\t{ended}\t"
    )


def call_line(span: Span, facts: CallFacts) -> Line:
    """The line of a trace in which ``span`` is all there is so far, as `trace_summaries.lines` would sum it."""
    line = Line(
        trace_id=span.trace_id,
        started_at=span.started_at,
        duration_ms=round(span.duration_s * 1000),
        name=span.name,
        owner=facts.owner,
        principal_id=facts.principal,
        team=facts.team,
        tier=facts.tier,
        product=facts.purpose,
        span_count=1,
        conversation_id=facts.conversation,
        root_id=span.span_id if span.parent_id is None else None,
    )
    if facts.team is not None:
        line.project = facts.team
    if span.failure is not None:
        line.status = "error"
        line.error_type = str(span.noted.get(names.ERROR_TYPE, "")) or None
    if facts.operation in CALLS:
        line.input_tokens = facts.input_tokens
        line.output_tokens = facts.output_tokens
        line.cost_micros = facts.cost_micros
        line.attempts = facts.attempts
        line.cache = facts.cache
        if facts.first_chunk_s is not None:
            line.ttft_ms = min(int(facts.first_chunk_s * 1000), MOST_MS)
    if facts.operation in CHATS:
        line.chat_at = span.started_at
        line.model = facts.response_model[:MOST_CHARACTERS]
        line.provider = facts.provider
        if facts.prompt is not None:
            line.prompt = (
                facts.prompt if facts.prompt_version is None else f"{facts.prompt}@{facts.prompt_version}"
            )
        elif span.content is not None:
            line.question, line.answer = _asked(span.content), _begun(span.content.said or "")
    return line


def _asked(content: CallContent) -> str | None:
    """What the caller said last."""
    for message in reversed(content.asked or ()):
        if message.role == "user" and (text := shown_text(message)):
            return _begun(text)
    return None


def _begun(text: str) -> str | None:
    """The beginning of what somebody said; None where nothing was."""
    begun = text[:MOST_CHARACTERS]
    return (begun.replace("\0", "") if "\0" in begun else begun) or None
