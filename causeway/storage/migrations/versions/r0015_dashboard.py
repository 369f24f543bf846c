"""The dashboard: the ledger by the hour, questions that mean the same, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the tables."""
    _rollups()
    _questions()
    _alerts()
    op.create_index(
        "ix_trace_summaries_numbers",
        "trace_summaries",
        ["started_at"],
        postgresql_include=[
            "trace_id",
            "owner",
            "team",
            "product",
            "model",
            "prompt",
            "tier",
            "refused",
            "duration_ms",
            "cost_micros",
        ],
    )


def _rollups() -> None:
    op.create_table(
        "usage_rollups",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False, comment="when it begins"),
        sa.Column(
            "is_total",
            sa.Boolean(),
            nullable=False,
            comment="over all teams, products, models, prompts and tiers, whose columns are empty then",
        ),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column(
            "team", sa.Text(), nullable=False, comment="empty for calls without one, and so are the next four"
        ),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.Column("saved_micros", sa.BigInteger(), nullable=False),
        sa.Column("cache_hits", sa.BigInteger(), nullable=False),
        sa.Column("fallbacks", sa.BigInteger(), nullable=False),
        sa.Column(
            "latency_buckets",
            ARRAY(sa.Integer()),
            nullable=False,
            comment="of milliseconds, as Histograms has them",
        ),
        sa.Column(
            "latency_counts",
            ARRAY(sa.BigInteger()),
            nullable=False,
            comment="how many fell into each of these",
        ),
        sa.Column("ttft_buckets", ARRAY(sa.Integer()), nullable=False, comment="of milliseconds"),
        sa.Column("ttft_counts", ARRAY(sa.BigInteger()), nullable=False),
        sa.Column(
            "token_buckets", ARRAY(sa.Integer()), nullable=False, comment="of tokens, read and written"
        ),
        sa.Column("token_counts", ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour",
            "is_total",
            "operation",
            "outcome",
            "team",
            "product",
            "model",
            "prompt",
            "tier",
            name=op.f("pk_usage_rollups"),
        ),
    )
    op.create_table(
        "rollup_progress",
        sa.Column("name", sa.Text(), nullable=False, comment="of what is rolled up"),
        sa.Column(
            "until", sa.DateTime(timezone=True), comment="what began before it is; null while nothing is"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_rollup_progress")),
    )


def _questions() -> None:
    op.create_table(
        "question_clusters",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "space", sa.Text(), nullable=False, comment="the embedding model; its vectors fit no other's"
        ),
        sa.Column("label", sa.Text(), nullable=False, comment="the words that set it apart"),
        sa.Column("example", sa.Text(), nullable=False, comment="the question in its middle, masked"),
        sa.Column("example_trace_id", sa.Text(), nullable=False),
        sa.Column(
            "centroid", sa.LargeBinary(), nullable=False, comment="float32, the sum of its questions' vectors"
        ),
        sa.Column("size", sa.Integer(), nullable=False, comment="questions that the sum is of"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question_clusters")),
    )
    op.create_index(op.f("ix_question_clusters_space"), "question_clusters", ["space"])
    op.create_table(
        "clustered_questions",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False, comment="masked"),
        sa.Column("vector", sa.LargeBinary(), nullable=False, comment="float32, of unit length"),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster_id"],
            ["question_clusters.id"],
            name=op.f("fk_clustered_questions_cluster_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("trace_id", name=op.f("pk_clustered_questions")),
    )
    op.create_index(
        op.f("ix_clustered_questions_asked_at"),
        "clustered_questions",
        ["asked_at"],
        postgresql_include=["cluster_id", "trace_id"],
    )
    op.create_index(
        op.f("ix_clustered_questions_cluster_id_asked_at"), "clustered_questions", ["cluster_id", "asked_at"]
    )


def _alerts() -> None:
    op.create_table(
        "alert_rules",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False, comment="such as error_rate"),
        sa.Column(
            "is_above", sa.Boolean(), nullable=False, comment="it fires above the threshold; else below"
        ),
        sa.Column("threshold", sa.Double(), nullable=False, comment="in the metric's own unit"),
        sa.Column("window_s", sa.Integer(), nullable=False, comment="over how long the metric is taken"),
        sa.Column(
            "min_count", sa.Integer(), nullable=False, comment="of fewer requests nothing is concluded"
        ),
        sa.Column(
            "cooldown_s", sa.Integer(), nullable=False, comment="least time between two notices that it fires"
        ),
        sa.Column(
            "filters", JSONB(), server_default=sa.text("'{}'"), nullable=False, comment="as the dashboard's"
        ),
        sa.Column("channels", ARRAY(sa.Text()), nullable=False, comment="their names in the settings"),
        sa.Column("is_enabled", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False, comment="the principal"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column(
            "checked_at", sa.DateTime(timezone=True), comment="when it was last held against the numbers"
        ),
        sa.Column("value", sa.Double(), comment="what it was then; null when there were too few"),
        sa.Column("count", sa.Integer(), comment="of so many"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_rules")),
        sa.UniqueConstraint("name", name=op.f("uq_alert_rules_name")),
    )
    op.create_table(
        "alert_firings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False, comment="when it began"),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False, comment="that was passed"),
        sa.Column("fired_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column(
            "is_told", sa.Boolean(), nullable=False, comment="false within the cool-down of the one before"
        ),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["alert_rules.id"], name=op.f("fk_alert_firings_rule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_firings")),
    )
    op.create_index(op.f("ix_alert_firings_rule_id_fired_at"), "alert_firings", ["rule_id", "fired_at"])
    op.create_index(
        "uq_alert_firings_open",
        "alert_firings",
        ["rule_id"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "alert_notices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("firing_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False, comment="fired or resolved"),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, sent or failed"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("problem", sa.Text(), comment="why the last attempt failed"),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False, comment="not before"),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["firing_id"], ["alert_firings.id"], name=op.f("fk_alert_notices_firing_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_notices")),
        sa.UniqueConstraint(
            "firing_id", "channel", "event", name=op.f("uq_alert_notices_firing_id_channel_event")
        ),
    )
    op.create_index(
        "ix_alert_notices_waiting",
        "alert_notices",
        ["next_at"],
        postgresql_where=sa.text("state = 'waiting'::text"),
    )
