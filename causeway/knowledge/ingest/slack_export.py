"""A Slack export as a source: the zip that a workspace's owner can download, one folder a channel, one file a day."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from causeway.contracts.clock import Clock
from causeway.errors import UnreadableDocumentError
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.export_zip import Export, open_export
from causeway.knowledge.ingest.patterns import Patterns
from causeway.knowledge.ingest.slack_messages import Channel, Message, Workspace, conversations
from causeway.knowledge.ingest.spool import Spool
from causeway.knowledge.ingest.vendor_api import Json, object_of, objects_of, text_of
from causeway.settings import SourceSettings

_CHANNEL_LISTS = ("channels.json", "groups.json")
"""Public and private channels; direct messages stay private whatever an export holds."""
_MOST_LIST_BYTES = 200_000_000


@asynccontextmanager
async def open_slack_export(
    name: str, settings: SourceSettings, *, clock: Clock
) -> AsyncIterator[SlackExport]:
    """The export at the source's path.

    Raises:
        NotFoundError: There is none.
        UnreadableDocumentError: It is no zip file.
    """
    assert settings.path is not None  # noqa: S101 - the settings see to it
    with Spool() as spool:
        opening = open_export(settings.path, spool)
        export = await asyncio.to_thread(opening.__enter__)
        try:
            yield SlackExport(name, settings, export, spool=spool, clock=clock)
        finally:
            opening.__exit__(None, None, None)


class SlackExport:
    """A `Connector`; made by `open_slack_export`."""

    at_once = 2
    follows_content = False

    def __init__(
        self, name: str, settings: SourceSettings, export: Export, *, spool: Spool, clock: Clock
    ) -> None:
        self._name = name
        self._settings = settings
        self._export = export
        self._spool = spool
        self._clock = clock
        self._patterns = Patterns(settings.include, settings.exclude)

    @property
    def source(self) -> str:
        """``slack:`` and the name."""
        return f"slack:{self._name}"

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - an export is whole
        """Every thread and day of the channels in it."""
        unseen: dict[str, str] = {}
        if self._export.failed:
            name, reason = next(iter(self._export.failed.items()))
            unseen[""] = f"{name}: {reason}"
        people, channels = await asyncio.to_thread(self._people), await asyncio.to_thread(self._channels)
        workspace = Workspace(url="", people=people, channels={each.id: each.name for each in channels})
        oldest = self._clock.now() - timedelta(days=self._settings.history_days)
        items: dict[str, Item] = {}
        for channel in channels:
            if not self._patterns.allow(channel.name):
                continue
            try:
                messages = await asyncio.to_thread(self._messages, channel, workspace)
            except UnreadableDocumentError as exc:
                unseen[channel.name] = exc.message
                continue
            for conversation in conversations(workspace, channel, messages):
                if conversation.item.modified_at < oldest:
                    continue
                if len(items) >= self._settings.max_items:
                    unseen[""] = (
                        f"there are more than {self._settings.max_items:,} threads and days; raise max_items"
                    )
                    break
                await self._spool.keep(conversation.item.path, conversation.text.encode())
                items[conversation.item.path] = conversation.item
        return Listing(items=tuple(items.values()), unseen=unseen)

    def _people(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for each in self._objects("users.json"):
            profile = object_of(each.get("profile"))
            shown = text_of(profile.get("display_name")) or text_of(profile.get("real_name"))
            names[text_of(each.get("id"))] = shown or text_of(each.get("name"))
        return names

    def _channels(self) -> list[Channel]:
        """The channels that the export lists.

        Raises:
            UnreadableDocumentError: It lists none: it is no Slack export.
        """
        listed = [name for name in _CHANNEL_LISTS if name in self._export.entries]
        if not listed:
            msg = "it is no Slack export: it has no channels.json"
            raise UnreadableDocumentError(msg)
        found = (
            Channel(text_of(each.get("id")), text_of(each.get("name")))
            for name in listed
            for each in self._objects(name)
        )
        return [channel for channel in found if channel.id and channel.name]

    def _messages(self, channel: Channel, workspace: Workspace) -> list[Message]:
        prefix = f"{channel.name}/"
        days = [name for name in self._export.entries if name.startswith(prefix) and name.endswith(".json")]
        read = (workspace.message(raw) for name in sorted(days) for raw in self._objects(name))
        return [message for message in read if message is not None]

    def _objects(self, name: str) -> Iterator[Json]:
        entry = self._export.entries.get(name)
        if entry is None:
            return
        try:
            read = json.loads(entry.read(_MOST_LIST_BYTES))
        except (ValueError, RecursionError) as exc:
            raise UnreadableDocumentError(f"'{name}' in the export is no JSON") from exc
        yield from objects_of(read)

    async def fetch(self, item: Item) -> Fetched:
        """A thread or a day as Markdown."""
        return Fetched(content=self._spool.file(item.path))
