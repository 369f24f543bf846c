"""Verified pairs are shown to those who see the same rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Pairs that are there were shown to everybody, and stay so."""
    op.add_column(
        "analyst_pairs",
        sa.Column(
            "asker_values",
            JSONB(),
            nullable=False,
            server_default="{}",
            comment="who asks alike as far as row rules go, by parameter: it is shown to them alone; empty for everybody",
        ),
    )
    op.drop_constraint("uq_analyst_pairs_database_question", "analyst_pairs")
    op.create_unique_constraint(
        "uq_analyst_pairs_database_question_asker_values",
        "analyst_pairs",
        ["database", "question", "asker_values"],
    )
