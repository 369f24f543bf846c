"""``/api/alerts``: what is watched, what fired, and whom it was told to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from causeway.errors import NotFoundError
from causeway.observability.alert_rules import Firing, Rule, Terms
from causeway.observability.alerts import Alerts
from causeway.web.admin_access import Storable
from causeway.web.sign_in import Admin, Parts

router = APIRouter(prefix="/api/alerts", tags=["Alerts"])


class TermsBody(BaseModel):
    """What an alert watches."""

    model_config = ConfigDict(extra="forbid")

    name: Storable
    metric: Literal[
        "error_rate",
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "ttft_p95_ms",
        "cost_usd",
        "requests",
        "tokens_avg",
        "cache_rate",
        "fallback_rate",
        "refusal_rate",
        "thumbs_down_rate",
    ]
    threshold: float = Field(
        ge=0, lt=1e12, description="In the metric's unit: shares from 0 to 1, milliseconds, dollars"
    )
    is_above: bool = Field(default=True, description="It fires above the threshold; else below")
    window_s: int = Field(default=900, ge=60, le=604_800)
    min_count: int = Field(
        default=20,
        ge=0,
        le=1_000_000_000,
        description="Of fewer requests, answers or votes nothing is concluded",
    )
    cooldown_s: int = Field(
        default=3_600, ge=0, le=2_592_000, description="Least time between two notices that it fires"
    )
    filters: dict[Literal["team", "owner", "product", "model", "prompt", "tier"], Storable] = Field(
        default_factory=dict, description="As the dashboard's"
    )
    channels: list[Storable] = Field(
        default_factory=list, max_length=20, description="Names of the settings' `alerts.channels`"
    )
    is_enabled: bool = True

    def terms(self) -> Terms:
        """As the alerts take it."""
        values = self.model_dump()
        return Terms(**{**values, "channels": tuple(dict.fromkeys(self.channels))})


class RuleShape(TermsBody):
    """An alert, and how it stood when it was last held against the numbers."""

    id: str
    created_by: str
    created_at: datetime
    checked_at: datetime | None
    value: float | None
    count: int | None
    firing_since: datetime | None


class RuleList(BaseModel):
    """Every alert, and the channels that there are."""

    alerts: list[RuleShape]
    channels: list[str]


class DeliveryShape(BaseModel):
    """How far a notice has come on one channel."""

    model_config = ConfigDict(from_attributes=True)

    channel: str
    event: str
    state: str
    attempts: int
    problem: str | None
    sent_at: datetime | None


class FiringShape(BaseModel):
    """One time that an alert fired."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    rule_id: str
    name: str
    metric: str
    value: float
    count: int
    threshold: float
    fired_at: datetime
    resolved_at: datetime | None
    is_told: bool = Field(description="False while it is within the cool-down of the one before")
    deliveries: list[DeliveryShape]


class FiringList(BaseModel):
    """What fired, newest first."""

    firings: list[FiringShape]


class Tested(BaseModel):
    """What became of a test, by channel: what went wrong, or null."""

    channels: dict[str, str | None]


def watched(parts: Parts, _admin: Admin) -> Alerts:
    """The alerts, for an administrator."""
    if parts.alerts is None:
        msg = "this Causeway watches nothing"
        raise NotFoundError(msg)
    return parts.alerts


Watched = Annotated[Alerts, Depends(watched)]


@router.get("", name="api_alerts")
async def alerts(found: Watched) -> RuleList:
    """Every alert, by name."""
    return RuleList(alerts=[rule_shape(rule) for rule in await found.rules()], channels=list(found.channels))


@router.post("", name="api_alert_create", status_code=201)
async def create(body: TermsBody, found: Watched, admin: Admin) -> RuleShape:
    """A new alert; it is first held against the numbers within half a minute."""
    return rule_shape(await found.create(body.terms(), by=admin))


@router.get("/firings", name="api_alert_firings")
async def firings(
    found: Watched, rule: Storable | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> FiringList:
    """What fired, and how far its notices have come."""
    return FiringList(firings=[firing_shape(each) for each in await found.firings(rule_id=rule, limit=limit)])


@router.get("/{alert_id}", name="api_alert")
async def alert(alert_id: Storable, found: Watched) -> RuleShape:
    """One alert."""
    return rule_shape(await found.rule(alert_id))


@router.put("/{alert_id}", name="api_alert_change")
async def change(alert_id: Storable, body: TermsBody, found: Watched, admin: Admin) -> RuleShape:
    """Say anew what an alert watches."""
    return rule_shape(await found.change(alert_id, body.terms(), by=admin))


@router.delete("/{alert_id}", name="api_alert_delete", status_code=204)
async def delete(alert_id: Storable, found: Watched, admin: Admin) -> None:
    """Delete an alert, and what is known of its firings."""
    await found.delete(alert_id, by=admin)


@router.post("/{alert_id}/test", name="api_alert_test")
async def test(alert_id: Storable, found: Watched) -> Tested:
    """Tell its channels that this is a test."""
    return Tested(channels=await found.test(alert_id))


def rule_shape(rule: Rule) -> RuleShape:
    """``rule`` as the API shows it."""
    terms = rule.terms
    return RuleShape.model_validate(
        {name: getattr(terms, name) for name in TermsBody.model_fields}
        | {"channels": list(terms.channels), "filters": dict(terms.filters)}
        | {
            name: getattr(rule, name)
            for name in ("id", "created_by", "created_at", "checked_at", "value", "count", "firing_since")
        }
    )


def firing_shape(firing: Firing) -> FiringShape:
    """``firing`` as the API shows it."""
    told = {name: getattr(firing, name) for name in Firing.__slots__}
    return FiringShape.model_validate(told | {"deliveries": list(firing.deliveries)})
