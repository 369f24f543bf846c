"""``/api/admin/users``, ``/api/admin/groups`` and ``/api/admin/access``: who may sign in, and who may see what.

A rule names people by ``everyone``, ``user:`` and an address, ``group:`` and a name, and is shown so; ids do as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, Field

from causeway.accounts.groups import Group
from causeway.accounts.users import Invitation, User
from causeway.contracts.identity import EVERYONE, Role
from causeway.knowledge import CollectionRules
from causeway.web.admin_access import Desk, storable
from causeway.web.documents_api import DocumentId
from causeway.web.parts import AdminParts
from causeway.web.sign_in import Admin, Parts

router = APIRouter(prefix="/api/admin", tags=["Administration: people"])

UserId = Annotated[str, Path(pattern="^usr_[0-9a-z]{1,64}$")]
GroupId = Annotated[str, Path(pattern="^grp_[0-9a-z]{1,64}$")]
UserState = Literal["active", "invited", "disabled"]
_Text = Annotated[str, Field(max_length=400), AfterValidator(storable)]
_Names = Annotated[list[_Text], Field(max_length=200)]


class UserShape(BaseModel):
    """A person with an account."""

    user_id: str
    email: str
    name: str
    role: Role
    groups: dict[str, str] = Field(description="Names by id")
    state: UserState
    signs_in_with: list[Literal["password", "provider"]]
    invited_until: datetime | None
    signed_in_at: datetime | None
    created_at: datetime


class UserList(BaseModel):
    """Accounts, by address."""

    users: list[UserShape]


class UserChange(BaseModel):
    """What to change; what is not given stays, and `groups` replaces all of them."""

    name: _Text | None = None
    role: Role | None = None
    groups: _Names | None = Field(default=None, description="Ids or names")
    is_disabled: bool | None = None


class NewUser(BaseModel):
    """An account to make."""

    email: _Text = Field(examples=["dana@example.com"])
    name: _Text = ""
    role: Role = Role.READER
    groups: _Names = Field(default_factory=list, description="Ids or names")


class InvitationShape(BaseModel):
    """An account and the token that lets its owner set a password; the token is not shown again."""

    user: UserShape
    token: str
    path: str = Field(description="Where the owner goes to, below this Causeway's address")


class GroupShape(BaseModel):
    """A group."""

    group_id: str
    name: str
    members: int
    created_at: datetime


class GroupList(BaseModel):
    """Groups, by name."""

    groups: list[GroupShape]


class NewGroup(BaseModel):
    """A group to make."""

    name: _Text = Field(examples=["HR"])


class RuleBody(BaseModel):
    """Who may see something; null takes a folder's or document's own rule away."""

    readers: _Names | None = Field(examples=[["group:HR", "user:dana@example.com"]])


class FolderRuleBody(RuleBody):
    """The same for a folder of a collection."""

    folder: _Text = Field(examples=["hr/salaries"])


class CollectionRulesShape(BaseModel):
    """Who may see what of a collection."""

    collection: str
    readers: list[str]
    folders: dict[str, list[str]] = Field(description="Folder -> who may see what is below it")


class AccessList(BaseModel):
    """The rules of every collection."""

    collections: list[CollectionRulesShape]


class DocumentRuleShape(BaseModel):
    """Who may see a document."""

    own: list[str] | None = Field(description="By its own rule; null when its folder or collection decides")
    readers: list[str] = Field(description="After all rules")


# --- users -------------------------------------------------------------------------------------------


@router.get("/users", name="api_users")
async def users(parts: Parts, desk: Desk) -> UserList:
    """Every account."""
    now = parts.clock.now()
    return UserList(users=[user_shape(user, now) for user in await desk.users.list()])


@router.post("/users", name="api_create_user", status_code=201)
async def create_user(body: NewUser, parts: Parts, desk: Desk, admin: Admin) -> InvitationShape:
    """Make an account; the answer has an invitation for its owner, which works once and for seven days."""
    invitation = await desk.users.create(
        body.email, name=body.name, role=body.role, groups=body.groups, by=admin
    )
    return _invitation(invitation, parts.clock.now())


@router.get("/users/{user_id}", name="api_user")
async def user(user_id: UserId, parts: Parts, desk: Desk) -> UserShape:
    """One account."""
    return user_shape(await desk.users.find(user_id), parts.clock.now())


@router.patch("/users/{user_id}", name="api_change_user")
async def change_user(user_id: UserId, body: UserChange, parts: Parts, desk: Desk, admin: Admin) -> UserShape:
    """Change an account, in force at its owner's next request."""
    changed = await desk.users.update(
        user_id,
        name=body.name,
        role=body.role,
        groups=body.groups,
        is_disabled=body.is_disabled,
        by=admin,
    )
    return user_shape(changed, parts.clock.now())


@router.post("/users/{user_id}/invite", name="api_invite_user")
async def invite_user(user_id: UserId, parts: Parts, desk: Desk, admin: Admin) -> InvitationShape:
    """A new invitation, as for a forgotten password: the present password and all sessions end."""
    return _invitation(await desk.users.invite(user_id, by=admin), parts.clock.now())


@router.delete("/users/{user_id}", name="api_delete_user", status_code=204)
async def delete_user(user_id: UserId, desk: Desk, admin: Admin) -> None:
    """Delete an account, its keys and sessions with it."""
    await desk.users.delete(user_id, by=admin)


# --- groups ------------------------------------------------------------------------------------------


@router.get("/groups", name="api_groups")
async def groups(desk: Desk) -> GroupList:
    """Every group."""
    return GroupList(groups=[_group(each) for each in await desk.groups.list()])


@router.post("/groups", name="api_create_group", status_code=201)
async def create_group(body: NewGroup, desk: Desk, admin: Admin) -> GroupShape:
    """Make a group."""
    return _group(await desk.groups.create(body.name, by=admin))


@router.delete("/groups/{group_id}", name="api_delete_group", status_code=204)
async def delete_group(group_id: GroupId, desk: Desk, admin: Admin) -> None:
    """Delete a group; rules that name it then allow nobody by it."""
    await desk.groups.delete(group_id, by=admin)


# --- access ------------------------------------------------------------------------------------------


@router.get("/access", name="api_access")
async def access(desk: Desk) -> AccessList:
    """Who may see what, collection by collection."""
    people = await names_of(desk)
    return AccessList(collections=[_rules(rules, people) for rules in await desk.access.all()])


@router.put("/access/collections/{name}", name="api_allow_collection")
async def allow_collection(name: str, body: RuleBody, desk: Desk, admin: Admin) -> CollectionRulesShape:
    """Say who may see a collection's documents; in force at once."""
    readers = await readers_of(desk, body.readers or ())
    await desk.access.allow_collection(name, readers, by=admin)
    return _rules(await desk.access.collection(name), await names_of(desk))


@router.put("/access/collections/{name}/folders", name="api_allow_folder")
async def allow_folder(name: str, body: FolderRuleBody, desk: Desk, admin: Admin) -> CollectionRulesShape:
    """Say who may see what is below a folder; null takes its rule away."""
    readers = None if body.readers is None else await readers_of(desk, body.readers)
    await desk.access.allow_folder(name, body.folder, readers, by=admin)
    return _rules(await desk.access.collection(name), await names_of(desk))


@router.get("/access/documents/{document_id}", name="api_document_access")
async def document_access(document_id: DocumentId, desk: Desk) -> DocumentRuleShape:
    """Who may see a document."""
    rule, people = await desk.access.document(document_id), await names_of(desk)
    own = None if rule.own is None else shown_readers(rule.own, people)
    return DocumentRuleShape(own=own, readers=shown_readers(rule.readers, people))


@router.put("/access/documents/{document_id}", name="api_allow_document")
async def allow_document(
    document_id: DocumentId, body: RuleBody, desk: Desk, admin: Admin
) -> DocumentRuleShape:
    """Say who may see a document; null leaves it to its folder or collection."""
    readers = None if body.readers is None else await readers_of(desk, body.readers)
    await desk.access.allow_document(document_id, readers, by=admin)
    return await document_access(document_id, desk)


# --- shared with the pages ---------------------------------------------------------------------------


async def readers_of(desk: AdminParts, written: Iterable[str]) -> list[str]:
    """The names of a rule as it is kept, from how an administrator writes them.

    Raises:
        NotFoundError: There is no such account or group.
    """
    readers = []
    for one in written:
        kind, _, named = one.strip().partition(":")
        if kind == "user" and named:
            readers.append(f"user:{(await desk.users.find(named.strip())).id}")
        elif kind == "group" and named:
            readers.append(f"group:{(await desk.groups.find(named.strip())).id}")
        else:
            readers.append(one.strip())
    return readers


async def names_of(desk: AdminParts) -> Mapping[str, str]:
    """How every name of a rule is shown."""
    users = {f"user:{user.id}": f"user:{user.email}" for user in await desk.users.list()}
    groups = {f"group:{group.id}": f"group:{group.name}" for group in await desk.groups.list()}
    return {EVERYONE: EVERYONE, **users, **groups}


def shown_readers(readers: Iterable[str], people: Mapping[str, str]) -> list[str]:
    """A rule's names as people read them; of who is gone, the id."""
    return sorted(people.get(name, name) for name in readers)


def user_shape(user: User, now: datetime) -> UserShape:
    """An account as it is told."""
    is_invited = user.invited_until is not None and user.invited_until > now
    state: UserState = "active"
    if user.disabled_at is not None:
        state = "disabled"
    elif not user.has_password and user.issuer is None:
        state = "invited"
    ways: list[Literal["password", "provider"]] = ["password"] if user.has_password else []
    return UserShape(
        user_id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        groups=dict(user.groups),
        state=state,
        signs_in_with=[*ways, "provider"] if user.issuer else ways,
        invited_until=user.invited_until if is_invited else None,
        signed_in_at=user.signed_in_at,
        created_at=user.created_at,
    )


def _invitation(invitation: Invitation, now: datetime) -> InvitationShape:
    path = f"/invitation/{invitation.token}"
    return InvitationShape(user=user_shape(invitation.user, now), token=invitation.token, path=path)


def _group(group: Group) -> GroupShape:
    return GroupShape(group_id=group.id, name=group.name, members=group.members, created_at=group.created_at)


def _rules(rules: CollectionRules, people: Mapping[str, str]) -> CollectionRulesShape:
    return CollectionRulesShape(
        collection=rules.name,
        readers=shown_readers(rules.readers, people),
        folders={path: shown_readers(readers, people) for path, readers in rules.folders.items()},
    )
