"""The administrators' lists: keys, teams, tiers, budgets, providers, routes, usage, changes, settings.

Their forms are in `causeway.web.admin_keys_pages` and `causeway.web.admin_section_pages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from causeway.gateway.budgets import dollars
from causeway.gateway.usage import By, Period
from causeway.web.admin_access import Desk, Storable
from causeway.web.admin_keys_api import KeyShape, key_shape, matches, team_names, team_shape
from causeway.web.admin_providers import provider_list
from causeway.web.admin_settings_api import SettingShape, route_list, setting_list, tier_list
from causeway.web.admin_usage_api import (
    Asked,
    AuditLine,
    audit_page,
    standings,
    total_line,
    usage_report,
)
from causeway.web.parts import AdminParts
from causeway.web.rendering import is_fragment, link, page
from causeway.web.sign_in import Admin, Parts
from causeway.web.tables import Listing, Order

router = APIRouter(include_in_schema=False)

_AUDIT_PAGE = 50
_PERIODS: Mapping[str, tuple[str, timedelta]] = {
    "1": ("24 hours", timedelta(days=1)),
    "7": ("7 days", timedelta(days=7)),
    "30": ("30 days", timedelta(days=30)),
    "90": ("90 days", timedelta(days=90)),
}
_USAGE_BY: Mapping[By, str] = {
    "day": "Day",
    "key": "Key",
    "team": "Team",
    "tier": "Tier",
    "model": "Model",
    "provider": "Provider",
    "outcome": "Outcome",
}
_UNTOLD = frozenset({"id", "created_at", "created_by", "last_used_at"})
_MICROS = frozenset({"budget_per_day", "budget_per_month"})
_KEY_STATES = ("in force", "expired", "revoked")
_KEY_ORDERS: Mapping[str, Callable[[KeyShape], Any]] = {
    "name": lambda key: key.name.casefold(),
    "tier": lambda key: key.tier,
    "team": lambda key: key.team and key.team.casefold(),
    "day": lambda key: key.budget_usd_per_day,
    "month": lambda key: key.budget_usd_per_month,
    "used": lambda key: key.last_used_at,
}

Words = Annotated[Storable, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that a change set, as people read it; an empty side was not there."""

    name: str
    was: str
    now: str


@router.get("/admin", name="admin")
async def admin(request: Request, _desk: Desk) -> Response:
    """The first of the lists."""
    return RedirectResponse(link(request, "admin_keys"), status_code=303)


@router.get("/admin/keys", name="admin_keys")
async def keys(
    request: Request,
    parts: Parts,
    desk: Desk,
    q: Words = "",
    state: Annotated[str, Query(max_length=20)] = "in force",
    sort: Annotated[str, Query(max_length=20)] = "",
    changed: str = "",
) -> Response:
    """The keys; their table alone when htmx asks."""
    names = await team_names(desk)
    now = parts.clock.now()
    everyone = [key_shape(key, names, now) for key in await desk.keys.list()]
    found = [key for key in everyone if matches(key, q)]
    counts = {each: sum(key.state == each for key in found) for each in _KEY_STATES}
    order = Order.read(sort, _KEY_ORDERS, "name")
    listed = order.sort([key for key in found if state in ("all", key.state)], _KEY_ORDERS)
    values = {
        "keys": listed,
        "counts": counts,
        "state": state,
        "q": q,
        "is_empty": not everyone,
        "listing": Listing(
            request=request,
            route="admin_keys",
            values={"q": q, "state": state, "sort": sort},
            order=order,
            first=("day", "month", "used"),
        ),
    }
    return admin_page(request, desk, "keys", {**values, "changed": changed})


@router.get("/admin/teams", name="admin_teams")
async def teams(request: Request, desk: Desk, q: Words = "", changed: str = "") -> Response:
    """The teams, each with the number of its keys."""
    keys = [key.bounds.team for key in await desk.keys.list() if key.revoked_at is None]
    found = [team_shape(team) for team in await desk.teams.list()]
    rows = [(team, keys.count(team.team_id)) for team in found if q.casefold() in team.name.casefold()]
    return admin_page(
        request, desk, "teams", {"rows": rows, "q": q, "is_empty": not found, "changed": changed}
    )


@router.get("/admin/tiers", name="admin_tiers")
async def tiers(request: Request, desk: Desk, changed: str = "") -> Response:
    """The tiers with their values in force."""
    found = await tier_list(desk)
    made_here = [tier.name for tier in found.tiers if f"tiers.{tier.name}" in desk.live.overridden]
    values = {"tiers": found.tiers, "default_tier": found.default_tier, "made_here": made_here}
    return admin_page(request, desk, "tiers", {**values, "changed": changed})


@router.get("/admin/budgets", name="admin_budgets")
async def budgets(request: Request, desk: Desk, q: Words = "", of: str = "") -> Response:
    """How every budget stands."""
    everything = await standings(desk)
    counts = {payer: sum(each.payer == payer for each in everything) for payer in ("tier", "team", "key")}
    found = [each for each in everything if of in ("", each.payer) and q.casefold() in each.name.casefold()]
    values = {"budgets": found, "counts": counts, "of": of, "q": q, "is_empty": not everything}
    return admin_page(request, desk, "budgets", values)


@router.get("/admin/providers", name="admin_providers")
async def providers(request: Request, parts: Parts, desk: Desk, changed: str = "") -> Response:
    """The providers and how they do."""
    found = await provider_list(desk, parts.clock.now())
    made_here = [each.name for each in found.providers if f"providers.{each.name}" in desk.live.overridden]
    values = {"providers": found.providers, "made_here": made_here, "changed": changed}
    return admin_page(request, desk, "providers", values)


@router.get("/admin/routes", name="admin_routes")
async def routes(request: Request, desk: Desk, changed: str = "") -> Response:
    """What names lead to."""
    found = route_list(desk)
    made_here = [each.name for each in found.routes if f"routes.{each.name}" in desk.live.overridden]
    return admin_page(request, desk, "routes", {"found": found, "made_here": made_here, "changed": changed})


@router.get("/admin/usage", name="admin_usage")
async def usage(
    request: Request, parts: Parts, desk: Desk, by: By = "day", days: Literal["1", "7", "30", "90"] = "30"
) -> Response:
    """What was used, and what it cost."""
    until = parts.clock.now() + timedelta(seconds=1)
    period = Period(since=until - _PERIODS[days][1], until=until)
    report = await usage_report(desk, Asked(by=by, period=period, only={}))
    dearest = max((line.cost_usd for line in report.lines), default=0.0)
    values = {
        "lines": report.lines,
        "total": total_line(report.lines),
        "by": by,
        "days": days,
        "since": period.since.isoformat(timespec="seconds"),
        "groups": _USAGE_BY,
        "periods": {number: name for number, (name, _) in _PERIODS.items()},
        "shares": [round(100 * line.cost_usd / dearest, 2) if dearest else 0 for line in report.lines],
    }
    return admin_page(request, desk, "usage", values)


@router.get("/admin/audit", name="admin_audit")
async def audit(
    request: Request,
    desk: Desk,
    subject: Words = "",
    before_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:
    """Who changed what; its next rows alone when htmx asks."""
    found = (await audit_page(desk, subject=subject, before_id=before_id, limit=_AUDIT_PAGE)).lines
    names = {key.id: key.name for key in await desk.keys.list()} | await team_names(desk)
    values = {
        "rows": [(line, differences(line)) for line in found],
        "names": names | await _people(desk),
        "subject": subject,
        "before_id": before_id,
        "older": found[-1].id if len(found) == _AUDIT_PAGE else None,
    }
    return admin_page(request, desk, "audit", values, fragment="admin_audit_rows.html")


@router.get("/admin/settings", name="admin_settings")
async def settings(
    request: Request,
    desk: Desk,
    q: Words = "",
    every: Annotated[str, Query(alias="all", max_length=1)] = "",
    changed: str = "",
) -> Response:
    """The settings in force with their origins; those that are not the defaults unless all are asked for."""
    found = setting_list(desk)
    listed = [
        each
        for each in found.settings
        if (every or q or each.origin != "default" or each.name in found.needs_restart)
        and q.casefold() in f"{each.name} {each.origin}".casefold()
    ]
    values = {
        "rows": [(each, written(each.value), _beneath(each)) for each in listed],
        "is_all": bool(every),
        "q": q,
        "count": len(found.settings),
        "made_here": [each for each in ("gateway", "guard", "models") if each in desk.live.overridden],
        "changed": changed,
    }
    return admin_page(request, desk, "settings", values)


@router.post("/admin/reload", name="admin_reload")
async def reload(request: Request, desk: Desk, _admin: Admin) -> Response:
    """Read everything anew, then show the settings."""
    reading = await desk.live.reload()
    changed = f"{len(reading.changed)} settings" if reading.changed else "nothing"
    return RedirectResponse(link(request, "admin_settings", {"changed": changed}), status_code=303)


def differences(line: AuditLine) -> list[Difference]:
    """What a change set, value by value."""
    before, after = _spread(line.before), _spread(line.after)
    return [
        Difference(name, before.get(name, ""), after.get(name, ""))
        for name in dict.fromkeys((*before, *after))
        if before.get(name, "") != after.get(name, "")
    ]


def written(value: Any) -> str:
    """A setting's value as people read it."""
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case list():
            return ", ".join(written(each) for each in value)
        case dict():
            return "; ".join(f"{key}: {written(inner)}" for key, inner in value.items())
        case _:
            return str(value)


def _beneath(setting: SettingShape) -> str:
    if setting.beneath_origin is None:
        return ""
    return f"{written(setting.beneath)} ({setting.beneath_origin})"


def _spread(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested values side by side; what is empty, and what every line of its kind has, is left out."""
    if not isinstance(value, dict):
        return {}
    found: dict[str, str] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            found |= _spread(inner, "" if name == "bounds" else f"{prefix}{name}.")
        elif inner not in (None, "", []) and name not in _UNTOLD:
            is_micros = name in _MICROS and isinstance(inner, int)
            found[f"{prefix}{name}"] = f"${dollars(inner)}" if is_micros else written(inner)
    return found


async def _people(desk: AdminParts) -> dict[str, str]:
    users = {user.id: user.name for user in await desk.users.list()}
    return users | {group.id: group.name for group in await desk.groups.list()}


def admin_page(
    request: Request, desk: AdminParts, tab: str, values: Mapping[str, Any], *, fragment: str | None = None
) -> Response:
    """A page below the tabs; its ``fragment`` alone when htmx asks."""
    template = fragment if fragment and is_fragment(request) else f"admin_{tab}.html"
    common = {"tab": tab, "problem": desk.live.problem, "needs_restart": desk.live.needs_restart}
    return page(request, template, {**common, **values})
