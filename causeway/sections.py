"""The settings of the service and its gateway, section by section: names, types, defaults and what each is for."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


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

    @cached_property
    def per_token(self) -> tuple[int, int, int]:
        """Exact micro-dollars of a token in and of a token out, as integers, and what both are to be divided by."""
        digits = max(0, *(-int(price.as_tuple().exponent) for price in (self.input, self.output)))
        scale = 10**digits
        return int(self.input * scale), int(self.output * scale), scale


class ProviderSettings(Section):
    """A server that models are reached through."""

    kind: Literal["openai", "azure", "anthropic", "scripted", "obedient"] = Field(
        default="openai",
        description="The protocol it speaks; openai is any OpenAI-compatible server, obedient a model for red teams that"
        " does what any text tells it",
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
