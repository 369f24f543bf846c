"""``causeway users``, ``causeway groups`` and ``causeway access``: who may sign in, and who may see what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.accounts.users import Invitation
    from causeway.wiring import Platform

ROLES = ("reader", "editor", "admin")

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_group = click.option("--group", "in_groups", multiple=True, help="A group's name; repeatable.")


# --- users -------------------------------------------------------------------------------------------


@click.group()
def users() -> None:
    """Make, list, change and invite people with accounts."""


@users.command()
@click.argument("email")
@click.option("--name", default="", help="The person's.")
@click.option(
    "--role", type=click.Choice(ROLES), default="reader", show_default=True, help="What they may do."
)
@_group
@_as_json
def create(email: str, name: str, role: str, in_groups: tuple[str, ...], as_json: bool) -> None:
    """Make an account for EMAIL and print its invitation, with which its owner chooses a password."""
    from causeway.accounts.users import Users
    from causeway.contracts.identity import COMMAND_LINE, Role

    async def make(platform: Platform) -> None:
        everyone = Users(platform.database, platform.clock)
        made = await everyone.create(email, name=name, role=Role(role), groups=in_groups, by=COMMAND_LINE)
        _print_invitation(platform, made, as_json=as_json)

    with_platform(make, models=False)


@users.command("list")
@_as_json
def list_users(as_json: bool) -> None:
    """List the accounts with their roles and groups."""
    import json

    from causeway.accounts.users import Users
    from causeway.web.admin_people_api import user_shape

    async def show(platform: Platform) -> None:
        everyone = await Users(platform.database, platform.clock).list()
        shapes = [user_shape(user, platform.clock.now()) for user in everyone]
        if as_json:
            click.echo(json.dumps({"users": [shape.model_dump(mode="json") for shape in shapes]}))
            return
        for shape in shapes:
            theirs = ", ".join(shape.groups.values())
            click.echo(f"{shape.email:32}  {shape.role:6}  {shape.state:8}  {theirs:24}  {shape.name}")

    with_platform(show, models=False)


@users.command()
@click.argument("user")
@click.option("--name", help="Call them this from now on.")
@click.option("--role", type=click.Choice(ROLES), help="What they may do.")
@click.option("--group", "in_groups", multiple=True, help="In these groups alone; repeatable.")
@click.option("--no-groups", is_flag=True, help="In no group.")
@click.option("--disable/--enable", "is_disabled", default=None, help="Whether they may sign in at all.")
def update(
    user: str,
    name: str | None,
    role: str | None,
    in_groups: tuple[str, ...],
    no_groups: bool,
    is_disabled: bool | None,
) -> None:
    """Change USER, an e-mail address or id; what is not given stays. In force at once."""
    from causeway.accounts.users import Users
    from causeway.contracts.identity import COMMAND_LINE, Role

    async def change(platform: Platform) -> None:
        changed = await Users(platform.database, platform.clock).update(
            user,
            name=name,
            role=Role(role) if role else None,
            groups=in_groups if in_groups or no_groups else None,
            is_disabled=is_disabled,
            by=COMMAND_LINE,
        )
        click.echo(f"changed {changed.email}", err=True)

    with_platform(change, models=False)


@users.command()
@click.argument("user")
@_as_json
def invite(user: str, as_json: bool) -> None:
    """Give USER a new invitation, as for a forgotten password; the password and all sessions end."""
    from causeway.accounts.users import Users
    from causeway.contracts.identity import COMMAND_LINE

    async def make(platform: Platform) -> None:
        made = await Users(platform.database, platform.clock).invite(user, by=COMMAND_LINE)
        _print_invitation(platform, made, as_json=as_json)

    with_platform(make, models=False)


@users.command()
@click.argument("user")
def delete(user: str) -> None:
    """Delete USER's account, its keys and sessions with it."""
    from causeway.accounts.users import Users
    from causeway.contracts.identity import COMMAND_LINE

    async def remove(platform: Platform) -> None:
        await Users(platform.database, platform.clock).delete(user, by=COMMAND_LINE)
        click.echo(f"deleted {user}", err=True)

    with_platform(remove, models=False)


def _print_invitation(platform: Platform, made: Invitation, *, as_json: bool) -> None:
    import json

    server = platform.settings.server
    path = f"{server.root_path}/invitation/{made.token}"
    if as_json:
        click.echo(json.dumps({"user_id": made.user.id, "token": made.token, "path": path}))
        return
    click.echo(path)
    until = f"{made.user.invited_until:%d %b %Y}" if made.user.invited_until else ""
    click.echo(
        f"send {made.user.email} this path below Causeway's address, such as http://127.0.0.1:{server.port}{path}; "
        f"it works once, until {until}, and is not shown again",
        err=True,
    )


# --- groups ------------------------------------------------------------------------------------------


@click.group()
def groups() -> None:
    """Make, list and delete groups of people."""


@groups.command("create")
@click.argument("name")
@_as_json
def create_group(name: str, as_json: bool) -> None:
    """Make a group called NAME."""
    import json

    from causeway.accounts.groups import Groups
    from causeway.contracts.identity import COMMAND_LINE

    async def make(platform: Platform) -> None:
        made = await Groups(platform.database).create(name, by=COMMAND_LINE)
        click.echo(json.dumps({"group_id": made.id, "name": made.name}) if as_json else made.id)

    with_platform(make, models=False)


@groups.command("list")
@_as_json
def list_groups(as_json: bool) -> None:
    """List the groups with the number of their members."""
    import json

    from causeway.accounts.groups import Groups

    async def show(platform: Platform) -> None:
        found = await Groups(platform.database).list()
        if as_json:
            rows = [{"group_id": each.id, "name": each.name, "members": each.members} for each in found]
            click.echo(json.dumps({"groups": rows}))
            return
        for each in found:
            click.echo(f"{each.id}  {each.members:5}  {each.name}")

    with_platform(show, models=False)


@groups.command("delete")
@click.argument("group")
def delete_group(group: str) -> None:
    """Delete GROUP, a name or id; rules that name it then allow nobody by it."""
    from causeway.accounts.groups import Groups
    from causeway.contracts.identity import COMMAND_LINE

    async def remove(platform: Platform) -> None:
        await Groups(platform.database).delete(group, by=COMMAND_LINE)
        click.echo(f"deleted {group}", err=True)

    with_platform(remove, models=False)


# --- access ------------------------------------------------------------------------------------------


@click.group()
def access() -> None:
    """Say who may see which documents."""


@access.command("list")
@_as_json
def list_rules(as_json: bool) -> None:
    """List the rules, collection by collection."""
    import json

    async def show(platform: Platform) -> None:
        from causeway.gateway import audit
        from causeway.knowledge import AccessRules

        people = await _names(platform)

        def shown(readers: Iterable[str]) -> list[str]:
            return sorted(people.get(one, one) for one in readers)

        found = await AccessRules(platform.database, audit.record).all()
        if as_json:
            rows = [
                {
                    "collection": rules.name,
                    "readers": shown(rules.readers),
                    "folders": {path: shown(readers) for path, readers in rules.folders.items()},
                }
                for rules in found
            ]
            click.echo(json.dumps({"collections": rows}, ensure_ascii=False))
            return
        for rules in found:
            click.echo(f"{rules.name}: {_said(shown(rules.readers))}")
            for path, readers in rules.folders.items():
                click.echo(f"  {path}/: {_said(shown(readers))}")

    with_platform(show, models=False)


@access.command()
@click.argument("collection")
@click.argument("readers", nargs=-1)
@click.option("--folder", help="Only what is below this folder of it.")
@click.option("--inherit", is_flag=True, help="Take the folder's own rule away.")
def allow(collection: str, readers: tuple[str, ...], folder: str | None, inherit: bool) -> None:
    """Let READERS alone see COLLECTION: everyone, group:HR, user:dana@example.com. In force at once.

    Without READERS only administrators and programs' own keys see it.
    """
    from causeway.contracts.identity import COMMAND_LINE

    if inherit and not folder:
        msg = "--inherit is for a folder; give --folder too"
        raise click.UsageError(msg)

    async def change(platform: Platform) -> None:
        from causeway.gateway import audit
        from causeway.knowledge import AccessRules

        rules = AccessRules(platform.database, audit.record)
        names = await _ids(platform, readers)
        if folder:
            await rules.allow_folder(collection, folder, None if inherit else names, by=COMMAND_LINE)
        else:
            await rules.allow_collection(collection, names, by=COMMAND_LINE)
        click.echo(f"changed {collection}{f'/{folder}' if folder else ''}", err=True)

    with_platform(change, models=False)


async def _names(platform: Platform) -> dict[str, str]:
    from causeway.accounts.groups import Groups
    from causeway.accounts.users import Users

    people = {
        f"user:{user.id}": f"user:{user.email}"
        for user in await Users(platform.database, platform.clock).list()
    }
    return people | {
        f"group:{group.id}": f"group:{group.name}" for group in await Groups(platform.database).list()
    }


async def _ids(platform: Platform, readers: Iterable[str]) -> list[str]:
    """The names of a rule as it is kept."""
    from causeway.accounts.groups import Groups
    from causeway.accounts.users import Users

    found = []
    for one in readers:
        kind, _, named = one.partition(":")
        if kind == "user" and named:
            found.append(f"user:{(await Users(platform.database, platform.clock).find(named)).id}")
        elif kind == "group" and named:
            found.append(f"group:{(await Groups(platform.database).find(named)).id}")
        else:
            found.append(one)
    return found


def _said(readers: list[str]) -> str:
    return ", ".join(readers) or "administrators alone"
