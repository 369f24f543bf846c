"""A trace as a waterfall: its steps in the order people read them, indented, each with its stretch of the whole.

Also picks the attributes that deserve a form of their own (messages, passages, question, answer) out of the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from causeway.observability import genai_names as names
from causeway.observability.messages import Said, as_text, listed, messages
from causeway.observability.trace_store import SpanRecord, Trace
from causeway.observability.trace_summaries import CALLS

_SHOWN_ELSEWHERE = frozenset(
    {
        names.INPUT_MESSAGES,
        names.OUTPUT_MESSAGES,
        names.RETRIEVAL_DOCUMENTS,
        names.QUESTION,
        names.ANSWER,
        names.COST_MICROS,
        names.CLOCK,
        names.TRUNCATED,
        names.TOOL_ARGUMENTS,
        names.TOOL_RESULT,
        names.RETRIEVAL_QUERY,
        names.SYSTEM_INSTRUCTIONS,
        names.INPUT_VALUE,
        names.OUTPUT_VALUE,
    }
)
_LEAST_SHARE = 0.4
"""A step is at least this wide, in percent, to be seen at all."""
_SKEW_MS = 5
"""Clocks of two machines, and milliseconds that were rounded, differ by so much without anything being wrong."""
_FAR = 10
"""Steps that lie so many lengths of the root away from it do not shrink the rest to nothing: they stand at the edge."""
_LONGEST_SHOWN = 20_000


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
        skew: What its times say that cannot be, in words; empty when nothing is odd. Times are never corrected.
        cut: Attributes that were too long to keep whole, with their length in characters.
        given, gave: What a tool or a step of another program was given and gave.
        query: What a retrieval looked for.
        tokens: Input and output tokens; None for what is no model call.
        rest: The attributes that have no form of their own, by name.
    """

    span: SpanRecord
    depth: int
    left: float
    width: float
    skew: str
    cut: tuple[tuple[str, int], ...]
    kind: str
    model: str | None
    tokens: tuple[int, int] | None
    cost_micros: int
    asked: tuple[Said, ...]
    replied: tuple[Said, ...]
    given: str
    gave: str
    query: str
    found: tuple[Found, ...]
    rest: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """A whole trace, ready to draw; its tokens are those of its chats, its cost that of all its calls.

    Attributes:
        is_half: It has no root (yet): other steps of it were never sent here.
        service: The program that sent it, when it was another.
    """

    steps: tuple[Step, ...]
    started_at: datetime
    is_half: bool
    service: str | None
    owner: str | None
    end_user: str | None
    prompt: str | None
    conversation_id: str | None
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
    start, end = _window(trace.spans)
    whole = max(end - start, 0.001)
    known = {span.span_id: span for span in trace.spans}
    steps = tuple(
        _step(span, depth, start, whole, known.get(span.parent_id or ""))
        for span, depth in _ordered(trace.spans)
    )
    chats = [step for step in steps if step.kind == "chat"]
    calls = [step for step in steps if step.kind in CALLS]
    prompts = [span for span in trace.spans if names.PROMPT in span.attributes]
    return Waterfall(
        steps=steps,
        started_at=steps[0].span.started_at,
        is_half=all(span.parent_id is not None for span in trace.spans),
        service=_first(trace.spans, names.SERVICE),
        owner=_first(trace.spans, names.OWNER),
        end_user=_first(trace.spans, names.END_USER),
        prompt=_prompt(prompts[-1].attributes) if prompts else None,
        conversation_id=_first(trace.spans, names.CONVERSATION),
        duration_ms=whole * 1000,
        question=_first(trace.spans, names.QUESTION) or _asked(chats),
        answer=_first(trace.spans, names.ANSWER),
        is_refused=any(span.attributes.get(names.REFUSED) is True for span in trace.spans),
        model=chats[0].model if chats else None,
        input_tokens=sum(step.tokens[0] for step in chats if step.tokens),
        output_tokens=sum(step.tokens[1] for step in chats if step.tokens),
        cost_micros=sum(step.cost_micros for step in calls),
        failure=next(
            (span.status_message or "failed" for span in trace.spans if span.status == "error"), None
        ),
    )


def _window(spans: Sequence[SpanRecord]) -> tuple[float, float]:
    """From when to when is drawn: all of it, but for steps that lie absurdly far from the root, as a wrong clock puts them."""
    begins = [span.started_at.timestamp() for span in spans]
    ends = [begin + span.duration_ms / 1000 for begin, span in zip(begins, spans, strict=True)]
    roots = [place for place, span in enumerate(spans) if span.parent_id is None]
    if len(roots) != 1:
        return min(begins), max(ends)
    first, last = begins[roots[0]], ends[roots[0]]
    reach = max(1.0, _FAR * (last - first))
    near = [
        place for place in range(len(spans)) if begins[place] >= first - reach and ends[place] <= last + reach
    ]
    return min(begins[place] for place in near), max(ends[place] for place in near)


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


def _step(span: SpanRecord, depth: int, start: float, whole: float, parent: SpanRecord | None) -> Step:
    attributes = span.attributes
    has_tokens = names.INPUT_TOKENS in attributes
    left = max(0.0, 100 * (span.started_at.timestamp() - start) / whole)
    kind = str(attributes.get(names.OPERATION) or span.kind)
    tool = kind == "execute_tool"
    return Step(
        span=span,
        depth=min(depth, 8),
        left=round(min(left, 100 - _LEAST_SHARE), 3),
        width=round(max(_LEAST_SHARE, min(span.duration_ms / 10 / whole, 100 - left)), 3),
        skew=_skew(span, parent),
        cut=_cut(attributes.get(names.TRUNCATED)),
        kind=kind,
        model=attributes.get(names.RESPONSE_MODEL) or attributes.get(names.REQUEST_MODEL),
        tokens=(_count(attributes, names.INPUT_TOKENS), _count(attributes, names.OUTPUT_TOKENS))
        if has_tokens
        else None,
        cost_micros=_count(attributes, names.COST_MICROS),
        asked=(*_system(attributes), *messages(attributes.get(names.INPUT_MESSAGES))),
        replied=messages(attributes.get(names.OUTPUT_MESSAGES)),
        given=_shown(attributes, names.TOOL_ARGUMENTS if tool else names.INPUT_VALUE),
        gave=_shown(attributes, names.TOOL_RESULT if tool else names.OUTPUT_VALUE),
        query=_shown(attributes, names.RETRIEVAL_QUERY),
        found=_passages(attributes.get(names.RETRIEVAL_DOCUMENTS)),
        rest=tuple(
            (name, as_text(value))
            for name, value in sorted(attributes.items())
            if name not in _SHOWN_ELSEWHERE
        ),
    )


def _skew(span: SpanRecord, parent: SpanRecord | None) -> str:
    """A child that lies outside its parent: work that went on after it, or clocks that differ; both are worth seeing."""
    noted = span.attributes.get(names.CLOCK)
    if parent is None or parent.span_id == span.span_id:
        return str(noted or "")
    early = round((parent.started_at - span.started_at).total_seconds() * 1000)
    late = span.duration_ms - parent.duration_ms - early
    said = [str(noted)] if noted else []
    if early > _SKEW_MS:
        said.append(f"begins {early:,} ms before the step it is part of")
    if late > _SKEW_MS:
        said.append(f"ends {late:,} ms after the step it is part of")
    return "; ".join(said)


def _cut(value: Any) -> tuple[tuple[str, int], ...]:
    try:
        lengths = msgspec.json.decode(value) if isinstance(value, str) else {}
    except ValueError:
        lengths = {}
    if not isinstance(lengths, dict):
        return ()
    return tuple((str(name), length) for name, length in lengths.items() if isinstance(length, int))


def _system(attributes: Mapping[str, Any]) -> tuple[Said, ...]:
    value = attributes.get(names.SYSTEM_INSTRUCTIONS)
    return (Said(role="system", text="\n".join(each.text for each in messages(value))),) if value else ()


def _shown(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name)
    return "" if value is None else as_text(value)[:_LONGEST_SHOWN]


def _prompt(attributes: Mapping[str, Any]) -> str:
    version = attributes.get(names.PROMPT_VERSION)
    return f"{attributes[names.PROMPT]}@{version}" if version is not None else str(attributes[names.PROMPT])


def _asked(chats: Sequence[Step]) -> str | None:
    """What the first chat was asked, where no step says the question."""
    said = [
        each.text for step in chats[:1] for each in step.asked if each.role in ("user", "text") and each.text
    ]
    return said[-1] if said else None


def _first(spans: Sequence[SpanRecord], name: str) -> str | None:
    return next((str(span.attributes[name]) for span in spans if span.attributes.get(name)), None)


def _count(attributes: Mapping[str, Any], name: str) -> int:
    value = attributes.get(name, 0)
    return int(value) if isinstance(value, int | float) else 0


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
        for each in listed(value)
        if isinstance(each, dict)
    )


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
