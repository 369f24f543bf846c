"""Every setting, and the only code that reads the environment.

Order, later wins: the defaults below, ``causeway.toml``, ``CAUSEWAY_SECTION__KEY`` in the environment, what
administrators change on pages (`causeway.gateway.overrides`). No file is needed to start. An unknown key is an error, so
a typing mistake is found at start. The file is the one that ``CAUSEWAY_CONFIG`` names, else ``causeway.toml`` in the
working directory when it is there.

A provider's key may be named instead of written: ``env:OPENAI_API_KEY`` is read from the environment, ``file:openai``
from ``secrets/openai`` in the data folder, or from an absolute path.

Names, types and meanings are in `causeway.sections` and `causeway.product_sections`; the reference page ``docs/reference/settings.md`` is generated from both.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import Field, SecretStr, ValidationError, field_validator

from causeway.errors import SettingsError
from causeway.product_sections import (
    AlertChannelSettings,
    AlertSettings,
    AnalystDatabaseSettings,
    AnalystSettings,
    KnowledgeSettings,
    PineconeSettings,
    SlackSettings,
    SourceSettings,
    TelemetrySettings,
)
from causeway.sections import (
    DatabaseSettings,
    GatewaySettings,
    GuardSettings,
    ModelSettings,
    OidcSettings,
    PriceSettings,
    ProviderSettings,
    RedisSettings,
    RouteSettings,
    Section,
    ServerSettings,
    SignInSettings,
    TierSettings,
    packaged_tiers,
)

__all__ = [
    "CONFIG_FILE",
    "ENVIRONMENT_PREFIX",
    "NAMED_SECTIONS",
    "PAGE_ORIGIN",
    "AlertChannelSettings",
    "AlertSettings",
    "AnalystDatabaseSettings",
    "AnalystSettings",
    "DatabaseSettings",
    "GatewaySettings",
    "GuardSettings",
    "KnowledgeSettings",
    "Layer",
    "ModelSettings",
    "OidcSettings",
    "Origins",
    "PineconeSettings",
    "PriceSettings",
    "ProviderSettings",
    "RedisSettings",
    "RouteSettings",
    "Section",
    "ServerSettings",
    "Settings",
    "SignInSettings",
    "SlackSettings",
    "Source",
    "SourceSettings",
    "StorageSettings",
    "TelemetrySettings",
    "TierSettings",
    "child_environment",
    "load",
    "load_with_origins",
]

ENVIRONMENT_PREFIX = "CAUSEWAY_"
CONFIG_FILE = "causeway.toml"
PAGE_ORIGIN = "page"
"""The origin of what was changed on pages or through ``/api/admin``."""

_SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_LISTS = {
    "oidc": {"allowed_domains"},
    "providers": {"models"},
    "sources": {"urls", "include", "exclude", "folders", "allow_networks"},
}
"""Settings by section that are written as comma-separated words in the environment."""
_OTHERS_KEYS = "_API_KEY"
"""How the environment's names of other programs' and providers' keys end."""


def _data_home() -> Path:
    """Where a user's programs keep their files (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "causeway"


def _cache_home() -> Path:
    """Where a user's programs keep what they can fetch again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "causeway"


class StorageSettings(Section):
    """Where files live."""

    dir: Path = Field(
        default_factory=_data_home, description="The data folder: database, uploaded files, state"
    )
    blobs_dir: Path | None = Field(
        default=None,
        description="Stored files, when not in the data folder: a mount that the workers of several machines share",
    )
    models_dir: Path = Field(
        default_factory=lambda: _cache_home() / "models",
        description="Fetched model files, named by their sha256",
    )


class Settings(Section):
    """Every setting of one Causeway."""

    server: ServerSettings = Field(default_factory=ServerSettings)
    sign_in: SignInSettings = Field(default_factory=SignInSettings)
    oidc: OidcSettings = Field(default_factory=OidcSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    routes: dict[str, RouteSettings] = Field(default_factory=dict)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    guard: GuardSettings = Field(default_factory=GuardSettings)
    tiers: dict[str, TierSettings] = Field(default_factory=dict, validate_default=True)
    knowledge: KnowledgeSettings = Field(default_factory=KnowledgeSettings)
    pinecone: PineconeSettings = Field(default_factory=PineconeSettings)
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    slack: SlackSettings = Field(default_factory=SlackSettings)
    analyst: AnalystSettings = Field(default_factory=AnalystSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)

    @field_validator("sources")
    @classmethod
    def _with_plain_names(cls, sources: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        """Names go into addresses, keys of work and documents' identities."""
        for name in sources:
            if not _SOURCE_NAME.fullmatch(name):
                raise ValueError(f"'{name}' cannot name a source: use a-z, 0-9, '-' and '_', at most 40")
        return sources

    @field_validator("analyst")
    @classmethod
    def _with_plain_databases(cls, analyst: AnalystSettings) -> AnalystSettings:
        """Names go into addresses and tables."""
        for name in analyst.databases:
            if not _SOURCE_NAME.fullmatch(name):
                raise ValueError(f"'{name}' cannot name a database: use a-z, 0-9, '-' and '_', at most 40")
        return analyst

    @field_validator("tiers", mode="before")
    @classmethod
    def _with_packaged_tiers(cls, written: object) -> object:
        """The packaged tiers, each with what the operator wrote over it, and the operator's own."""
        if not isinstance(written, dict):
            return written
        packaged = {name: tier.model_dump(exclude_unset=True) for name, tier in packaged_tiers().items()}
        over = {
            name: tier.model_dump(exclude_unset=True) if isinstance(tier, TierSettings) else tier
            for name, tier in written.items()
        }
        return {name: {**packaged.get(name, {}), **over.get(name, {})} for name in {**packaged, **over}}


NAMED_SECTIONS = tuple(
    name for name, field in Settings.model_fields.items() if get_origin(field.annotation) is dict
)
"""Sections that hold groups with names of the operator's own: ``tiers.free``."""

Origins = dict[str, str]
"""``section.key`` -> where its value came from: a file's path, the name of an environment variable, or ``page``."""

Layer = Mapping[str, Mapping[str, object]]
"""Values over the file's and the environment's: ``{"tiers.free": {"requests_per_minute": 30}}``."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings come from, for whoever reads them more than once; ``environment`` is in place of this process's."""

    environment: Mapping[str, str] | None = None

    def read(self, overrides: Layer | None = None) -> tuple[Settings, Origins]:
        """The settings as file and environment are now, with ``overrides`` over them.

        Raises:
            SettingsError: As for `load_with_origins`.
        """
        return load_with_origins(self.environment, overrides)

    def stamp(self) -> tuple[str, int, int] | None:
        """Which file there is, when it was written and how long it is: another value means that it was changed."""
        file = _config_file(os.environ if self.environment is None else self.environment)
        try:
            found = file.stat()
        except OSError:
            return None
        return str(file), found.st_mtime_ns, found.st_size


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: A key is unknown or a value cannot be used; the message names it and where it came from.
    """
    return load_with_origins(environment)[0]


def load_with_origins(
    environment: Mapping[str, str] | None = None, overrides: Layer | None = None
) -> tuple[Settings, Origins]:
    """The settings, with ``overrides`` over file and environment, and where each that is not a default came from.

    Raises:
        SettingsError: A key is unknown, a value cannot be used, or a named key is not where it is said to be.
    """
    environ = os.environ if environment is None else environment
    origins: Origins = {}
    merged = _from_file(environ, origins)
    for name, value in sorted(environ.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            path = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            _place(merged, path, value, name)
            origins[".".join(path)] = name
    for section, values in (overrides or {}).items():
        _lay_over(merged, section, values, origins)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as exc:
        raise SettingsError(_explain(exc, origins)) from exc
    return _with_named_keys(settings, environ, origins), origins


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment for a child process, without Causeway's own settings and secrets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ENVIRONMENT_PREFIX) and not name.endswith(_OTHERS_KEYS)
    }
    return {**kept, **extra}


def _config_file(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("CAUSEWAY_CONFIG") or CONFIG_FILE)


def _from_file(environ: Mapping[str, str], origins: Origins) -> dict[str, Any]:
    named = environ.get("CAUSEWAY_CONFIG")
    file = _config_file(environ)
    if not file.is_file():
        if named:
            raise SettingsError(
                f"CAUSEWAY_CONFIG names '{named}', which is not a file; mend the path or unset it"
            )
        return {}
    try:
        merged = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsError(f"'{file}' cannot be read as TOML: {exc}") from exc
    for section, keys in merged.items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            is_named = section in NAMED_SECTIONS and isinstance(value, dict)
            for path in [f"{section}.{key}.{inner}" for inner in value] if is_named else [f"{section}.{key}"]:
                origins[path] = str(file)
    return merged


def _place(tree: dict[str, Any], path: list[str], value: str, name: str) -> None:
    node = tree
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise SettingsError(f"{name} does not name a setting: '{part}' has no keys below it")
    # Lists come as comma-separated words: CAUSEWAY_PROVIDERS__OPENAI__MODELS=gpt-4o,gpt-4o-mini
    node[path[-1]] = value.split(",") if path[-1] in _LISTS.get(path[0], ()) else value


def _lay_over(tree: dict[str, Any], section: str, values: Mapping[str, object], origins: Origins) -> None:
    """Put the values of a section, such as ``tiers.free``, over what is there."""
    table, _, name = section.partition(".")
    node = tree.setdefault(table, {})
    if name and isinstance(node, dict):
        node = node.setdefault(name, {})
    if not isinstance(node, dict):
        raise SettingsError(f"'{section}' has no keys below it, so nothing can be changed there on a page")
    for key, value in values.items():
        path = f"{section}.{key}"
        node[key] = value
        for older in [known for known in origins if known.startswith(f"{path}.")]:
            del origins[older]
        origins[path] = PAGE_ORIGIN


def _with_named_keys(settings: Settings, environ: Mapping[str, str], origins: Origins) -> Settings:
    """``settings`` with the providers' keys that ``env:NAME`` and ``file:NAME`` stand for."""
    folder = settings.storage.dir.expanduser() / "secrets"
    providers = {}
    for name, provider in settings.providers.items():
        where = f"providers.{name}"
        key = _named_key(provider.api_key, f"{where}.api_key", environ, folder, origins)
        more = [_named_key(each, f"{where}.api_keys", environ, folder, origins) for each in provider.api_keys]
        providers[name] = provider.model_copy(update={"api_key": key, "api_keys": more})
    return settings.model_copy(update={"providers": providers})


def _named_key(
    written: SecretStr, where: str, environ: Mapping[str, str], folder: Path, origins: Origins
) -> SecretStr:
    kind, colon, place = written.get_secret_value().partition(":")
    if not colon or kind not in ("env", "file"):
        return written
    origin = origins.get(where, "")
    if kind == "env":
        found, remedy = environ.get(place, ""), f"the environment has no {place}; set it and start again"
    else:
        try:
            found = (folder / place).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            found = ""
        remedy = f"'{folder / place}' is no file that can be read; write the key into it"
    if not found:
        raise SettingsError(
            f"{where}{f' (from {origin})' if origin else ''} is '{kind}:{place}', but {remedy}"
        )
    return SecretStr(found)


def _explain(error: ValidationError, origins: Origins) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in problem["loc"])
        depths = (".".join(where.split(".")[:depth]) for depth in (9, 3, 2))
        origin = next((origins[path] for path in depths if path in origins), None)
        reason = "no such setting" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{where}{f' (from {origin})' if origin else ''}: {reason}")
    return "settings: " + "; ".join(lines) + ". See docs/reference/settings.md"
