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
    CTE,
    ColumnElement,
    FromClause,
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
    union,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from causeway.storage.product_schema import eval_results
from causeway.storage.schema import votes
from causeway.storage.telemetry_schema import TRACE_WORDS, trace_summaries

Order = Literal["newest", "slowest", "dearest"]

_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
_LONGEST_TEXT: Final = 500
_LOOKED_AT: Final = 200
"""Traces, beyond a page's, whose texts are looked through before the index of words is asked; 0.1 ms each."""
_LOOKED_AT_LONGER: Final = 1_000
"""The same where that index is slow: it knows neither what stands in a row nor, without reading all of it, what has no word."""
_KEYS: Final[dict[Order, ColumnElement[Any]]] = {
    "newest": trace_summaries.c.started_at,
    "slowest": trace_summaries.c.duration_ms,
    "dearest": trace_summaries.c.cost_micros,
}
_TEXTS: Final = (trace_summaries.c.name, trace_summaries.c.question, trace_summaries.c.answer)
_SIMPLE: Final[ColumnElement[Any]] = literal_column("'simple'::regconfig")
_INDEXED: Final[ColumnElement[Any]] = literal_column(TRACE_WORDS)
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
    """Rows of ``trace_summaries``, with ``votes_up`` and ``votes_down``, in the order that is asked for.

    Which traces they are is found by narrow columns alone, so that an index can answer; only then are their texts read.
    """
    line = trace_summaries.c
    up = select(func.count()).where(votes.c.trace_id == line.trace_id, votes.c.is_up).scalar_subquery()
    down = select(func.count()).where(votes.c.trace_id == line.trace_id, ~votes.c.is_up).scalar_subquery()
    key = _KEYS[query.order]
    found = (_saying(query) if _words(query) else _found(query).limit(query.limit)).cte("found")
    return (
        select(trace_summaries, up.label("votes_up"), down.label("votes_down"))
        .join(found, found.c.trace_id == line.trace_id)
        .order_by(key.desc(), line.trace_id.desc())
    )


def _found(query: TraceQuery, *wanted: ColumnElement[bool]) -> Select[Any]:
    """Ids of what passes every filter but that of words, and what they are sorted by; in order."""
    key, trace_id = _KEYS[query.order], trace_summaries.c.trace_id
    found = select(trace_id, key).where(*_filters(query), *wanted)
    if query.after:
        last = trace_summaries.alias("last")
        place = select(last.c[key.name], last.c.trace_id).where(last.c.trace_id == query.after)
        found = found.where(tuple_(key, trace_id) < place.scalar_subquery())
    return found.order_by(key.desc(), trace_id.desc())


def _saying(query: TraceQuery) -> Select[Any]:
    """Ids of those of `_found` that say the words.

    Common words are found among the first that pass the other filters; to look at each of them costs as much as to split its
    text into words, so it ends soon. The index of words has the others, and is asked for all of them at once: it knows no
    order, and how many a word has says nothing of when they were.
    """
    name = _KEYS[query.order].name

    def newest(found: FromClause) -> Select[Any]:
        columns = found.c[name], found.c.trace_id
        return select(*columns).order_by(*(column.desc() for column in columns)).limit(query.limit)

    is_plain = '"' not in query.text and "-" not in query.text
    most = query.limit + (_LOOKED_AT if is_plain else _LOOKED_AT_LONGER)
    first = _once(_found(query).add_columns(*_TEXTS).limit(most), "first")
    near = _once(newest(first).where(_says(query, first.c)), "near")
    is_short = select(func.count()).select_from(near).scalar_subquery() < query.limit
    has_more = select(func.count()).select_from(first).scalar_subquery() == most
    elsewhere = _found(query, is_short, has_more, *_indexed(query), _says(query, trace_summaries.c))
    # with an offset its plan is chosen for all of its rows; else it would go by time until a page is full
    far = newest(elsewhere.order_by(None).offset(0).subquery("elsewhere")).cte("far")
    return newest(union(select(near), select(far)).subquery("both"))


def _once(query: Select[Any], name: str) -> CTE:
    return query.cte(name).prefix_with("MATERIALIZED", dialect="postgresql")


def _filters(query: TraceQuery) -> list[ColumnElement[bool]]:
    """What a row of ``trace_summaries`` must satisfy, but for words."""
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
    if query.text.strip() and not _words(query):
        wanted.append(line.trace_id == query.text.strip().lower())
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


def _words(query: TraceQuery) -> str:
    """The words that are looked for; empty without any, or where the text is a trace's id."""
    text = query.text.strip()[:_LONGEST_TEXT]
    return "" if _TRACE_ID.fullmatch(text.lower()) else text


def _says(query: TraceQuery, of: ReadOnlyColumnCollection[str, Any]) -> ColumnElement[bool]:
    """Whether texts have the words.

    Whoever sees only their own traces is not told what answers hold: a document may have been closed to them since.
    """
    said = of["name"] + " " + func.coalesce(of["question"], "")
    if query.whose is None:
        if of is trace_summaries.c:
            return _INDEXED.op("@@")(_sought(query))
        said = said + " " + func.coalesce(of["answer"], "")
    return func.to_tsvector(_SIMPLE, said).op("@@")(_sought(query))


def _indexed(query: TraceQuery) -> list[ColumnElement[bool]]:
    """What has the words in its question has them in all of its text: the index narrows, unless words may not occur."""
    if query.whose is None or "-" in query.text:
        return []
    return [_INDEXED.op("@@")(_sought(query))]


def _sought(query: TraceQuery) -> ColumnElement[Any]:
    return func.websearch_to_tsquery(_SIMPLE, _words(query))


def _voted(vote: str) -> ColumnElement[bool]:
    trace_id = trace_summaries.c.trace_id
    if vote == "none":
        return ~select(votes.c.trace_id).where(votes.c.trace_id == trace_id).exists()
    given = select(votes.c.trace_id)
    if vote == "any":
        return trace_id.in_(given)
    return trace_id.in_(given.where(votes.c.is_up if vote == "up" else ~votes.c.is_up))


def _scored(score: str) -> ColumnElement[bool]:
    has_failed = eval_results.c.has_failed
    scored = select(eval_results.c.trace_id).where(has_failed if score == "failed" else ~has_failed)
    return trace_summaries.c.trace_id.in_(scored)
