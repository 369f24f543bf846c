"""A line a trace to search by, and spans that are known by their trace and id together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_WORDS = (
    "to_tsvector('simple'::regconfig, (((name || ' '::text) || COALESCE(question, ''::text)) || ' '::text) "
    "|| COALESCE(answer, ''::text))"
)
_AT = sa.DateTime(timezone=True)

_FILL = """
INSERT INTO trace_summaries (trace_id, started_at, duration_ms, name, status, error_type, owner, principal_id, team, tier,
    project, service, product, model, provider, prompt, question, answer, refused, cache, attempts, input_tokens,
    output_tokens, cost_micros, ttft_ms, span_count, conversation_id, root_id, chat_at, is_told, stored_at)
SELECT trace_id, first_at, took_ms, first_name, CASE WHEN has_failed THEN 'error' ELSE 'ok' END, error_type, owner,
    principal_id, team, tier, COALESCE(team, 'default'), 'causeway', product, model, provider, prompt, left(question, 2000),
    left(answer, 2000), refused, cache, attempts, input_tokens, output_tokens, cost_micros, ttft_ms, span_count,
    conversation_id, root_id, chat_at, question IS NOT NULL, first_at
FROM (
    SELECT trace_id, (array_agg(started_at ORDER BY parent_id IS NULL DESC, started_at))[1] AS first_at,
        (array_agg(duration_ms ORDER BY parent_id IS NULL DESC, started_at))[1] AS took_ms,
        (array_agg(name ORDER BY parent_id IS NULL DESC, started_at))[1] AS first_name,
        bool_or(status = 'error') AS has_failed,
        (array_agg(attributes ->> 'error.type' ORDER BY parent_id IS NULL DESC, started_at)
            FILTER (WHERE attributes ? 'error.type'))[1] AS error_type,
        (array_agg(attributes ->> 'causeway.owner.id' ORDER BY parent_id IS NULL DESC, started_at)
            FILTER (WHERE attributes ? 'causeway.owner.id'))[1] AS owner,
        (array_agg(attributes ->> 'causeway.principal.id' ORDER BY parent_id IS NULL DESC, started_at)
            FILTER (WHERE attributes ? 'causeway.principal.id'))[1] AS principal_id,
        max(attributes ->> 'causeway.team.id') AS team,
        max(attributes ->> 'causeway.tier') AS tier,
        (array_agg(attributes ->> 'causeway.purpose' ORDER BY parent_id IS NULL DESC, started_at)
            FILTER (WHERE attributes ? 'causeway.purpose'))[1] AS product,
        (array_agg(attributes ->> 'gen_ai.response.model' ORDER BY started_at DESC) FILTER (WHERE is_chat))[1] AS model,
        (array_agg(attributes ->> 'gen_ai.provider.name' ORDER BY started_at DESC) FILTER (WHERE is_chat))[1] AS provider,
        (array_agg((attributes ->> 'gen_ai.prompt.name') || COALESCE('@' || (attributes ->> 'gen_ai.prompt.version'), '')
            ORDER BY started_at DESC) FILTER (WHERE attributes ? 'gen_ai.prompt.name'))[1] AS prompt,
        (array_agg(attributes ->> 'causeway.question' ORDER BY started_at)
            FILTER (WHERE attributes ? 'causeway.question'))[1] AS question,
        (array_agg(attributes ->> 'causeway.answer' ORDER BY started_at)
            FILTER (WHERE attributes ? 'causeway.answer'))[1] AS answer,
        bool_or((attributes ->> 'causeway.refused')::boolean) AS refused,
        max(attributes ->> 'causeway.cache') AS cache,
        COALESCE(sum(COALESCE((attributes ->> 'causeway.attempts')::integer, 1)) FILTER (WHERE is_call), 0) AS attempts,
        COALESCE(sum((attributes ->> 'gen_ai.usage.input_tokens')::bigint) FILTER (WHERE is_call), 0) AS input_tokens,
        COALESCE(sum((attributes ->> 'gen_ai.usage.output_tokens')::bigint) FILTER (WHERE is_call), 0) AS output_tokens,
        COALESCE(sum((attributes ->> 'causeway.cost.micros')::bigint) FILTER (WHERE is_call), 0) AS cost_micros,
        (array_agg(round((attributes ->> 'gen_ai.response.time_to_first_chunk')::float8 * 1000)::integer
            ORDER BY started_at) FILTER (WHERE attributes ? 'gen_ai.response.time_to_first_chunk'))[1] AS ttft_ms,
        count(*) AS span_count,
        max(attributes ->> 'gen_ai.conversation.id') AS conversation_id,
        max(span_id) FILTER (WHERE parent_id IS NULL) AS root_id,
        max(started_at) FILTER (WHERE is_chat) AS chat_at
    FROM (
        SELECT *, attributes ->> 'gen_ai.operation.name' = 'chat' AS is_chat,
            attributes ->> 'gen_ai.operation.name' IN ('chat', 'embeddings', 'rerank', 'images') AS is_call
        FROM spans
    ) AS described
    GROUP BY trace_id
) AS summed
"""


def upgrade() -> None:
    """Make the table, fill it from the spans there are, and index them once instead of three times."""
    op.create_table(
        "trace_summaries",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("started_at", _AT, nullable=False, comment="the root's; without one, the earliest"),
        sa.Column(
            "duration_ms",
            sa.BigInteger(),
            nullable=False,
            comment="the root's; without one, from first start to last end",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="the root's; without one, the earliest span's"),
        sa.Column("status", sa.Text(), nullable=False, comment="error when any span failed, else ok"),
        sa.Column("error_type", sa.Text()),
        sa.Column("owner", sa.Text(), comment="whose it is: a person's id, or a key's"),
        sa.Column("principal_id", sa.Text()),
        sa.Column("team", sa.Text()),
        sa.Column("tier", sa.Text()),
        sa.Column("project", sa.Text(), nullable=False, comment="the team's id, or 'default'"),
        sa.Column("service", sa.Text(), nullable=False, comment="causeway, or the program that sent it"),
        sa.Column("product", sa.Text(), comment="the purpose of its calls: ask, analyst, v1"),
        sa.Column("model", sa.Text(), comment="that answered last"),
        sa.Column("provider", sa.Text()),
        sa.Column("prompt", sa.Text(), comment="name@version"),
        sa.Column("question", sa.Text()),
        sa.Column("answer", sa.Text(), comment="its beginning"),
        sa.Column("refused", sa.Boolean()),
        sa.Column("cache", sa.Text(), comment="exact or semantic where a stored reply answered"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="calls of providers"),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False, comment="of its calls of models"),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.Column("ttft_ms", sa.Integer(), comment="until the first piece of its first reply"),
        sa.Column("span_count", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sa.Text()),
        sa.Column("end_user", sa.Text(), comment="whom the program that sent it calls its user"),
        sa.Column("root_id", sa.Text(), comment="the root span; null while there is none"),
        sa.Column("chat_at", _AT, comment="when the chat began that model and provider are of"),
        sa.Column(
            "is_told",
            sa.Boolean(),
            nullable=False,
            comment="a span names the question; else it is read off a chat",
        ),
        sa.Column("stored_at", _AT, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("trace_id", name=op.f("pk_trace_summaries")),
    )
    op.execute(_FILL)
    for columns in (
        ["started_at"],
        ["owner", "started_at"],
        ["model", "started_at"],
        ["prompt", "started_at"],
        ["cost_micros"],
        ["duration_ms"],
        ["project", "stored_at"],
    ):
        op.create_index(op.f(f"ix_trace_summaries_{'_'.join(columns)}"), "trace_summaries", columns)
    op.create_index(
        op.f("ix_trace_summaries_end_user_started_at"),
        "trace_summaries",
        ["end_user", "started_at"],
        postgresql_where=sa.text("end_user IS NOT NULL"),
    )
    op.create_index(
        "ix_trace_summaries_failed",
        "trace_summaries",
        ["started_at"],
        postgresql_where=sa.text("status = 'error'::text"),
    )
    op.create_index(
        "ix_trace_summaries_words", "trace_summaries", [sa.literal_column(_WORDS)], postgresql_using="gin"
    )
    op.drop_index("ix_spans_roots", table_name="spans")
    op.drop_index(op.f("ix_spans_trace_id"), table_name="spans")
    op.drop_constraint(op.f("pk_spans"), "spans", type_="primary")
    op.create_primary_key(op.f("pk_spans"), "spans", ["trace_id", "span_id"])
