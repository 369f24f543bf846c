"""Vectors stay beside their chunk instead of behind it, and documents are found by their metadata through an index."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Vectors that are there move when their document is next indexed, or all at once by ``VACUUM FULL chunks``."""
    op.execute("ALTER TABLE chunks ALTER COLUMN embedding SET STORAGE MAIN")
    op.create_index(
        op.f("ix_documents_metadata"),
        "documents",
        ["metadata"],
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    )
