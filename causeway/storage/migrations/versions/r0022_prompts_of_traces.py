"""Traces without a prompt, which most are, are in no index of prompts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_PROMPTS = "ix_trace_summaries_prompt_started_at"


def upgrade() -> None:
    """Every call that ends is entered into each index."""
    op.drop_index(op.f(_PROMPTS), table_name="trace_summaries")
    op.create_index(
        op.f(_PROMPTS),
        "trace_summaries",
        ["prompt", "started_at"],
        postgresql_where=sa.text("prompt IS NOT NULL"),
    )
