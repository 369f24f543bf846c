"""One line a trace, to list and search by: summed from its spans as they are stored, in whatever order they come.

A batch of spans becomes one line a trace here, in the writer's own thread; PostgreSQL joins the line with what it knows of
that trace already (`MERGE`). The root's words count most (name, times, owner); while a trace has none, as when only
the calls of a stranger's program went through ``/v1``, its earliest span's do.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from causeway.observability import genai_names as names
from causeway.observability.messages import messages
from causeway.storage.telemetry_schema import trace_summaries

CALLS: Final = frozenset(
    {"chat", "text_completion", "generate_content", "embeddings", "rerank", "images", "image_generation"}
)
"""Operations that are a call of a model: only their tokens and cost count, for agents' spans repeat their calls' sums."""

CHATS: Final = frozenset({"chat", "text_completion", "generate_content"})
MOST_CHARACTERS: Final = 2_000
"""Of a line's texts; of questions and answers it is the beginning."""
_OWN: Final = "causeway"


class Summarised(Protocol):
    """A finished span, ours or a stranger's."""

    @property
    def trace_id(self) -> str:
        """Which trace it is of."""
        ...

    @property
    def span_id(self) -> str:
        """Which step of it."""
        ...

    @property
    def parent_id(self) -> str | None:
        """The step it is part of."""
        ...

    @property
    def name(self) -> str:
        """What was done."""
        ...

    @property
    def started_at(self) -> datetime:
        """When."""
        ...

    @property
    def duration_s(self) -> float:
        """For how long."""
        ...

    @property
    def failure(self) -> str | None:
        """What went wrong."""
        ...

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What is known of it."""
        ...


class Line(msgspec.Struct, omit_defaults=True):
    """A row of ``trace_summaries`` as far as one batch tells it; what has its default is not sent (`MERGE`)."""

    trace_id: str
    started_at: datetime
    duration_ms: int
    name: str
    status: str = "ok"
    error_type: str | None = None
    owner: str | None = None
    principal_id: str | None = None
    team: str | None = None
    tier: str | None = None
    project: str = "default"
    service: str = _OWN
    product: str | None = None
    model: str | None = None
    provider: str | None = None
    prompt: str | None = None
    question: str | None = None
    answer: str | None = None
    refused: bool | None = None
    cache: str | None = None
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    ttft_ms: int | None = None
    span_count: int = 0
    conversation_id: str | None = None
    end_user: str | None = None
    root_id: str | None = None
    chat_at: datetime | None = None
    is_told: bool = False


def lines(batch: Iterable[Summarised]) -> list[Line]:
    """A line for each trace of ``batch``, by trace id: who writes them in this order waits for nobody in a ring."""
    traces: defaultdict[str, list[Summarised]] = defaultdict(list)
    for span in batch:
        traces[span.trace_id].append(span)
    return [summed(traces[trace_id]) for trace_id in sorted(traces)]


def summed(spans: Sequence[Summarised]) -> Line:
    """The line of one trace, as far as ``spans`` tell it; they are at least one."""
    roots = [span for span in spans if span.parent_id is None]
    lead = (
        spans[0] if len(spans) == 1 else min(roots or spans, key=lambda span: (span.started_at, span.span_id))
    )
    line = Line(
        trace_id=lead.trace_id,
        started_at=lead.started_at,
        duration_ms=round(lead.duration_s * 1000),
        name=lead.name,
        root_id=lead.span_id if roots else None,
        span_count=len(spans),
    )
    if not roots and len(spans) > 1:
        end = max(span.started_at + timedelta(seconds=span.duration_s) for span in spans)
        line.duration_ms = round((end - lead.started_at).total_seconds() * 1000)
    first_chat, last_chat = None, None
    for span in spans if len(spans) == 1 else [lead, *(each for each in spans if each is not lead)]:
        attributes = span.attributes
        _note_who(line, attributes)
        if span.failure is not None:
            line.status = "error"
            if line.error_type is None:
                line.error_type = _text(attributes.get(names.ERROR_TYPE))
        operation = attributes.get(names.OPERATION)
        if operation in CALLS:
            _note_call(line, attributes)
            if operation in CHATS:
                first_chat = (
                    span if first_chat is None or span.started_at < first_chat.started_at else first_chat
                )
                last_chat = (
                    span if last_chat is None or span.started_at >= last_chat.started_at else last_chat
                )
    if last_chat is not None:
        _note_chat(line, last_chat)
    if not line.is_told and first_chat is not None and last_chat is not None and not _is_prompted(first_chat):
        line.question = _asked(first_chat.attributes.get(names.INPUT_MESSAGES))
        line.answer = _replied(last_chat.attributes.get(names.OUTPUT_MESSAGES))
    return line


def _note_who(line: Line, attributes: Mapping[str, Any]) -> None:
    """Whose it is and what was asked; the root comes first, and what is known already stays."""
    get = attributes.get
    if line.owner is None and (owner := get(names.OWNER)) is not None:
        line.owner, line.principal_id = _text(owner), _text(get(names.PRINCIPAL))
    if line.team is None and (team := get(names.TEAM)) is not None:
        line.team = line.project = str(team)
    if line.tier is None:
        line.tier = _text(get(names.TIER))
    if line.product is None:
        line.product = _text(get(names.PURPOSE))
    if line.conversation_id is None:
        line.conversation_id = _text(get(names.CONVERSATION))
    if line.end_user is None:
        line.end_user = _text(get(names.END_USER))
    if line.service == _OWN and (service := get(names.SERVICE)) is not None:
        line.service = str(service)
    if (refused := get(names.REFUSED)) is not None:
        line.refused = line.refused or refused is True
    if not line.is_told and (question := get(names.QUESTION)) is not None:
        line.is_told = True
        line.question, line.answer = _begun(question), _begun(get(names.ANSWER))


def _note_call(line: Line, attributes: Mapping[str, Any]) -> None:
    get = attributes.get
    line.input_tokens += _count(get(names.INPUT_TOKENS))
    line.output_tokens += _count(get(names.OUTPUT_TOKENS))
    line.cost_micros += _count(get(names.COST_MICROS))
    line.attempts += _count(get(names.ATTEMPTS, 1))
    if line.cache is None:
        line.cache = _text(get(names.CACHE))
    if line.ttft_ms is None and isinstance(seconds := get(names.TIME_TO_FIRST_CHUNK), (int, float)):
        line.ttft_ms = min(_count(seconds * 1000), MOST_MS)


MOST_MS: Final = 2**31 - 1
"""That a column of integers holds."""
_MOST_COUNT: Final = 10**15


def _note_chat(line: Line, chat: Summarised) -> None:
    attributes = chat.attributes
    line.chat_at = chat.started_at
    line.model = _text(attributes.get(names.RESPONSE_MODEL) or attributes.get(names.REQUEST_MODEL))
    line.provider = _text(attributes.get(names.PROVIDER))
    if (prompt := attributes.get(names.PROMPT)) is not None:
        version = attributes.get(names.PROMPT_VERSION)
        line.prompt = f"{prompt}@{version}" if version is not None else str(prompt)


def _is_prompted(chat: Summarised) -> bool:
    """Whether a prompt of ours wrote the messages: then they hold passages, and the question comes with the root."""
    return names.PROMPT in chat.attributes and names.SERVICE not in chat.attributes


def _asked(value: object) -> str | None:
    """What the caller said last; nothing where content was not kept."""
    for role, text in reversed(_texts(value)):
        if text and role in ("user", "text"):
            return text[:MOST_CHARACTERS]
    return None


def _replied(value: object) -> str | None:
    for _, text in reversed(_texts(value)):
        if text:
            return text[:MOST_CHARACTERS]
    return None


class _Plain(msgspec.Struct):
    role: str = ""
    content: str | None = None


_plain = msgspec.json.Decoder(list[_Plain])


def _texts(value: object) -> list[tuple[str, str]]:
    """Roles and texts; most messages are of the plainest shape, which is read without looking for parts and tools."""
    if not value:
        return []
    if isinstance(value, str):
        try:
            found = [(each.role, each.content or "") for each in _plain.decode(value)]
        except ValueError:
            found = []
        if any(text for _, text in found):
            return found
    return [(each.role, each.text) for each in messages(value)]


def _begun(value: object) -> str | None:
    return None if value is None else str(value)[:MOST_CHARACTERS]


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:MOST_CHARACTERS]


def _count(value: object) -> int:
    """A number of a stranger's span, as far as a column holds it."""
    if type(value) is int:
        return value if 0 <= value <= _MOST_COUNT else max(0, min(value, _MOST_COUNT))
    if not isinstance(value, float) or value != value:
        return int(value is True)
    return max(0, int(min(value, _MOST_COUNT)))


# --- how a line joins what is known -------------------------------------------------------------------

_COLUMNS = ", ".join(Line.__struct_fields__)
_DEFAULTS = {
    each.name: each.default
    for each in msgspec.structs.fields(Line)
    if each.default is not msgspec.NODEFAULT and each.default is not None
}
_TOLD_COLUMNS = ", ".join(
    f"coalesce({name}, {json.dumps(_DEFAULTS[name]).replace(chr(34), chr(39))})"
    if name in _DEFAULTS
    else name
    for name in Line.__struct_fields__
)
_LEADS = """((told.root_id IS NOT NULL AND known.root_id IS NULL)
    OR (told.root_id IS NULL AND known.root_id IS NULL AND told.started_at < known.started_at))"""
_LATER = "(known.chat_at IS NULL OR told.chat_at >= known.chat_at)"
_TOLD = {
    "started_at": f"CASE WHEN {_LEADS} THEN told.started_at ELSE known.started_at END",
    "duration_ms": """CASE WHEN known.root_id IS NOT NULL THEN known.duration_ms
        WHEN told.root_id IS NOT NULL THEN told.duration_ms
        ELSE round(1000 * extract(epoch FROM
            greatest(told.started_at + told.duration_ms * interval '1 ms', known.started_at + known.duration_ms * interval '1 ms')
            - least(told.started_at, known.started_at)))::bigint END""",
    "name": f"CASE WHEN {_LEADS} THEN told.name ELSE known.name END",
    "service": f"CASE WHEN {_LEADS} THEN told.service ELSE known.service END",
    "status": "CASE WHEN told.status = 'error' THEN told.status ELSE known.status END",
    "error_type": f"CASE WHEN {_LEADS} THEN coalesce(told.error_type, known.error_type) "
    "ELSE coalesce(known.error_type, told.error_type) END",
    **{
        name: "CASE WHEN known.root_id IS NULL AND told.root_id IS NOT NULL AND told.owner IS NOT NULL OR known.owner IS NULL "
        f"THEN told.{name} ELSE known.{name} END"
        for name in ("owner", "principal_id")
    },
    **{
        name: f"coalesce(known.{name}, told.{name})"
        for name in ("team", "tier", "cache", "conversation_id", "end_user", "root_id")
    },
    "project": "CASE WHEN known.team IS NULL THEN told.project ELSE known.project END",
    "product": f"CASE WHEN {_LEADS} THEN coalesce(told.product, known.product) ELSE coalesce(known.product, told.product) END",
    **{
        name: f"CASE WHEN {_LATER} THEN coalesce(told.{name}, known.{name}) ELSE coalesce(known.{name}, told.{name}) END"
        for name in ("model", "provider", "prompt")
    },
    "question": f"""CASE WHEN told.is_told AND NOT known.is_told OR (told.is_told = known.is_told AND {_LEADS})
        THEN coalesce(told.question, known.question)
        WHEN known.is_told THEN known.question ELSE coalesce(known.question, told.question) END""",
    "answer": f"""CASE WHEN told.is_told AND NOT known.is_told OR (told.is_told = known.is_told AND {_LATER})
        THEN coalesce(told.answer, known.answer) ELSE coalesce(known.answer, told.answer) END""",
    "refused": "coalesce(known.refused OR told.refused, known.refused, told.refused)",
    "ttft_ms": "CASE WHEN told.started_at < known.started_at THEN coalesce(told.ttft_ms, known.ttft_ms) "
    "ELSE coalesce(known.ttft_ms, told.ttft_ms) END",
    **{
        name: f"known.{name} + told.{name}"
        for name in ("attempts", "input_tokens", "output_tokens", "cost_micros", "span_count")
    },
    "chat_at": "greatest(known.chat_at, told.chat_at)",
    "is_told": "known.is_told OR told.is_told",
}
SET: Final = ", ".join(f"{name} = {rule}" for name, rule in _TOLD.items()).replace("told.", "excluded.")
"""How a line that is ``excluded`` joins the one that is ``known``."""
MERGE: Final = (
    f"INSERT INTO {trace_summaries.name} AS known ({_COLUMNS}) "  # noqa: S608 - our own column names
    f"SELECT {_TOLD_COLUMNS} FROM json_populate_recordset(CAST(NULL AS {trace_summaries.name}), CAST(%s AS json)) "
    f"ON CONFLICT (trace_id) DO UPDATE SET {SET}"
)
"""Joins lines, given as one JSON array, with those that are stored. What was counted is added, so each span may come once."""
