"""Slack's messages as documents: each thread one, and all other messages of a channel's day one (days in UTC).

A thread is a conversation about one thing, so it is found and cited as a whole; single messages say too little alone.
Who joined and left is left out, and so is what was deleted. https://api.slack.com/reference/surfaces/formatting
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from causeway.knowledge.ingest.connector import Item
from causeway.knowledge.ingest.vendor_api import Json, object_of, objects_of, text_of

_SILENT = frozenset(
    {
        *("channel_join", "channel_leave", "channel_topic", "channel_purpose", "channel_name"),
        *(
            "channel_archive",
            "channel_unarchive",
            "channel_convert_to_private",
            "channel_posting_permissions",
        ),
        *("group_join", "group_leave", "group_topic", "group_purpose", "group_name", "group_archive"),
        *("pinned_item", "unpinned_item", "tombstone", "bot_add", "bot_remove", "reminder_add"),
        *("huddle_thread", "message_deleted", "joiner_notification"),
    }
)
_MARKED = re.compile(r"<([^<>]+)>")
_LONGEST_TITLE = 90
_LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel; its name is its folder."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that says something.

    Attributes:
        ts: Slack's id of it in its channel: seconds since 1970 with six places.
        thread: The ``ts`` of the message that it answers; its own when it has answers; empty otherwise.
        edited: The ``ts`` of its last edit.
    """

    ts: str
    author: str
    text: str
    thread: str = ""
    edited: str = ""
    replies: int = 0
    latest_reply: str = ""

    @property
    def at(self) -> datetime:
        """When it was sent."""
        return moment(self.ts)

    @property
    def is_reply(self) -> bool:
        """Whether it answers another."""
        return bool(self.thread) and self.thread != self.ts


@dataclass(frozen=True, slots=True)
class Conversation:
    """A document to be: its item and its text."""

    item: Item
    text: str


class Workspace:
    """Names and addresses that messages refer to."""

    def __init__(self, *, url: str, people: Mapping[str, str], channels: Mapping[str, str]) -> None:
        """``url`` ends with a slash, or is empty where it is not known."""
        self._url = url
        self._people = people
        self._channels = channels

    def message(self, raw: Json) -> Message | None:
        """A message as it came; None for one that says nothing or is none."""
        ts = text_of(raw.get("ts"))
        if text_of(raw.get("subtype")) in _SILENT or not _is_ts(ts) or raw.get("hidden") is True:
            return None
        profile = object_of(raw.get("user_profile"))
        author = (
            self._people.get(text_of(raw.get("user")), "")
            or text_of(profile.get("real_name"))
            or text_of(raw.get("username"))
            or text_of(object_of(raw.get("bot_profile")).get("name"))
            or "somebody"
        )
        text = "\n".join(part for part in self._said(raw) if part)
        if not text:
            return None
        replies = raw.get("reply_count")
        return Message(
            ts=ts,
            author=author,
            text=text,
            thread=text_of(raw.get("thread_ts")),
            edited=text_of(object_of(raw.get("edited")).get("ts")),
            replies=replies if isinstance(replies, int) else 0,
            latest_reply=text_of(raw.get("latest_reply")),
        )

    def _said(self, raw: Json) -> Iterable[str]:
        yield self.markdown(text_of(raw.get("text")))
        for attachment in objects_of(raw.get("attachments")):
            said = text_of(attachment.get("text")) or text_of(attachment.get("fallback"))
            title = text_of(attachment.get("title"))
            yield self.markdown("\n".join(part for part in (title, said) if part))
        for file in objects_of(raw.get("files")):
            name = text_of(file.get("title")) or text_of(file.get("name"))
            yield f"(file: {name})" if name and file.get("mode") != "tombstone" else ""

    def markdown(self, text: str) -> str:
        """Slack's own marks as Markdown, mentions as names."""
        return html.unescape(_MARKED.sub(self._mark, text)).strip()

    def _mark(self, found: re.Match[str]) -> str:
        target, _, label = found[1].partition("|")
        kind, rest = target[:1], target[1:]
        if kind == "@":
            return f"@{self._people.get(rest) or label or 'somebody'}"
        if kind == "#":
            return f"#{self._channels.get(rest) or label or 'channel'}"
        if kind == "!":
            return label or f"@{rest.partition('^')[0]}"
        if target.startswith(("http://", "https://")):
            return f"[{label}]({target})" if label and label != target else target
        return label or target.removeprefix("mailto:")

    def link(self, channel: Channel, ts: str) -> str:
        """Where a message is; empty when the workspace's address is not known."""
        return f"{self._url}archives/{channel.id}/p{ts.replace('.', '')}" if self._url else ""

    def day(self, channel: Channel, when: date, messages: Sequence[Message]) -> Conversation:
        """What was said on a day outside of threads, in order."""
        title = f"#{channel.name}, {when:%d %B %Y}"
        ordered = sorted(messages, key=lambda message: message.ts)
        text = _document(title, ordered)
        item = self._item(channel, f"{when}", f"{when}", ordered, _hash(text))
        return Conversation(item, text)

    def thread(self, channel: Channel, messages: Sequence[Message], revision: str = "") -> Conversation:
        """A message and its answers, in order; ``revision`` in place of the hash of all that is said."""
        ordered = sorted(
            {message.ts: message for message in messages}.values(), key=lambda message: message.ts
        )
        root = ordered[0]
        first = " ".join(root.text.split())
        about = first if len(first) <= _LONGEST_TITLE else f"{first[:_LONGEST_TITLE].rsplit(' ', 1)[0]} ..."
        text = _document(f"#{channel.name}: {about}", ordered)
        key = root.thread or root.ts
        item = self._item(channel, f"{root.at:%Y-%m-%d} thread {key}", key, ordered, revision or _hash(text))
        return Conversation(item, text)

    def _item(
        self, channel: Channel, name: str, key: str, messages: Sequence[Message], revision: str
    ) -> Item:
        newest = max(moment(message.edited or message.ts) for message in messages)
        authors = list(dict.fromkeys(message.author for message in messages))
        metadata: dict[str, object] = {
            "channel": channel.name,
            "author": authors[0],
            "authors": authors[:20],
            "created": messages[0].at.isoformat(),
        }
        if link := self.link(channel, messages[0].ts):
            metadata["url"] = link
        return Item(
            path=f"{channel.name}/{name}.md",
            revision=revision,
            modified_at=newest,
            identity=f"{channel.id}/{key}",
            metadata=metadata,
        )


def conversations(
    workspace: Workspace, channel: Channel, messages: Iterable[Message]
) -> Iterable[Conversation]:
    """All messages of a channel as threads and days."""
    threads: dict[str, list[Message]] = {}
    for message in messages:
        threads.setdefault(message.thread or message.ts, []).append(message)
    days: dict[date, list[Message]] = {}
    for thread in threads.values():
        if len(thread) > 1:
            yield workspace.thread(channel, thread)
        else:
            days.setdefault(thread[0].at.date(), []).append(thread[0])
    for when, said in days.items():
        yield workspace.day(channel, when, said)


def moment(ts: str) -> datetime:
    """A ``ts`` as a time; the epoch for what is none."""
    return datetime.fromtimestamp(float(ts) if _is_ts(ts) else 0.0, UTC)


def _is_ts(ts: str) -> bool:
    return ts.replace(".", "", 1).isdecimal() and ts.isascii() and float(ts) < _LATEST


def _document(title: str, messages: Sequence[Message]) -> str:
    parts = [f"# {title}"]
    for message in messages:
        edited = " (edited)" if message.edited else ""
        parts.append(f"**{message.author}**, {message.at:%H:%M}{edited}: {message.text}")
    return "\n\n".join(parts) + "\n"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
