"""Feedback: reviews of votes, confirmed answers, cases that reviewers collected, experiments with their proof."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the reviews' columns and make the tables."""
    _reviews()
    op.create_table(
        "confirmed_answers",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False, comment="whose vote it was"),
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False, comment="as it was searched for"),
        sa.Column("answer", sa.Text(), comment="null when it rests on other collections too"),
        sa.Column(
            "chunk_ids",
            ARRAY(sa.Text()),
            nullable=False,
            comment="that the answer cites, of this collection",
        ),
        sa.Column("document_ids", ARRAY(sa.Text()), nullable=False, comment="whose chunks they are"),
        sa.Column("embedding_model", sa.Text(), nullable=False, comment="the collection's at that time"),
        sa.Column("vector", VECTOR(), nullable=False, comment="of the question, unit length"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_confirmed_answers_collection_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["trace_id", "principal_id"],
            ["votes.trace_id", "votes.principal_id"],
            name=op.f("fk_confirmed_answers_trace_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "trace_id", "principal_id", "collection_id", name=op.f("pk_confirmed_answers")
        ),
    )
    op.create_index(op.f("ix_confirmed_answers_collection_id"), "confirmed_answers", ["collection_id"])
    op.create_table(
        "collected_cases",
        sa.Column("suite", sa.Text(), nullable=False, comment="the name of the suite that it is a case of"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False, comment="of the answer that it was made from"),
        sa.Column("content", JSONB(), nullable=False, comment="the case, as a suite's file has it"),
        sa.Column("made_by", sa.Text(), nullable=False, comment="the principal"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("suite", "name", name=op.f("pk_collected_cases")),
    )
    op.create_index(op.f("ix_collected_cases_trace_id"), "collected_cases", ["trace_id"])
    _experiments()


def _reviews() -> None:
    state = sa.Column(
        "state",
        sa.Text(),
        nullable=False,
        server_default="new",
        comment="what reviewers made of it: new, confirmed or dismissed",
    )
    op.add_column("votes", state)
    op.add_column("votes", sa.Column("reviewed_by", sa.Text(), comment="the principal"))
    op.add_column("votes", sa.Column("reviewed_at", sa.DateTime(timezone=True)))
    op.add_column("votes", sa.Column("note", sa.Text(), comment="the reviewer's own, for other reviewers"))
    op.add_column(
        "votes", sa.Column("right_answer", sa.Text(), comment="the reviewer's; goes before the correction")
    )
    op.create_index(op.f("ix_votes_at"), "votes", ["at"])
    op.create_index(op.f("ix_votes_principal_id"), "votes", ["principal_id"])


def _experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="what is tried: retrieval-votes or answer-examples"
        ),
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column(
            "suite",
            sa.Text(),
            nullable=False,
            comment="whose questions are asked; 'confirmed' is feedback's own",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="queued, running, done or failed"),
        sa.Column("problem", sa.Text(), comment="why it failed"),
        sa.Column(
            "questions",
            JSONB(),
            nullable=False,
            comment="text and gold documents of each, as when it began",
        ),
        sa.Column(
            "conditions",
            JSONB(),
            nullable=False,
            comment="what its proof holds for: model, documents, confirmed answers, settings",
        ),
        sa.Column("proof", JSONB(), comment="arms, differences, intervals and the verdict, once it is done"),
        sa.Column("is_accepted", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("started_by", sa.Text(), nullable=False, comment="the principal"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_experiments_collection_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
    )
    op.create_index(
        op.f("ix_experiments_collection_id_kind_created_at"),
        "experiments",
        ["collection_id", "kind", "created_at"],
    )
    op.create_table(
        "experiment_scores",
        sa.Column("experiment_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="of the question, from 0"),
        sa.Column("scores", JSONB(), nullable=False, comment="by group and arm, 0 to 1"),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_experiment_scores_experiment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("experiment_id", "number", name=op.f("pk_experiment_scores")),
    )
    op.create_table(
        "improvements",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("experiment_id", sa.Text(), nullable=False),
        sa.Column("switched_by", sa.Text(), nullable=False, comment="the principal"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_improvements_collection_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_improvements_experiment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "kind", name=op.f("pk_improvements")),
    )
