"""The tables of what was observed; `schema` has the spans themselves, and says how all are meant."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    literal_column,
    text,
)

from causeway.storage.metadata import moment, tables

TRACE_WORDS = (
    "to_tsvector('simple'::regconfig, (((name || ' '::text) || COALESCE(question, ''::text)) || ' '::text) "
    "|| COALESCE(answer, ''::text))"
)
"""What a search of traces by text looks through, as PostgreSQL itself spells it."""

trace_summaries = Table(
    "trace_summaries",
    tables,
    Column("trace_id", Text, primary_key=True),
    Column(
        "started_at", DateTime(timezone=True), nullable=False, comment="the root's; without one, the earliest"
    ),
    Column(
        "duration_ms",
        BigInteger,
        nullable=False,
        comment="the root's; without one, from first start to last end",
    ),
    Column("name", Text, nullable=False, comment="the root's; without one, the earliest span's"),
    Column("status", Text, nullable=False, comment="error when any span failed, else ok"),
    Column("error_type", Text),
    Column("owner", Text, comment="whose it is: a person's id, or a key's"),
    Column("principal_id", Text),
    Column("team", Text),
    Column("tier", Text),
    Column("project", Text, nullable=False, comment="the team's id, or 'default'"),
    Column("service", Text, nullable=False, comment="causeway, or the program that sent it"),
    Column("product", Text, comment="the purpose of its calls: ask, analyst, v1"),
    Column("model", Text, comment="that answered last"),
    Column("provider", Text),
    Column("prompt", Text, comment="name@version"),
    Column("question", Text),
    Column("answer", Text, comment="its beginning"),
    Column("refused", Boolean),
    Column("cache", Text, comment="exact or semantic where a stored reply answered"),
    Column("attempts", Integer, nullable=False, comment="calls of providers"),
    Column("input_tokens", BigInteger, nullable=False, comment="of its calls of models"),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("ttft_ms", Integer, comment="until the first piece of its first reply"),
    Column("span_count", Integer, nullable=False),
    Column("conversation_id", Text),
    Column("end_user", Text, comment="whom the program that sent it calls its user"),
    Column("root_id", Text, comment="the root span; null while there is none"),
    Column("chat_at", DateTime(timezone=True), comment="when the chat began that model and provider are of"),
    Column(
        "is_told", Boolean, nullable=False, comment="a span names the question; else it is read off a chat"
    ),
    Column("call_id", Text, comment="the call of the ledger that is all of it and has no span of its own"),
    Column("step", JSON, comment="what is known of that call and not in the ledger"),
    Column("asked", JSON, comment="that call's messages"),
    Column("said", Text, comment="its reply, where it is longer than the answer"),
    moment("stored_at"),
    Index(
        "ix_trace_summaries_numbers",  # all that is asked of every trace of a period, without their texts
        "started_at",
        "trace_id",
        postgresql_include=[
            "owner",
            "team",
            "product",
            "model",
            "prompt",
            "tier",
            "refused",
            "duration_ms",
            "cost_micros",
            "service",
            "cache",
            "attempts",
            "input_tokens",
            "output_tokens",
            "conversation_id",
        ],
    ),
    Index(None, "owner", "started_at"),
    Index(None, "model", "started_at"),
    Index(None, "prompt", "started_at", postgresql_where=text("prompt IS NOT NULL")),
    Index(None, "end_user", "started_at", postgresql_where=text("end_user IS NOT NULL")),
    Index("ix_trace_summaries_failed", "started_at", postgresql_where=text("status = 'error'::text")),
    Index(None, "cost_micros"),
    Index(None, "duration_ms"),
    Index(None, "project", "stored_at"),
    Index("ix_trace_summaries_words", literal_column(TRACE_WORDS), postgresql_using="gin"),
)
