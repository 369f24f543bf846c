"""People: users, groups, their sessions; and who may see which document, kept true by triggers and row-level security."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0008"
down_revision = "0007"

_NOW = sa.text("now()")

_SET_READERS = """
CREATE FUNCTION causeway_set_readers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_collection text[];
BEGIN
    -- waits for whoever changes the rules, and makes them wait: no document keeps the readers of before
    SELECT readers INTO of_collection FROM collections WHERE id = NEW.collection_id FOR SHARE;
    NEW.readers := coalesce(
        NEW.own_readers,
        (SELECT rule.readers FROM folder_rules AS rule
         WHERE rule.collection_id = NEW.collection_id AND starts_with(NEW.path, rule.folder || '/')
         ORDER BY length(rule.folder) DESC LIMIT 1),
        of_collection,
        '{}');
    RETURN NEW;
END $$
"""

_SPREAD_READERS = """
CREATE FUNCTION causeway_spread_readers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
    which text := changed ->> TG_ARGV[0];
BEGIN
    PERFORM FROM collections WHERE id = which FOR NO KEY UPDATE;
    UPDATE documents SET own_readers = own_readers WHERE collection_id = which;
    UPDATE past_revisions SET own_readers = own_readers WHERE collection_id = which;
    RETURN NULL;
END $$
"""

_SET_PAST_READERS = """
CREATE FUNCTION causeway_set_past_readers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    live record;
BEGIN
    -- as its document, for as long as there is one; then by its own rule, folder or collection as they were and become
    SELECT own_readers, readers INTO live FROM documents WHERE id = NEW.document_id;
    IF FOUND THEN
        NEW.own_readers := live.own_readers;
        NEW.readers := live.readers;
        RETURN NEW;
    END IF;
    NEW.readers := coalesce(
        NEW.own_readers,
        (SELECT rule.readers FROM folder_rules AS rule
         WHERE rule.collection_id = NEW.collection_id AND starts_with(NEW.path, rule.folder || '/')
         ORDER BY length(rule.folder) DESC LIMIT 1),
        (SELECT readers FROM collections WHERE id = NEW.collection_id FOR SHARE),
        '{}');
    RETURN NEW;
END $$
"""

_FOLLOW_READERS = """
CREATE FUNCTION causeway_follow_readers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE past_revisions SET own_readers = own_readers WHERE document_id = NEW.id;
    RETURN NULL;
END $$
"""

_HOLDS_SEEN = """
CREATE FUNCTION causeway_holds_seen(which text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM documents WHERE collection_id = which);
END $$
"""
"""Whether the caller sees any document of a collection; not SQL, so that neither table depends on the other."""

_KEEPS_SEEN = """
CREATE FUNCTION causeway_keeps_seen(which text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM documents WHERE id = which)
        OR EXISTS (SELECT FROM past_revisions WHERE document_id = which);
END $$
"""
"""Whether the caller sees a document or any revision that is kept of it."""

_TRIGGERS = (
    "CREATE TRIGGER documents_set_readers BEFORE INSERT OR UPDATE OF collection_id, path, own_readers, readers "
    "ON documents FOR EACH ROW EXECUTE FUNCTION causeway_set_readers()",
    "CREATE TRIGGER documents_follow_readers AFTER UPDATE OF collection_id, path, own_readers, readers "
    "ON documents FOR EACH ROW EXECUTE FUNCTION causeway_follow_readers()",
    "CREATE TRIGGER past_revisions_set_readers BEFORE INSERT OR UPDATE OF collection_id, path, own_readers, readers "
    "ON past_revisions FOR EACH ROW EXECUTE FUNCTION causeway_set_past_readers()",
    "CREATE TRIGGER collections_spread_readers AFTER UPDATE OF readers ON collections "
    "FOR EACH ROW EXECUTE FUNCTION causeway_spread_readers('id')",
    "CREATE TRIGGER folder_rules_spread_readers AFTER INSERT OR UPDATE OR DELETE ON folder_rules "
    "FOR EACH ROW EXECUTE FUNCTION causeway_spread_readers('collection_id')",
    "CREATE TRIGGER users_tell_change AFTER DELETE OR UPDATE OF name, role, disabled_at ON users "
    "FOR EACH ROW EXECUTE FUNCTION causeway_tell_change('id')",
    "CREATE TRIGGER group_members_tell_change AFTER INSERT OR DELETE OR UPDATE ON group_members "
    "FOR EACH ROW EXECUTE FUNCTION causeway_tell_change('user_id')",
)

_VIEWER = "(SELECT nullif(current_setting('causeway.viewer', true), '')::text[])"
"""Read once a statement; without a viewer it is null, and null overlaps nothing."""

_WALL = (
    "ALTER TABLE documents ENABLE ROW LEVEL SECURITY",
    f"CREATE POLICY documents_seen ON documents USING (readers && {_VIEWER})",
    "ALTER TABLE chunks ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY chunks_seen ON chunks "
    "USING (EXISTS (SELECT FROM documents WHERE documents.id = chunks.document_id))",
    "ALTER TABLE collections ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE past_revisions ENABLE ROW LEVEL SECURITY",
    f"CREATE POLICY past_revisions_seen ON past_revisions USING (readers && {_VIEWER})",
    "ALTER TABLE past_chunks ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY past_chunks_seen ON past_chunks USING (causeway_keeps_seen(document_id))",
    "ALTER TABLE page_words ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY page_words_seen ON page_words USING (causeway_keeps_seen(document_id))",
    f"CREATE POLICY collections_seen ON collections USING (readers && {_VIEWER} OR causeway_holds_seen(id))",
)


def upgrade() -> None:
    """Everybody may see what is there, until somebody says otherwise."""
    _people()
    _sessions()
    _readers()
    for function in (
        _SET_READERS,
        _SET_PAST_READERS,
        _FOLLOW_READERS,
        _SPREAD_READERS,
        _HOLDS_SEEN,
        _KEEPS_SEEN,
    ):
        op.execute(function)
    filled = ("UPDATE documents SET own_readers = NULL", "UPDATE past_revisions SET own_readers = NULL")
    for statement in (*_TRIGGERS, *filled, *_WALL):
        op.execute(statement)


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="in lower case"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="admin, editor or reader"),
        sa.Column("password_hash", sa.Text(), comment="argon2id; null for who has none"),
        sa.Column("invitation_hash", sa.Text(), comment="sha256 of the token that lets set a password, hex"),
        sa.Column("invited_until", sa.DateTime(timezone=True)),
        sa.Column("issuer", sa.Text(), comment="of the OpenID provider that knows them"),
        sa.Column("subject", sa.Text(), comment="what that provider calls them"),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.Column("signed_in_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sa.UniqueConstraint("invitation_hash", name=op.f("uq_users_invitation_hash")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_users_issuer_subject")),
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "is_claimed",
            sa.Boolean(),
            nullable=False,
            comment="by the OpenID provider, which may take it away",
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_group_members_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_group_members_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "user_id", name=op.f("pk_group_members")),
    )
    op.create_index(op.f("ix_group_members_user_id"), "group_members", ["user_id"])
    op.add_column(
        "api_keys",
        sa.Column(
            "user_id",
            sa.Text(),
            comment="whose rights it has; null for a program's own, which reads every document",
        ),
    )
    op.create_foreign_key(
        op.f("fk_api_keys_user_id"), "api_keys", "users", ["user_id"], ["id"], ondelete="CASCADE"
    )
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"])


def _sessions() -> None:
    op.alter_column(
        "sessions",
        "key_id",
        nullable=True,
        comment="the key it was opened with; null for a person's",
        existing_type=sa.Text(),
    )
    op.add_column("sessions", sa.Column("user_id", sa.Text()))
    op.add_column(
        "sessions", sa.Column("seen_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False)
    )
    op.create_foreign_key(
        op.f("fk_sessions_user_id"), "sessions", "users", ["user_id"], ["id"], ondelete="CASCADE"
    )
    op.create_check_constraint(
        op.f("ck_sessions_of_one"), "sessions", "(key_id IS NULL) <> (user_id IS NULL)"
    )
    op.create_index(op.f("ix_sessions_key_id"), "sessions", ["key_id"])
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"])
    op.create_table(
        "sign_in_flows",
        sa.Column(
            "state_hash", sa.Text(), nullable=False, comment="sha256 of the state sent to the OpenID provider"
        ),
        sa.Column(
            "browser_hash",
            sa.Text(),
            nullable=False,
            comment="sha256 of the cookie of the browser that began it",
        ),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False, comment="PKCE's"),
        sa.Column("onward", sa.Text(), nullable=False, comment="the path to go to afterwards"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_sign_in_flows")),
    )


def _readers() -> None:
    op.add_column(
        "collections",
        sa.Column(
            "readers",
            ARRAY(sa.Text()),
            server_default=sa.text("'{everyone}'"),
            nullable=False,
            comment="who may see its documents: everyone, user:ID, group:ID",
        ),
    )
    op.create_table(
        "folder_rules",
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False, comment="a path without slashes at its ends"),
        sa.Column("readers", ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_folder_rules_collection_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "folder", name=op.f("pk_folder_rules")),
    )
    op.add_column(
        "documents",
        sa.Column(
            "own_readers",
            ARRAY(sa.Text()),
            comment="who may see it; null leaves it to its folder or collection",
        ),
    )
    op.add_column(
        "documents",
        sa.Column(
            "readers",
            ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="who may see it after all rules, written by a trigger alone",
        ),
    )
    op.create_index(op.f("ix_documents_readers"), "documents", ["readers"], postgresql_using="gin")
    op.add_column(
        "past_revisions", sa.Column("own_readers", ARRAY(sa.Text()), comment="as the document's, at last")
    )
    op.add_column(
        "past_revisions",
        sa.Column(
            "readers",
            ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="the document's, and its last ones when it is gone; written by a trigger alone",
        ),
    )
