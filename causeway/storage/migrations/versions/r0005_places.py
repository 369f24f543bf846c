"""Where chunks stand on their pages, what tells an unchanged chunk, and revisions that are kept after their time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0005"
down_revision = "0004"

_PLACES = "rectangles [page, left, top, right, bottom], the sides in ten-thousandths of the page as shown"


def upgrade() -> None:
    """Widen chunks without writing them anew, and make the tables."""
    op.add_column(
        "chunks",
        sa.Column(
            "digest",
            sa.LargeBinary(),
            comment="sha256 of embedding model and searchable; null from before it was kept",
        ),
    )
    op.add_column(
        "chunks",
        sa.Column("places", JSONB(), nullable=False, server_default=sa.text("'[]'"), comment=_PLACES),
    )
    name = op.f("uq_chunks_document_id_ordinal")
    op.drop_constraint(name, "chunks", type_="unique")
    op.create_unique_constraint(
        name, "chunks", ["document_id", "ordinal"], deferrable=True, initially="IMMEDIATE"
    )
    _past_revisions()
    op.create_table(
        "page_words",
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "page",
            sa.Integer(),
            nullable=False,
            comment="from 1; only pages that were read from their picture",
        ),
        sa.Column(
            "words", sa.LargeBinary(), nullable=False, comment="as causeway.knowledge.page_words packs them"
        ),
        sa.PrimaryKeyConstraint("document_id", "revision", "page", name=op.f("pk_page_words")),
    )


def _past_revisions() -> None:
    op.create_table(
        "past_revisions",
        sa.Column("document_id", sa.Text(), nullable=False, comment="whose document may be gone"),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("collection_id", sa.Text(), nullable=False),
        *(sa.Column(each, sa.Text(), nullable=False) for each in ("source", "path", "title", "media_type")),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("pages", sa.Integer()),
        sa.Column("metadata", JSONB(), nullable=False),
        sa.Column(
            "chunk_ids",
            ARRAY(sa.Text()),
            nullable=False,
            comment="in order; those that a later revision has too are in chunks, the others in past_chunks",
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_past_revisions_collection_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("document_id", "revision", name=op.f("pk_past_revisions")),
    )
    op.create_table(
        "past_chunks",
        sa.Column("id", sa.Text(), nullable=False),
        *(sa.Column(each, sa.Text(), nullable=False) for each in ("document_id", "heading", "text")),
        sa.Column("page", sa.Integer()),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("places", JSONB(), nullable=False, comment=_PLACES),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_chunks")),
    )
    for table, column in (
        ("past_revisions", "blob"),
        ("past_revisions", "retired_at"),
        ("past_chunks", "document_id"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
