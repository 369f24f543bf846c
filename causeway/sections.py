"""The settings, section by section: names, types, defaults and what each is for.

Which values are in force is `causeway.settings`'s to find out; the reference page is generated from these descriptions.
"""

from __future__ import annotations

from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Section(BaseModel):
    """A group of settings: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class ServerSettings(Section):
    """Where Causeway listens."""

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for every network")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one")
    root_path: str = Field(default="", description="Path under which a proxy serves Causeway, such as /ai")
    max_upload_bytes: int = Field(default=200_000_000, gt=0, description="Largest file that may be uploaded")
    secure_cookies: bool = Field(
        default=False, description="Send the session cookie over HTTPS alone; set it behind a TLS proxy"
    )


class SignInSettings(Section):
    """How people sign in, and for how long."""

    passwords: bool = Field(
        default=True, description="Accounts may have passwords; false leaves the OpenID provider and keys"
    )
    idle_hours: float = Field(
        default=168.0, gt=0, description="A browser's session that is not used for so long is over"
    )
    days: float = Field(default=30.0, gt=0, description="The longest life of a session, however it is used")


class OidcSettings(Section):
    """The OpenID provider that people may sign in through; empty `issuer` is none."""

    issuer: str = Field(
        default="", description="Its address as its tokens write it, such as https://login.example.com"
    )
    client_id: str = Field(default="", description="What the provider calls this Causeway")
    client_secret: SecretStr = Field(
        default=SecretStr(""), description="Its secret; empty for a public client, which PKCE alone proves"
    )
    name: str = Field(default="single sign-on", description="What the button is called: Sign in with ...")
    scopes: str = Field(default="openid email profile", description="What is asked for, separated by blanks")
    redirect_uri: str = Field(
        default="",
        description="Where it sends browsers back to; empty takes this Causeway's address as the browser has it",
    )
    allowed_domains: list[str] = Field(
        default_factory=list,
        description="Domains of verified e-mail addresses that get an account by themselves; none without",
    )
    role: Literal["reader", "editor"] = Field(
        default="reader", description="The role of an account that is made so"
    )
    groups_claim: str = Field(default="groups", description="The claim that lists somebody's groups")
    groups: dict[str, str] = Field(
        default_factory=dict, description="A value of that claim -> the group here that it puts them into"
    )
    timeout_s: float = Field(default=10.0, gt=0, description="The longest that the provider may take")


class DatabaseSettings(Section):
    """The one database."""

    url: SecretStr = Field(
        default=SecretStr(""),
        description="postgresql://user:password@host/name; empty starts the embedded PostgreSQL",
    )
    pool_size: int = Field(default=10, ge=2, le=200, description="Most connections this process keeps open")
    bm25: Literal["auto", "extension", "own"] = Field(
        default="auto",
        description="Keyword search: the server's BM25 extension, Causeway's own BM25, or whichever is there",
    )


class ModelSettings(Section):
    """Which model each alias means: ``provider/model`` or a model of the local catalogue."""

    chat: str = Field(default="qwen2.5-coder-1.5b-instruct", description="Answers questions")
    fast: str = Field(default="qwen2.5-coder-0.5b-instruct", description="Small jobs: titles, rewrites")
    embed: str = Field(
        default="bge-small-en", description="Texts to vectors; a collection keeps the one it was made with"
    )
    rerank: str = Field(
        default="reranker-en", description="Scores passages against a question; empty turns it off"
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Threads a local chat model writes with; 0 = one fewer than the cores, at least one",
    )
    embed_threads: int = Field(
        default=0, ge=0, description="Threads for embedding and reranking; 0 = every core"
    )
    context_tokens: int = Field(
        default=8192, ge=1024, description="Context window shared by a local chat model's slots"
    )
    parallel: int = Field(
        default=2, ge=1, le=64, description="Chats that a local chat model writes at the same time"
    )
    idle_s: int = Field(
        default=300, ge=0, description="A local chat model unused for this long frees its memory; 0 never"
    )
    start_timeout_s: float = Field(
        default=120.0, gt=0, description="A local chat model must answer within this time"
    )
    offline: bool = Field(default=False, description="Never fetch model files")

    def names(self) -> list[str]:
        """The models that the aliases mean, without repeats."""
        return list(dict.fromkeys(name for name in (self.chat, self.fast, self.embed, self.rerank) if name))


class PriceSettings(Section):
    """What a model costs, in US dollars per million tokens."""

    input: Decimal = Field(default=Decimal(0), ge=0, description="Per million input tokens")
    output: Decimal = Field(default=Decimal(0), ge=0, description="Per million output tokens")
    cached_input: Decimal | None = Field(
        default=None,
        ge=0,
        description="Per million input tokens read from the provider's cache; as input when unset",
    )
    cache_write: Decimal | None = Field(
        default=None,
        ge=0,
        description="Per million input tokens written to the provider's cache; as input when unset",
    )
    image: Decimal = Field(default=Decimal(0), ge=0, description="Per picture, in US dollars")
    long_prompt_tokens: int | None = Field(
        default=None, gt=0, description="Input longer than this makes the whole call dearer"
    )
    long_input_factor: Decimal = Field(
        default=Decimal(1), ge=0, description="Times what a long call's input costs, cached or not"
    )
    long_output_factor: Decimal = Field(
        default=Decimal(1), ge=0, description="Times what a long call's output costs"
    )


class ProviderSettings(Section):
    """A server that models are reached through."""

    kind: Literal["openai", "azure", "anthropic", "scripted"] = Field(
        default="openai", description="The protocol it speaks; openai is any OpenAI-compatible server"
    )
    base_url: str = Field(default="", description="Such as https://api.openai.com/v1")
    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="Sent in the header its protocol wants; env:NAME and file:NAME say where it is",
    )
    api_keys: list[SecretStr] = Field(
        default_factory=list,
        description="Further keys of the same provider, used in turn; one that is refused rests",
    )
    api_version: str = Field(
        default="", description="azure: the api-version parameter; anthropic: its version header"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Further headers of every call")
    models: list[str] = Field(
        default_factory=list, description="Models to offer; empty offers what the server lists, and any name"
    )
    timeout_s: float = Field(default=120.0, gt=0, description="Longest wait for the next byte")
    connect_timeout_s: float = Field(default=10.0, gt=0, description="Longest wait for a connection")
    max_concurrent: int = Field(
        default=0, ge=0, description="Most calls at a time, by priority; 0 sets no bound"
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        description="Share of the calls when several providers offer the model of one route",
    )
    prices: dict[str, PriceSettings] = Field(
        default_factory=dict, description="Price per model, before the packaged table's"
    )


class RouteSettings(Section):
    """A name of your own for one or more models, tried in order or by weight."""

    models: list[str] = Field(
        min_length=1, description="provider/model or local names; the first that works answers"
    )
    spread: Literal["order", "weight"] = Field(
        default="order",
        description="Whether the first model is always preferred, or calls are spread by weight",
    )


class TierSettings(Section):
    """What the callers of a tier may use and spend; a limit left unset is none."""

    requests_per_minute: int | None = Field(
        default=None, ge=1, description="Calls in any 60 seconds, per key"
    )
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Tokens in and out in any 60 seconds, per key"
    )
    concurrent_requests: int | None = Field(
        default=None, ge=1, description="Calls under way at once, per key"
    )
    models: list[str] = Field(default_factory=lambda: ["*"], description="Patterns of the models it may use")
    max_output_tokens: int | None = Field(default=None, ge=1, description="Most tokens one reply may have")
    priority: int = Field(
        default=0, ge=0, le=9, description="Where calls wait for a provider, higher goes first"
    )
    key_budget_usd_per_day: Decimal | None = Field(
        default=None, ge=0, description="Each key's spending a day, UTC"
    )
    key_budget_usd_per_month: Decimal | None = Field(
        default=None, ge=0, description="Each key's spending a calendar month, UTC"
    )
    budget_usd_per_day: Decimal | None = Field(
        default=None, ge=0, description="The whole tier's spending a day, UTC"
    )
    budget_usd_per_month: Decimal | None = Field(
        default=None, ge=0, description="The whole tier's spending a calendar month, UTC"
    )
    pii: Literal["off", "mask", "refuse"] = Field(
        default="mask", description="Personal data and secrets on their way to a provider"
    )
    mask_local: bool = Field(default=False, description="Mask also what goes to a model of this machine")
    injection: Literal["off", "log", "refuse"] = Field(
        default="log", description="Instructions in a call that try to take a model over"
    )
    filter_output: bool = Field(
        default=True, description="Take remote pictures, hidden links and secrets out of answers to people"
    )
    on_guard_failure: Literal["open", "closed"] = Field(
        default="closed", description="Whether calls go on, with an alarm, when a guard breaks"
    )
    cache: Literal["off", "exact", "semantic"] = Field(
        default="exact",
        description="Which stored replies may answer: the same request's, or a paraphrase's too",
    )
    cache_similarity: float = Field(
        default=0.85, ge=0.5, le=1, description="Least cosine at which a paraphrase's reply is used"
    )
    auto_threshold: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Model 'auto': questions scored harder than this go to the strong model",
    )


def packaged_tiers() -> dict[str, TierSettings]:
    """The tiers that are there without a setting."""
    return {
        "internal": TierSettings(pii="mask", priority=5),
        "free": TierSettings(
            requests_per_minute=20,
            tokens_per_minute=40_000,
            concurrent_requests=2,
            max_output_tokens=2_048,
            cache="semantic",
        ),
        "pro": TierSettings(
            requests_per_minute=600, tokens_per_minute=2_000_000, concurrent_requests=64, priority=3
        ),
    }


class GatewaySettings(Section):
    """The life of a model call."""

    default_tier: str = Field(default="pro", description="The tier of a key that is made without one")
    max_body_bytes: int = Field(default=32_000_000, gt=0, description="Largest request body")
    max_messages: int = Field(default=10_000, gt=0, description="Most messages in one request")
    body_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest time a client may take to send its body"
    )
    deadline_s: float = Field(
        default=600.0, gt=0, description="Longest time one call may take, retries included"
    )
    reply_tokens: int = Field(
        default=4096,
        ge=1,
        description="Longest reply that is reserved for, and granted, when a metered caller asks for no bound",
    )
    retries: int = Field(default=2, ge=0, le=10, description="Most further tries of a call on the same model")
    retry_budget: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Most retries as a share of recent calls, so that an outage is not doubled",
    )
    fallbacks: dict[str, list[str]] = Field(
        default_factory=dict, description="Model -> models to try in its place, in order"
    )
    breaker_failures: int = Field(
        default=5, ge=1, description="Failures in a row that take a provider's model out of use"
    )
    breaker_rest_s: float = Field(
        default=20.0, gt=0, description="How long it rests before one call probes it"
    )
    cache_ttl_s: float = Field(default=3600.0, gt=0, description="How long a reply may answer again")
    cache_bytes: int = Field(
        default=64_000_000, ge=0, description="Memory of the in-process cache; 0 turns it off"
    )
    ledger_flush_s: float = Field(
        default=1.0, gt=0, description="How often the ledger is written to the database"
    )
    auto_strong: str = Field(default="chat", description="Model 'auto': what answers hard questions")
    auto_cheap: str = Field(default="fast", description="Model 'auto': what answers simple ones")


class RedisSettings(Section):
    """State shared by several processes."""

    url: SecretStr = Field(
        default=SecretStr(""),
        description="redis://host:6379/0; empty keeps limits, budgets and cache in the process",
    )
    timeout_s: float = Field(default=2.0, gt=0, description="Longest wait for an answer")


class GuardSettings(Section):
    """What is looked for in calls and answers."""

    phone_regions: list[str] = Field(
        default_factory=lambda: ["US", "GB"],
        description="ISO 3166 countries whose national phone numbers are found",
    )
    kinds: list[str] = Field(
        default_factory=lambda: ["email", "phone", "card", "iban", "national_id", "secret", "date_of_birth"],
        description="Kinds of personal data and secrets that are found",
    )
    ner: bool = Field(
        default=False, description="Find names of people too, by the optional NER model (extra: ner)"
    )
    injection_threshold: float = Field(
        default=0.9, ge=0, le=1, description="Score from which a call counts as an injection"
    )


class KnowledgeSettings(Section):
    """Ingestion, search and answers."""

    collection: str = Field(default="default", description="Where documents go when no collection is named")
    chunk_tokens: int = Field(
        default=320, ge=64, le=512, description="Most tokens in a chunk, its heading path included"
    )
    parse_timeout_s: float = Field(
        default=120.0, gt=0, description="Longest time one file may take to be read"
    )
    parse_memory_bytes: int = Field(
        default=2_000_000_000, gt=0, description="Most memory that reading one file may take"
    )
    max_file_bytes: int = Field(default=200_000_000, gt=0, description="Larger files are refused")
    max_pages: int = Field(default=3000, gt=0, description="Documents of more pages are refused")
    ocr_languages: str = Field(
        default="auto",
        pattern=r"^[A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*$",
        description="Languages that scans and pictures are read in, as Tesseract names them, such as eng+deu;"
        " auto: those installed for the script on the page",
    )
    ocr_page_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest time that reading the picture of one page may take"
    )
    workers: int = Field(default=4, ge=1, le=64, description="Documents ingested at the same time")
    keep_versions_days: int = Field(
        default=30,
        ge=0,
        le=36500,
        description="Days that a replaced or deleted revision can still be opened where it was cited; 0 keeps none",
    )
    keep_conversations_days: int = Field(
        default=365, ge=1, le=36500, description="Days after its last question that a conversation is kept"
    )
    candidates: int = Field(default=50, ge=5, le=500, description="Chunks each search arm brings")
    vector_weight: float = Field(
        default=0.7, ge=0, le=1, description="Share of the vector score in the fused score"
    )
    rerank: bool = Field(default=True, description="Score the best candidates with the cross-encoder")
    rerank_candidates: int = Field(default=16, ge=1, le=100, description="How many of the best it scores")
    rerank_weight: float = Field(
        default=0.3, ge=0, le=1, description="Share of the cross-encoder in the final score"
    )
    passages: int = Field(default=6, ge=1, le=50, description="Most passages an answer is written from")
    context_tokens: int = Field(
        default=500, ge=200, description="Most tokens of these passages' statements that the model reads"
    )
    answer_tokens: int = Field(default=400, ge=16, description="Most tokens of an answer")
    check: Literal["logprobs", "words", "off"] = Field(
        default="logprobs",
        description="Ask the chat model whether the passages answer, and read how sure it is (logprobs) or its yes or"
        " no (words, for providers that do not tell)",
    )
    refuse_below: float = Field(
        default=0.5, ge=0, le=1, description="Refuse when the answer's probability to be told is below this"
    )


class PineconeSettings(Section):
    """Pinecone, as a place for the vectors of collections."""

    api_key: SecretStr = Field(
        default=SecretStr(""), description="The project's API key; empty when no collection is kept there"
    )
    host: str = Field(
        default="https://api.pinecone.io",
        description="Its control plane; the address of an index is asked for there",
    )
    index: str = Field(
        default="causeway",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="Indexes are called this, '-' and their number of dimensions; made when they are not there",
    )
    cloud: Literal["aws", "gcp", "azure"] = Field(default="aws", description="Where an index is made")
    region: str = Field(default="us-east-1", description="In which region of it")
    timeout_s: float = Field(default=10.0, gt=0, le=300, description="Longest time one request may take")


class TelemetrySettings(Section):
    """Traces and logs."""

    capture_content: bool = Field(
        default=True,
        description="Keep questions, passages and answers in traces, which stay in your database",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log line"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="json for log collectors")
    trace_days: int = Field(default=90, ge=1, description="Traces older than this are deleted")


class SourceSettings(Section):
    """A place that a collection is kept equal to."""

    kind: Literal["folder", "notion", "slack", "web", "mail"] = Field(description="What it is")
    collection: str = Field(default="", description="Where its documents go; empty is knowledge.collection")
    path: Path | None = Field(
        default=None,
        description="folder: its root; notion and slack: an export zip, in place of a token; mail: an mbox file, a Maildir"
        " or a folder of .eml and .msg files, in place of a server",
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        description="notion: the integration's secret; slack: a bot token; mail: the user's password",
    )
    host: str = Field(default="", description="mail: the IMAP server")
    port: int = Field(default=993, ge=1, le=65_535, description="mail: its port; 143 with starttls")
    security: Literal["tls", "starttls", "none"] = Field(
        default="tls", description="mail: how the connection is encrypted; none on this machine alone"
    )
    user: str = Field(default="", description="mail: who logs in")
    folders: list[str] = Field(
        default_factory=lambda: ["INBOX"],
        description="mail: patterns of the mailboxes that are read, such as Archive/*",
    )
    urls: list[str] = Field(
        default_factory=list,
        description="web: pages to start from, and sitemaps (addresses that end in .xml)",
    )
    include: list[str] = Field(
        default_factory=lambda: ["*"],
        description="Patterns of what is taken: channel names for slack, else paths of documents",
    )
    exclude: list[str] = Field(default_factory=list, description="Patterns of what is left out")
    schedule_minutes: int = Field(
        default=60, ge=0, le=43_200, description="How often it is synced; 0 only when asked to"
    )
    max_items: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Most documents; beyond it nothing is taken or deleted",
    )
    max_file_bytes: int = Field(
        default=20_000_000, gt=0, description="Larger pages and files of web and exports are refused"
    )
    max_depth: int = Field(
        default=3,
        ge=0,
        le=20,
        description="web: how many links away from a start page; sitemaps add no links",
    )
    history_days: int = Field(
        default=365, ge=1, le=36_500, description="slack and mail servers: how far back messages are read"
    )
    requests_per_second: float = Field(
        default=2.0, gt=0, le=100, description="Most requests a second to the vendor, or to each host"
    )
    timeout_s: float = Field(default=30.0, gt=0, le=600, description="Longest time one request may take")
    base_url: str = Field(default="", description="Another address of the vendor's API, such as a proxy's")
    allow_networks: list[str] = Field(
        default_factory=list,
        description="web, and files of notion: private networks that may be read all the same, such as 10.20.0.0/16",
    )

    @model_validator(mode="after")
    def _names_its_place(self) -> Self:
        """Each kind says where it is."""
        if self.kind == "folder" and self.path is None:
            msg = "a folder needs 'path'"
            raise ValueError(msg)
        if self.kind == "web" and not self.urls:
            msg = "a web source needs 'urls'"
            raise ValueError(msg)
        if self.kind in ("notion", "slack") and self.path is None and not self.token.get_secret_value():
            msg = f"a {self.kind} source needs a 'token', or the 'path' of an export"
            raise ValueError(msg)
        if self.kind == "mail" and self.path is None:
            if not (self.host and self.user and self.token.get_secret_value()):
                msg = "a mail source needs 'host', 'user' and 'token' (the password), or the 'path' of mail on the disk"
                raise ValueError(msg)
            if self.security == "none" and self.host not in ("localhost", "127.0.0.1", "::1"):
                msg = "'security' is none, which would send the password readable; use tls or starttls"
                raise ValueError(msg)
        for network in self.allow_networks:
            ip_network(network)
        return self


class AnalystDatabaseSettings(Section):
    """A database that questions may be asked of; read only, by a role that cannot write."""

    url: SecretStr = Field(
        default=SecretStr(""),
        description="postgresql://, mysql://, sqlite:///path or duckdb:///path; empty when 'files' are named",
    )
    files: list[Path] = Field(
        default_factory=list, description="CSV, TSV and Parquet files, asked as the tables of one database"
    )
    schemas: list[str] = Field(
        default_factory=lambda: ["public"], description="PostgreSQL: the schemas whose tables are offered"
    )
    layer: Path | None = Field(
        default=None,
        description="YAML that says what is offered and what words mean; 'causeway analyst inspect' drafts it",
    )
    allow_writing_role: bool = Field(
        default=False,
        description="Use a role that may write, too: the allow-list and a read-only transaction are all that is left",
    )


class AnalystSettings(Section):
    """Questions to databases."""

    databases: dict[str, AnalystDatabaseSettings] = Field(
        default_factory=dict, description="Databases by name, besides the sample shop of 'causeway up --demo'"
    )
    timeout_s: float = Field(default=10.0, gt=0, le=300, description="Longest time one query may take")
    max_rows: int = Field(default=1_000, ge=1, le=100_000, description="Most rows of one result")
    max_result_bytes: int = Field(default=2_000_000, gt=0, description="Largest result, about")
    max_cost: float = Field(
        default=5_000_000.0,
        ge=0,
        description="Most that the database's planner may expect a query to cost, in its own unit; 0 sets no bound",
    )
    memory_bytes: int = Field(
        default=256_000_000, gt=0, description="SQLite: most memory that queries may use"
    )
    prompt_tokens: int = Field(
        default=1_100, ge=300, description="About how long the prompt that drafts SQL may be"
    )
    examples: int = Field(default=3, ge=0, le=10, description="Verified questions that a draft is shown")
    repairs: int = Field(default=2, ge=0, le=5, description="Most further drafts after one that failed")
    votes: int = Field(
        default=1,
        ge=1,
        le=5,
        description="Drafts whose results vote when the first one needed repair or found nothing; 1 never votes",
    )
