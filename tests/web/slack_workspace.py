"""A small Slack with people, channels and messages, that a bot posts into: the real API's shapes, refusals and 429."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

TOKEN = "xoxb-bot"
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TEAM = "T1"
BOT = "UBOT"


def person(email: str, **more: object) -> dict[str, Any]:
    return {"team_id": TEAM, "is_email_confirmed": True, "profile": {"email": email}, **more}


@dataclass
class SlackWorkspace:
    """What it holds, and every call that it took.

    Attributes:
        messages: By channel and ts: the body that they were last given.
        versions: Every text that each message ever had.
        stumbles: Answers in place of the next calls of a method.
    """

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    whispers: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    stumbles: dict[str, list[web.Response]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        method = request.path.rpartition("/")[2]
        self.calls.append(method)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if self.stumbles.get(method):
            return self.stumbles[method].pop(0)
        if method in self.refusals:
            return web.json_response({"ok": False, "error": self.refusals[method], "needed": "chat:write"})
        body = dict(request.query) if request.method == "GET" else await request.json()
        return web.json_response(self._result(method, body))

    def _result(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "auth.test":
                return {"ok": True, "user_id": BOT, "team_id": TEAM}
            case "users.info" if body["user"] in self.people:
                return {"ok": True, "user": {"id": body["user"], **self.people[body["user"]]}}
            case "users.info":
                return {"ok": False, "error": "user_not_found"}
            case "conversations.open":
                return {"ok": True, "channel": {"id": f"D{body['users']}"}}
            case "chat.postMessage":
                ts = f"1700000000.{len(self.messages):06}"
                self._write(body["channel"], ts, body)
                return {"ok": True, "channel": body["channel"], "ts": ts}
            case "chat.update" if (body["channel"], body["ts"]) in self.messages:
                before = self.messages[body["channel"], body["ts"]]
                self._write(body["channel"], body["ts"], {**before, **body})
                return {"ok": True, "channel": body["channel"], "ts": body["ts"]}
            case "chat.update":
                return {"ok": False, "error": "message_not_found"}
            case "chat.postEphemeral":
                self.whispers.append(body)
                return {"ok": True}
            case "views.open":
                self.views.append(body)
                return {"ok": True}
            case _:
                return {"ok": False, "error": "unknown_method"}

    def _write(self, channel: str, ts: str, body: dict[str, Any]) -> None:
        assert len(body["text"]) <= 4000
        assert all(len(block["text"]["text"]) <= 3000 for block in body["blocks"] if "text" in block)
        self.messages[channel, ts] = body
        self.versions.setdefault((channel, ts), []).append(shown(body))


def shown(message: dict[str, Any]) -> str:
    """All mrkdwn of a message's blocks."""
    parts = []
    for block in message["blocks"]:
        parts += [block["text"]["text"]] if "text" in block else []
        parts += [each["text"] for each in block.get("elements", ()) if isinstance(each["text"], str)]
    return "\n".join(parts)


def mention(text: str, *, user: str = "UANN", event_id: str = "Ev1", **more: object) -> dict[str, Any]:
    """The event of a mention in a channel."""
    event = {"type": "app_mention", "user": user, "text": f"<@{BOT}> {text}", "channel": "C1", **more}
    return {
        "type": "event_callback",
        "team_id": TEAM,
        "event_id": event_id,
        "event": {"ts": f"16{event_id.removeprefix('Ev'):0>8}.000100", **event},
    }


def direct(text: str, *, user: str = "UANN", event_id: str = "Ev1", **more: object) -> dict[str, Any]:
    """The event of a direct message."""
    told = mention("", user=user, event_id=event_id)
    told["event"] |= {"type": "message", "channel_type": "im", "channel": f"D{user}", "text": text, **more}
    return told


def signed(body: bytes, at: float, *, secret: str = SECRET) -> dict[str, str]:
    """The headers that prove a body."""
    stamp = str(int(at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={digest}"}


def pressed(action: str, channel: str, ts: str, *, user: str = "UANN") -> bytes:
    """The body of a pressed button."""
    payload = {
        "type": "block_actions",
        "trigger_id": "trigger",
        "user": {"id": user},
        "container": {"channel_id": channel, "message_ts": ts},
        "actions": [{"action_id": action, "block_id": "causeway_vote", "value": action}],
    }
    return urlencode({"payload": json.dumps(payload)}).encode()
