"""Slack as a source, through its API: threads and days of the channels that the app was invited to.

A sync reads the messages of the last days and of every channel (edits and deletions show in them); once a day it reads
as far back as the settings say. Of a thread whose first message stands as it stood, with as many answers and the same
last one, the answers are read again while it is recent; an edit of an old answer shows nowhere else, so each thread
has its turn to be read again once a week, in the syncs that look at everything.

Needs the scopes channels:read, channels:history, users:read, and groups:* for private channels.
https://api.slack.com/methods
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, date, datetime, timedelta

from causeway.contracts.clock import Clock
from causeway.errors import UnreadableDocumentError, UpstreamError
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.patterns import Patterns
from causeway.knowledge.ingest.slack_calls import MissingInSlackError, SlackCalls, open_slack_calls
from causeway.knowledge.ingest.slack_messages import Channel, Conversation, Message, Workspace, moment
from causeway.knowledge.ingest.spool import Spool
from causeway.knowledge.ingest.vendor_api import Json, object_of, objects_of, text_of
from causeway.settings import SourceSettings

_PER_PAGE = "200"
RECENT = timedelta(days=7)
"""How long messages and answers are looked at again in every sync."""
_TURN_DAYS = 7
"""In so many days the answers of every old thread are read again once, whether it looks the same or not."""


@asynccontextmanager
async def open_slack(name: str, settings: SourceSettings, *, clock: Clock) -> AsyncIterator[Slack]:
    """The channels of a source called ``name``."""
    opening = open_slack_calls(
        base_url=settings.base_url,
        token=settings.token,
        section=f"sources.{name} (Slack)",
        clock=clock,
        every_s=1 / settings.requests_per_second,
        timeout_s=settings.timeout_s,
    )
    with Spool() as spool:
        async with opening as calls:
            yield Slack(name, settings, calls=calls, spool=spool, clock=clock)


class Slack:
    """A `Connector`; made by `open_slack`."""

    at_once = 2
    follows_content = False

    def __init__(
        self, name: str, settings: SourceSettings, *, calls: SlackCalls, spool: Spool, clock: Clock
    ) -> None:
        self._name = name
        self._settings = settings
        self._calls = calls
        self._spool = spool
        self._clock = clock
        self._patterns = Patterns(settings.include, settings.exclude)
        self._workspace = Workspace(url="", people={}, channels={})
        self._threads: dict[str, tuple[Channel, str]] = {}
        self._items: dict[str, Item] = {}
        self._unseen: dict[str, str] = {}

    @property
    def source(self) -> str:
        """``slack:`` and the name."""
        return f"slack:{self._name}"

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:
        """Every thread and day of every channel, as far back as the settings say."""
        self._items, self._threads, self._unseen = {}, {}, {}
        channels = await self._open_workspace()
        floor = _midnight(self._clock.now() - timedelta(days=self._settings.history_days))
        start = floor if since is None else max(floor, _midnight(since - RECENT))
        for channel in channels:
            if "" in self._unseen:
                break
            try:
                await self._read_channel(channel, before, floor, start)
            except MissingInSlackError as exc:
                self._unseen[channel.name] = exc.message
        return Listing(items=tuple(self._items.values()), unseen=self._unseen)

    async def _open_workspace(self) -> list[Channel]:
        url = text_of((await self._calls.read("auth.test", {})).get("url"))
        people: dict[str, str] = {}
        async with aclosing(self._pages_of("users.list", {}, "members")) as members:
            async for each in members:
                profile = object_of(each.get("profile"))
                shown = text_of(profile.get("display_name")) or text_of(profile.get("real_name"))
                people[text_of(each.get("id"))] = shown or text_of(each.get("name"))
        names: dict[str, str] = {}
        taken: list[Channel] = []
        asked = {"types": "public_channel,private_channel", "exclude_archived": "true"}
        async with aclosing(self._pages_of("conversations.list", asked, "channels")) as found:
            async for each in found:
                channel = Channel(text_of(each.get("id")), text_of(each.get("name")))
                names[channel.id] = channel.name
                if self._is_taken(channel, each):
                    taken.append(channel)
        self._workspace = Workspace(url=url, people=people, channels=names)
        return taken

    def _is_taken(self, channel: Channel, each: Json) -> bool:
        if not channel.id or not channel.name or not self._patterns.allow(channel.name):
            return False
        if each.get("is_member") is False:
            if "*" not in self._settings.include:
                self._unseen[channel.name] = f"the app is not in #{channel.name}; invite it there"
            return False
        return True

    async def _read_channel(
        self, channel: Channel, before: Mapping[str, Before], floor: datetime, start: datetime
    ) -> None:
        """Read a channel from ``start`` on, and take over what was known of the time before it."""
        known = {each.identity: each for each in before.values()}
        asked = {"channel": channel.id, "oldest": f"{start.timestamp():.6f}", "inclusive": "true"}
        today: date | None = None
        said: list[Message] = []
        async with aclosing(self._pages_of("conversations.history", asked, "messages")) as found:
            async for raw in found:  # newest first, so that a day is whole when another begins
                message = self._workspace.message(raw)
                if message is None or message.is_reply:
                    continue
                if message.at.date() != today:
                    await self._keep_day(channel, today, said)
                    today, said = message.at.date(), []
                if message.replies:
                    await self._keep_thread(channel, message, known.get(f"{channel.id}/{message.ts}"))
                else:
                    said.append(message)
        await self._keep_day(channel, today, said)
        for each in before.values():
            when = _when(each.identity, channel)
            if when is not None and floor <= when < start:
                self._take_over(each)

    async def _keep_day(self, channel: Channel, today: date | None, said: Sequence[Message]) -> None:
        if today is not None and said:
            await self._keep(self._workspace.day(channel, today, said))

    async def _keep_thread(self, channel: Channel, root: Message, before: Before | None) -> None:
        """Read a thread's answers when they may have changed."""
        told = (
            f"{root.text}\0{root.edited}\0{root.replies}\0{root.latest_reply}\0{root.author}\0{channel.name}"
        )
        told = hashlib.sha256(told.encode()).hexdigest()[:16]
        now = self._clock.now()
        is_looked_at = now - moment(root.latest_reply or root.ts) < RECENT or _is_turn(
            f"{channel.id}/{root.ts}", now
        )
        if before is not None and before.revision.partition(" ")[0] == told and not is_looked_at:
            self._take_over(before)
            self._threads[before.path] = (channel, root.ts)
            return
        messages = await self._answers(channel, root.ts) or [root]
        conversation = self._workspace.thread(channel, messages)
        item = conversation.item
        marked = Item(
            path=item.path,
            revision=f"{told} {item.revision}",
            modified_at=item.modified_at,
            identity=item.identity,
            metadata=item.metadata,
        )
        await self._keep(Conversation(marked, conversation.text))

    async def _answers(self, channel: Channel, ts: str) -> list[Message]:
        asked = {"channel": channel.id, "ts": ts}
        async with aclosing(self._pages_of("conversations.replies", asked, "messages")) as found:
            read = [self._workspace.message(raw) async for raw in found]
        return [message for message in read if message is not None]

    def _take_over(self, before: Before) -> None:
        """Something that was known and has not changed."""
        if self._has_room(before.path):
            self._items[before.path] = Item(
                path=before.path,
                revision=before.revision,
                modified_at=before.modified_at,
                identity=before.identity,
            )

    async def _keep(self, conversation: Conversation) -> None:
        if self._has_room(conversation.item.path):
            await self._spool.keep(conversation.item.path, conversation.text.encode())
            self._items[conversation.item.path] = conversation.item

    def _has_room(self, path: str) -> bool:
        most = self._settings.max_items
        if len(self._items) < most or path in self._items:
            return True
        self._unseen[""] = (
            f"there are more than {most:,} threads and days; raise max_items, or read fewer channels"
        )
        return False

    async def fetch(self, item: Item) -> Fetched:
        """A thread or a day as Markdown."""
        if item.path not in self._threads:
            return Fetched(content=self._spool.file(item.path))
        channel, ts = self._threads[item.path]  # it failed before, and is to be tried again
        try:
            messages = await self._answers(channel, ts)
        except MissingInSlackError as exc:
            raise UnreadableDocumentError(exc.message) from exc
        if not messages:
            msg = "it was deleted since it was listed"
            raise UnreadableDocumentError(msg)
        conversation = self._workspace.thread(channel, messages)
        return Fetched(content=conversation.text.encode(), metadata=conversation.item.metadata)

    # --- asking ----------------------------------------------------------------------------------------

    async def _pages_of(self, method: str, asked: Mapping[str, str], name: str) -> AsyncGenerator[Json, None]:
        """The ``name`` of a method's answers, page after page."""
        cursor = ""
        while True:
            more = {"limit": _PER_PAGE, **({"cursor": cursor} if cursor else {})}
            answer = await self._calls.read(method, {**asked, **more})
            if not isinstance(answer.get(name), list):
                raise UpstreamError(f"Slack answers '{method}' without {name}")
            for each in objects_of(answer[name]):
                yield each
            following = text_of(object_of(answer.get("response_metadata")).get("next_cursor"))
            if not following:
                if answer.get("has_more") is True:
                    raise UpstreamError(f"Slack answers '{method}' with more to come and no way to it")
                return
            if following == cursor:
                raise UpstreamError(f"Slack answers '{method}' with the same page over and over")
            cursor = following


def _is_turn(identity: str, now: datetime) -> bool:
    """Whether an old thread's turn is today or was yesterday: the sync that looks at everything may skip a day."""
    number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4])
    return (now.toordinal() - number) % _TURN_DAYS in (0, 1)


def _midnight(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _when(identity: str, channel: Channel) -> datetime | None:
    """When the day or thread of an id began; None for another channel's."""
    of, _, key = identity.partition("/")
    if of != channel.id:
        return None
    try:
        return datetime.fromisoformat(key).replace(tzinfo=UTC) if "-" in key else moment(key)
    except ValueError:
        return None
