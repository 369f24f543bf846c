"""A small Slack that speaks the real API: cursors, threads, edits, deletions, 429, refusals, malformed answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

TOKEN = "xoxb-secret"


@dataclass
class SlackServer:
    """What it holds, and what it was asked; channels by id, messages by channel."""

    now: datetime
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    page_size: int = 2
    stumbles: list[web.Response] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    down: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _number: int = 0

    def channel(self, name: str, *, is_member: bool = True) -> str:
        identity = f"C{len(self.channels):03}"
        self.channels[identity] = {"id": identity, "name": name, "is_member": is_member}
        self.messages[identity] = {}
        return identity

    def say(
        self, channel: str, text: str, *, at: datetime | None = None, thread: str = "", **more: object
    ) -> str:
        self._number += 1
        ts = f"{int((at or self.now).timestamp())}.{self._number:06}"
        message = {"type": "message", "ts": ts, "user": "U1", "text": text, **more}
        if thread:
            message["thread_ts"] = thread
            self.messages[channel][thread]["thread_ts"] = thread
        self.messages[channel][ts] = message
        return ts

    def edit(self, channel: str, ts: str, text: str) -> None:
        self._number += 1
        edited = {"user": "U1", "ts": f"{int(self.now.timestamp())}.{self._number:06}"}
        self.messages[channel][ts] |= {"text": text, "edited": edited}

    def delete(self, channel: str, ts: str) -> None:
        del self.messages[channel][ts]

    def methods(self, name: str) -> list[dict[str, str]]:
        return [query for method, query in self.asked if method == name]

    # --- HTTP ---

    async def answer(self, request: web.Request) -> web.StreamResponse:
        method, query = request.path.rpartition("/")[2], dict(request.query)
        self.asked.append((method, query))
        if self.down:
            return web.Response(status=503, headers={"Retry-After": "9999"})
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if self.stumbles:
            return self.stumbles.pop(0)
        refused = self.refusals.get(f"{method} {query.get('channel', '')}".strip())
        if refused:
            return web.json_response({"ok": False, "error": refused, "needed": "channels:history"})
        return web.json_response({"ok": True, **self._result(method, query)})

    def _result(self, method: str, query: dict[str, str]) -> dict[str, Any]:
        if method == "auth.test":
            return {"url": "https://acme.slack.com/", "team": "Acme"}
        if method == "users.list":
            people = [
                {"id": "U1", "name": "ada", "profile": {"display_name": "Ada Lovelace"}},
                {"id": "U2", "name": "bob", "profile": {"real_name": "Bob Stone"}},
                {"id": "U3", "name": "eve", "profile": {}},
            ]
            return self._page("members", people, query)
        if method == "conversations.list":
            return self._page("channels", list(self.channels.values()), query)
        held = self.messages[query["channel"]]
        if method == "conversations.history":
            roots = [
                self._with_counts(each, held)
                for each in held.values()
                if each.get("thread_ts", each["ts"]) == each["ts"]
                and float(each["ts"]) >= float(query.get("oldest", "0"))
            ]
            newest_first = sorted(roots, key=lambda each: each["ts"], reverse=True)
            return self._page("messages", newest_first, query)
        assert method == "conversations.replies"
        thread = [each for each in held.values() if query["ts"] in (each["ts"], each.get("thread_ts"))]
        return self._page("messages", sorted(thread, key=lambda each: each["ts"]), query)

    def _with_counts(self, root: dict[str, Any], held: dict[str, dict[str, Any]]) -> dict[str, Any]:
        answers = [each["ts"] for each in held.values() if each.get("thread_ts") == root["ts"] != each["ts"]]
        return {**root, "reply_count": len(answers), "latest_reply": max(answers)} if answers else root

    def _page(self, name: str, found: Sequence[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        start = int(query.get("cursor") or "0")
        end = start + min(self.page_size, int(query.get("limit", "100")))
        following = str(end) if end < len(found) else ""
        return {
            name: found[start:end],
            "has_more": bool(following),
            "response_metadata": {"next_cursor": following},
        }
