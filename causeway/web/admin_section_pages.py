"""The forms of settings: tiers, providers, routes, and the sections gateway, guard and models; the live test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from causeway.contracts.identity import Principal
from causeway.errors import InvalidInputError, NotFoundError
from causeway.gateway.overrides import WrongFieldsError, shape_of
from causeway.settings import ProviderSettings, RouteSettings, Section
from causeway.web.admin_access import Desk
from causeway.web.admin_forms import Group, form_of, read_form, with_answers
from causeway.web.admin_providers import check_shape
from causeway.web.admin_settings_api import Name, origins_of, reset
from causeway.web.admin_sheets import confirm, onward, sheet
from causeway.web.parts import AdminParts
from causeway.web.rendering import is_fragment, link, page
from causeway.web.sign_in import Admin

router = APIRouter(include_in_schema=False)

_SECTION = r"^(gateway|guard|models|(tiers|providers|routes)\.[^/]{1,120})$"
_TITLES = {
    "gateway": "Calls, fallbacks and cache",
    "guard": "What guards look for",
    "models": "What Causeway's own names mean",
}
_SINGULAR = {"tiers": "tier", "providers": "provider", "routes": "route"}

SectionName = Annotated[str, Path(pattern=_SECTION)]
Table = Annotated[str, Path(pattern="^(tiers|providers|routes)$")]


@router.get("/admin/new/{table}", name="admin_new_section")
async def new(table: Table, request: Request, desk: Desk) -> Response:  # noqa: ARG001 - only administrators get it
    """An empty form."""
    return _sheet(request, f"{table}.new", _blank(table), name="")


@router.post("/admin/new/{table}", name="admin_new_section_post")
async def make(table: Table, request: Request, desk: Desk, admin: Admin) -> Response:
    """Make a tier, provider or route."""
    form = await _form(request)
    name = form.get("name", "").strip()
    if f"{table}.{name}" in {f"{table}.{known}" for known in getattr(desk.live.current, table)}:
        wrong = {"name": f"There is a {_SINGULAR[table]} called “{name}”"}
        return _sheet(request, f"{table}.new", with_answers(_blank(table), form, {}), name=name, wrong=wrong)
    return await _save(request, desk, f"{table}.{name}", admin, groups=_blank(table), name=name)


@router.get("/admin/edit/{section}", name="admin_edit_section")
async def edit(section: SectionName, request: Request, desk: Desk) -> Response:
    """A section's form with its values in force."""
    return _sheet(request, section, _groups(desk, section))


@router.post("/admin/edit/{section}", name="admin_edit_section_post")
async def change(section: SectionName, request: Request, desk: Desk, admin: Admin) -> Response:
    """Change what was changed in the form."""
    return await _save(request, desk, section, admin, groups=_groups(desk, section))


@router.get("/admin/reset/{section}", name="admin_reset_section")
async def ask_to_reset(section: SectionName, request: Request, desk: Desk) -> Response:
    """Ask first."""
    table, _, name = section.partition(".")
    kind = _SINGULAR.get(table)
    is_removal = kind is not None and name not in getattr(desk.live.beneath()[0], table)
    if is_removal:
        title = f"Remove the {kind} “{name}”?"
        about = "It exists on these pages alone. Calls that are under way end as they began; new ones cannot use it."
    else:
        title = f"Leave {f'“{name}”' if name else table} to the file again?"
        about = "What was changed on these pages is forgotten; causeway.toml, the environment and the defaults count."
    return confirm(
        request,
        title=title,
        about=about,
        verb="Remove" if is_removal else "Reset",
        action=link(request, "admin_reset_section_post", section=section),
        back=_list_of(request, section),
    )


@router.post("/admin/reset/{section}", name="admin_reset_section_post")
async def do_reset(section: SectionName, request: Request, desk: Desk, admin: Admin) -> Response:
    """Leave a section to file and environment."""
    await reset(desk, section, admin)
    return onward(request, _list_of(request, section))


@router.post("/admin/providers/{provider}/test", name="admin_test_provider")
async def check(provider: Name, request: Request, desk: Desk, _admin: Admin) -> Response:
    """Test a provider; the result alone when its card asks."""
    found = desk.live.current.providers.get(provider)
    if found is None:
        raise NotFoundError(f"there is no provider '{provider}' any more; reload the page")
    checked = check_shape(await desk.checks.check(provider, found))
    if is_fragment(request):
        return page(request, "admin_check.html", {"check": checked})
    return onward(request, link(request, "admin_providers", {"changed": provider}))


async def _save(
    request: Request,
    desk: AdminParts,
    section: str,
    admin: Principal,
    *,
    groups: Sequence[Group],
    name: str | None = None,
) -> Response:
    """Change a section, or show its form again with what is wrong beside each field."""
    form = await _form(request)
    table = section.partition(".")[0]
    shown = section if name is None else f"{table}.new"
    present = desk.live.current.providers.get(section.removeprefix("providers."))
    values, wrong = read_form(groups, form, present.prices if present else {})
    if not wrong:
        try:
            shape_of(section)
            await desk.live.change(section, values, by=admin)
        except WrongFieldsError as exc:
            wrong = exc.fields
        except InvalidInputError as exc:
            wrong = {"name" if name is not None and "cannot be a name" in exc.message else "": exc.message}
    if wrong:
        return _sheet(request, shown, with_answers(groups, form, wrong), name=name, wrong=wrong)
    return onward(request, _list_of(request, section, changed=section.partition(".")[2] or section))


def _sheet(
    request: Request,
    section: str,
    groups: Sequence[Group],
    *,
    name: str | None = None,
    wrong: Mapping[str, str] | None = None,
) -> Response:
    table, _, own = section.partition(".")
    kind = _SINGULAR.get(table, "")
    if name is not None:
        title, action = f"New {kind}", link(request, "admin_new_section_post", table=table)
    else:
        title = f"{kind.capitalize()} “{own}”" if own else _TITLES[table]
        action = link(request, "admin_edit_section_post", section=section)
    values = {
        "title": title,
        "kind": kind,
        "table": table,
        "action": action,
        "back": _list_of(request, section),
        "name": name,
        "groups": groups,
        "wrong": wrong or {},
    }
    return sheet(request, "admin_section_form.html", values, status_code=422 if wrong else 200)


def _groups(desk: AdminParts, section: str) -> tuple[Group, ...]:
    """The form of a section in force.

    Raises:
        NotFoundError: There is no such section.
    """
    table, _, name = section.partition(".")
    found = getattr(desk.live.current, table)
    group: Section | None = found.get(name) if name else found
    if group is None:
        raise NotFoundError(f"there is no {_SINGULAR[table]} '{name}' any more; reload the page")
    written = {
        key: value
        for key, value in desk.live.overridden.get(section, {}).items()
        if key in ("api_key", "api_keys")
    }
    return form_of(section, group, origins=origins_of(desk, section), written=written)


def _blank(table: str) -> tuple[Group, ...]:
    shape = shape_of(f"{table}.new")
    if shape is RouteSettings:
        blank: Section = RouteSettings.model_construct(models=[], spread="order")
    else:
        blank = ProviderSettings() if shape is ProviderSettings else shape()
    return form_of(f"{table}.new", blank, origins={}, written={})


def _list_of(request: Request, section: str, *, changed: str = "") -> str:
    table = section.partition(".")[0]
    where = {"models": "routes", "gateway": "settings", "guard": "settings"}.get(table, table)
    return link(request, f"admin_{where}", {"changed": changed})


async def _form(request: Request) -> dict[str, str]:
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
