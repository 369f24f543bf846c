"""Where a collection's vectors are kept, an inventory of those that are not here, collections on the move; where a source's documents are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_SOURCE = (
    "'upload', 'folder:' and the root's absolute path, or 'notion:', 'slack:', 'web:' or 'mail:' and its name"
)
_EMBEDDING = "unit length; of heading, context and text"
_ELSEWHERE = f"{_EMBEDDING}; null when it is where the collection's vectors are kept"


def upgrade() -> None:
    """Let vectors be elsewhere; make the inventory and the table of moves."""
    op.alter_column("documents", "source", comment=_SOURCE, existing_type=sa.Text(), existing_nullable=False)
    op.add_column(
        "collections",
        sa.Column(
            "vectors_in",
            sa.Text(),
            nullable=False,
            server_default="postgres",
            comment="where its vectors end up: postgres or pinecone",
        ),
    )
    op.alter_column("chunks", "embedding", nullable=True, comment=_ELSEWHERE, existing_comment=_EMBEDDING)
    op.create_index(
        "ix_chunks_vectors_here",
        "chunks",
        ["collection_id"],
        postgresql_where=sa.text("embedding IS NOT NULL"),
    )
    for name, comment in (
        ("source", "what its documents have as theirs"),
        ("collection", "the name of the one they are in"),
    ):
        op.add_column(
            "source_runs", sa.Column(name, sa.Text(), nullable=False, server_default="", comment=comment)
        )
    op.create_table(
        "external_vectors",
        sa.Column("chunk_id", sa.Text(), nullable=False, comment="whose chunk may be gone"),
        sa.Column("collection_id", sa.Text(), nullable=False, comment="which may be gone too"),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="md5 of the vector that was sent"),
        sa.Column("is_there", sa.Boolean(), nullable=False, comment="it was read back, number for number"),
        sa.Column("sent_at", sa.DateTime(timezone=True), comment="null before it was accepted"),
        sa.PrimaryKeyConstraint("chunk_id", name=op.f("pk_external_vectors")),
    )
    op.create_index(op.f("ix_external_vectors_collection_id"), "external_vectors", ["collection_id"])
    op.create_table(
        "collection_moves",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False, comment="postgres or pinecone"),
        sa.Column("state", sa.Text(), nullable=False, comment="copying, cleaning or done"),
        sa.Column(
            "total", sa.BigInteger(), nullable=False, server_default="0", comment="vectors, as last counted"
        ),
        sa.Column(
            "copied",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="of these, read back from the target",
        ),
        sa.Column("problem", sa.Text(), comment="what it waits for; null while it goes on"),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("collection_id", name=op.f("pk_collection_moves")),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_collection_moves_collection_id"),
            ondelete="CASCADE",
        ),
    )
