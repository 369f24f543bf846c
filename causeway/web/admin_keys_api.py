"""``/api/admin/keys`` and ``/api/admin/teams``: who may call, how much, and who pays."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from causeway.contracts.identity import Operation, Scope
from causeway.errors import InvalidInputError, NotFoundError
from causeway.gateway.keys import Bounds, Key
from causeway.gateway.teams import Team
from causeway.web.admin_access import Desk, Dollars, Storable, micros, storable, usd
from causeway.web.parts import AdminParts
from causeway.web.sign_in import Admin, Parts

router = APIRouter(prefix="/api/admin", tags=["Administration: keys"])

KeyId = Annotated[str, Path(pattern="^key_[0-9a-z]{1,64}$")]
TeamId = Annotated[str, Path(pattern="^team_[0-9a-z]{1,64}$")]
KeyState = Literal["in force", "expired", "revoked"]
_Name = Annotated[str, Field(min_length=1, max_length=120, pattern=r"\S"), AfterValidator(storable)]
_Pattern = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
_Patterns = Annotated[list[_Pattern], Field(max_length=100)]


class KeyShape(BaseModel):
    """A key, without its secret."""

    key_id: str
    name: str
    prefix: str = Field(description="The secret's first characters")
    state: KeyState
    scopes: list[Scope]
    tier: str | None
    team_id: str | None
    team: str | None = Field(description="The team's name")
    models: list[str] = Field(
        description="Patterns of the only models it may use; empty leaves it to the tier"
    )
    endpoints: list[Operation] = Field(description="The only operations it may use; empty allows all")
    budget_usd_per_day: float | None
    budget_usd_per_month: float | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    user_id: str | None = Field(description="The person whose rights bound it; null reads every document")
    rotates_at: datetime | None = Field(description="Until then the secret of before the last rotation works")


class KeyList(BaseModel):
    """Keys, newest first."""

    keys: list[KeyShape]


class KeyChange(BaseModel):
    """What to change; what is not given stays, and null takes a limit away."""

    name: _Name | None = None
    scopes: Annotated[list[Scope], Field(min_length=1)] | None = None
    tier: str | None = Field(default=None, max_length=120)
    team_id: Storable | None = Field(default=None, max_length=120)
    models: _Patterns | None = None
    endpoints: list[Operation] | None = None
    budget_usd_per_day: Dollars | None = None
    budget_usd_per_month: Dollars | None = None


class NewKeyBody(KeyChange):
    """A key to make; without a tier it gets `gateway.default_tier`."""

    name: _Name = Field(examples=["site-search"])
    scopes: Annotated[list[Scope], Field(min_length=1)] = [Scope.MODELS, Scope.ASK]
    expires_at: AwareDatetime | None = None
    user_id: Storable | None = Field(
        default=None,
        max_length=120,
        description="The person whose rights bound it; without one it reads every document",
    )


class Rotation(BaseModel):
    """How to rotate."""

    grace_hours: float = Field(
        default=0, ge=0, le=24 * 90, description="How long the present secret still works; 0 ends it at once"
    )


class SecretShape(BaseModel):
    """A secret, which is not shown again."""

    key_id: str
    secret: str
    prefix: str


class TeamShape(BaseModel):
    """A team; its budgets pay beside each key's own."""

    team_id: str
    name: str
    budget_usd_per_day: float | None
    budget_usd_per_month: float | None
    created_at: datetime


class TeamList(BaseModel):
    """Teams, by name."""

    teams: list[TeamShape]


class TeamChange(BaseModel):
    """A team's budgets; what is not given stays, and null takes a limit away."""

    budget_usd_per_day: Dollars | None = None
    budget_usd_per_month: Dollars | None = None


class NewTeam(TeamChange):
    """A team to make."""

    name: _Name = Field(examples=["search"])


@router.get("/keys", name="api_keys")
async def keys(
    parts: Parts,
    desk: Desk,
    q: Annotated[str, Query(max_length=200, description="Words of the name or prefix")] = "",
    state: KeyState | None = None,
) -> KeyList:
    """Every key that was made."""
    names = await team_names(desk)
    now = parts.clock.now()
    found = [key_shape(key, names, now) for key in await desk.keys.list()]
    return KeyList(keys=[key for key in found if state in (None, key.state) and matches(key, q)])


@router.post("/keys", name="api_create_key", status_code=201)
async def create_key(body: NewKeyBody, parts: Parts, desk: Desk, admin: Admin) -> SecretShape:
    """Make a key; its secret is in the answer and nowhere else."""
    if body.expires_at is not None and body.expires_at <= parts.clock.now():
        raise InvalidInputError(
            f"expires_at is {body.expires_at.isoformat()}, which has passed; choose a later time"
        )
    bounds = changed_bounds(desk, Bounds(), body)
    made = await desk.keys.create(
        body.name,
        body.scopes,
        expires_at=body.expires_at,
        bounds=bounds,
        user=body.user_id or None,
        by=admin,
    )
    return SecretShape(key_id=made.id, secret=made.secret, prefix=made.prefix)


@router.get("/keys/{key_id}", name="api_key")
async def key(key_id: KeyId, parts: Parts, desk: Desk) -> KeyShape:
    """One key, also one that was revoked."""
    names = await team_names(desk)
    return key_shape(await key_of(desk, key_id), names, parts.clock.now())


@router.patch("/keys/{key_id}", name="api_change_key")
async def change_key(key_id: KeyId, body: KeyChange, parts: Parts, desk: Desk, admin: Admin) -> KeyShape:
    """Change what a key may use and spend, in force at its next call."""
    before = await desk.keys.find(key_id)
    bounds = changed_bounds(desk, before.bounds, body)
    after = await desk.keys.update(key_id, name=body.name, scopes=body.scopes, bounds=bounds, by=admin)
    return key_shape(after, await team_names(desk), parts.clock.now())


@router.post("/keys/{key_id}/rotate", name="api_rotate_key")
async def rotate_key(key_id: KeyId, desk: Desk, admin: Admin, body: Rotation | None = None) -> SecretShape:
    """Give a key a new secret; what it allows stays."""
    grace = timedelta(hours=body.grace_hours if body else 0)
    made = await desk.keys.rotate(key_id, grace=grace, by=admin)
    return SecretShape(key_id=made.id, secret=made.secret, prefix=made.prefix)


@router.delete("/keys/{key_id}", name="api_revoke_key", status_code=204)
async def revoke_key(key_id: KeyId, desk: Desk, admin: Admin) -> None:
    """End a key and its browser sessions at once."""
    await desk.keys.revoke(key_id, by=admin)


@router.get("/teams", name="api_teams")
async def teams(desk: Desk) -> TeamList:
    """Every team."""
    return TeamList(teams=[team_shape(team) for team in await desk.teams.list()])


@router.post("/teams", name="api_create_team", status_code=201)
async def create_team(body: NewTeam, desk: Desk, admin: Admin) -> TeamShape:
    """Make a team."""
    day, month = micros(body.budget_usd_per_day), micros(body.budget_usd_per_month)
    return team_shape(
        await desk.teams.create(body.name, budget_per_day=day, budget_per_month=month, by=admin)
    )


@router.patch("/teams/{team_id}", name="api_change_team")
async def change_team(team_id: TeamId, body: TeamChange, desk: Desk, admin: Admin) -> TeamShape:
    """Change a team's budgets, in force for every key of the team at once."""
    before = await desk.teams.find(team_id)
    given = body.model_fields_set
    day = micros(body.budget_usd_per_day) if "budget_usd_per_day" in given else before.budget_per_day
    month = micros(body.budget_usd_per_month) if "budget_usd_per_month" in given else before.budget_per_month
    return team_shape(await desk.teams.set_budget(team_id, per_day=day, per_month=month, by=admin))


# --- shared with the pages ---------------------------------------------------------------------------


async def team_names(desk: AdminParts) -> dict[str, str]:
    """Teams' names by their ids."""
    return {team.id: team.name for team in await desk.teams.list()}


async def key_of(desk: AdminParts, key_id: str) -> Key:
    """One key, revoked or not.

    Raises:
        NotFoundError: There is none of this id.
    """
    found = next((key for key in await desk.keys.list() if key.id == key_id), None)
    if found is None:
        raise NotFoundError(f"there is no key '{key_id}'")
    return found


def changed_bounds(desk: AdminParts, before: Bounds, body: KeyChange) -> Bounds:
    """``before`` with what ``body`` gives.

    Raises:
        InvalidInputError: The settings have no such tier.
    """
    given = body.model_fields_set
    if body.tier is not None and body.tier not in desk.live.current.tiers:
        known = ", ".join(sorted(desk.live.current.tiers))
        raise InvalidInputError(f"no tier is called '{body.tier}'; there are {known}")
    after = replace(before, tier=body.tier or before.tier or desk.live.current.gateway.default_tier)
    if "team_id" in given:
        after = replace(after, team=body.team_id or None)
    if "models" in given:
        after = replace(after, models=tuple(body.models or ()))
    if "endpoints" in given:
        after = replace(after, endpoints=frozenset(body.endpoints or ()))
    if "budget_usd_per_day" in given:
        after = replace(after, budget_per_day=micros(body.budget_usd_per_day))
    if "budget_usd_per_month" in given:
        after = replace(after, budget_per_month=micros(body.budget_usd_per_month))
    return after


def key_shape(key: Key, names: dict[str, str], now: datetime) -> KeyShape:
    """A key as it is told."""
    is_expired = key.expires_at is not None and key.expires_at <= now
    is_rotating = key.rotates_at is not None and key.rotates_at > now
    return KeyShape(
        key_id=key.id,
        name=key.name,
        prefix=key.prefix,
        state="revoked" if key.revoked_at else "expired" if is_expired else "in force",
        scopes=sorted(key.scopes),
        tier=key.bounds.tier,
        team_id=key.bounds.team,
        team=names.get(key.bounds.team) if key.bounds.team else None,
        models=list(key.bounds.models),
        endpoints=sorted(key.bounds.endpoints),
        budget_usd_per_day=usd(key.bounds.budget_per_day),
        budget_usd_per_month=usd(key.bounds.budget_per_month),
        created_at=key.created_at,
        created_by=key.created_by,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
        user_id=key.user,
        rotates_at=key.rotates_at if is_rotating else None,
    )


def team_shape(team: Team) -> TeamShape:
    """A team as it is told."""
    return TeamShape(
        team_id=team.id,
        name=team.name,
        budget_usd_per_day=usd(team.budget_per_day),
        budget_usd_per_month=usd(team.budget_per_month),
        created_at=team.created_at,
    )


def matches(key: KeyShape, words: str) -> bool:
    """Whether a key has all of the words in what a person would look for."""
    seen = f"{key.name} {key.prefix} {key.tier} {key.team or ''} {' '.join(key.scopes)}".casefold()
    return all(word in seen for word in words.casefold().split())
