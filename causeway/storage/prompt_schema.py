"""The tables of prompts; `schema` says how all are meant.

Rows of ``prompt_versions`` are never changed and never deleted, which a trigger sees to; changes of ``prompt_labels`` and
new versions are told to every process.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from causeway.storage.metadata import moment, tables

# --- prompts -----------------------------------------------------------------------------------------

prompt_versions = Table(
    "prompt_versions",
    tables,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("content_sha256", Text, nullable=False, comment="of the text whatever its version, hex"),
    Column("text", Text, nullable=False, comment="the whole .prompt file, this version in its front matter"),
    Column("origin", Text, nullable=False, comment="package, file, page or api"),
    Column("based_on", Integer, comment="the version that was edited"),
    Column("why", Text, nullable=False),
    Column("created_by", Text, nullable=False, comment="the principal"),
    moment("created_at"),
    UniqueConstraint("name", "content_sha256"),
)

prompt_labels = Table(
    "prompt_labels",
    tables,
    Column("name", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("trial", Integer, comment="a version that some conversations get instead"),
    Column("percent", Integer, nullable=False, server_default="0", comment="how many of them do"),
    Column(
        "follows_package",
        Boolean,
        nullable=False,
        server_default="false",
        comment="goes along with newer packaged prompts",
    ),
    moment("changed_at"),
    ForeignKeyConstraint(["name", "version"], ["prompt_versions.name", "prompt_versions.version"]),
    ForeignKeyConstraint(
        ["name", "trial"],
        ["prompt_versions.name", "prompt_versions.version"],
        name="fk_prompt_labels_trial",
    ),
)

prompt_events = Table(
    "prompt_events",
    tables,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column(
        "action",
        Text,
        nullable=False,
        comment="publish, label, rollout, rollback, unlabel, follow or package",
    ),
    Column("label", Text, comment="the label that was changed"),
    Column("before", JSONB, comment="what the label pointed to"),
    Column("after", JSONB, comment="what it points to since, or the version that was published"),
    Column("why", Text, nullable=False),
    Column("principal_id", Text, nullable=False),
    moment("at"),
    Index(None, "name", "id"),
)
