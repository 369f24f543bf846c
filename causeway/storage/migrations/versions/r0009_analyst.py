"""The analyst: verified pairs, turns of conversations, saved questions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "analyst_pairs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False, comment="its name in the settings"),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("sql", sa.Text(), nullable=False, comment="found right by somebody"),
        sa.Column("approved_by", sa.Text(), nullable=False, comment="the principal"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analyst_pairs")),
        sa.UniqueConstraint("database", "question", name=op.f("uq_analyst_pairs_database_question")),
    )
    op.create_table(
        "analyst_turns",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("sql", sa.Text(), nullable=False, comment="what answered it; results are never kept"),
        _moment("at"),
        sa.PrimaryKeyConstraint("trace_id", name=op.f("pk_analyst_turns")),
    )
    op.create_index(op.f("ix_analyst_turns_conversation_id_at"), "analyst_turns", ["conversation_id", "at"])
    op.create_table(
        "analyst_saved",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("sql", sa.Text(), nullable=False, comment="checked anew whenever it is run"),
        sa.Column(
            "chart",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="the kind that was chosen; empty is automatic",
        ),
        sa.Column(
            "is_pinned", sa.Boolean(), nullable=False, server_default="false", comment="drawn on the board"
        ),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analyst_saved")),
    )
    op.create_index(op.f("ix_analyst_saved_principal_id"), "analyst_saved", ["principal_id"])
