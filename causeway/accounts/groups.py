"""Groups: people whom access rules name together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import SYSTEM, Principal
from causeway.errors import InvalidInputError, NotFoundError
from causeway.gateway import audit
from causeway.storage.database import Database
from causeway.storage.schema import group_members, groups

_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group; ``members`` counts them."""

    id: str
    name: str
    members: int
    created_at: datetime


class Groups:
    """The groups of this Causeway; who is in them is `causeway.accounts.users.Users`'s."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, *, by: Principal = SYSTEM) -> Group:
        """Make an empty group.

        Raises:
            InvalidInputError: The name cannot be used, or there is a group of this name.
        """
        called = _named(name)
        made = insert(groups).values(id=f"grp_{uuid4().hex}", name=called).returning(groups)
        try:
            async with self._database.begin() as connection:
                row = (await connection.execute(made)).one()
                await audit.record(connection, by, "group.create", row.id, after={"name": called})
        except IntegrityError as exc:
            raise InvalidInputError(f"there is a group called '{called}'; choose another name") from exc
        return Group(id=row.id, name=row.name, members=0, created_at=row.created_at)

    async def list(self) -> list[Group]:
        """Every group, by name."""
        counted = (
            select(groups, func.count(group_members.c.user_id).label("members"))
            .outerjoin(group_members)
            .group_by(groups.c.id)
            .order_by(groups.c.name)
        )
        async with self._database.connect() as connection:
            return [Group(**row) for row in (await connection.execute(counted)).mappings()]

    async def find(self, id_or_name: str) -> Group:
        """One group.

        Raises:
            NotFoundError: There is no such group.
        """
        found = next((one for one in await self.list() if id_or_name in (one.id, one.name)), None)
        if found is None:
            raise _no_group(id_or_name)
        return found

    async def delete(self, id_or_name: str, *, by: Principal = SYSTEM) -> None:
        """Take a group away; rules that name it then allow nobody by it.

        Raises:
            NotFoundError: There is no such group.
        """
        group = await self.find(id_or_name)
        async with self._database.begin() as connection:
            gone = await connection.execute(delete(groups).where(groups.c.id == group.id))
            if not gone.rowcount:
                raise _no_group(id_or_name)
            await audit.record(connection, by, "group.delete", group.id, before={"name": group.name})


async def ids_of(connection: AsyncConnection, ids_or_names: Iterable[str]) -> list[str]:
    """The ids of the groups called so, without repeats.

    Raises:
        NotFoundError: There is no such group.
    """
    wanted = list(dict.fromkeys(ids_or_names))
    if not wanted:
        return []
    is_one = groups.c.id.in_(wanted) | groups.c.name.in_(wanted)
    rows = (await connection.execute(select(groups.c.id, groups.c.name).where(is_one))).all()
    known = {name: row.id for row in rows for name in (row.id, row.name)}
    for name in wanted:
        if name not in known:
            raise _no_group(name)
    return list(dict.fromkeys(known[name] for name in wanted))


def _named(name: str) -> str:
    called = " ".join(name.split())
    if not called or len(called) > _LONGEST_NAME or not called.isprintable() or called.startswith("grp_"):
        raise InvalidInputError(
            f"{name[:_LONGEST_NAME]!r} cannot name a group: use 1 to {_LONGEST_NAME} printable characters"
        )
    return called


def _no_group(name: str) -> NotFoundError:
    return NotFoundError(f"no group is called '{name[:_LONGEST_NAME]}'; 'causeway groups list' shows them")
