"""``/api/admin/tiers``, ``providers``, ``routes`` and ``settings``: what calls go through, changed without a restart.

The body of a change is the section itself: keys that are given are set, the others stay.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, SecretStr

from causeway.contracts.identity import Principal
from causeway.errors import InvalidInputError, SettingsError
from causeway.gateway.live_settings import Reading
from causeway.gateway.setting_names import flat, is_live
from causeway.settings import PAGE_ORIGIN, ProviderSettings, RouteSettings, Section, TierSettings
from causeway.web.admin_access import Desk, shown_setting
from causeway.web.admin_providers import CheckShape, ProviderList, ProviderTest, check_shape, provider_list
from causeway.web.parts import AdminParts
from causeway.web.sign_in import Admin, Parts

router = APIRouter(prefix="/api/admin", tags=["Administration: settings"])

Name = Annotated[str, Path(min_length=1, max_length=120, pattern="^[^/]+$")]


class ReadingShape(BaseModel):
    """What came into force."""

    changed: list[str] = Field(description="Settings that are in force now and were not before")
    needs_restart: list[str] = Field(description="Settings that were changed and wait for a restart")


class TierShape(BaseModel):
    """A tier in force."""

    name: str
    keys: int = Field(description="Keys in force that are of this tier")
    values: dict[str, Any]
    origins: dict[str, str] = Field(
        description="Where each value that is not a default came from: a file, a variable, or `page`"
    )


class TierList(BaseModel):
    """The tiers."""

    tiers: list[TierShape]
    default_tier: str = Field(description="The tier of a key that is made without one")


class RouteShape(BaseModel):
    """An operator's name for one or more models."""

    name: str
    models: list[str]
    spread: str
    origins: dict[str, str]


class RouteList(BaseModel):
    """What names lead to."""

    aliases: dict[str, str] = Field(description="The names that Causeway's own products use")
    routes: list[RouteShape]
    fallbacks: dict[str, list[str]] = Field(description="Model -> models that are tried in its place")
    names: list[str] = Field(description="Every name that can be called")


class SettingShape(BaseModel):
    """A setting in force."""

    name: str
    value: Any = Field(description="`***` for a secret that is set")
    origin: str = Field(description="default, a file, an environment variable, or page")
    beneath: Any = Field(default=None, description="What it would be without the pages")
    beneath_origin: str | None = Field(
        default=None, description="Where that would come from; null where nothing lies beneath"
    )
    is_live: bool = Field(description="It comes into force without a restart")


class SettingList(BaseModel):
    """The settings in force."""

    settings: list[SettingShape]
    needs_restart: list[str]
    problem: str | None = Field(description="Why the newest settings are not in force")


@router.get("/tiers", name="api_tiers")
async def tiers(desk: Desk) -> TierList:
    """Every tier with its values in force."""
    return await tier_list(desk)


@router.put("/tiers/{name}", name="api_put_tier")
async def put_tier(name: Name, body: TierSettings, desk: Desk, admin: Admin) -> ReadingShape:
    """Make a tier, or change what is given of it; null takes a limit away."""
    return await _put(desk, f"tiers.{name}", body, admin)


@router.delete("/tiers/{name}", name="api_reset_tier")
async def reset_tier(name: Name, desk: Desk, admin: Admin) -> ReadingShape:
    """Leave a tier to file and environment again; one that was made here is gone."""
    return await reset(desk, f"tiers.{name}", admin)


@router.get("/providers", name="api_providers")
async def providers(parts: Parts, desk: Desk) -> ProviderList:
    """Every provider: what it offers, how it does, its newest test."""
    return await provider_list(desk, parts.clock.now())


@router.put("/providers/{name}", name="api_put_provider")
async def put_provider(name: Name, body: ProviderSettings, desk: Desk, admin: Admin) -> ReadingShape:
    """Add a provider, or change what is given of it; its key is named (`env:OPENAI_API_KEY`), never sent."""
    return await _put(desk, f"providers.{name}", body, admin)


@router.delete("/providers/{name}", name="api_reset_provider")
async def reset_provider(name: Name, desk: Desk, admin: Admin) -> ReadingShape:
    """Leave a provider to file and environment again; one that was added here is gone."""
    return await reset(desk, f"providers.{name}", admin)


@router.post("/providers/{name}/test", name="api_test_provider")
async def check_provider(
    name: Name, desk: Desk, _admin: Admin, body: ProviderTest | None = None
) -> CheckShape:
    """Ask a provider for its models and make a call of a few tokens; at most 20 seconds."""
    provider = desk.live.current.providers.get(name)
    if provider is None:
        raise InvalidInputError(f"no provider is called '{name}'; there are {_names(desk)}")
    return check_shape(await desk.checks.check(name, provider, model=body.model if body else None))


@router.get("/routes", name="api_routes")
async def routes(desk: Desk) -> RouteList:
    """Aliases, routes and fallbacks."""
    return route_list(desk)


@router.put("/routes/{name}", name="api_put_route")
async def put_route(name: Name, body: RouteSettings, desk: Desk, admin: Admin) -> ReadingShape:
    """Make a route, or change it."""
    return await _put(desk, f"routes.{name}", body, admin)


@router.delete("/routes/{name}", name="api_reset_route")
async def reset_route(name: Name, desk: Desk, admin: Admin) -> ReadingShape:
    """Leave a route to file and environment again; one that was made here is gone."""
    return await reset(desk, f"routes.{name}", admin)


@router.get("/settings", name="api_settings")
async def settings(desk: Desk) -> SettingList:
    """Every setting with its origin, secrets masked."""
    return setting_list(desk)


@router.patch("/settings/{section}", name="api_change_settings")
async def change_settings(
    section: Annotated[str, Path(pattern="^(gateway|guard|models)$")],
    body: dict[str, Any],
    desk: Desk,
    admin: Admin,
) -> ReadingShape:
    """Change settings of `gateway` (fallbacks among them), `guard`, or `models` (`chat` and `fast`)."""
    return reading_shape(await desk.live.change(section, body, by=admin))


@router.delete("/settings/{section}", name="api_reset_settings")
async def reset_settings(
    section: Annotated[str, Path(pattern="^(gateway|guard|models)$")], desk: Desk, admin: Admin
) -> ReadingShape:
    """Leave a section to file and environment again."""
    return await reset(desk, section, admin)


@router.post("/reload", name="api_reload")
async def reload(desk: Desk, _admin: Admin) -> ReadingShape:
    """Read file, environment and changes anew; on a mistake nothing changes and the answer names it."""
    return reading_shape(await desk.live.reload())


# --- shared with the pages ---------------------------------------------------------------------------


async def tier_list(desk: AdminParts) -> TierList:
    """The tiers as they are told."""
    keys = [key.bounds.tier for key in await desk.keys.list() if key.revoked_at is None]
    current = desk.live.current
    return TierList(
        tiers=[
            TierShape(
                name=name,
                keys=keys.count(name),
                values=values_shown(tier, f"tiers.{name}"),
                origins=origins_of(desk, f"tiers.{name}"),
            )
            for name, tier in sorted(current.tiers.items())
        ],
        default_tier=current.gateway.default_tier,
    )


def route_list(desk: AdminParts) -> RouteList:
    """What names lead to, as it is told."""
    current = desk.live.current
    aliases = {alias: getattr(current.models, alias) for alias in ("chat", "fast", "embed", "rerank")}
    return RouteList(
        aliases=aliases,
        routes=[
            RouteShape(
                name=name,
                models=route.models,
                spread=route.spread,
                origins=origins_of(desk, f"routes.{name}"),
            )
            for name, route in sorted(current.routes.items())
        ],
        fallbacks=current.gateway.fallbacks,
        names=desk.routes().names(),
    )


def setting_list(desk: AdminParts) -> SettingList:
    """The settings as they are told."""
    live = desk.live
    beneath, beneath_origins = _beneath(desk)
    found = []
    for name, value in flat(live.current).items():
        origin = _origin(live.origins, name)
        is_over = origin == PAGE_ORIGIN and name in beneath
        found.append(
            SettingShape(
                name=name,
                value=shown_setting(name, value),
                origin=origin,
                beneath=shown_setting(name, beneath[name]) if is_over else None,
                beneath_origin=_origin(beneath_origins, name) if is_over else None,
                is_live=is_live(name),
            )
        )
    return SettingList(settings=found, needs_restart=list(live.needs_restart), problem=live.problem)


def values_shown(section: Section, path: str) -> dict[str, Any]:
    """A section's values as JSON, secrets masked."""
    return {key: shown_setting(f"{path}.{key}", getattr(section, key)) for key in type(section).model_fields}


def origins_of(desk: AdminParts, section: str) -> dict[str, str]:
    """Where the values of a section came from, by key; defaults left out."""
    prefix = f"{section}."
    return {
        path.removeprefix(prefix).partition(".")[0]: origin
        for path, origin in desk.live.origins.items()
        if path.startswith(prefix)
    }


def reading_shape(reading: Reading) -> ReadingShape:
    """A reading as it is told."""
    return ReadingShape(changed=list(reading.changed), needs_restart=list(reading.needs_restart))


async def reset(desk: AdminParts, section: str, admin: Principal) -> ReadingShape:
    """Leave a section to file and environment.

    Raises:
        InvalidInputError: It is a tier that keys are of, and it would be gone.
    """
    table, _, name = section.partition(".")
    if table == "tiers" and name not in desk.live.beneath()[0].tiers:
        used = sum(key.bounds.tier == name and key.revoked_at is None for key in await desk.keys.list())
        if used:
            raise InvalidInputError(
                f"{used} key{'s are' if used > 1 else ' is'} of the tier '{name}'; give them another tier first"
            )
    return reading_shape(await desk.live.reset(section, by=admin))


def _beneath(desk: AdminParts) -> tuple[dict[str, object], dict[str, str]]:
    """File and environment alone, which need not be good without what pages changed."""
    if not desk.live.overridden:
        return {}, {}
    try:
        settings, origins = desk.live.beneath()
    except SettingsError:
        return {}, {}
    return flat(settings), origins


async def _put(desk: AdminParts, section: str, body: Section, admin: Principal) -> ReadingShape:
    values = {
        key: _written(getattr(body, key), value)
        for key, value in body.model_dump(mode="json", exclude_unset=True).items()
    }
    return reading_shape(await desk.live.change(section, values, by=admin))


def _written(value: object, as_json: object) -> object:
    """A key's reference is masked in JSON, being a secret elsewhere; here it is what was sent."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, list) and any(isinstance(each, SecretStr) for each in value):
        return [each.get_secret_value() for each in value]
    return as_json


def _origin(origins: dict[str, str], name: str) -> str:
    if name in origins:
        return origins[name]
    return next((origin for path, origin in origins.items() if path.startswith(f"{name}.")), "default")


def _names(desk: AdminParts) -> str:
    return ", ".join(sorted(desk.live.current.providers)) or "none"
