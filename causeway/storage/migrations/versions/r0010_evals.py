"""Evals: suites by version, runs, and what became of every case."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "eval_suites",
        sa.Column("version", sa.Text(), nullable=False, comment="sha256 of its cases, hex"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_eval_suites")),
    )
    _runs()
    op.create_table(
        "eval_results",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("case_name", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False, comment="from 0"),
        sa.Column(
            "asked", sa.Text(), nullable=False, comment="sha256 of the subject's identity and the inputs"
        ),
        sa.Column("outcome", JSONB(), nullable=False),
        sa.Column("scores", JSONB(), nullable=False),
        sa.Column("is_faulty", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.ForeignKeyConstraint(
            ["run_id"], ["eval_runs.id"], name=op.f("fk_eval_results_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "case_name", "repeat", name=op.f("pk_eval_results")),
    )
    op.create_index(op.f("ix_eval_results_asked"), "eval_results", ["asked"])


def _runs() -> None:
    op.create_table(
        "eval_runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("suite_version", sa.Text(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False, comment="its name"),
        sa.Column("subject", sa.Text(), nullable=False, comment="what was asked, such as knowledge"),
        sa.Column("label", sa.Text(), comment="what its author calls it, such as main"),
        sa.Column("options", JSONB(), nullable=False, comment="how it is run"),
        sa.Column("identity", JSONB(), nullable=False, comment="what the subject's answers depend on"),
        sa.Column("state", sa.Text(), nullable=False, comment="queued, running, done or stopped"),
        sa.Column("problem", sa.Text(), comment="why it stopped"),
        sa.Column(
            "attempt",
            sa.Integer(),
            nullable=False,
            server_default="1",
            comment="goes up when it is resumed",
        ),
        sa.Column("total", sa.Integer(), nullable=False, comment="answers that it takes, repeats counted"),
        sa.Column(
            "summary",
            JSONB(),
            comment="mean, ends of the interval and cases of each check, once it has ended",
        ),
        sa.Column("started_by", sa.Text(), nullable=False, comment="the principal"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["suite_version"], ["eval_suites.version"], name=op.f("fk_eval_runs_suite_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_eval_runs")),
    )
    op.create_index(op.f("ix_eval_runs_created_at"), "eval_runs", ["created_at"])
