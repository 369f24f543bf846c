"""First light: keys, sessions, ledger, spans, collections, documents, chunks, votes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables; the search indexes are made by ``causeway.knowledge.index``."""
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "prefix",
            sa.Text(),
            nullable=False,
            comment="first characters, shown so that people can tell keys apart",
        ),
        sa.Column("secret_hash", sa.Text(), nullable=False, comment="sha256 of the whole key, hex"),
        sa.Column("scopes", ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_keys_secret_hash")),
    )
    op.create_table(
        "collections",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "embedding_model",
            sa.Text(),
            nullable=False,
            comment="the model's own name; its vectors fit no other's",
        ),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
        sa.UniqueConstraint("name", name=op.f("uq_collections_name")),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False, comment="chat, embeddings or rerank"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text()),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False, comment="ok, or an error's code"),
        sa.Column("trace_id", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    op.create_index(op.f("ix_ledger_at"), "ledger", ["at"])
    op.create_index(op.f("ix_ledger_principal_id_at"), "ledger", ["principal_id", "at"])
    op.create_table(
        "spans",
        sa.Column("span_id", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="ok or error"),
        sa.Column("status_message", sa.Text()),
        sa.Column("attributes", JSONB(), nullable=False),
        sa.Column("events", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.PrimaryKeyConstraint("span_id", name=op.f("pk_spans")),
    )
    op.create_index("ix_spans_roots", "spans", ["started_at"], postgresql_where=sa.text("parent_id IS NULL"))
    op.create_index(op.f("ix_spans_trace_id"), "spans", ["trace_id"])
    op.create_table(
        "votes",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("is_up", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("correction", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "principal_id", name=op.f("pk_votes")),
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column(
            "source", sa.Text(), nullable=False, comment="'upload', or 'folder:' and the root's absolute path"
        ),
        sa.Column(
            "path",
            sa.Text(),
            nullable=False,
            comment="where it is in its source; with it, the document's identity",
        ),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), server_default="", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "blob",
            sa.Text(),
            nullable=False,
            comment="sha256 of the newest bytes; the file is in the blob store",
        ),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False, comment="as its source says"),
        sa.Column(
            "revision",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="goes up with every new content",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="queued, processing, ready or failed"),
        sa.Column("failure", sa.Text(), comment="why it failed, for its owner"),
        sa.Column(
            "ready_revision",
            sa.Integer(),
            nullable=True,
            comment="the revision whose chunks are searchable; null when none is",
        ),
        sa.Column("ready_blob", sa.Text(), comment="the bytes those chunks came from"),
        sa.Column("pages", sa.Integer()),
        sa.Column("metadata", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_documents_collection_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
        sa.UniqueConstraint(
            "collection_id", "source", "path", name=op.f("uq_documents_collection_id_source_path")
        ),
    )
    op.create_index(op.f("ix_documents_state"), "documents", ["state"])
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.Text(), nullable=False, comment="sha256 of the cookie's value, hex"),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id"], ["api_keys.id"], name=op.f("fk_sessions_key_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_table(
        "chunks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, comment="its place in the document, from 0"),
        sa.Column(
            "heading", sa.Text(), nullable=False, comment="title and headings above it, joined by ' > '"
        ),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column(
            "page",
            sa.Integer(),
            nullable=True,
            comment="the page it begins on, from 1; null where there are no pages",
        ),
        sa.Column(
            "tokens",
            sa.Integer(),
            nullable=False,
            comment="of heading and text, as the embedding model counts",
        ),
        sa.Column("embedding", VECTOR(), nullable=False, comment="unit length; of heading and text"),
        sa.Column(
            "searchable", sa.Text(), sa.Computed("heading || E'\\n' || text", persisted=True), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_chunks_collection_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name=op.f("fk_chunks_document_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chunks")),
        sa.UniqueConstraint("document_id", "ordinal", name=op.f("uq_chunks_document_id_ordinal")),
    )
    op.create_index(op.f("ix_chunks_collection_id"), "chunks", ["collection_id"])
