"""The words of chunks, which only a worker's start made before: a search may come first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0002"
down_revision = "0001"

_LEXEMES = "of heading and text, identifiers whole beside them"
_LENGTH = "words that are not stop words, repeats counted"


def upgrade() -> None:
    """Make the table, or take over the one that a worker has made, with its rows."""
    if sa.inspect(op.get_bind()).has_table("chunk_keywords"):
        _take_over()
        return
    op.create_table(
        "chunk_keywords",
        sa.Column("chunk_id", sa.Text(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("lexemes", TSVECTOR(), nullable=False, comment=_LEXEMES),
        sa.Column("length", sa.Integer(), nullable=False, comment=_LENGTH),
        sa.ForeignKeyConstraint(
            ["chunk_id"], ["chunks.id"], name=op.f("fk_chunk_keywords_chunk_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("chunk_id", name=op.f("pk_chunk_keywords")),
    )
    op.create_index(op.f("ix_chunk_keywords_document_id"), "chunk_keywords", ["document_id"])
    op.create_index(op.f("ix_chunk_keywords_length"), "chunk_keywords", ["length"])
    op.create_index(
        op.f("ix_chunk_keywords_lexemes"),
        "chunk_keywords",
        ["lexemes"],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 512},
    )


def _take_over() -> None:
    """Give what is there the names and comments of the schema."""
    for old, new in (
        ("chunk_keywords_pkey", "pk_chunk_keywords"),
        ("chunk_keywords_chunk_id_fkey", "fk_chunk_keywords_chunk_id"),
    ):
        op.execute(f"ALTER TABLE chunk_keywords RENAME CONSTRAINT {old} TO {new}")
    for old, new in (("document", "document_id"), ("length", "length"), ("lexemes", "lexemes")):
        op.execute(f"ALTER INDEX chunk_keywords_{old} RENAME TO ix_chunk_keywords_{new}")
    op.execute("ALTER INDEX ix_chunk_keywords_lexemes RESET (fastupdate)")  # on is the default
    for column, comment in (("lexemes", _LEXEMES), ("length", _LENGTH)):
        op.execute(f"COMMENT ON COLUMN chunk_keywords.{column} IS '{comment}'")
