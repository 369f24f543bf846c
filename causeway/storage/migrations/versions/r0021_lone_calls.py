"""A call that is all of its trace is kept in the trace's line and the ledger's row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Traces that are there keep their spans."""
    op.add_column(
        "trace_summaries",
        sa.Column(
            "call_id",
            sa.Text(),
            comment="the call of the ledger that is all of it and has no span of its own",
        ),
    )
    op.add_column(
        "trace_summaries",
        sa.Column("step", sa.JSON(), comment="what is known of that call and not in the ledger"),
    )
    op.add_column("trace_summaries", sa.Column("asked", sa.JSON(), comment="that call's messages"))
    op.add_column(
        "trace_summaries",
        sa.Column("said", sa.Text(), comment="its reply, where it is longer than the answer"),
    )
