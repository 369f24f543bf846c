"""The tables of spelling and of questions asked in Slack; `schema` has the others, and says how all are meant."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY

from causeway.storage.metadata import moment, tables

vocabulary = Table(
    "vocabulary",
    tables,
    Column("word", Text, primary_key=True, comment="the stem of a word that some chunk has or had"),
    Column(
        "shorter",
        ARRAY(Text),
        nullable=False,
        comment="the word, and it with each one of its letters left out",
    ),
    Index(None, "shorter", postgresql_using="gin"),
)

slack_questions = Table(
    "slack_questions",
    tables,
    Column("event_id", Text, primary_key=True, comment="Slack's, by which a repeat is known"),
    Column("channel", Text, nullable=False),
    Column("ts", Text, nullable=False, comment="of the message that asks"),
    Column("thread", Text, nullable=False, comment="the ts of the thread's first message"),
    Column("asker", Text, nullable=False, comment="Slack's id of the person"),
    Column("is_direct", Boolean, nullable=False, comment="asked where only the asker reads"),
    Column("is_shared", Boolean, nullable=False, comment="in a channel shared with another company"),
    Column("question", Text, nullable=False, comment="empty once it is answered"),
    Column("state", Text, nullable=False, server_default="waiting", comment="waiting or done"),
    Column("answer_channel", Text, comment="where the answer is"),
    Column("answer_ts", Text),
    Column("trace_id", Text, index=True, comment="of the answer"),
    moment("created_at"),
    UniqueConstraint("channel", "ts"),
    Index(None, "channel", "thread"),
    Index(None, "answer_channel", "answer_ts"),
    Index(None, "created_at"),
)
