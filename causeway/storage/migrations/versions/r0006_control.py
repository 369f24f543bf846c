"""Control of ingestion: options of collections, holds, keys of uploads, workers that share the queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"

_SEARCHABLE = "heading || E'\\n' || CASE WHEN context = '' THEN '' ELSE context || E'\\n' END || text"


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def upgrade() -> None:
    """Widen collections, documents and chunks; make the new tables."""
    _widen_collections_and_documents()
    _widen_chunks()
    op.create_table(
        "ingest_holds",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, server_default="", comment="empty holds every source"),
        sa.Column(
            "document_id", sa.Text(), nullable=False, server_default="", comment="empty holds every document"
        ),
        _moment("since"),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name="fk_ingest_holds_collection_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "source", "document_id", name="pk_ingest_holds"),
    )
    op.create_table(
        "upload_keys",
        sa.Column("key", sa.Text(), nullable=False, comment="of whom, and the Idempotency-Key that was sent"),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False, comment="as it was asked for"),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("blob", sa.Text(), nullable=False, comment="sha256 of what was sent"),
        _moment("at"),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_upload_keys_document_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_upload_keys"),
    )
    op.create_index("ix_upload_keys_document_id", "upload_keys", ["document_id"])
    op.create_table(
        "chunk_contexts",
        sa.Column(
            "hash",
            sa.Text(),
            nullable=False,
            comment="sha256 of the model, the prompt and all that it was shown",
        ),
        sa.Column("context", sa.Text(), nullable=False),
        _moment("at"),
        sa.PrimaryKeyConstraint("hash", name="pk_chunk_contexts"),
    )
    op.create_table(
        "durable_workers",
        sa.Column("executor_id", sa.Text(), nullable=False, comment="under which it takes durable work"),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        _moment("started_at"),
        _moment("seen_at"),
        sa.PrimaryKeyConstraint("executor_id", name="pk_durable_workers"),
    )


def _widen_collections_and_documents() -> None:
    op.add_column(
        "collections",
        sa.Column(
            "options",
            JSONB(),
            nullable=False,
            server_default=sa.text("'{}'"),
            comment="how its documents are cut, and what becomes of personal data; what is not said is the default",
        ),
    )
    op.add_column(
        "collections",
        sa.Column(
            "options_version",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="goes up with every change of the options",
        ),
    )
    op.add_column(
        "documents",
        sa.Column(
            "options_version",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="its collection's when it was last queued; a lower one than that has it queued again",
        ),
    )
    op.add_column(
        "documents",
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its newest revision was begun on",
        ),
    )
    op.add_column(
        "documents",
        sa.Column(
            "notice",
            sa.Text(),
            nullable=True,
            comment="what was left out or replaced in the newest revision, for its owner",
        ),
    )
    op.alter_column(
        "documents",
        "state",
        comment="queued, processing, ready, failed, paused or cancelled",
        existing_type=sa.Text(),
        existing_nullable=False,
    )


def _widen_chunks() -> None:
    """PostgreSQL before 17 cannot change how a column is computed: it is made anew, and its index by the worker."""
    op.add_column(
        "chunks",
        sa.Column(
            "context",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="what a model wrote of its place in the document; found by, never shown as the document's",
        ),
    )
    op.add_column(
        "chunks",
        sa.Column(
            "parent",
            sa.Integer(),
            nullable=True,
            comment="the ordinal of the first chunk of the section that answers are given",
        ),
    )
    op.alter_column(
        "chunks",
        "embedding",
        comment="unit length; of heading, context and text",
        existing_nullable=False,
    )
    op.drop_column("chunks", "searchable")
    op.add_column(
        "chunks",
        sa.Column("searchable", sa.Text(), sa.Computed(_SEARCHABLE, persisted=True), nullable=False),
    )
