"""The gateway: teams, what keys allow, a full ledger, the audit log, overrides of settings, notices of changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0003"
down_revision = "0002"

_TELL = """
CREATE FUNCTION causeway_tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
BEGIN
    PERFORM pg_notify('causeway_changes', TG_TABLE_NAME || ' ' || (changed ->> TG_ARGV[0]));
    RETURN NULL;
END $$
"""
"""Tells ``<table> <value of the column that the trigger names>`` when the transaction commits."""

_KEY_COLUMNS = (
    "name, secret_hash, scopes, expires_at, revoked_at, team_id, tier, models, endpoints, budget_day_micros, "
    "budget_month_micros, previous_hash, previous_until"
)
"""All but ``last_used_at``, which changes every minute and means nothing to anybody's cache."""


def upgrade() -> None:
    """Make and widen the tables; keys of before get the packaged default tier."""
    _teams_and_keys()
    _audit()
    _ledger()
    op.execute(_TELL)
    for table, column, events in (
        ("api_keys", "id", f"INSERT OR DELETE OR UPDATE OF {_KEY_COLUMNS}"),
        ("teams", "id", "INSERT OR DELETE OR UPDATE"),
        ("setting_overrides", "section", "INSERT OR DELETE OR UPDATE"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_tell_change AFTER {events} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION causeway_tell_change('{column}')"
        )


def _teams_and_keys() -> None:
    op.create_table(
        "teams",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "budget_day_micros",
            sa.BigInteger(),
            comment="most its keys may spend together a day; null is no limit",
        ),
        sa.Column("budget_month_micros", sa.BigInteger()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teams")),
        sa.UniqueConstraint("name", name=op.f("uq_teams_name")),
    )
    nothing = sa.text("'{}'")
    for column in (
        sa.Column("team_id", sa.Text()),
        sa.Column("tier", sa.Text(), nullable=False, server_default="pro"),
        sa.Column(
            "models",
            ARRAY(sa.Text()),
            nullable=False,
            server_default=nothing,
            comment="patterns; none is all",
        ),
        sa.Column(
            "endpoints",
            ARRAY(sa.Text()),
            nullable=False,
            server_default=nothing,
            comment="operations; none is all",
        ),
        sa.Column("budget_day_micros", sa.BigInteger()),
        sa.Column("budget_month_micros", sa.BigInteger()),
        sa.Column("created_by", sa.Text(), comment="the principal that made it"),
        sa.Column("last_used_at", sa.DateTime(timezone=True), comment="to the minute"),
        sa.Column(
            "previous_hash", sa.Text(), comment="of the secret before the newest, until previous_until"
        ),
        sa.Column("previous_until", sa.DateTime(timezone=True)),
    ):
        op.add_column("api_keys", column)
    op.alter_column("api_keys", "tier", server_default=None)
    op.create_foreign_key(op.f("fk_api_keys_team_id"), "api_keys", "teams", ["team_id"], ["id"])
    op.create_unique_constraint(op.f("uq_api_keys_previous_hash"), "api_keys", ["previous_hash"])
    op.create_index(op.f("ix_api_keys_team_id"), "api_keys", ["team_id"])


def _audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("principal_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="what was done, such as key.revoke"),
        sa.Column("subject", sa.Text(), nullable=False, comment="the id of what it was done to"),
        sa.Column("before", JSONB()),
        sa.Column("after", JSONB()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_subject_id"), "audit_log", ["subject", "id"])
    op.create_table(
        "setting_overrides",
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", JSONB(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("section", "name", name=op.f("pk_setting_overrides")),
    )


def _ledger() -> None:
    for name, comment in (
        ("principal_id", "the id of the key, or 'system'"),
        ("operation", "chat, embeddings, rerank or images"),
        ("model", "the model that answered, or was last tried"),
        ("outcome", "ok, cancelled, interrupted, or an error's code"),
    ):
        op.alter_column("ledger", name, comment=comment)
    op.alter_column("ledger", "at", server_default=None, comment="when the call began")
    for name in ("input_tokens", "output_tokens"):
        op.alter_column("ledger", name, type_=sa.BigInteger())
    for column in (
        sa.Column("team", sa.Text(), comment="the team's id"),
        sa.Column("tier", sa.Text(), nullable=False, server_default="internal"),
        sa.Column(
            "requested_model", sa.Text(), nullable=False, server_default="", comment="as the caller wrote it"
        ),
        sa.Column("cached_input_tokens", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column(
            "is_estimate",
            sa.Boolean(),
            nullable=False,
            server_default="false",
            comment="the provider did not count the tokens",
        ),
        sa.Column(
            "saved_micros",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="what a cache hit would have cost",
        ),
        sa.Column("latency_ms", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("ttft_ms", sa.Integer(), comment="until the first piece of the reply"),
        sa.Column(
            "attempts",
            sa.Integer(),
            nullable=False,
            server_default="1",
            comment="calls of providers, retries and fallbacks included",
        ),
        sa.Column("cache", sa.Text(), comment="exact or semantic where a stored reply answered"),
        sa.Column("is_stream", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("route_reason", sa.Text(), comment="why this model was chosen"),
    ):
        op.add_column("ledger", column)
        if column.server_default is not None:
            op.alter_column("ledger", column.name, server_default=None)  # only rows of before get it
    op.execute("UPDATE ledger SET requested_model = model")
    op.drop_index(op.f("ix_ledger_principal_id_at"), "ledger")
    for owner in ("principal_id", "team", "tier"):
        op.create_index(
            op.f(f"ix_ledger_{owner}_at"), "ledger", [owner, "at"], postgresql_include=["cost_micros"]
        )
    op.create_index(op.f("ix_ledger_model_at"), "ledger", ["model", "at"])
