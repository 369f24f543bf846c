"""The tables of what is learnt from use: confirmed answers, cases that reviewers collected, experiments and their proofs; `schema` says how tables are meant."""

from __future__ import annotations

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from causeway.storage.metadata import moment, tables

# --- feedback ----------------------------------------------------------------------------------------

confirmed_answers = Table(
    "confirmed_answers",
    tables,
    Column("trace_id", Text, primary_key=True),
    Column("principal_id", Text, primary_key=True, comment="whose vote it was"),
    Column(
        "collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True, index=True
    ),
    Column("question", Text, nullable=False, comment="as it was searched for"),
    Column("answer", Text, comment="null when it rests on other collections too"),
    Column("chunk_ids", ARRAY(Text), nullable=False, comment="that the answer cites, of this collection"),
    Column("document_ids", ARRAY(Text), nullable=False, comment="whose chunks they are"),
    Column("embedding_model", Text, nullable=False, comment="the collection's at that time"),
    Column("vector", VECTOR(), nullable=False, comment="of the question, unit length"),
    moment("at"),
    ForeignKeyConstraint(
        ["trace_id", "principal_id"], ["votes.trace_id", "votes.principal_id"], ondelete="CASCADE"
    ),
)

collected_cases = Table(
    "collected_cases",
    tables,
    Column("suite", Text, primary_key=True, comment="the name of the suite that it is a case of"),
    Column("name", Text, primary_key=True),
    Column("trace_id", Text, nullable=False, index=True, comment="of the answer that it was made from"),
    Column("content", JSONB, nullable=False, comment="the case, as a suite's file has it"),
    Column("made_by", Text, nullable=False, comment="the principal"),
    moment("at"),
)

experiments = Table(
    "experiments",
    tables,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False, comment="what is tried: retrieval-votes or answer-examples"),
    Column("collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("suite", Text, nullable=False, comment="whose questions are asked; 'confirmed' is feedback's own"),
    Column("state", Text, nullable=False, comment="queued, running, done or failed"),
    Column("problem", Text, comment="why it failed"),
    Column("questions", JSONB, nullable=False, comment="text and gold documents of each, as when it began"),
    Column(
        "conditions",
        JSONB,
        nullable=False,
        comment="what its proof holds for: model, documents, confirmed answers, settings",
    ),
    Column("proof", JSONB, comment="arms, differences, intervals and the verdict, once it is done"),
    Column("is_accepted", Boolean, nullable=False, server_default="false"),
    Column("started_by", Text, nullable=False, comment="the principal"),
    moment("created_at"),
    moment("finished_at", nullable=True),
    Index(None, "collection_id", "kind", "created_at"),
)

experiment_scores = Table(
    "experiment_scores",
    tables,
    Column("experiment_id", Text, ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, comment="of the question, from 0"),
    Column("scores", JSONB, nullable=False, comment="by group and arm, 0 to 1"),
)

improvements = Table(
    "improvements",
    tables,
    Column("collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("experiment_id", Text, ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False),
    Column("switched_by", Text, nullable=False, comment="the principal"),
    moment("at"),
)
