"""Fewer indexes of traces: cost and duration are read off the one of all numbers, and what has no prompt is in none of prompts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_PROMPTS = "ix_trace_summaries_prompt_started_at"


def upgrade() -> None:
    """Every call that ends is entered into each of them."""
    for name in ("ix_trace_summaries_cost_micros", "ix_trace_summaries_duration_ms", _PROMPTS):
        op.drop_index(op.f(name), table_name="trace_summaries")
    op.create_index(
        op.f(_PROMPTS),
        "trace_summaries",
        ["prompt", "started_at"],
        postgresql_where=sa.text("prompt IS NOT NULL"),
    )
