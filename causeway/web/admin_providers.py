"""How each provider does: what it offers, what is left alone, what failed of late, its newest test."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

from causeway.errors import CausewayError
from causeway.gateway.provider_check import Checked
from causeway.gateway.usage import Period
from causeway.settings import ProviderSettings
from causeway.web.admin_access import shown
from causeway.web.parts import AdminParts

LATELY = timedelta(hours=1)
_NOT_FAILED = ("ok", "cancelled")

State = Literal["ok", "failing", "resting", "idle"]


class RestingModel(BaseModel):
    """A model that is left alone because it failed."""

    model: str
    reason: str
    probed_in_s: float = Field(description="Seconds until a call may try it again")


class CheckShape(BaseModel):
    """What a live test found."""

    provider: str
    ok: bool
    told: str = Field(description="One sentence for people")
    listed: list[str] | None = Field(description="Models that the server lists; null when it does not tell")
    listing_problem: str | None
    model: str | None = Field(description="What was called")
    latency_ms: int | None
    checked_at: datetime


class ProviderTest(BaseModel):
    """What to test."""

    model: str | None = Field(
        default=None, max_length=200, description="The model to call; the cheapest chat model when not given"
    )


class ProviderShape(BaseModel):
    """A provider and how it does."""

    name: str
    kind: str
    base_url: str
    key: str = Field(description="`none`, `set`, or where a page says it is: `env:OPENAI_API_KEY`")
    state: State
    models: list[str] = Field(
        description="The models that the settings name, else those that the server listed"
    )
    is_open: bool = Field(description="Any model's name is passed on, because the settings name none")
    resting: list[RestingModel]
    calls: int = Field(description="In the last hour")
    errors: dict[str, int] = Field(description="Failures of the last hour by their code")
    latency_p50_ms: int | None = Field(description="Of the last hour")
    prices: dict[str, Any] = Field(description="The operator's own, in US dollars per million tokens")
    origins: dict[str, str]
    newest_test: CheckShape | None = Field(description="Of this process")


class ProviderList(BaseModel):
    """The providers."""

    providers: list[ProviderShape]


async def provider_list(desk: AdminParts, now: datetime) -> ProviderList:
    """The providers as they are told."""
    period = Period(since=now - LATELY, until=now + timedelta(seconds=1))
    lately = {total.group: total for total in await desk.usage.totals("provider", period, limit=1000)}
    found = []
    for name, provider in sorted(desk.live.current.providers.items()):
        total = lately.get(name)
        errors: dict[str, int] = {}
        if total is not None and total.errors:
            outcomes = await desk.usage.totals("outcome", period, only={"provider": name})
            errors = {str(each.group): each.calls for each in outcomes if each.group not in _NOT_FAILED}
        calls = total.calls if total else 0
        resting = _resting(desk, name)
        checked = desk.checks.newest(name)
        found.append(
            ProviderShape(
                name=name,
                kind=provider.kind,
                base_url=_address(provider),
                key=_key(desk, name, provider),
                state=_state(resting, calls, sum(errors.values())),
                models=provider.models or _listed(desk, name),
                is_open=not provider.models,
                resting=resting,
                calls=calls,
                errors=errors,
                latency_p50_ms=total.latency_p50_ms if total else None,
                prices={model: shown(price) for model, price in provider.prices.items()},
                origins={
                    path.removeprefix(f"providers.{name}."): origin
                    for path, origin in desk.live.origins.items()
                    if path.startswith(f"providers.{name}.")
                },
                newest_test=check_shape(checked) if checked else None,
            )
        )
    return ProviderList(providers=found)


def check_shape(checked: Checked) -> CheckShape:
    """A test as it is told."""
    return CheckShape(
        provider=checked.provider,
        ok=checked.is_ok,
        told=checked.told,
        listed=None if checked.listed is None else list(checked.listed),
        listing_problem=checked.listing_problem,
        model=checked.model,
        latency_ms=checked.latency_ms,
        checked_at=checked.checked_at,
    )


def _resting(desk: AdminParts, name: str) -> list[RestingModel]:
    prefix = f"{name}/"
    return [
        RestingModel(
            model=place.removeprefix(prefix), reason=breaker.reason, probed_in_s=round(breaker.rest_s, 1)
        )
        for place, breaker in sorted(desk.breakers().items())
        if place.startswith(prefix)
    ]


def _listed(desk: AdminParts, name: str) -> list[str]:
    prefix = f"{name}/"
    try:
        names = desk.routes().names()
    except CausewayError:
        return []
    return [each.removeprefix(prefix) for each in names if each.startswith(prefix)]


def _key(desk: AdminParts, name: str, provider: ProviderSettings) -> str:
    written = desk.live.overridden.get(f"providers.{name}", {}).get("api_key")
    if isinstance(written, str) and written:
        return written
    return "set" if provider.api_key.get_secret_value() or provider.api_keys else "none"


def _address(provider: ProviderSettings) -> str:
    """Its address without what the file may have put in as a password or query."""
    scheme, slashes, rest = provider.base_url.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2].partition('?')[0]}"


def _state(resting: list[RestingModel], calls: int, failed: int) -> State:
    if resting:
        return "resting"
    if failed * 2 >= calls > 0:
        return "failing"
    return "ok" if calls else "idle"
