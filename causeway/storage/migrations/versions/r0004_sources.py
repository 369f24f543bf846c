"""Sources: what a document's source calls it and its content, and how the syncs went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

_SOURCE = "'upload', 'folder:' and the root's absolute path, or 'notion:', 'slack:' or 'web:' and its name"

_FOLDER_REVISIONS = """
UPDATE documents
SET source_revision = size_bytes || '-' || floor(extract(epoch FROM modified_at) * 1000000)::bigint
WHERE source LIKE 'folder:%'
"""
"""As `causeway.knowledge.ingest.folder_scan.FileState.revision` writes them, so that no file is read again."""


def upgrade() -> None:
    """Widen documents, make the table of runs."""
    op.add_column(
        "documents",
        sa.Column(
            "source_id",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="its source's own id; empty without one",
        ),
    )
    op.add_column(
        "documents",
        sa.Column(
            "source_revision",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="what its source said of its content when it was taken, such as an ETag",
        ),
    )
    op.alter_column("documents", "source", comment=_SOURCE, existing_type=sa.Text(), existing_nullable=False)
    op.execute(_FOLDER_REVISIONS)
    op.create_table(
        "source_runs",
        sa.Column("name", sa.Text(), nullable=False, comment="of the source, in the settings"),
        sa.Column(
            "run",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="goes up with every sync, from 1",
        ),
        sa.Column(
            "state", sa.Text(), nullable=False, server_default="idle", comment="idle, queued or running"
        ),
        sa.Column(
            "is_requested",
            sa.Boolean(),
            nullable=False,
            server_default="false",
            comment="somebody wants a run",
        ),
        sa.Column(
            "is_asked",
            sa.Boolean(),
            nullable=False,
            server_default="false",
            comment="somebody wanted the last one",
        ),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column(
            "complete_at",
            sa.DateTime(timezone=True),
            comment="when the newest sync that saw and took everything began",
        ),
        sa.Column(
            "thorough_at",
            sa.DateTime(timezone=True),
            comment="when the newest such sync began that read on from nowhere",
        ),
        sa.Column(
            "counts",
            JSONB(),
            nullable=False,
            server_default=sa.text("'{}'"),
            comment="of the last run, by outcome",
        ),
        sa.Column(
            "failures",
            JSONB(),
            nullable=False,
            server_default=sa.text("'[]'"),
            comment="path and reason of each",
        ),
        sa.Column("problem", sa.Text(), comment="why the last run could not be finished"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_source_runs")),
    )
