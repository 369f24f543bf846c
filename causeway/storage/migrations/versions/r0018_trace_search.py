"""Searches of traces: one index of all that is asked of a line but its texts, and results of evaluations by their trace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"

_NARROW = (
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
)


def upgrade() -> None:
    """Put the wider index in the place of two, and take the trace and the verdict out of each result's JSON."""
    op.drop_index("ix_trace_summaries_numbers", table_name="trace_summaries")
    op.create_index(
        "ix_trace_summaries_numbers",
        "trace_summaries",
        ["started_at", "trace_id"],
        postgresql_include=list(_NARROW),
    )
    op.drop_index(op.f("ix_trace_summaries_started_at"), table_name="trace_summaries")
    op.add_column(
        "eval_results",
        sa.Column("trace_id", sa.Text(), sa.Computed("outcome ->> 'trace_id'", persisted=True)),
    )
    op.add_column(
        "eval_results",
        sa.Column(
            "has_failed",
            sa.Boolean(),
            sa.Computed("""scores @> '[{"passed": false}]'""", persisted=True),
            comment="some check of it did not pass",
        ),
    )
    op.create_index(op.f("ix_eval_results_trace_id_has_failed"), "eval_results", ["trace_id", "has_failed"])
