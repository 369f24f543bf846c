"""The forms of keys and teams: made, changed, rotated, revoked. A secret is shown in the answer that made it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData
from starlette.responses import Response

from causeway.contracts.identity import Scope
from causeway.errors import InvalidInputError
from causeway.gateway.budgets import dollars
from causeway.gateway.keys import Bounds, Key, NewKey
from causeway.gateway.teams import Team
from causeway.web.admin_access import Desk, micros
from causeway.web.admin_keys_api import (
    KeyChange,
    KeyId,
    NewKeyBody,
    NewTeam,
    TeamChange,
    TeamId,
    changed_bounds,
    key_of,
)
from causeway.web.admin_sheets import confirm, onward, sheet
from causeway.web.parts import AdminParts
from causeway.web.rendering import link
from causeway.web.sign_in import Admin, Parts

router = APIRouter(include_in_schema=False)

SCOPES = {
    Scope.MODELS: "Call models through /v1",
    Scope.ASK: "Search and ask the documents",
    Scope.INGEST: "Add and delete documents",
    Scope.TRACES: "Send traces of other programs in, at /otlp/v1/traces",
    Scope.ADMIN: "Everything, this page included",
}
ENDPOINTS = {"chat": "Chat", "embeddings": "Embeddings", "rerank": "Reranking", "images": "Images"}
LIVES = {"": "Never", "7": "In 7 days", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
_SAYS = {
    "string_too_short": "Needs a name",
    "string_pattern_mismatch": "Needs a name",
    "too_short": "Choose at least one",
    "decimal_parsing": "Is no amount; write it like 20 or 2.50",
    "decimal_type": "Is no amount; write it like 20 or 2.50",
    "greater_than_equal": "Cannot be below zero",
}

Body = TypeVar("Body", bound=BaseModel)


@router.get("/admin/new/key", name="admin_new_key")
async def new_key(request: Request, desk: Desk) -> Response:
    """An empty form."""
    return await _key_sheet(request, desk, None, _filled(None, desk), {})


@router.post("/admin/new/key", name="admin_new_key_post")
async def make_key(request: Request, parts: Parts, desk: Desk, admin: Admin) -> Response:
    """Make a key and show its secret, this once."""
    form = await request.form()
    filled = _from_form(form)
    lives = str(form.get("expires", ""))
    expires_at = parts.clock.now() + timedelta(days=int(lives)) if lives in LIVES and lives else None
    body, wrong = _read(NewKeyBody, {**filled, "expires_at": expires_at})
    if body is None:
        return await _key_sheet(request, desk, None, {**filled, "expires": lives}, wrong)
    try:
        bounds = changed_bounds(desk, Bounds(), body)
        user = body.user_id or None
        made = await desk.keys.create(
            body.name, body.scopes, expires_at=expires_at, bounds=bounds, user=user, by=admin
        )
    except InvalidInputError as exc:
        return await _key_sheet(request, desk, None, {**filled, "expires": lives}, {"": exc.message})
    return _secret_sheet(request, made, f"The key “{body.name}” is ready")


@router.get("/admin/keys/{key_id}/edit", name="admin_edit_key")
async def edit_key(key_id: KeyId, request: Request, desk: Desk) -> Response:
    """A key's form."""
    key = await desk.keys.find(key_id)
    return await _key_sheet(request, desk, key, _filled(key, desk), {})


@router.post("/admin/keys/{key_id}/edit", name="admin_edit_key_post")
async def change_key(key_id: KeyId, request: Request, desk: Desk, admin: Admin) -> Response:
    """Change a key."""
    key = await desk.keys.find(key_id)
    filled = _from_form(await request.form())
    body, wrong = _read(KeyChange, filled)
    if body is None or not body.name:
        return await _key_sheet(request, desk, key, filled, wrong or {"name": "Needs a name"})
    try:
        bounds = changed_bounds(desk, key.bounds, body)
        await desk.keys.update(key_id, name=body.name, scopes=body.scopes, bounds=bounds, by=admin)
    except InvalidInputError as exc:
        return await _key_sheet(request, desk, key, filled, {"": exc.message})
    return onward(request, link(request, "admin_keys", {"changed": key_id}))


@router.get("/admin/keys/{key_id}/rotate", name="admin_rotate_key")
async def ask_to_rotate(key_id: KeyId, request: Request, desk: Desk) -> Response:
    """Ask first."""
    key = await desk.keys.find(key_id)
    return confirm(
        request,
        title=f"Give “{key.name}” a new secret?",
        about="What the key allows stays. Without hours, as a leak calls for, the present secret and its browser "
        "sessions end at once.",
        verb="Rotate",
        action=link(request, "admin_rotate_key_post", key_id=key_id),
        back=link(request, "admin_keys"),
        hours=True,
    )


@router.post("/admin/keys/{key_id}/rotate", name="admin_rotate_key_post")
async def rotate_key(key_id: KeyId, request: Request, desk: Desk, admin: Admin) -> Response:
    """Rotate, and show the new secret, this once."""
    said = str((await request.form()).get("grace_hours", "")).strip()
    try:
        hours = float(said or 0)
        grace = timedelta(hours=hours)
    except (ValueError, OverflowError) as exc:
        raise InvalidInputError(f"'{said[:40]}' is no number of hours") from exc
    made = await desk.keys.rotate(key_id, grace=grace, by=admin)
    ends = f"The old secret works for {hours:g} more hours" if hours > 0 else "The old secret has ended"
    return _secret_sheet(request, made, ends)


@router.get("/admin/keys/{key_id}/revoke", name="admin_revoke_key")
async def ask_to_revoke(key_id: KeyId, request: Request, desk: Desk, admin: Admin) -> Response:
    """Ask first."""
    key = await desk.keys.find(key_id)
    own = " You are signed in with this very key, so you will be signed out." if key.id == admin.id else ""
    return confirm(
        request,
        title=f"Revoke “{key.name}”?",
        about=f"{key.prefix}… stops working at once, in every process, and its browser sessions end. This cannot be "
        f"undone; what it used stays in the ledger.{own}",
        verb="Revoke",
        action=link(request, "admin_revoke_key_post", key_id=key_id),
        back=link(request, "admin_keys"),
    )


@router.post("/admin/keys/{key_id}/revoke", name="admin_revoke_key_post")
async def revoke_key(key_id: KeyId, request: Request, desk: Desk, admin: Admin) -> Response:
    """End a key."""
    key = await key_of(desk, key_id)
    if key.revoked_at is None:
        await desk.keys.revoke(key_id, by=admin)
    return onward(request, link(request, "admin_keys"))


@router.get("/admin/new/team", name="admin_new_team")
async def new_team(request: Request, desk: Desk) -> Response:  # noqa: ARG001 - only administrators get it
    """An empty form."""
    return _team_sheet(request, None, {"name": "", "day": "", "month": ""}, {})


@router.post("/admin/new/team", name="admin_new_team_post")
async def make_team(request: Request, desk: Desk, admin: Admin) -> Response:
    """Make a team."""
    filled = _team_from_form(await request.form())
    body, wrong = _read(NewTeam, _team_fields(filled))
    if body is None:
        return _team_sheet(request, None, filled, wrong)
    day, month = micros(body.budget_usd_per_day), micros(body.budget_usd_per_month)
    try:
        team = await desk.teams.create(body.name, budget_per_day=day, budget_per_month=month, by=admin)
    except InvalidInputError as exc:
        return _team_sheet(request, None, filled, {"name": exc.message})
    return onward(request, link(request, "admin_teams", {"changed": team.id}))


@router.get("/admin/teams/{team_id}/edit", name="admin_edit_team")
async def edit_team(team_id: TeamId, request: Request, desk: Desk) -> Response:
    """A team's form."""
    team = await desk.teams.find(team_id)
    day, month = _amount(team.budget_per_day), _amount(team.budget_per_month)
    return _team_sheet(request, team, {"name": team.name, "day": day, "month": month}, {})


@router.post("/admin/teams/{team_id}/edit", name="admin_edit_team_post")
async def change_team(team_id: TeamId, request: Request, desk: Desk, admin: Admin) -> Response:
    """Change a team's budgets."""
    team = await desk.teams.find(team_id)
    filled = {**_team_from_form(await request.form()), "name": team.name}
    body, wrong = _read(TeamChange, _team_fields(filled))
    if body is None:
        return _team_sheet(request, team, filled, wrong)
    day, month = micros(body.budget_usd_per_day), micros(body.budget_usd_per_month)
    await desk.teams.set_budget(team_id, per_day=day, per_month=month, by=admin)
    return onward(request, link(request, "admin_teams", {"changed": team_id}))


async def _key_sheet(
    request: Request, desk: AdminParts, key: Key | None, filled: Mapping[str, Any], wrong: Mapping[str, str]
) -> Response:
    values = {
        "key": key,
        "filled": filled,
        "wrong": wrong,
        "scopes": SCOPES,
        "endpoints": ENDPOINTS,
        "lives": LIVES,
        "tiers": sorted(name for name in desk.live.current.tiers if name != "internal"),
        "teams": await desk.teams.list(),
        "users": await desk.users.list(),
        "default_tier": desk.live.current.gateway.default_tier,
    }
    return sheet(request, "admin_key_form.html", values, status_code=422 if wrong else 200)


def _secret_sheet(request: Request, made: NewKey, title: str) -> Response:
    back = link(request, "admin_keys", {"changed": made.id})
    return sheet(request, "admin_secret.html", {"secret": made.secret, "title": title, "back": back})


def _team_sheet(
    request: Request, team: Team | None, filled: Mapping[str, str], wrong: Mapping[str, str]
) -> Response:
    values = {"team": team, "filled": filled, "wrong": wrong}
    return sheet(request, "admin_team_form.html", values, status_code=422 if wrong else 200)


def _filled(key: Key | None, desk: AdminParts) -> dict[str, Any]:
    bounds = key.bounds if key else Bounds()
    return {
        "name": key.name if key else "",
        "scopes": sorted(key.scopes) if key else [Scope.MODELS, Scope.ASK],
        "tier": bounds.tier or desk.live.current.gateway.default_tier,
        "team_id": bounds.team or "",
        "user_id": (key.user if key else None) or "",
        "models": list(bounds.models),
        "endpoints": sorted(bounds.endpoints),
        "budget_usd_per_day": _amount(bounds.budget_per_day),
        "budget_usd_per_month": _amount(bounds.budget_per_month),
        "expires": "",
    }


def _from_form(form: FormData) -> dict[str, Any]:
    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    return {
        "name": text("name"),
        "scopes": [str(each) for each in form.getlist("scopes")],
        "tier": text("tier") or None,
        "team_id": text("team_id"),
        "user_id": text("user_id"),
        "models": [line.strip() for line in text("models").splitlines() if line.strip()],
        "endpoints": [str(each) for each in form.getlist("endpoints")],
        "budget_usd_per_day": text("budget_usd_per_day") or None,
        "budget_usd_per_month": text("budget_usd_per_month") or None,
    }


def _team_from_form(form: FormData) -> dict[str, str]:
    return {name: str(form.get(name, "")).strip() for name in ("name", "day", "month")}


def _team_fields(filled: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": filled["name"],
        "budget_usd_per_day": filled["day"] or None,
        "budget_usd_per_month": filled["month"] or None,
    }


def _read(shape: type[Body], values: Mapping[str, Any]) -> tuple[Body | None, dict[str, str]]:
    """The body, or what is wrong with each field."""
    try:
        return shape.model_validate(values), {}
    except ValidationError as exc:
        problems = exc.errors(include_url=False, include_input=False)
        return None, {str(each["loc"][0]): _SAYS.get(each["type"], each["msg"]) for each in problems}


def _amount(limit: int | None) -> str:
    return "" if limit is None else dollars(limit)
