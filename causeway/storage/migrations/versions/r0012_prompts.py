"""Prompts: their versions, which never change, the labels that point to them, and who moved those, when and why."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"

_IMMUTABLE = """
CREATE FUNCTION causeway_keep_prompt_versions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'versions of prompts are never changed; publish another one';
END $$
"""


def upgrade() -> None:
    """Make the three tables, and an index of the ledger by prompt."""
    op.create_table(
        "prompt_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column(
            "content_sha256", sa.Text(), nullable=False, comment="of the text whatever its version, hex"
        ),
        sa.Column(
            "text",
            sa.Text(),
            nullable=False,
            comment="the whole .prompt file, this version in its front matter",
        ),
        sa.Column("origin", sa.Text(), nullable=False, comment="package, file, page or api"),
        sa.Column("based_on", sa.Integer(), comment="the version that was edited"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False, comment="the principal"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_prompt_versions")),
        sa.UniqueConstraint("name", "content_sha256", name=op.f("uq_prompt_versions_name_content_sha256")),
    )
    _labels()
    _events()
    op.create_index(
        op.f("ix_ledger_prompt_at"),
        "ledger",
        ["prompt", "at"],
        postgresql_where=sa.text("prompt IS NOT NULL"),
    )
    op.execute(_IMMUTABLE)
    op.execute(
        "CREATE TRIGGER prompt_versions_keep BEFORE UPDATE OR DELETE ON prompt_versions "
        "FOR EACH ROW EXECUTE FUNCTION causeway_keep_prompt_versions()"
    )
    for table, events in (("prompt_versions", "INSERT"), ("prompt_labels", "INSERT OR DELETE OR UPDATE")):
        op.execute(
            f"CREATE TRIGGER {table}_tell_change AFTER {events} ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION causeway_tell_change('name')"
        )


def _labels() -> None:
    op.create_table(
        "prompt_labels",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("trial", sa.Integer(), comment="a version that some conversations get instead"),
        sa.Column("percent", sa.Integer(), nullable=False, server_default="0", comment="how many of them do"),
        sa.Column(
            "follows_package",
            sa.Boolean(),
            nullable=False,
            server_default="false",
            comment="goes along with newer packaged prompts",
        ),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.ForeignKeyConstraint(
            ["name", "version"],
            ["prompt_versions.name", "prompt_versions.version"],
            name=op.f("fk_prompt_labels_name"),
        ),
        sa.ForeignKeyConstraint(
            ["name", "trial"],
            ["prompt_versions.name", "prompt_versions.version"],
            name=op.f("fk_prompt_labels_trial"),
        ),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("pk_prompt_labels")),
    )


def _events() -> None:
    op.create_table(
        "prompt_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "action",
            sa.Text(),
            nullable=False,
            comment="publish, label, rollout, rollback, unlabel, follow or package",
        ),
        sa.Column("label", sa.Text(), comment="the label that was changed"),
        sa.Column("before", JSONB(), comment="what the label pointed to"),
        sa.Column("after", JSONB(), comment="what it points to since, or the version that was published"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_events")),
    )
    op.create_index(op.f("ix_prompt_events_name_id"), "prompt_events", ["name", "id"])
