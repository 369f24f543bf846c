"""A small Notion that speaks the real API: pages, databases, blocks, pagination, 429, malformed answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from aiohttp import web

TOKEN = "ntn_secret"


def rich(text: str, **looks: object) -> dict[str, Any]:
    href = looks.pop("href", None)
    return {"type": "text", "plain_text": text, "href": href, "annotations": looks}


def block(
    kind: str, text: str = "", children: list[dict[str, Any]] | None = None, **content: object
) -> dict[str, Any]:
    return {
        "object": "block",
        "type": kind,
        kind: {"rich_text": [rich(text)], **content},
        "children": children or [],
    }


def paragraph(text: str) -> dict[str, Any]:
    return block("paragraph", text)


@dataclass
class NotionServer:
    """What it holds, and what it was asked.

    Attributes:
        page_size: Most results of one answer.
        stumbles: Answers to give in place of the true ones, in turn.
        hidden: Ids that search does not know yet.
    """

    pages: dict[str, dict[str, Any]] = field(default_factory=dict)
    blocks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    page_size: int = 2
    stumbles: list[web.Response] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    _minute: int = 0
    _blocks_made: int = 0
    _made: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def identity(self, name: str) -> str:
        return str(uuid5(NAMESPACE_URL, name))

    def now(self) -> str:
        self._minute += 1
        return f"2025-06-01T{self._minute // 60:02}:{self._minute % 60:02}:00.000Z"

    def page(
        self,
        name: str,
        children: list[dict[str, Any]],
        *,
        title: str | None = None,
        parent: str = "",
        database: str = "",
        **properties: object,
    ) -> str:
        """Make a page, or edit it."""
        identity = self.identity(name)
        above: dict[str, Any] = {"type": "workspace", "workspace": True}
        if parent:
            above = {"type": "page_id", "page_id": self.identity(parent)}
        if database:
            above = {"type": "database_id", "database_id": self.identity(database)}
        self.pages[identity] = {
            "object": "page",
            "id": identity,
            "parent": above,
            "url": f"https://www.notion.so/{identity.replace('-', '')}",
            "created_time": "2025-01-01T00:00:00.000Z",
            "last_edited_time": self.now(),
            "created_by": {"object": "user", "id": "11111111-0000-0000-0000-000000000001"},
            "archived": False,
            "in_trash": False,
            "properties": {"Name": {"type": "title", "title": [rich(title or name)]}, **properties},
        }
        self.blocks[identity] = self._numbered(children)
        return identity

    def database(self, name: str) -> str:
        identity = self.identity(name)
        self.pages[identity] = {
            "object": "database",
            "id": identity,
            "parent": {"type": "workspace", "workspace": True},
            "title": [rich(name)],
            "description": [rich("What is open.")],
            "last_edited_time": self.now(),
            "properties": {},
        }
        return identity

    def rename(self, name: str, title: str) -> None:
        page = self.pages[self.identity(name)]
        page["properties"]["Name"]["title"] = [rich(title)]
        page["last_edited_time"] = self.now()

    def trash(self, name: str) -> None:
        self.pages[self.identity(name)]["in_trash"] = True

    def _numbered(self, children: list[dict[str, Any]]) -> list[dict[str, Any]]:
        numbered = []
        for each in children:
            self._blocks_made += 1
            identity = str(each.get("id") or uuid5(NAMESPACE_URL, f"block {self._blocks_made}"))
            inner = each.get("children", [])
            self.blocks[identity] = self._numbered(inner)
            kept = {key: value for key, value in each.items() if key != "children"}
            numbered.append(
                {
                    "has_children": bool(inner),
                    "last_edited_time": "2025-06-01T00:00:00.000Z",
                    **kept,
                    "id": identity,
                }
            )
            self._made.append(numbered[-1])
        return numbered

    # --- HTTP ---

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if request.path in self.files:
            return web.Response(body=self.files[request.path])
        if self.down:
            return _problem(503, "service_unavailable", {"Retry-After": "9999"})
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _problem(401, "unauthorized")
        if request.headers.get("Notion-Version") != "2022-06-28":
            return _problem(400, "missing_version")
        if self.stumbles:
            return self.stumbles.pop(0)
        return self._result(
            request, await request.json() if request.method == "POST" else dict(request.query)
        )

    def _result(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        match request.path.strip("/").split("/")[1:]:
            case ["search"]:
                known = [each for each in self.pages.values() if each["id"] not in self.hidden]
                return self._page_of([each for each in known if not each.get("in_trash")], body)
            case ["databases", identity, "query"]:
                rows = [
                    each
                    for each in self.pages.values()
                    if _same(each["parent"].get("database_id"), identity) and not each.get("in_trash")
                ]
                return self._page_of(rows, body)
            case ["blocks", identity, "children"]:
                key = next((each for each in self.blocks if _same(each, identity)), None)
                page = self.pages.get(key or "")
                if key is None or (page and page.get("in_trash")):
                    return _problem(404, "object_not_found")
                return self._page_of(self.blocks[key], body)
            case ["blocks", identity]:
                made = [each for each in self._made if _same(each["id"], identity)]
                return web.json_response(made[-1]) if made else _problem(404, "object_not_found")
            case [("pages" | "databases") as kind, identity]:
                found = [each for each in self.pages.values() if _same(each["id"], identity)]
                if not found:
                    return _problem(404, "object_not_found")
                if found[0]["object"] != kind.removesuffix("s"):
                    return _problem(400, "validation_error")
                return web.json_response(found[0])
            case ["users"]:
                user = {
                    "object": "user",
                    "id": "11111111-0000-0000-0000-000000000001",
                    "name": "Ada Lovelace",
                }
                return self._page_of([user], body)
            case _:
                return _problem(400, "invalid_request_url")

    def _page_of(self, results: list[dict[str, Any]], body: dict[str, Any]) -> web.Response:
        start = int(body.get("start_cursor", "0"))
        end = start + min(self.page_size, int(body.get("page_size", 100)))
        more = end < len(results)
        return web.json_response(
            {
                "object": "list",
                "results": results[start:end],
                "has_more": more,
                "next_cursor": str(end) if more else None,
            }
        )


def _same(one: str | None, other: str) -> bool:
    return (one or "").replace("-", "") == other.replace("-", "")


def _problem(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    body = json.dumps({"object": "error", "status": status, "code": code, "message": code})
    return web.Response(status=status, text=body, headers=headers, content_type="application/json")
