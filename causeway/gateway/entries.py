"""What is written down of a model call: that it began, and in the end all that is known of it.

Owns the two records and their form as JSON, which is the same in the journal and on the way to the database: one
object whose names are the columns of the table ``ledger``, and behind them what the call's trace is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from causeway.contracts.identity import Operation
from causeway.contracts.money import Micros
from causeway.observability.lone_calls import Step

INTERRUPTED = "interrupted"
"""The outcome of a call whose process died."""

_LONGEST_TEXT = 500
_CONTENT = ("step", "asked", "said")
_MOST = 2**63 - 1


class Opening(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call that begins: enough to settle it when its process dies.

    Attributes:
        id: The call's, made by ``new_call_id``; its row has the same.
        model: As the caller wrote it.
        input_tokens: Reserved: an estimate of what is sent.
        output_tokens: Reserved: the most that may come back.
        cost: Reserved for those tokens.
    """

    id: str
    at: datetime
    principal_id: str
    team: str | None
    tier: str
    purpose: str
    operation: Operation
    model: str
    input_tokens: int
    output_tokens: int
    cost: Micros
    prompt: str | None = None
    trace_id: str | None = None
    is_stream: bool = False


class Row(msgspec.Struct, omit_defaults=True, gc=False):
    """A call that has ended; the fields before ``owner`` are the columns. What later releases add needs a default here.

    Attributes:
        id: The call's, made by ``new_call_id``.
        at: When it began: the day and month whose budgets pay.
        model: What answered, or was tried last; empty when none was.
        cost_micros: What was paid; zero for a reply from the cache, which says in ``saved_micros`` what it would have cost.
        outcome: ``ok``, ``cancelled``, ``interrupted`` or an error's code.
        team: The team's id.
        requested_model: As the caller wrote it.
        is_estimate: The provider never counted the tokens.
        ttft_ms: Until the first piece of the reply; None when there was none.
        attempts: Calls of providers, retries and fallbacks included.
        cache: Which cache answered, ``exact`` or ``semantic``.
        route_reason: Why this model was chosen, in a few words.
        owner: And what follows it is the trace's, where the call is all there is of it
            (`causeway.observability.lone_calls.TracedRow`).
    """

    id: str
    at: datetime
    principal_id: str
    purpose: str
    operation: str
    model: str
    provider: str
    prompt: str | None
    input_tokens: int
    output_tokens: int
    cost_micros: int
    outcome: str
    trace_id: str | None
    team: str | None
    tier: str
    requested_model: str
    cached_input_tokens: int
    reasoning_tokens: int
    is_estimate: bool
    saved_micros: int
    latency_ms: int
    ttft_ms: int | None
    attempts: int
    cache: str | None
    is_stream: bool
    route_reason: str | None
    owner: str | None = None
    span_id: str | None = None
    step: Step | None = None
    conversation_id: str | None = None
    asked: Sequence[Any] | None = None
    question_at: int | None = None
    said: str | None = None


_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(Row)
_openings = msgspec.json.Decoder(Opening)


def encoded_opening(opening: Opening) -> bytes:
    """One line of JSON, without its end."""
    if len(opening.model) > _LONGEST_TEXT:
        return _encoder.encode(_storable_opening(opening))
    try:
        return _encoder.encode(opening)
    except (UnicodeEncodeError, OverflowError):
        return _encoder.encode(_storable_opening(opening))


def encoded_row(row: Row) -> bytes:
    """One line of JSON, without its end; PostgreSQL accepts it, whatever the caller sent."""
    # by callers and operators
    written = f"{row.requested_model}{row.prompt}{row.route_reason}{row.conversation_id}"
    if len(written) > _LONGEST_TEXT or "\0" in written:
        return _encoder.encode(_storable(row))
    try:
        return _encoder.encode(row)
    except (UnicodeEncodeError, OverflowError):
        return _encoder.encode(_storable(row))


def decoded_opening(line: bytes) -> Opening:
    """Raises `msgspec.MsgspecError` when the line is none."""
    return _openings.decode(line)


def decoded_row(line: bytes) -> Row:
    """Raises `msgspec.MsgspecError` when the line is none."""
    return _rows.decode(line)


def interrupted(opening: Opening) -> Row:
    """What is written of a call whose process died: it may have cost all that was reserved for it."""
    return Row(
        id=opening.id,
        at=opening.at,
        principal_id=opening.principal_id,
        purpose=opening.purpose,
        operation=opening.operation,
        model=opening.model,
        provider="",
        prompt=opening.prompt,
        input_tokens=opening.input_tokens,
        output_tokens=opening.output_tokens,
        cost_micros=opening.cost,
        outcome=INTERRUPTED,
        trace_id=opening.trace_id,
        team=opening.team,
        tier=opening.tier,
        requested_model=opening.model,
        cached_input_tokens=0,
        reasoning_tokens=0,
        is_estimate=True,
        saved_micros=0,
        latency_ms=0,
        ttft_ms=None,
        attempts=1,
        cache=None,
        is_stream=opening.is_stream,
        route_reason=None,
    )


def _storable(row: Row) -> Row:
    """``row`` with what PostgreSQL refuses replaced: U+0000, halves of surrogate pairs, endless text and numbers."""
    fields: dict[str, Any] = msgspec.structs.asdict(row)
    content = {name: _storable_content(msgspec.to_builtins(fields.pop(name))) for name in _CONTENT}
    return Row(**{name: _storable_value(value) for name, value in fields.items()}, **content)


def _storable_opening(opening: Opening) -> dict[str, object]:
    return {name: _storable_value(value) for name, value in msgspec.structs.asdict(opening).items()}


def _storable_value(value: Any) -> Any:
    match value:
        case str():
            text = value[:_LONGEST_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}")
            return text.encode("utf-8", "replace").decode()
        case bool():
            return value
        case int():
            return max(-_MOST, min(value, _MOST))
        case _:
            return value


def _storable_content(value: Any) -> Any:
    """What was said, without halves of surrogate pairs."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list() | tuple():
            return [_storable_content(each) for each in value]
        case dict():
            return {name: _storable_content(each) for name, each in value.items()}
        case _:
            return value
