"""Spelling: the words that documents have. Slack: the questions that were asked there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make the tables, and take the words of what is there."""
    op.create_table(
        "vocabulary",
        sa.Column("word", sa.Text(), nullable=False, comment="the stem of a word that some chunk has or had"),
        sa.Column(
            "shorter",
            ARRAY(sa.Text()),
            nullable=False,
            comment="the word, and it with each one of its letters left out",
        ),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_vocabulary")),
    )
    op.execute(
        """
        INSERT INTO vocabulary (word, shorter)
        SELECT word, array_append(
            ARRAY(SELECT DISTINCT overlay(word PLACING '' FROM at FOR 1) FROM generate_series(1, length(word)) AS at), word)
        FROM ts_stat('SELECT lexemes FROM chunk_keywords') WHERE word ~ '^[[:alpha:]]{4,24}$'
        """
    )
    op.create_index(op.f("ix_vocabulary_shorter"), "vocabulary", ["shorter"], postgresql_using="gin")
    op.create_table(
        "slack_questions",
        sa.Column("event_id", sa.Text(), nullable=False, comment="Slack's, by which a repeat is known"),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("ts", sa.Text(), nullable=False, comment="of the message that asks"),
        sa.Column("thread", sa.Text(), nullable=False, comment="the ts of the thread's first message"),
        sa.Column("asker", sa.Text(), nullable=False, comment="Slack's id of the person"),
        sa.Column("is_direct", sa.Boolean(), nullable=False, comment="asked where only the asker reads"),
        sa.Column(
            "is_shared", sa.Boolean(), nullable=False, comment="in a channel shared with another company"
        ),
        sa.Column("question", sa.Text(), nullable=False, comment="empty once it is answered"),
        sa.Column("state", sa.Text(), nullable=False, server_default="waiting", comment="waiting or done"),
        sa.Column("answer_channel", sa.Text(), comment="where the answer is"),
        sa.Column("answer_ts", sa.Text()),
        sa.Column("trace_id", sa.Text(), comment="of the answer"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_slack_questions")),
        sa.UniqueConstraint("channel", "ts", name=op.f("uq_slack_questions_channel_ts")),
    )
    op.create_index(op.f("ix_slack_questions_trace_id"), "slack_questions", ["trace_id"])
    op.create_index(op.f("ix_slack_questions_channel_thread"), "slack_questions", ["channel", "thread"])
    op.create_index(
        op.f("ix_slack_questions_answer_channel_answer_ts"),
        "slack_questions",
        ["answer_channel", "answer_ts"],
    )
    op.create_index(op.f("ix_slack_questions_created_at"), "slack_questions", ["created_at"])
