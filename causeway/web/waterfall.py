"""A trace as a waterfall: its steps in the order people read them, indented, each with its stretch of the whole.

Also picks the attributes that deserve a form of their own (messages, passages, question, answer) out of the rest.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from causeway.observability import genai_names as names
from causeway.observability.trace_store import SpanRecord, Trace

_SHOWN_ELSEWHERE = frozenset(
    {
        names.INPUT_MESSAGES,
        names.OUTPUT_MESSAGES,
        names.RETRIEVAL_DOCUMENTS,
        names.QUESTION,
        names.ANSWER,
        names.COST_MICROS,
    }
)
_LEAST_SHARE = 0.4
"""A step is at least this wide, in percent, to be seen at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message of a chat."""

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A passage that a retrieval step found, in the revision that it was found in."""

    document_id: str
    revision: int | None
    ordinal: int | None
    title: str
    page: int | None
    score: float | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A span in its place.

    Attributes:
        left, width: Its stretch of the whole trace, in percent.
        tokens: Input and output tokens; None for what is no model call.
        rest: The attributes that have no form of their own, by name.
    """

    span: SpanRecord
    depth: int
    left: float
    width: float
    kind: str
    model: str | None
    tokens: tuple[int, int] | None
    cost_micros: int
    asked: tuple[Said, ...]
    replied: tuple[Said, ...]
    found: tuple[Found, ...]
    rest: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """A whole trace, ready to draw; its tokens are those of its chats, its cost that of all its calls."""

    steps: tuple[Step, ...]
    duration_ms: float
    question: str | None
    answer: str | None
    is_refused: bool
    model: str | None
    input_tokens: int
    output_tokens: int
    cost_micros: int
    failure: str | None


def waterfall(trace: Trace) -> Waterfall:
    """Lay ``trace`` out."""
    start = min(span.started_at.timestamp() for span in trace.spans)
    end = max(span.started_at.timestamp() + span.duration_ms / 1000 for span in trace.spans)
    whole = max(end - start, 0.001)
    steps = tuple(_step(span, depth, start, whole) for span, depth in _ordered(trace.spans))
    chats = [step for step in steps if step.kind == "chat"]
    return Waterfall(
        steps=steps,
        duration_ms=whole * 1000,
        question=_first(trace.spans, names.QUESTION),
        answer=_first(trace.spans, names.ANSWER),
        is_refused=any(span.attributes.get(names.REFUSED) is True for span in trace.spans),
        model=chats[0].model if chats else None,
        input_tokens=sum(step.tokens[0] for step in chats if step.tokens),
        output_tokens=sum(step.tokens[1] for step in chats if step.tokens),
        cost_micros=sum(step.cost_micros for step in steps),
        failure=next(
            (span.status_message or "failed" for span in trace.spans if span.status == "error"), None
        ),
    )


def _ordered(spans: Sequence[SpanRecord]) -> list[tuple[SpanRecord, int]]:
    """Depth first by start; a step whose parent is not (yet) stored stands on its own. No recursion: depth is data."""
    known = {span.span_id for span in spans}
    children: dict[str | None, list[SpanRecord]] = defaultdict(list)
    for span in sorted(spans, key=lambda each: (each.started_at, each.span_id), reverse=True):
        is_root = span.parent_id not in known or span.parent_id == span.span_id
        children[None if is_root else span.parent_id].append(span)
    waiting = [(span, 0) for span in children[None]]
    ordered: list[tuple[SpanRecord, int]] = []
    while waiting:
        span, depth = waiting.pop()
        ordered.append((span, depth))
        waiting += [(child, depth + 1) for child in children[span.span_id]]
    return ordered


def _step(span: SpanRecord, depth: int, start: float, whole: float) -> Step:
    attributes = span.attributes
    has_tokens = names.INPUT_TOKENS in attributes
    left = 100 * (span.started_at.timestamp() - start) / whole
    return Step(
        span=span,
        depth=min(depth, 8),
        left=round(min(left, 100 - _LEAST_SHARE), 3),
        width=round(max(_LEAST_SHARE, min(span.duration_ms / 10 / whole, 100 - left)), 3),
        kind=str(attributes.get(names.OPERATION) or span.kind),
        model=attributes.get(names.RESPONSE_MODEL) or attributes.get(names.REQUEST_MODEL),
        tokens=(_count(attributes, names.INPUT_TOKENS), _count(attributes, names.OUTPUT_TOKENS))
        if has_tokens
        else None,
        cost_micros=_count(attributes, names.COST_MICROS),
        asked=_messages(attributes.get(names.INPUT_MESSAGES)),
        replied=_messages(attributes.get(names.OUTPUT_MESSAGES)),
        found=_passages(attributes.get(names.RETRIEVAL_DOCUMENTS)),
        rest=tuple(
            (name, _text(value)) for name, value in sorted(attributes.items()) if name not in _SHOWN_ELSEWHERE
        ),
    )


def _first(spans: Sequence[SpanRecord], name: str) -> str | None:
    return next((str(span.attributes[name]) for span in spans if span.attributes.get(name)), None)


def _count(attributes: Mapping[str, Any], name: str) -> int:
    value = attributes.get(name, 0)
    return int(value) if isinstance(value, int | float) else 0


def _parsed(value: Any) -> list[Any]:
    """A list that may be JSON; whatever else programs store here is no list of ours."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    return value if isinstance(value, list) else []


def _messages(value: Any) -> tuple[Said, ...]:
    """Messages in the shapes in use: OpenAI's ``content`` and OpenTelemetry's ``parts``."""
    if isinstance(value, str) and value and not _parsed(value):
        return (Said(role="text", text=value),)
    said = []
    for message in _parsed(value):
        if not isinstance(message, dict):
            continue
        parts = message.get("content") or message.get("parts") or ""
        if isinstance(parts, list):
            parts = "\n".join(
                str(part.get("text") or part.get("content") or part) if isinstance(part, dict) else str(part)
                for part in parts
            )
        said.append(Said(role=str(message.get("role", "")), text=str(parts)))
    return tuple(said)


def _passages(value: Any) -> tuple[Found, ...]:
    return tuple(
        Found(
            document_id=str(each.get("document_id") or ""),
            revision=_whole(each.get("revision")),
            ordinal=_whole(each.get("ordinal")),
            title=str(each.get("title") or each.get("id") or "passage"),
            page=_whole(each.get("page")),
            score=float(each["score"]) if isinstance(each.get("score"), int | float) else None,
            text=str(each.get("text") or ""),
        )
        for each in _parsed(value)
        if isinstance(each, dict)
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
