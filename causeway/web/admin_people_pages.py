"""The administrators' pages of people: users, groups, and who may see what; their lists and their forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from causeway.accounts.users import User
from causeway.contracts.identity import Role
from causeway.errors import InvalidInputError, NotFoundError
from causeway.web.admin_access import Desk
from causeway.web.admin_pages import Words, admin_page
from causeway.web.admin_people_api import (
    GroupId,
    UserId,
    names_of,
    readers_of,
    shown_readers,
    user_shape,
)
from causeway.web.admin_sheets import confirm, onward, sheet
from causeway.web.parts import AdminParts
from causeway.web.rendering import link
from causeway.web.sign_in import Admin, Parts

router = APIRouter(include_in_schema=False)

ROLES = {
    Role.READER: "Asks, and reads what the rules allow",
    Role.EDITOR: "Also adds and deletes documents",
    Role.ADMIN: "Everything, and sees every document",
}


# --- users -------------------------------------------------------------------------------------------


@router.get("/admin/users", name="admin_users")
async def users(request: Request, parts: Parts, desk: Desk, q: Words = "", changed: str = "") -> Response:
    """The accounts."""
    everyone = [user_shape(user, parts.clock.now()) for user in await desk.users.list()]
    words = q.casefold().split()
    found = [
        user
        for user in everyone
        if all(
            word in f"{user.email} {user.name} {user.role} {' '.join(user.groups.values())}".casefold()
            for word in words
        )
    ]
    values = {"users": found, "q": q, "is_empty": not everyone, "changed": changed}
    return admin_page(request, desk, "users", values)


@router.get("/admin/new/user", name="admin_new_user")
async def new_user(request: Request, desk: Desk) -> Response:
    """An empty form."""
    return await _user_sheet(request, desk, None, {"email": "", "name": "", "role": "reader", "groups": []})


@router.post("/admin/new/user", name="admin_new_user_post")
async def make_user(request: Request, desk: Desk, admin: Admin) -> Response:
    """Make an account and show its invitation, this once."""
    filled = _from_form(await request.form())
    try:
        invitation = await desk.users.create(
            filled["email"],
            name=filled["name"],
            role=_role(filled["role"]),
            groups=filled["groups"],
            by=admin,
        )
    except (InvalidInputError, NotFoundError) as exc:
        return await _user_sheet(request, desk, None, filled, exc.message)
    return _invitation_sheet(request, invitation.user, invitation.token)


@router.get("/admin/users/{user_id}/edit", name="admin_edit_user")
async def edit_user(user_id: UserId, request: Request, desk: Desk) -> Response:
    """An account's form."""
    user = await desk.users.find(user_id)
    filled = {"email": user.email, "name": user.name, "role": user.role, "groups": list(user.groups)}
    return await _user_sheet(request, desk, user, {**filled, "is_disabled": user.disabled_at is not None})


@router.post("/admin/users/{user_id}/edit", name="admin_edit_user_post")
async def change_user(user_id: UserId, request: Request, desk: Desk, admin: Admin) -> Response:
    """Change an account."""
    user = await desk.users.find(user_id)
    filled = _from_form(await request.form())
    try:
        await desk.users.update(
            user_id,
            name=filled["name"],
            role=_role(filled["role"]),
            groups=filled["groups"],
            is_disabled=filled["is_disabled"],
            by=admin,
        )
    except (InvalidInputError, NotFoundError) as exc:
        return await _user_sheet(request, desk, user, {**filled, "email": user.email}, exc.message)
    return onward(request, link(request, "admin_users", {"changed": user_id}))


@router.get("/admin/users/{user_id}/invite", name="admin_invite_user")
async def ask_to_invite(user_id: UserId, request: Request, desk: Desk) -> Response:
    """Ask first."""
    user = await desk.users.find(user_id)
    return confirm(
        request,
        title=f"Invite {user.name} anew?",
        about="They choose a password by a link that works once and for seven days. The present password and "
        "their open sessions end at once.",
        verb="Make the invitation",
        action=link(request, "admin_invite_user_post", user_id=user_id),
        back=link(request, "admin_users"),
    )


@router.post("/admin/users/{user_id}/invite", name="admin_invite_user_post")
async def invite_user(user_id: UserId, request: Request, desk: Desk, admin: Admin) -> Response:
    """Make the invitation and show it, this once."""
    invitation = await desk.users.invite(user_id, by=admin)
    return _invitation_sheet(request, invitation.user, invitation.token)


@router.get("/admin/users/{user_id}/delete", name="admin_delete_user")
async def ask_to_delete(user_id: UserId, request: Request, desk: Desk) -> Response:
    """Ask first."""
    user = await desk.users.find(user_id)
    return confirm(
        request,
        title=f"Delete the account of {user.name}?",
        about=f"{user.email} can no longer sign in, and the keys of this account end. Documents stay, and rules "
        "that name the account allow nobody by it.",
        verb="Delete",
        action=link(request, "admin_delete_user_post", user_id=user_id),
        back=link(request, "admin_users"),
    )


@router.post("/admin/users/{user_id}/delete", name="admin_delete_user_post")
async def delete_user(user_id: UserId, request: Request, desk: Desk, admin: Admin) -> Response:
    """Delete an account."""
    await desk.users.delete(user_id, by=admin)
    return onward(request, link(request, "admin_users"))


# --- groups ------------------------------------------------------------------------------------------


@router.get("/admin/groups", name="admin_groups")
async def groups(request: Request, desk: Desk, changed: str = "") -> Response:
    """The groups, each with its members."""
    everyone = await desk.users.list()
    rows = [
        (group, [user for user in everyone if group.id in user.groups]) for group in await desk.groups.list()
    ]
    return admin_page(request, desk, "groups", {"rows": rows, "changed": changed})


@router.get("/admin/new/group", name="admin_new_group")
async def new_group(request: Request, _desk: Desk) -> Response:
    """An empty form."""
    return sheet(request, "admin_group_form.html", {"name": "", "problem": ""})


@router.post("/admin/new/group", name="admin_new_group_post")
async def make_group(request: Request, desk: Desk, admin: Admin) -> Response:
    """Make a group."""
    name = str((await request.form()).get("name", ""))
    try:
        group = await desk.groups.create(name, by=admin)
    except InvalidInputError as exc:
        values = {"name": name, "problem": exc.message}
        return sheet(request, "admin_group_form.html", values, status_code=422)
    return onward(request, link(request, "admin_groups", {"changed": group.id}))


@router.get("/admin/groups/{group_id}/delete", name="admin_delete_group")
async def ask_to_delete_group(group_id: GroupId, request: Request, desk: Desk) -> Response:
    """Ask first."""
    group = await desk.groups.find(group_id)
    return confirm(
        request,
        title=f"Delete the group “{group.name}”?",
        about="Its members stay. Rules that name it allow nobody by it, so documents that only it could see are "
        "then seen by administrators alone.",
        verb="Delete",
        action=link(request, "admin_delete_group_post", group_id=group_id),
        back=link(request, "admin_groups"),
    )


@router.post("/admin/groups/{group_id}/delete", name="admin_delete_group_post")
async def delete_group(group_id: GroupId, request: Request, desk: Desk, admin: Admin) -> Response:
    """Delete a group."""
    await desk.groups.delete(group_id, by=admin)
    return onward(request, link(request, "admin_groups"))


# --- access ------------------------------------------------------------------------------------------


@router.get("/admin/access", name="admin_access")
async def access(request: Request, desk: Desk, changed: str = "") -> Response:
    """Who may see what, collection by collection."""
    people = await names_of(desk)
    rows = [
        (
            rules.name,
            shown_readers(rules.readers, people),
            [(path, shown_readers(readers, people)) for path, readers in rules.folders.items()],
        )
        for rules in await desk.access.all()
    ]
    return admin_page(request, desk, "access", {"rows": rows, "changed": changed})


@router.get("/admin/access/edit", name="admin_edit_access")
async def edit_access(request: Request, desk: Desk, collection: str, folder: str = "") -> Response:
    """The form of a collection's rule, or of a folder's."""
    rules = await desk.access.collection(collection)
    readers = rules.folders.get(folder, frozenset()) if folder else rules.readers
    shown = shown_readers(readers, await names_of(desk))
    return _access_sheet(request, collection, folder, "\n".join(shown), is_new=folder not in rules.folders)


@router.post("/admin/access/edit", name="admin_edit_access_post")
async def change_access(request: Request, desk: Desk, admin: Admin) -> Response:
    """Change a rule; a folder's that is emptied by its button is taken away."""
    form = await request.form()
    collection, folder = str(form.get("collection", "")), str(form.get("folder", "")).strip("/ ")
    written = str(form.get("readers", ""))
    is_gone = form.get("remove") is not None
    try:
        readers = await readers_of(desk, [line for line in written.splitlines() if line.strip()])
        if form.get("is_folder") is not None:
            await desk.access.allow_folder(collection, folder, None if is_gone else readers, by=admin)
        else:
            await desk.access.allow_collection(collection, readers, by=admin)
    except (InvalidInputError, NotFoundError) as exc:
        return _access_sheet(
            request,
            collection,
            folder,
            written,
            is_folder=form.get("is_folder") is not None,
            problem=exc.message,
        )
    return onward(request, link(request, "admin_access", {"changed": collection}))


@router.get("/admin/access/folder", name="admin_new_folder_rule")
async def new_folder_rule(request: Request, desk: Desk, collection: str) -> Response:
    """An empty form of a folder's rule."""
    rules = await desk.access.collection(collection)
    return _access_sheet(request, rules.name, "", "", is_folder=True)


def _access_sheet(
    request: Request,
    collection: str,
    folder: str,
    readers: str,
    *,
    is_folder: bool = False,
    is_new: bool = True,
    problem: str = "",
) -> Response:
    values = {
        "collection": collection,
        "folder": folder,
        "readers": readers,
        "is_folder": is_folder or bool(folder),
        "is_new": is_new,
        "problem": problem,
    }
    return sheet(request, "admin_access_form.html", values, status_code=422 if problem else 200)


async def _user_sheet(
    request: Request, desk: AdminParts, user: User | None, filled: Mapping[str, Any], problem: str = ""
) -> Response:
    values = {
        "user": user,
        "filled": {"is_disabled": False, **filled},
        "roles": ROLES,
        "groups": await desk.groups.list(),
        "problem": problem,
    }
    return sheet(request, "admin_user_form.html", values, status_code=422 if problem else 200)


def _invitation_sheet(request: Request, user: User, token: str) -> Response:
    here = f"{request.url.scheme}://{request.headers.get('host', '')}"
    values = {
        "user": user,
        "address": here + link(request, "invitation", token=token),
        "back": link(request, "admin_users", {"changed": user.id}),
    }
    return sheet(request, "admin_invitation.html", values)


def _from_form(form: FormData) -> dict[str, Any]:
    return {
        "email": str(form.get("email", "")).strip(),
        "name": str(form.get("name", "")).strip(),
        "role": str(form.get("role", "reader")),
        "groups": [str(each) for each in form.getlist("groups")],
        "is_disabled": form.get("is_disabled") is not None,
    }


def _role(written: str) -> Role:
    if written not in set(Role):
        raise InvalidInputError(f"'{written[:40]}' is no role; choose reader, editor or admin")
    return Role(written)
