"""One change of the registry: its rows, its line of the history and its line of the audit log, in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import delete, func, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal
from causeway.errors import InvalidInputError, NotFoundError, StaleEditError
from causeway.prompts import history
from causeway.prompts.history import Action, Event, Origin, Version
from causeway.prompts.prompt import Prompt, content_sha256, with_version
from causeway.prompts.rollout import Pointer
from causeway.storage.database import Database
from causeway.storage.prompt_schema import prompt_events, prompt_labels, prompt_versions
from causeway.storage.recorder import Recorder

MOST_WHY: Final = 500
_LOCK: Final = 0x70726F6D707473  # 'prompts'


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the author of a text knew.

    Attributes:
        based_on: The version that was edited; the one that the text itself says when None.
        seen: The newest version then; ``based_on`` when None.
        is_over: Whether it is to be published whatever came meanwhile.
    """

    based_on: int | None = None
    seen: int | None = None
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A transaction in which nobody else changes prompts.

    Attributes:
        by: Who makes it.
        why: The reason, as the history shows it.
    """

    connection: AsyncConnection
    by: Principal
    why: str
    record: Recorder

    async def publish(
        self, written: str, prompt: Prompt, *, origin: Origin, known: Known
    ) -> tuple[Version, bool]:
        """The version of a text, and whether it is new.

        Raises:
            StaleEditError: There is a version that the text's author did not know of.
        """
        versions = await history.read_versions(self.connection, prompt.name)
        digest = content_sha256(written)
        same = next((each for each in versions if each.content_sha256 == digest), None)
        if same is not None:
            return same, False
        newest = versions[0].version if versions else 0
        base = prompt.version if known.based_on is None else known.based_on
        seen = base if known.seen is None else known.seen
        if not known.is_over and seen < newest:
            raise StaleEditError(
                f"'{prompt.name}' has a version {newest} by now, and this was made from version {base}; look at what "
                "changed, then edit the newest, or publish over it"
            )
        number = max(newest + 1, prompt.version)
        row = {
            "name": prompt.name,
            "version": number,
            "content_sha256": digest,
            "text": with_version(written, number),
            "origin": origin,
            "based_on": base if any(each.version == base for each in versions) else None,
            "why": self.why,
            "created_by": self.by.id,
        }
        await self.connection.execute(insert(prompt_versions).values(row))
        action: Action = "package" if origin == "package" else "publish"
        await self._tell(prompt.name, action, None, None, {"version": number, "sha256": digest})
        return await history.read_version(self.connection, prompt.name, number), True

    async def present(self, name: str, label: str) -> Pointer:
        """What a label points to.

        Raises:
            NotFoundError: There is no such label.
        """
        found = await self.pointer(name, label)
        if found is None:
            raise NotFoundError(
                f"the prompt '{name}' has no label '{label}'; point it to a version to make it"
            )
        return found

    async def pointer(self, name: str, label: str) -> Pointer | None:
        """The same; None when there is no such label."""
        return (await history.read_labels(self.connection, name)).get(name, {}).get(label)

    async def point(self, name: str, label: str, wanted: Pointer, *, action: Action) -> None:
        """Point a label elsewhere; nothing is written when it does already."""
        present = await self.pointer(name, label)
        if present == wanted:
            return
        values = asdict(wanted)
        statement = upsert(prompt_labels).values(name=name, label=label, **values)
        moved = statement.on_conflict_do_update(
            index_elements=["name", "label"], set_={**values, "changed_at": func.now()}
        )
        await self.connection.execute(moved)
        await self._tell(name, action, label, asdict(present) if present else None, values)

    async def unlabel(self, name: str, label: str) -> None:
        """Take a label away.

        Raises:
            NotFoundError: There is no such label.
        """
        present = await self.present(name, label)
        gone = delete(prompt_labels).where(prompt_labels.c.name == name, prompt_labels.c.label == label)
        await self.connection.execute(gone)
        await self._tell(name, "unlabel", label, asdict(present), None)

    async def events(self, name: str, label: str) -> list[Event]:
        """All events of a label, newest first."""
        return await history.read_events(self.connection, name, label=label, limit=None)

    async def _tell(
        self,
        name: str,
        action: Action,
        label: str | None,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        """Write the history, and the audit log beside it."""
        changed = {key: value for key, value in (("before", before), ("after", after)) if value is not None}
        event = {"name": name, "action": action, "label": label, "why": self.why, "principal_id": self.by.id}
        await self.connection.execute(insert(prompt_events).values({**event, **changed}))
        told = {key: {"label": label, **value} if label else dict(value) for key, value in changed.items()}
        told.setdefault("after", {})["why"] = self.why
        await self.record(self.connection, self.by, f"prompt.{action}", name, **told)


@asynccontextmanager
async def changing(database: Database, record: Recorder, *, by: Principal, why: str) -> AsyncIterator[Change]:
    """A change, committed when the block ends well.

    Raises:
        InvalidInputError: There is no reason, or a very long one.
    """
    said = " ".join(why.split())
    if not said:
        msg = "say why, in a few words: it is what the history shows"
        raise InvalidInputError(msg)
    if "\0" in said or len(said) > MOST_WHY:
        raise InvalidInputError(f"the reason has more than {MOST_WHY} characters, or the character NUL")
    async with database.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield Change(connection=connection, by=by, why=said, record=record)
