"""The tables of gateway and knowledge base, in SQLAlchemy Core; `product_schema` has the products'. ``migrations/`` brings a database from one version of this file to the next.

Ids are random UUIDs as text with a short prefix that says what they name (``doc_``, ``key_``). Times are UTC. Money is
in micros, millionths of a US dollar. Changes of ``api_keys``, ``teams`` and ``setting_overrides`` are told to every
process by triggers, which the migrations make (`causeway.storage.notices`), and so are those of ``users`` and
``group_members``. Row-level security of documents and chunks is the migrations' too (docs/adr/0024).
"""

from __future__ import annotations

from typing import Any

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

from causeway.storage.metadata import moment, tables

# --- who may call ------------------------------------------------------------------------------------

teams = Table(
    "teams",
    tables,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column(
        "budget_day_micros", BigInteger, comment="most its keys may spend together a day; null is no limit"
    ),
    Column("budget_month_micros", BigInteger),
    moment("created_at"),
)

api_keys = Table(
    "api_keys",
    tables,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column(
        "prefix", Text, nullable=False, comment="first characters, shown so that people can tell keys apart"
    ),
    Column("secret_hash", Text, nullable=False, unique=True, comment="sha256 of the whole key, hex"),
    Column("scopes", ARRAY(Text), nullable=False),
    moment("created_at"),
    moment("expires_at", nullable=True),
    moment("revoked_at", nullable=True),
    Column("team_id", Text, ForeignKey("teams.id"), index=True),
    Column("tier", Text, nullable=False),
    Column(
        "models", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="patterns; none is all"
    ),
    Column(
        "endpoints",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="operations; none is all",
    ),
    Column("budget_day_micros", BigInteger),
    Column("budget_month_micros", BigInteger),
    Column("created_by", Text, comment="the principal that made it"),
    Column("last_used_at", DateTime(timezone=True), comment="to the minute"),
    Column(
        "previous_hash", Text, unique=True, comment="of the secret before the newest, until previous_until"
    ),
    Column("previous_until", DateTime(timezone=True)),
    Column(
        "user_id",
        Text,
        ForeignKey("users.id", ondelete="CASCADE"),
        index=True,
        comment="whose rights it has; null for a program's own, which reads every document",
    ),
)

# --- people ------------------------------------------------------------------------------------------

users = Table(
    "users",
    tables,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True, comment="in lower case"),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False, comment="admin, editor or reader"),
    Column("password_hash", Text, comment="argon2id; null for who has none"),
    Column("invitation_hash", Text, unique=True, comment="sha256 of the token that lets set a password, hex"),
    moment("invited_until", nullable=True),
    Column("issuer", Text, comment="of the OpenID provider that knows them"),
    Column("subject", Text, comment="what that provider calls them"),
    moment("disabled_at", nullable=True),
    moment("signed_in_at", nullable=True),
    moment("created_at"),
    UniqueConstraint("issuer", "subject"),
)

groups = Table(
    "groups",
    tables,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    moment("created_at"),
)

group_members = Table(
    "group_members",
    tables,
    Column("group_id", Text, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("is_claimed", Boolean, nullable=False, comment="by the OpenID provider, which may take it away"),
)

sessions = Table(
    "sessions",
    tables,
    Column("token_hash", Text, primary_key=True, comment="sha256 of the cookie's value, hex"),
    Column(
        "key_id",
        Text,
        ForeignKey("api_keys.id", ondelete="CASCADE"),
        index=True,
        comment="the key it was opened with; null for a person's",
    ),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    moment("created_at"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    moment("seen_at"),
    CheckConstraint("(key_id IS NULL) <> (user_id IS NULL)", name="of_one"),
)

sign_in_flows = Table(
    "sign_in_flows",
    tables,
    Column("state_hash", Text, primary_key=True, comment="sha256 of the state sent to the OpenID provider"),
    Column("browser_hash", Text, nullable=False, comment="sha256 of the cookie of the browser that began it"),
    Column("nonce", Text, nullable=False),
    Column("verifier", Text, nullable=False, comment="PKCE's"),
    Column("onward", Text, nullable=False, comment="the path to go to afterwards"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

# --- what was changed --------------------------------------------------------------------------------

audit_log = Table(
    "audit_log",
    tables,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    moment("at"),
    Column("principal_id", Text, nullable=False),
    Column("action", Text, nullable=False, comment="what was done, such as key.revoke"),
    Column("subject", Text, nullable=False, comment="the id of what it was done to"),
    Column("before", JSONB),
    Column("after", JSONB),
    Index(None, "subject", "id"),
)

setting_overrides = Table(
    "setting_overrides",
    tables,
    Column("section", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
    moment("updated_at"),
    Column("updated_by", Text, nullable=False),
)

# --- what was called ---------------------------------------------------------------------------------

_COST: dict[str, Any] = {"postgresql_include": ["cost_micros"]}
"""A budget's sum is read from the index alone."""

ledger = Table(
    "ledger",
    tables,
    Column("id", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, comment="when the call began"),
    Column("principal_id", Text, nullable=False, comment="the id of the key, or 'system'"),
    Column("purpose", Text, nullable=False),
    Column("operation", Text, nullable=False, comment="chat, embeddings, rerank or images"),
    Column("model", Text, nullable=False, comment="the model that answered, or was last tried"),
    Column("provider", Text, nullable=False),
    Column("prompt", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False, comment="ok, cancelled, interrupted, or an error's code"),
    Column("trace_id", Text),
    Column("team", Text, comment="the team's id"),
    Column("tier", Text, nullable=False),
    Column("requested_model", Text, nullable=False, comment="as the caller wrote it"),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("is_estimate", Boolean, nullable=False, comment="the provider did not count the tokens"),
    Column("saved_micros", BigInteger, nullable=False, comment="what a cache hit would have cost"),
    Column("latency_ms", Integer, nullable=False),
    Column("ttft_ms", Integer, comment="until the first piece of the reply"),
    Column("attempts", Integer, nullable=False, comment="calls of providers, retries and fallbacks included"),
    Column("cache", Text, comment="exact or semantic where a stored reply answered"),
    Column("is_stream", Boolean, nullable=False),
    Column("route_reason", Text, comment="why this model was chosen"),
    Index(None, "at"),
    Index(None, "principal_id", "at", **_COST),
    Index(None, "team", "at", **_COST),
    Index(None, "tier", "at", **_COST),
    Index(None, "model", "at"),
    Index(None, "prompt", "at", postgresql_where=text("prompt IS NOT NULL")),
)

spans = Table(
    "spans",
    tables,
    Column("trace_id", Text, primary_key=True),
    Column("span_id", Text, primary_key=True),
    Column("parent_id", Text),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("status", Text, nullable=False, comment="ok or error"),
    Column("status_message", Text),
    Column("attributes", JSONB, nullable=False),
    Column("events", JSONB, nullable=False, server_default=text("'[]'")),
)

# --- what is known -----------------------------------------------------------------------------------

collections = Table(
    "collections",
    tables,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column(
        "embedding_model", Text, nullable=False, comment="the model's own name; its vectors fit no other's"
    ),
    Column("dimensions", Integer, nullable=False),
    moment("created_at"),
    Column(
        "options",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="how its documents are cut, and what becomes of personal data; what is not said is the default",
    ),
    Column(
        "options_version",
        Integer,
        nullable=False,
        server_default="0",
        comment="goes up with every change of the options",
    ),
    Column(
        "vectors_in",
        Text,
        nullable=False,
        server_default="postgres",
        comment="where its vectors end up: postgres or pinecone",
    ),
    Column(
        "readers",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{everyone}'"),
        comment="who may see its documents: everyone, user:ID, group:ID",
    ),
)

folder_rules = Table(
    "folder_rules",
    tables,
    Column("collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True),
    Column("folder", Text, primary_key=True, comment="a path without slashes at its ends"),
    Column("readers", ARRAY(Text), nullable=False),
)

documents = Table(
    "documents",
    tables,
    Column("id", Text, primary_key=True),
    Column("collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column(
        "source",
        Text,
        nullable=False,
        comment="'upload', 'folder:' and the root's absolute path, or 'notion:', 'slack:', 'web:' or 'mail:' and its name",
    ),
    Column(
        "path", Text, nullable=False, comment="where it is in its source; with it, the document's identity"
    ),
    Column("title", Text, nullable=False),
    Column("media_type", Text, nullable=False, server_default=""),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blob", Text, nullable=False, comment="sha256 of the newest bytes; the file is in the blob store"),
    Column("modified_at", DateTime(timezone=True), nullable=False, comment="as its source says"),
    Column("revision", Integer, nullable=False, server_default="1", comment="goes up with every new content"),
    Column("state", Text, nullable=False, comment="queued, processing, ready, failed, paused or cancelled"),
    Column("failure", Text, comment="why it failed, for its owner"),
    Column("ready_revision", Integer, comment="the revision whose chunks are searchable; null when none is"),
    Column("ready_blob", Text, comment="the bytes those chunks came from"),
    Column("pages", Integer),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    moment("created_at"),
    moment("updated_at"),
    Column(
        "source_id", Text, nullable=False, server_default="", comment="its source's own id; empty without one"
    ),
    Column(
        "source_revision",
        Text,
        nullable=False,
        server_default="",
        comment="what its source said of its content when it was taken, such as an ETag",
    ),
    Column(
        "options_version",
        Integer,
        nullable=False,
        server_default="0",
        comment="its collection's when it was last queued; a lower one than that has it queued again",
    ),
    Column("started_at", DateTime(timezone=True), comment="when its newest revision was begun on"),
    Column("notice", Text, comment="what was left out or replaced in the newest revision, for its owner"),
    Column("own_readers", ARRAY(Text), comment="who may see it; null leaves it to its folder or collection"),
    Column(
        "readers",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="who may see it after all rules, written by a trigger alone",
    ),
    UniqueConstraint("collection_id", "source", "path"),
    Index(None, "state"),
    Index(None, "readers", postgresql_using="gin"),
    Index(None, "metadata", postgresql_using="gin", postgresql_ops={"metadata": "jsonb_path_ops"}),
)

ingest_holds = Table(
    "ingest_holds",
    tables,
    Column("collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True),
    Column("source", Text, primary_key=True, server_default="", comment="empty holds every source"),
    Column("document_id", Text, primary_key=True, server_default="", comment="empty holds every document"),
    moment("since"),
)

upload_keys = Table(
    "upload_keys",
    tables,
    Column("key", Text, primary_key=True, comment="of whom, and the Idempotency-Key that was sent"),
    Column("document_id", Text, ForeignKey("documents.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("collection", Text, nullable=False, comment="as it was asked for"),
    Column("path", Text, nullable=False),
    Column("blob", Text, nullable=False, comment="sha256 of what was sent"),
    moment("at"),
)

source_runs = Table(
    "source_runs",
    tables,
    Column("name", Text, primary_key=True, comment="of the source, in the settings"),
    Column("run", Integer, nullable=False, server_default="0", comment="goes up with every sync, from 1"),
    Column("state", Text, nullable=False, server_default="idle", comment="idle, queued or running"),
    Column("is_requested", Boolean, nullable=False, server_default="false", comment="somebody wants a run"),
    Column(
        "is_asked", Boolean, nullable=False, server_default="false", comment="somebody wanted the last one"
    ),
    moment("next_at", nullable=True),
    moment("started_at", nullable=True),
    moment("finished_at", nullable=True),
    Column(
        "complete_at",
        DateTime(timezone=True),
        comment="when the newest sync that saw and took everything began",
    ),
    Column(
        "thorough_at",
        DateTime(timezone=True),
        comment="when the newest such sync began that read on from nowhere",
    ),
    Column(
        "counts", JSONB, nullable=False, server_default=text("'{}'"), comment="of the last run, by outcome"
    ),
    Column("failures", JSONB, nullable=False, server_default=text("'[]'"), comment="path and reason of each"),
    Column("problem", Text, comment="why the last run could not be finished"),
    Column("source", Text, nullable=False, server_default="", comment="what its documents have as theirs"),
    Column("collection", Text, nullable=False, server_default="", comment="the name of the one they are in"),
)

_PLACES = "rectangles [page, left, top, right, bottom], the sides in ten-thousandths of the page as shown"

chunks = Table(
    "chunks",
    tables,
    Column("id", Text, primary_key=True),
    Column("document_id", Text, ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column(
        "collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("ordinal", Integer, nullable=False, comment="its place in the document, from 0"),
    Column("heading", Text, nullable=False, comment="title and headings above it, joined by ' > '"),
    Column("text", Text, nullable=False),
    Column("page", Integer, comment="the page it begins on, from 1; null where there are no pages"),
    Column("tokens", Integer, nullable=False, comment="of heading and text, as the embedding model counts"),
    Column(
        "embedding",
        VECTOR(),
        comment="unit length; of heading, context and text; null when it is where the collection's vectors are kept",
    ),
    Column(
        "context",
        Text,
        nullable=False,
        server_default="",
        comment="what a model wrote of its place in the document; found by, never shown as the document's",
    ),
    Column("parent", Integer, comment="the ordinal of the first chunk of the section that answers are given"),
    Column(
        "searchable",
        Text,
        Computed(
            "heading || E'\\n' || CASE WHEN context = '' THEN '' ELSE context || E'\\n' END || text",
            persisted=True,
        ),
        nullable=False,
    ),
    Column(
        "digest",
        LargeBinary,
        comment="sha256 of embedding model and searchable; null from before it was kept",
    ),
    Column("places", JSONB, nullable=False, server_default=text("'[]'"), comment=_PLACES),
    # deferrable: one statement moves many chunks, and between two of its rows places are taken twice
    UniqueConstraint("document_id", "ordinal", deferrable=True, initially="IMMEDIATE"),
    Index("ix_chunks_vectors_here", "collection_id", postgresql_where=text("embedding IS NOT NULL")),
)

past_revisions = Table(
    "past_revisions",
    tables,
    Column("document_id", Text, primary_key=True, comment="whose document may be gone"),
    Column("revision", Integer, primary_key=True),
    Column("collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("source", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("blob", Text, nullable=False, index=True),
    Column("pages", Integer),
    Column("metadata", JSONB, nullable=False),
    Column(
        "chunk_ids",
        ARRAY(Text),
        nullable=False,
        comment="in order; those that a later revision has too are in chunks, the others in past_chunks",
    ),
    Column("retired_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    Column("own_readers", ARRAY(Text), comment="as the document's, at last"),
    Column(
        "readers",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="the document's, and its last ones when it is gone; written by a trigger alone",
    ),
)

past_chunks = Table(
    "past_chunks",
    tables,
    Column("id", Text, primary_key=True),
    Column("document_id", Text, nullable=False, index=True),
    Column("heading", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("page", Integer),
    Column("tokens", Integer, nullable=False),
    Column("places", JSONB, nullable=False, comment=_PLACES),
)

page_words = Table(
    "page_words",
    tables,
    Column("document_id", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("page", Integer, primary_key=True, comment="from 1; only pages that were read from their picture"),
    Column("words", LargeBinary, nullable=False, comment="as causeway.knowledge.page_words packs them"),
)

external_vectors = Table(
    "external_vectors",
    tables,
    Column("chunk_id", Text, primary_key=True, comment="whose chunk may be gone"),
    Column("collection_id", Text, nullable=False, index=True, comment="which may be gone too"),
    Column("dimensions", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False, comment="md5 of the vector that was sent"),
    Column("is_there", Boolean, nullable=False, comment="it was read back, number for number"),
    Column("sent_at", DateTime(timezone=True), comment="null before it was accepted"),
)

collection_moves = Table(
    "collection_moves",
    tables,
    Column("collection_id", Text, ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True),
    Column("target", Text, nullable=False, comment="postgres or pinecone"),
    Column("state", Text, nullable=False, comment="copying, cleaning or done"),
    Column("total", BigInteger, nullable=False, server_default="0", comment="vectors, as last counted"),
    Column(
        "copied",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="of these, read back from the target",
    ),
    Column("problem", Text, comment="what it waits for; null while it goes on"),
    moment("requested_at"),
    moment("finished_at", nullable=True),
)

chunk_keywords = Table(
    "chunk_keywords",
    tables,
    Column("chunk_id", Text, ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True),
    Column("document_id", Text, nullable=False, index=True),
    Column("lexemes", TSVECTOR, nullable=False, comment="of heading and text, identifiers whole beside them"),
    Column(
        "length",
        Integer,
        nullable=False,
        index=True,
        comment="words that are not stop words, repeats counted",
    ),
    # new entries wait unsorted up to this size and every search reads them: large enough for quick writes, small
    # enough not to be felt (20 chunks take 15 ms instead of 33 ms)
    Index(None, "lexemes", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 512}),
)

chunk_contexts = Table(
    "chunk_contexts",
    tables,
    Column(
        "hash", Text, primary_key=True, comment="sha256 of the model, the prompt and all that it was shown"
    ),
    Column("context", Text, nullable=False),
    moment("at"),
)

durable_workers = Table(
    "durable_workers",
    tables,
    Column("executor_id", Text, primary_key=True, comment="under which it takes durable work"),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    moment("started_at"),
    moment("seen_at"),
)

votes = Table(
    "votes",
    tables,
    Column("trace_id", Text, primary_key=True),
    Column("principal_id", Text, primary_key=True),
    Column("is_up", Boolean, nullable=False),
    Column("reason", Text),
    Column("correction", Text),
    moment("at"),
    Column(
        "state",
        Text,
        nullable=False,
        server_default="new",
        comment="what reviewers made of it: new, confirmed or dismissed",
    ),
    Column("reviewed_by", Text, comment="the principal"),
    moment("reviewed_at", nullable=True),
    Column("note", Text, comment="the reviewer's own, for other reviewers"),
    Column("right_answer", Text, comment="the reviewer's; goes before the correction"),
    Index(None, "at"),
    Index(None, "principal_id"),
)
