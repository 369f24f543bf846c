"""The tables behind the dashboard: the ledger by the hour, questions that mean the same, alerts; `schema` says how all are meant."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from causeway.storage.metadata import moment, tables

# --- the ledger by the hour --------------------------------------------------------------------------

usage_rollups = Table(
    "usage_rollups",
    tables,
    Column("hour", DateTime(timezone=True), primary_key=True, comment="when it begins"),
    Column(
        "is_total",
        Boolean,
        primary_key=True,
        comment="over all teams, products, models, prompts and tiers, whose columns are empty then",
    ),
    Column("operation", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("team", Text, primary_key=True, comment="empty for calls without one, and so are the next four"),
    Column("product", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("prompt", Text, primary_key=True),
    Column("tier", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("saved_micros", BigInteger, nullable=False),
    Column("cache_hits", BigInteger, nullable=False),
    Column("fallbacks", BigInteger, nullable=False),
    Column(
        "latency_buckets", ARRAY(Integer), nullable=False, comment="of milliseconds, as Histograms has them"
    ),
    Column("latency_counts", ARRAY(BigInteger), nullable=False, comment="how many fell into each of these"),
    Column("ttft_buckets", ARRAY(Integer), nullable=False, comment="of milliseconds"),
    Column("ttft_counts", ARRAY(BigInteger), nullable=False),
    Column("token_buckets", ARRAY(Integer), nullable=False, comment="of tokens, read and written"),
    Column("token_counts", ARRAY(BigInteger), nullable=False),
)

rollup_progress = Table(
    "rollup_progress",
    tables,
    Column("name", Text, primary_key=True, comment="of what is rolled up"),
    Column("until", DateTime(timezone=True), comment="what began before it is; null while nothing is"),
)

# --- questions that mean the same --------------------------------------------------------------------

question_clusters = Table(
    "question_clusters",
    tables,
    Column("id", Text, primary_key=True),
    Column("space", Text, nullable=False, comment="the embedding model; its vectors fit no other's"),
    Column("label", Text, nullable=False, comment="the words that set it apart"),
    Column("example", Text, nullable=False, comment="the question in its middle, masked"),
    Column("example_trace_id", Text, nullable=False),
    Column("centroid", LargeBinary, nullable=False, comment="float32, the sum of its questions' vectors"),
    Column("size", Integer, nullable=False, comment="questions that the sum is of"),
    moment("created_at"),
    moment("updated_at"),
    Index(None, "space"),
)

clustered_questions = Table(
    "clustered_questions",
    tables,
    Column("trace_id", Text, primary_key=True),
    Column(
        "cluster_id",
        Text,
        ForeignKey("question_clusters.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("question", Text, nullable=False, comment="masked"),
    Column("vector", LargeBinary, nullable=False, comment="float32, of unit length"),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Index(None, "asked_at", postgresql_include=["cluster_id", "trace_id"]),
    Index(None, "cluster_id", "asked_at"),
)

# --- alerts ------------------------------------------------------------------------------------------

alert_rules = Table(
    "alert_rules",
    tables,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("metric", Text, nullable=False, comment="such as error_rate"),
    Column("is_above", Boolean, nullable=False, comment="it fires above the threshold; else below"),
    Column("threshold", Double, nullable=False, comment="in the metric's own unit"),
    Column("window_s", Integer, nullable=False, comment="over how long the metric is taken"),
    Column("min_count", Integer, nullable=False, comment="of fewer requests nothing is concluded"),
    Column("cooldown_s", Integer, nullable=False, comment="least time between two notices that it fires"),
    Column("filters", JSONB, nullable=False, server_default=text("'{}'"), comment="as the dashboard's"),
    Column("channels", ARRAY(Text), nullable=False, comment="their names in the settings"),
    Column("is_enabled", Boolean, nullable=False, server_default="true"),
    Column("created_by", Text, nullable=False, comment="the principal"),
    moment("created_at"),
    Column("checked_at", DateTime(timezone=True), comment="when it was last held against the numbers"),
    Column("value", Double, comment="what it was then; null when there were too few"),
    Column("count", Integer, comment="of so many"),
)

alert_firings = Table(
    "alert_firings",
    tables,
    Column("id", Text, primary_key=True),
    Column("rule_id", Text, ForeignKey("alert_rules.id", ondelete="CASCADE"), nullable=False),
    Column("value", Double, nullable=False, comment="when it began"),
    Column("count", Integer, nullable=False),
    Column("threshold", Double, nullable=False, comment="that was passed"),
    moment("fired_at"),
    moment("resolved_at", nullable=True),
    Column("is_told", Boolean, nullable=False, comment="false within the cool-down of the one before"),
    Index(None, "rule_id", "fired_at"),
    Index("uq_alert_firings_open", "rule_id", unique=True, postgresql_where=text("resolved_at IS NULL")),
)

alert_notices = Table(
    "alert_notices",
    tables,
    Column("id", Text, primary_key=True),
    Column("firing_id", Text, ForeignKey("alert_firings.id", ondelete="CASCADE"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("event", Text, nullable=False, comment="fired or resolved"),
    Column("state", Text, nullable=False, comment="waiting, sent or failed"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("problem", Text, comment="why the last attempt failed"),
    Column("next_at", DateTime(timezone=True), nullable=False, comment="not before"),
    moment("sent_at", nullable=True),
    UniqueConstraint("firing_id", "channel", "event"),
    Index("ix_alert_notices_waiting", "next_at", postgresql_where=text("state = 'waiting'::text")),
)
