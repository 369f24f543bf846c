"""A small Pinecone that speaks the real HTTP API: control plane and data plane, its limits, and its being late.

What is written shows in reads only after ``lag`` more requests, as with eventual consistency. ``stumbles`` are failures
to come: 429 and 5xx, or a write that is done and answered with an error, or is never answered at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

KEY = "pcsk_secret"
API_VERSION = "2026-07"
_MOST_BYTES = 2 * 1024 * 1024
_MOST_METADATA = 40 * 1024

Stumble = Callable[[str], web.Response | None]
"""Takes a request's path; None lets it pass and waits for the next."""


@dataclass
class Stored:
    values: list[float]
    metadata: dict[str, Any]


Write = Callable[[dict[str, dict[str, Stored]]], None]


@dataclass
class Index:
    name: str
    dimension: int
    written: dict[str, dict[str, Stored]] = field(default_factory=dict)
    seen: dict[str, dict[str, Stored]] = field(default_factory=dict)
    late: list[tuple[int, Write]] = field(default_factory=list)


@dataclass
class PineconeServer:
    """What it holds, and what it was asked.

    Attributes:
        lag: Requests after which a write can be read.
        half: The next upserts write the first half of their records and answer 500.
        forgetful: Ids that are accepted and never kept.
        asked: Method and path of every request, with the number of records of a write.
    """

    lag: int = 0
    half: int = 0
    stumbles: list[Stumble] = field(default_factory=list)
    forgetful: set[str] = field(default_factory=set)
    not_ready: int = 0
    indexes: dict[str, Index] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""
    _clock: int = 0

    def ids(self, namespace: str | None = None) -> set[str]:
        """The ids of what was written, whether it can be read yet or not."""
        return {
            key
            for index in self.indexes.values()
            for name, records in index.written.items()
            if namespace in (None, name)
            for key in records
        }

    def settle(self) -> None:
        """Let all that was written be read."""
        for index in self.indexes.values():
            self._catch_up(index, everything=True)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Api-Key") != KEY:
            return _problem(401, "UNAUTHENTICATED", "Invalid API Key")
        if request.headers.get("X-Pinecone-Api-Version") != API_VERSION:
            return _problem(400, "INVALID_ARGUMENT", "unknown API version")
        self._clock += 1
        body = await request.read()
        if len(body) > _MOST_BYTES:
            return _problem(413, "PAYLOAD_TOO_LARGE", "message length too large, the limit is 2MB")
        asked = json.loads(body) if body else {}
        self.asked.append(f"{request.method} {request.path} {len(asked.get('vectors', ()))}".strip())
        if self.stumbles:
            failure = self.stumbles[0](request.path)
            if failure is not None:
                self.stumbles.pop(0)
                return failure
        parts = request.path.strip("/").split("/")
        if parts[0] == "indexes":
            return self._control(request.method, parts[1:], asked)
        index = self.indexes.get(parts[1])
        if index is None:
            return _problem(404, "NOT_FOUND", "no such index")
        self._catch_up(index)
        return self._data(index, "/".join(parts[2:]), asked, request)

    # --- control plane ---

    def _control(self, method: str, path: list[str], asked: Mapping[str, Any]) -> web.Response:
        if method == "GET" and not path:
            return web.json_response({"indexes": [self._model(each) for each in self.indexes.values()]})
        if method == "GET":
            index = self.indexes.get(path[0])
            return web.json_response(self._model(index)) if index else _problem(404, "NOT_FOUND", path[0])
        if method == "POST":
            if asked["name"] in self.indexes:
                return _problem(409, "ALREADY_EXISTS", "Resource already exists")
            vectors = asked["schema"]["fields"]["_values"]
            assert vectors["metric"] == "cosine"
            index = Index(asked["name"], vectors["dimension"])
            self.indexes[index.name] = index
            return web.json_response(self._model(index), status=201)
        return _problem(405, "UNIMPLEMENTED", method)

    def _model(self, index: Index) -> dict[str, Any]:
        is_ready = self.not_ready <= 0
        self.not_ready -= 1
        return {
            "name": index.name,
            "status": {"ready": is_ready, "state": "Ready" if is_ready else "Initializing"},
            "schema": {
                "fields": {
                    "_values": {"type": "dense_vector", "dimension": index.dimension, "metric": "cosine"}
                }
            },
            "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
            "deletion_protection": "disabled",
            "host": f"{self.address}/data/{index.name}" if is_ready else None,
        }

    # --- data plane ---

    def _data(self, index: Index, path: str, asked: dict[str, Any], request: web.Request) -> web.Response:
        match path:
            case "vectors/upsert":
                return self._upsert(index, asked)
            case "query":
                return self._query(index, asked)
            case "vectors/fetch":
                space = index.seen.get(request.query.get("namespace", ""), {})
                ids = request.query.getall("ids")
                found = {key: {"id": key, **vars(space[key])} for key in ids if key in space}
                return web.json_response({"vectors": found, "namespace": request.query.get("namespace", "")})
            case "vectors/delete":
                return self._delete(index, asked)
            case "describe_index_stats":
                spaces = {name: {"vectorCount": len(held)} for name, held in index.seen.items() if held}
                total = sum(each["vectorCount"] for each in spaces.values())
                return web.json_response(
                    {
                        "namespaces": spaces,
                        "dimension": index.dimension,
                        "indexFullness": 0,
                        "totalVectorCount": total,
                    }
                )
            case _:
                return _problem(404, "NOT_FOUND", path)

    def _upsert(self, index: Index, asked: dict[str, Any]) -> web.Response:
        vectors = asked["vectors"]
        if len(vectors) > 1000:
            return _problem(400, "INVALID_ARGUMENT", "more than 1000 vectors")
        for each in vectors:
            if len(each["values"]) != index.dimension:
                return _problem(400, "INVALID_ARGUMENT", "Vector dimension does not match")
            metadata = each.get("metadata") or {}
            if len(json.dumps(metadata)) > _MOST_METADATA:
                return _problem(400, "INVALID_ARGUMENT", "metadata size exceeds the limit")
            if any(value is None or isinstance(value, dict) for value in metadata.values()):
                return _problem(400, "INVALID_ARGUMENT", "metadata must be flat and without null")
        is_half = self.half > 0
        self.half -= is_half
        taken = vectors[: len(vectors) // 2] if is_half else vectors
        kept = {
            each["id"]: Stored([float(np.float32(x)) for x in each["values"]], each.get("metadata") or {})
            for each in taken
            if each["id"] not in self.forgetful
        }
        self._write(index, lambda spaces: spaces.setdefault(asked.get("namespace", ""), {}).update(kept))
        if is_half:
            return _problem(500, "INTERNAL", "it broke half way", {"Retry-After": "0"})
        return web.json_response({"upsertedCount": len(vectors)})

    def _delete(self, index: Index, asked: dict[str, Any]) -> web.Response:
        name = asked.get("namespace", "")
        if name not in index.written:
            return _problem(404, "NOT_FOUND", "Namespace not found")
        gone = asked.get("ids", ())
        if len(gone) > 1000:
            return _problem(400, "INVALID_ARGUMENT", "more than 1000 ids")

        def delete(spaces: dict[str, dict[str, Stored]]) -> None:
            if asked.get("deleteAll"):
                spaces.pop(name, None)
            for key in gone:
                spaces.get(name, {}).pop(key, None)

        self._write(index, delete)
        return web.json_response({})

    def _query(self, index: Index, asked: dict[str, Any]) -> web.Response:
        self.queries.append(asked)
        if not 1 <= asked["topK"] <= 10_000 or len(asked["vector"]) != index.dimension:
            return _problem(400, "INVALID_ARGUMENT", "topK or vector")
        allowed = None
        if asked.get("filter"):
            ((name, condition),) = asked["filter"].items()
            allowed = set(condition["$in"])
            assert name == "document"
            assert len(allowed) <= 10_000
        space = index.seen.get(asked.get("namespace", ""), {})
        return web.json_response(
            {"matches": _nearest(space, asked, allowed), "namespace": asked["namespace"]}
        )

    def _write(self, index: Index, write: Write) -> None:
        write(index.written)
        index.late.append((self._clock + self.lag, write))
        self._catch_up(index)

    def _catch_up(self, index: Index, *, everything: bool = False) -> None:
        while index.late and (everything or index.late[0][0] <= self._clock):
            index.late.pop(0)[1](index.seen)


def _nearest(
    space: Mapping[str, Stored], asked: Mapping[str, Any], allowed: set[str] | None
) -> Iterable[dict[str, Any]]:
    wanted = np.asarray(asked["vector"], np.float32)
    scored = [
        (float(np.asarray(each.values, np.float32) @ wanted), key)
        for key, each in space.items()
        if allowed is None or each.metadata.get("document") in allowed
    ]
    scored.sort(key=lambda pair: -pair[0])
    return [{"id": key, "score": score} for score, key in scored[: asked["topK"]]]


def refused(status: int = 429, path: str = "") -> Stumble:
    """One request whose path holds ``path`` is answered with ``status``, to be tried again at once."""

    def stumble(asked: str) -> web.Response | None:
        return (
            _problem(status, "RESOURCE_EXHAUSTED", "try later", {"Retry-After": "0"})
            if path in asked
            else None
        )

    return stumble


def _problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"status": status, "error": {"code": code, "message": message}}
    return web.json_response(body, status=status, headers=headers)
