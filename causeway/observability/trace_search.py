"""Which traces somebody looks for, and the query over their lines that finds them.

Every filter narrows. Text is looked for in names, questions and answers; one that is a trace's id finds that trace.
``bench/traces.py`` says what each filter costs over a million spans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    tuple_,
)

from causeway.storage.product_schema import eval_results
from causeway.storage.schema import votes
from causeway.storage.telemetry_schema import TRACE_WORDS, trace_summaries

Order = Literal["newest", "slowest", "dearest"]

_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
_LONGEST_TEXT: Final = 500
_CLUSTERED: Final = table("clustered_questions", column("trace_id"), column("cluster_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """What a trace must be to be found; None and empty leave it open.

    Attributes:
        text: Words that all occur, ``"in a row"``, ``-without``, or a trace's id.
        whose: The only owner whose traces may be found at all; None is everybody.
        owner: Whose it is: the id of a person or of a program's key, or whom the program that sent it calls its user.
        model: That answered last.
        prompt: ``name@version``, or a name for all its versions.
        status: ``ok``, ``error``, or an error's code.
        product: The purpose of its calls: ask, analyst, v1.
        cache: ``exact`` or ``semantic``, or ``any`` of both.
        min_attempts: How often providers were called for it: 2 finds what was tried again or elsewhere.
        refused: Whether the answer was a refusal.
        score: Whether an evaluation's checks of it all passed, or some failed.
        since, until: When it began: from, and before.
        after: The last trace of the page before.
    """

    text: str = ""
    whose: str | None = None
    owner: str = ""
    team: str = ""
    tier: str = ""
    model: str = ""
    prompt: str = ""
    status: str = ""
    product: str = ""
    service: str = ""
    cache: str = ""
    min_attempts: int | None = None
    conversation: str = ""
    cluster: str = ""
    vote: Literal["up", "down", "any", "none", ""] = ""
    score: Literal["passed", "failed", ""] = ""
    refused: bool | None = None
    min_cost_micros: int | None = None
    min_ms: int | None = None
    max_ms: int | None = None
    min_tokens: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: Order = "newest"
    after: str = ""
    limit: int = 50


def matching(query: TraceQuery) -> Select[Any]:
    """Rows of ``trace_summaries``, with ``votes_up`` and ``votes_down``, in the order that is asked for."""
    line = trace_summaries.c
    up = select(func.count()).where(votes.c.trace_id == line.trace_id, votes.c.is_up).scalar_subquery()
    down = select(func.count()).where(votes.c.trace_id == line.trace_id, ~votes.c.is_up).scalar_subquery()
    keys = {"newest": line.started_at, "slowest": line.duration_ms, "dearest": line.cost_micros}
    key = keys[query.order]
    found = select(trace_summaries, up.label("votes_up"), down.label("votes_down"))
    found = found.where(*conditions(query)).order_by(key.desc(), line.trace_id.desc()).limit(query.limit)
    if query.after:
        last = trace_summaries.alias("last")
        place = select(last.c[key.name], last.c.trace_id).where(last.c.trace_id == query.after)
        found = found.where(tuple_(key, line.trace_id) < place.scalar_subquery())
    return found


def conditions(query: TraceQuery) -> list[ColumnElement[bool]]:
    """What a row of ``trace_summaries`` must satisfy."""
    line = trace_summaries.c
    wanted: list[ColumnElement[bool]] = [
        line[name] == value
        for name, value in (
            ("team", query.team),
            ("tier", query.tier),
            ("model", query.model),
            ("product", query.product),
            ("service", query.service),
            ("cache", "" if query.cache == "any" else query.cache),
            ("conversation_id", query.conversation),
        )
        if value
    ]
    if query.whose is not None:
        wanted.append(line.owner == query.whose)
    if query.owner:
        wanted.append(or_(line.owner == query.owner, line.end_user == query.owner))
    if query.prompt:
        wanted.append(_of_prompt(query.prompt))
    if query.status:
        wanted.append(_ended(query.status))
    if query.text.strip():
        wanted += _says(query.text.strip()[:_LONGEST_TEXT], own=query.whose is not None)
    if query.vote:
        wanted.append(_voted(query.vote))
    if query.score:
        wanted.append(_scored(query.score))
    if query.cluster:
        wanted.append(
            line.trace_id.in_(select(_CLUSTERED.c.trace_id).where(_CLUSTERED.c.cluster_id == query.cluster))
        )
    return wanted + _bounds(query)


def _bounds(query: TraceQuery) -> list[ColumnElement[bool]]:
    line = trace_summaries.c
    wanted: list[ColumnElement[bool]] = []
    if query.cache == "any":
        wanted.append(line.cache.is_not(None))
    if query.min_attempts is not None:
        wanted.append(line.attempts >= query.min_attempts)
    if query.refused is not None:
        wanted.append(line.refused.is_(True) if query.refused else line.refused.is_not(True))
    if query.min_cost_micros is not None:
        wanted.append(line.cost_micros >= query.min_cost_micros)
    if query.min_ms is not None:
        wanted.append(line.duration_ms >= query.min_ms)
    if query.max_ms is not None:
        wanted.append(line.duration_ms <= query.max_ms)
    if query.min_tokens is not None:
        wanted.append(line.input_tokens + line.output_tokens >= query.min_tokens)
    if query.since is not None:
        wanted.append(line.started_at >= query.since)
    if query.until is not None:
        wanted.append(line.started_at < query.until)
    return wanted


def _of_prompt(prompt: str) -> ColumnElement[bool]:
    line = trace_summaries.c
    if "@" in prompt:
        return line.prompt == prompt
    # by code points, whatever the database's collation: '@' and its successor bound the versions
    return or_(
        line.prompt == prompt,
        and_(line.prompt.collate("C") >= f"{prompt}@", line.prompt.collate("C") < f"{prompt}A"),
    )


def _ended(status: str) -> ColumnElement[bool]:
    line = trace_summaries.c
    if status in ("ok", "error"):
        # spelled as the partial index is, so that any plan may use it
        return line.status == literal_column(f"'{status}'", Text)
    return and_(line.status == literal_column("'error'", Text), line.error_type == status)


def _says(text: str, *, own: bool) -> list[ColumnElement[bool]]:
    """Whoever sees only their own traces is not told what answers hold: a document may have been closed to them since."""
    if _TRACE_ID.fullmatch(text.lower()):
        return [trace_summaries.c.trace_id == text.lower()]
    simple: ColumnElement[Any] = literal_column("'simple'::regconfig")
    sought = func.websearch_to_tsquery(simple, text)
    found = literal_column(TRACE_WORDS).op("@@")(sought)
    if not own:
        return [found]
    asked = trace_summaries.c.name + " " + func.coalesce(trace_summaries.c.question, "")
    return [func.to_tsvector(simple, asked).op("@@")(sought)]


def _voted(vote: str) -> ColumnElement[bool]:
    trace_id = trace_summaries.c.trace_id
    if vote == "none":
        return ~select(votes.c.trace_id).where(votes.c.trace_id == trace_id).exists()
    given = select(votes.c.trace_id)
    if vote == "any":
        return trace_id.in_(given)
    return trace_id.in_(given.where(votes.c.is_up if vote == "up" else ~votes.c.is_up))


def _scored(score: str) -> ColumnElement[bool]:
    fails = eval_results.c.scores.contains([{"passed": False}])
    asked = select(eval_results.c.outcome["trace_id"].astext)
    return trace_summaries.c.trace_id.in_(asked.where(fails if score == "failed" else ~fails))
