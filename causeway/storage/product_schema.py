"""The products' tables: conversations, evals, the analyst; `schema` has the others, and says how all are meant."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Computed, ForeignKey, Index, Integer, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from causeway.storage.metadata import moment, tables

# --- conversations -----------------------------------------------------------------------------------

conversations = Table(
    "conversations",
    tables,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False, comment="whose it is: a person's id, or a key's"),
    Column("title", Text, nullable=False, comment="its first question, or what its owner calls it"),
    Column("collection", Text, comment="its name, when only that one is asked"),
    Column("is_shared", Boolean, nullable=False, server_default="false"),
    moment("created_at"),
    moment("updated_at"),
    Index(None, "owner", "updated_at"),
)

turns = Table(
    "turns",
    tables,
    Column("conversation_id", Text, ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, comment="from 1"),
    Column("question", Text, nullable=False, comment="as it was asked"),
    Column("understood", Text, nullable=False, comment="as it was searched for: alone"),
    Column("answer", Text, nullable=False),
    Column("is_refused", Boolean, nullable=False),
    Column("passages", JSONB, nullable=False, comment="what was shown for it; the first is [1]"),
    Column("citations", JSONB, nullable=False),
    Column("documents", ARRAY(Text), nullable=False, comment="that the passages are of"),
    Column("trace_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    moment("at"),
)

# --- how good it is ----------------------------------------------------------------------------------

eval_suites = Table(
    "eval_suites",
    tables,
    Column("version", Text, primary_key=True, comment="sha256 of its cases, hex"),
    Column("name", Text, nullable=False),
    Column("content", JSONB, nullable=False),
    moment("created_at"),
)

eval_runs = Table(
    "eval_runs",
    tables,
    Column("id", Text, primary_key=True),
    Column("suite_version", Text, ForeignKey("eval_suites.version"), nullable=False),
    Column("suite", Text, nullable=False, comment="its name"),
    Column("subject", Text, nullable=False, comment="what was asked, such as knowledge"),
    Column("label", Text, comment="what its author calls it, such as main"),
    Column("options", JSONB, nullable=False, comment="how it is run"),
    Column("identity", JSONB, nullable=False, comment="what the subject's answers depend on"),
    Column("state", Text, nullable=False, comment="queued, running, done or stopped"),
    Column("problem", Text, comment="why it stopped"),
    Column("attempt", Integer, nullable=False, server_default="1", comment="goes up when it is resumed"),
    Column("total", Integer, nullable=False, comment="answers that it takes, repeats counted"),
    Column("summary", JSONB, comment="mean, ends of the interval and cases of each check, once it has ended"),
    Column("started_by", Text, nullable=False, comment="the principal"),
    moment("created_at"),
    moment("started_at", nullable=True),
    moment("finished_at", nullable=True),
    Index(None, "created_at"),
)

eval_results = Table(
    "eval_results",
    tables,
    Column("run_id", Text, ForeignKey("eval_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("case_name", Text, primary_key=True),
    Column("repeat", Integer, primary_key=True, comment="from 0"),
    Column("asked", Text, nullable=False, comment="sha256 of the subject's identity and the inputs"),
    Column("outcome", JSONB, nullable=False),
    Column("scores", JSONB, nullable=False),
    Column("is_faulty", Boolean, nullable=False),
    moment("at"),
    Column("trace_id", Text, Computed("outcome ->> 'trace_id'", persisted=True)),
    Column(
        "has_failed",
        Boolean,
        Computed("""scores @> '[{"passed": false}]'""", persisted=True),
        comment="some check of it did not pass",
    ),
    Index(None, "asked"),
    Index(None, "trace_id", "has_failed"),
)

# --- what was asked of databases ---------------------------------------------------------------------

analyst_pairs = Table(
    "analyst_pairs",
    tables,
    Column("id", Text, primary_key=True),
    Column("database", Text, nullable=False, comment="its name in the settings"),
    Column("question", Text, nullable=False),
    Column("sql", Text, nullable=False, comment="found right by somebody"),
    Column("approved_by", Text, nullable=False, comment="the principal"),
    Column(
        "asker_values",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="who asks alike as far as row rules go, by parameter: it is shown to them alone; empty for everybody",
    ),
    moment("created_at"),
    UniqueConstraint("database", "question", "asker_values"),
)

analyst_turns = Table(
    "analyst_turns",
    tables,
    Column("trace_id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    Column("principal_id", Text, nullable=False),
    Column("database", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("sql", Text, nullable=False, comment="what answered it; results are never kept"),
    moment("at"),
    Index(None, "conversation_id", "at"),
)

analyst_saved = Table(
    "analyst_saved",
    tables,
    Column("id", Text, primary_key=True),
    Column("principal_id", Text, nullable=False, index=True),
    Column("database", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("sql", Text, nullable=False, comment="checked anew whenever it is run"),
    Column(
        "chart",
        Text,
        nullable=False,
        server_default="",
        comment="the kind that was chosen; empty is automatic",
    ),
    Column("is_pinned", Boolean, nullable=False, server_default="false", comment="drawn on the board"),
    moment("created_at"),
)
