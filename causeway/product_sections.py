"""The settings of knowledge, the products and telemetry, section by section: names, types, defaults and what each is for."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from causeway.sections import Section


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
        default=1500, ge=200, description="Most tokens of these passages' statements that the model reads"
    )
    answer_tokens: int = Field(default=400, ge=16, description="Most tokens of an answer")
    answers: Literal["auto", "written", "quoted"] = Field(
        default="auto",
        description="Whether the chat model writes answers, or the documents' own words are quoted; auto: quoted with the"
        " small models that Causeway runs itself, written with any other",
    )
    check: Literal["logprobs", "words", "off"] = Field(
        default="logprobs",
        description="Before it writes, ask the chat model whether the passages answer, and read how sure it is (logprobs)"
        " or its yes or no (words, for providers that do not tell)",
    )
    check_quotes: bool = Field(
        default=True,
        description="Before quoting, ask the chat model in one word whether what would be quoted states what is asked; without"
        " it, or when it does not answer in time, rules alone decide",
    )
    refuse_below: float = Field(
        default=0.3, ge=0, le=1, description="Refuse when the answer's probability to be told is below this"
    )
    sure_above: float = Field(
        default=0.65, ge=0, le=1, description="Quote without a caution when that probability is at least this"
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


class SlackSettings(Section):
    """Questions asked in Slack; off while `signing_secret` or `token` is empty."""

    signing_secret: SecretStr = Field(
        default=SecretStr(""), description="The app's signing secret, by which its requests are known"
    )
    token: SecretStr = Field(default=SecretStr(""), description="The app's bot token, xoxb-...")
    address: str = Field(
        default="",
        description="This Causeway's address as people's browsers have it, such as https://causeway.example.com; citations"
        " are links to its documents, and names alone without it",
    )
    collection: str = Field(default="", description="The collection that is asked; empty asks all")
    private_answers: Literal["direct", "thread"] = Field(
        default="direct",
        description="Where an answer in a channel goes that rests on documents which not everybody may see: to its asker"
        " alone, or into the thread all the same",
    )
    update_every_s: float = Field(
        default=1.2,
        ge=1,
        le=60,
        description="Least time between two changes of a message while it is written",
    )
    base_url: str = Field(default="", description="Another address of Slack's API, such as a proxy's")
    timeout_s: float = Field(default=15.0, gt=0, le=120, description="Longest time one request may take")

    @property
    def is_on(self) -> bool:
        """Whether there is all that the bot needs."""
        return bool(self.signing_secret.get_secret_value() and self.token.get_secret_value())


class TraceProjectSettings(Section):
    """Traces of one team; what is not said is as for all."""

    sample: float | None = Field(default=None, ge=0, le=1, description="The share of its traces that is kept")
    days: int | None = Field(default=None, ge=1, description="Its traces older than this are deleted")
    capture_content: bool | None = Field(
        default=None, description="false keeps what people and documents said out of its traces"
    )
    capture_calls: bool | None = Field(
        default=None, description="Whether its traces hold what its programs say to models through /v1"
    )


class TelemetrySettings(Section):
    """Traces, metrics and logs."""

    capture_content: bool = Field(
        default=True,
        description="Keep questions, passages and answers in traces, which stay in your database",
    )
    capture_calls: bool = Field(
        default=False,
        description="Keep what programs say to models through /v1, too; else their traces hold who, which model, tokens,"
        " costs and times",
    )
    mask: Literal["imported", "all", "off"] = Field(
        default="imported",
        description="Whose content is stored with placeholders for personal data and secrets: other programs', all, or"
        " nobody's; what a tier masks on its way to a model is masked in its trace anyway",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log line"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="json for log collectors")
    trace_days: int = Field(default=90, ge=1, description="Traces older than this are deleted")
    top_questions: bool = Field(
        default=True,
        description="Group questions by what they mean, masked, with the model of models.embed, which may cost",
    )
    question_distance: float = Field(
        default=0.6,
        gt=0,
        lt=2,
        description="How far questions of a group may be apart on average: cosine distance without what all questions"
        " have in common",
    )
    sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="The share of traces that is kept; those with an error always are",
    )
    max_attribute_characters: int = Field(
        default=200_000,
        ge=1_000,
        description="Longer values of a span are cut, and causeway.truncated says how long they were",
    )
    projects: dict[str, TraceProjectSettings] = Field(
        default_factory=dict, description="By a team's id: how its traces differ from the rest"
    )
    import_max_bytes: int = Field(
        default=16 << 20, ge=1_024, description="Largest body that /otlp/v1/traces takes, unpacked"
    )
    otlp_endpoint: str = Field(
        default="",
        description="Where spans are sent as well, such as http://collector:4318/v1/traces (OTLP over HTTP)",
    )
    otlp_headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Headers to send with them, such as authorization"
    )
    otlp_content: bool = Field(
        default=False, description="Send questions, passages and answers there too; they leave your database"
    )
    metrics_open: bool = Field(
        default=False, description="Let everyone who reaches the port read /metrics; else an admin key must"
    )


class AlertChannelSettings(Section):
    """Where alerts are told."""

    kind: Literal["webhook", "slack", "email"] = Field(description="What it is")
    url: SecretStr = Field(
        default=SecretStr(""), description="webhook: where to post; slack: the incoming webhook's address"
    )
    secret: SecretStr = Field(
        default=SecretStr(""), description="webhook: signs what is posted, so that its receiver can be sure"
    )
    to: list[str] = Field(default_factory=list, description="email: addresses")
    allow_networks: list[str] = Field(
        default_factory=list,
        description="webhook: private networks that may be reached all the same, such as 10.20.0.0/16",
    )

    @model_validator(mode="after")
    def _names_its_place(self) -> Self:
        if self.kind == "email" and not self.to:
            msg = "an email channel needs 'to'"
            raise ValueError(msg)
        if self.kind != "email" and not self.url.get_secret_value():
            msg = f"a {self.kind} channel needs 'url'"
            raise ValueError(msg)
        for network in self.allow_networks:
            ip_network(network)
        return self


class AlertSettings(Section):
    """Whom alerts are told to; what they watch is set on their page."""

    channels: dict[str, AlertChannelSettings] = Field(default_factory=dict, description="Channels by name")
    dashboard_url: str = Field(
        default="",
        description="The dashboard's address for links in notices, such as https://ai.example.com/dashboard",
    )
    smtp_host: str = Field(default="", description="email: the mail server")
    smtp_port: int = Field(default=587, ge=1, le=65_535, description="email: its port")
    smtp_security: Literal["tls", "starttls", "none"] = Field(
        default="starttls", description="email: how the connection is encrypted; none sends no password"
    )
    smtp_user: str = Field(default="", description="email: who logs in; empty for nobody")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="email: the password")
    sender: str = Field(default="", description="email: whom the mails are from")

    @model_validator(mode="after")
    def _can_mail(self) -> Self:
        if any(channel.kind == "email" for channel in self.channels.values()):
            if not (self.smtp_host and self.sender):
                msg = "an email channel needs 'smtp_host' and 'sender'"
                raise ValueError(msg)
            if self.smtp_user and self.smtp_security == "none":
                msg = "'smtp_security' is none, which would send the password readable; use tls or starttls"
                raise ValueError(msg)
        return self


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
