"""Calls that are all of their trace: written down once, with the ledger's row, and read as any other trace.

Nearly every call through the gateway begins a trace and is all there is of it. What the ledger's row says of it anyway is
not said again: PostgreSQL makes the trace's line of that row in the same statement (`NEW_LINES`), the line holds what the
row has no place for (`Step`), and the span is read off both (`attributes_of`). ``docs/adr/0047-a-call-is-written-once.md``
tells why; any other call has a span of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from causeway.contracts.chat import ChatRequest
from causeway.observability import genai_names as names
from causeway.observability.attribute_values import as_json
from causeway.observability.call_facts import CallContent, CallFacts
from causeway.observability.meters import CountedCall, Meters
from causeway.observability.spans import Span
from causeway.observability.trace_policy import DEFAULT_PROJECT, TracePolicy
from causeway.observability.trace_summaries import CHATS, MOST_CHARACTERS, SET

_MOST_SAID = 16_000
"""Characters that are written as JSON on the call's own way, within some microseconds."""


_COUNTED_AT_ONCE = 256


class Step(msgspec.Struct, omit_defaults=True, gc=False):
    """What is known of a call and is not in the ledger's row.

    Attributes:
        failure: What went wrong, in words.
        called: The tools that the reply asks for.
        noted: Further attributes of the span.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    finish_reason: str | None = None
    failure: str | None = None
    called: Sequence[Any] = ()
    noted: dict[str, Any] | None = None


class TracedRow(CountedCall, Protocol):
    """A row of the ledger that its call's trace is made of.

    Attributes:
        owner: Whose it is.
        span_id: The span's; None where the call has a span of its own.
        step: What else is known of it.
        asked: The messages; None where nothing said is kept.
        question_at: Which of them is the question: the last that a person wrote.
        said: The reply.
    """

    owner: str | None
    span_id: str | None
    step: Step | None
    conversation_id: str | None
    asked: Sequence[Any] | None
    question_at: int | None
    said: str | None


class LoneCalls:
    """Decides which calls are written down with the ledger's row, and counts them for Prometheus."""

    def __init__(self, policy: TracePolicy, meters: Meters) -> None:
        self._policy = policy
        self._meters = meters
        self._ended: list[CountedCall] = []
        self._most_said = min(_MOST_SAID, policy.longest)

    def tell(
        self,
        row: TracedRow,
        span: Span,
        team: str | None,
        request: ChatRequest | None,
        finish_reason: str | None,
        content: CallContent | None,
    ) -> bool:
        """Add to ``row`` what its trace holds; whether the call is all of its trace, and has nothing unusual to it."""
        failure = span.failure
        if span.parent_id is not None or span.events or (failure is not None and "\0" in failure):
            return False
        if request is None:
            step = Step(None, None, finish_reason, failure)
        else:
            step = Step(request.temperature, request.max_tokens, finish_reason, failure)
        if span.noted:
            noted = {name: value for name, value in span.noted.items() if name != names.ERROR_TYPE}
            if "\\u0000" in as_json(noted):
                return False
            step.noted = noted or None
        if content is not None:
            if not self._policy.keeps_all(team):
                return False
            if not self._add(row, step, content):
                return False
        row.span_id, row.step = span.span_id, step
        return True

    def count(self, row: TracedRow) -> None:
        """Count a call that was written down: with others, which takes a third of what one by one does."""
        row.asked = row.said = None  # they go at once
        self._ended.append(row)
        if len(self._ended) >= _COUNTED_AT_ONCE:
            self.count_ended()

    def count_ended(self) -> None:
        """Tell the meters of all that have ended."""
        ended, self._ended = self._ended, []
        self._meters.count_calls(ended)

    def _add(self, row: TracedRow, step: Step, content: CallContent) -> bool:
        """Add what was said, if it is short and nothing but text."""
        said = content.said or ""
        length, question_at = len(said), None
        for number, message in enumerate(content.asked or ()):
            text = message.content
            if type(text) is not str or "\0" in text:
                return False
            length += len(text)
            if text and message.role == "user":
                question_at = number
        if content.called:
            step.called = [{"name": call.name, "arguments": call.arguments} for call in content.called]
            length += sum(len(call.arguments) for call in content.called)
            if "\\u0000" in as_json(step.called):
                return False
        if length > self._most_said or "\0" in said:
            return False
        row.asked, row.question_at, row.said = content.asked, question_at, content.said
        return True


# --- in the database -----------------------------------------------------------------------------------

_MODEL = "coalesce(nullif(model, ''), requested_model)"
_IS_CHAT = f"operation IN ({', '.join(repr(each) for each in sorted(CHATS))})"
_IS_ASKED = f"{_IS_CHAT} AND prompt IS NULL"
_LINE: Final = {
    "trace_id": "trace_id",
    "started_at": "at",
    "duration_ms": "latency_ms",
    "name": f"operation || ' ' || {_MODEL}",
    "status": "CASE WHEN step->>'failure' IS NULL THEN 'ok' ELSE 'error' END",
    "error_type": "CASE WHEN step->>'failure' IS NOT NULL THEN outcome END",
    "owner": "coalesce(owner, principal_id)",
    "principal_id": "principal_id",
    "team": "team",
    "tier": "tier",
    "project": f"coalesce(team, '{DEFAULT_PROJECT}')",
    "service": "'causeway'",
    "product": "purpose",
    "model": f"CASE WHEN {_IS_CHAT} THEN left({_MODEL}, {MOST_CHARACTERS}) END",
    "provider": f"CASE WHEN {_IS_CHAT} THEN nullif(provider, '') END",
    "prompt": f"CASE WHEN {_IS_CHAT} THEN prompt END",
    "question": f"CASE WHEN {_IS_ASKED} THEN left(asked->question_at->>'content', {MOST_CHARACTERS}) END",
    "answer": f"CASE WHEN {_IS_ASKED} THEN nullif(left(said, {MOST_CHARACTERS}), '') END",
    "cache": "cache",
    "attempts": "greatest(attempts, 1)",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cost_micros": "cost_micros",
    "ttft_ms": "ttft_ms",
    "span_count": "1",
    "conversation_id": "conversation_id",
    "root_id": "span_id",
    "chat_at": f"CASE WHEN {_IS_CHAT} THEN at END",
    "is_told": "false",
    "call_id": "id",
    "step": "step",
    "asked": "asked",
    "said": f"CASE WHEN NOT ({_IS_ASKED}) OR length(said) > {MOST_CHARACTERS} OR said = '' THEN said END",
}
_OWN = ("call_id", "step", "asked", "said")

GIVEN_COLUMNS: Final = (
    "owner text, span_id text, step json, conversation_id text, asked json, question_at integer, said text"
)
"""What `TracedRow` has besides the ledger's columns, as ``json_to_recordset`` takes it."""
_LINES = (
    f"INSERT INTO trace_summaries AS known ({', '.join(_LINE)}) SELECT {', '.join(_LINE.values())} FROM given"  # noqa: S608 - our own
)
# in one order, so that two writers do not wait for each other in a ring
NEW_LINES: Final = f"{_LINES} WHERE span_id IS NOT NULL ORDER BY trace_id"
"""Makes lines of ``given``, rows of the ledger with `GIVEN_COLUMNS`; an error (23505) where a trace has one already."""
JOIN_LINES: Final = (
    f"{_LINES} JOIN stored USING (id) WHERE span_id IS NOT NULL ORDER BY trace_id "
    f"ON CONFLICT (trace_id) DO UPDATE SET {SET}, {', '.join(f'{name} = excluded.{name}' for name in _OWN)}"
)
"""The same for those that are ``stored`` for the first time; a line that is there already is joined with."""


def attributes_of(row: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the span, as it would have had them.

    Args:
        row: Of the table ``ledger``.
        line: Of the table ``trace_summaries``.
    """
    step = msgspec.convert(line["step"], Step)
    prompt, _, version = (row["prompt"] or "").partition("@")
    facts = CallFacts(
        operation=row["operation"],
        request_model=row["requested_model"],
        response_model=row["model"] or row["requested_model"],
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost_micros=row["cost_micros"],
        principal=row["principal_id"],
        owner=line["owner"],
        tier=row["tier"],
        purpose=row["purpose"],
        provider=row["provider"] or None,
        team=row["team"],
        is_stream=row["is_stream"],
        temperature=step.temperature,
        max_tokens=step.max_tokens,
        finish_reason=step.finish_reason,
        first_chunk_s=None if row["ttft_ms"] is None else row["ttft_ms"] / 1000,
        conversation=line["conversation_id"],
        cache=row["cache"],
        attempts=max(row["attempts"], 1),
        cached_input_tokens=row["cached_input_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        route_reason=row["route_reason"],
        prompt=prompt or None,
        prompt_version=version or None,
    )
    if line["asked"] is not None:
        facts.input_messages = as_json(
            [{"role": each["role"], "content": each.get("content", "")} for each in line["asked"]]
        )
    said = line["answer"] if line["said"] is None else line["said"]
    if said is not None or step.called:
        reply: dict[str, object] = {"role": "assistant", "content": said or ""}
        if step.called:
            reply["tool_calls"] = list(step.called)
        facts.output_messages = as_json([reply])
    failed = {} if step.failure is None else {names.ERROR_TYPE: row["outcome"]}
    return {**facts.attributes(), **(step.noted or {}), **failed}
