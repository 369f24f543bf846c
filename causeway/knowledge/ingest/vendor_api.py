"""Calls of a vendor's JSON API: paced, tried again when it is busy, every answer checked to be what it should.

Waits as long as a 429 or 503 asks (``Retry-After``), within bounds; its own retries grow from a second. A token that is
refused is a setting to mend, not a failure to repeat.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from causeway.contracts.clock import Clock
from causeway.errors import DeadlineError, SettingsError, TryLaterError, UpstreamError, UpstreamRateLimitError
from causeway.knowledge.ingest.pacing import LONGEST_WAIT_S, Pacer, asked_wait_s
from causeway.seams import deferred

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = deferred("aiohttp")

_TRIES = 5
_MOST_BYTES = 50_000_000
_BUSY = frozenset({409, 429, 500, 502, 503, 504, 529})
_REFUSED = frozenset({401})

Json = Mapping[str, Any]
"""A JSON object as it came: every value is to be checked by whoever reads it."""


class NotThereError(UpstreamError):
    """The vendor has nothing of that id, or shares it no longer."""


class RefusedCallError(UpstreamError):
    """The vendor cannot make sense of a call, such as of one kind of id in another's place."""


class VendorApi:
    """One API; made by `open_api`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        *,
        name: str,
        clock: Clock,
        every_s: float,
        timeout_s: float,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._name = name
        self._clock = clock
        self._pacer = Pacer(clock, every_s)
        self._timeout_s = timeout_s

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """GET; raises like `call`."""
        return await self.call("GET", path, query=query)

    async def post(self, path: str, body: Json, *, adds: bool = False) -> Json:
        """POST of a JSON body; raises like `call`."""
        return await self.call("POST", path, body=body, adds=adds)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        adds: bool = False,
    ) -> Json:
        """The object that the API answers.

        ``adds``: doing it twice is worse than failing, so it is tried again only after a 429, which did nothing.

        Raises:
            SettingsError: It refuses the token.
            NotThereError: It has no such thing.
            RefusedCallError: It cannot make sense of the call.
            UpstreamRateLimitError: It asks for fewer calls than a sync can wait for.
            DeadlineError: It does not answer.
            UpstreamError: It answers something else.
        """
        wait_s = 1.0
        for tries_left in reversed(range(_TRIES)):
            await self._pacer.turn()
            try:
                async with asyncio.timeout(self._timeout_s):
                    async with self._session.request(
                        method, self._base_url + path, params=query, json=body, allow_redirects=False
                    ) as answer:
                        if answer.status not in _BUSY:
                            return await self._read(answer, path)
                        asked = asked_wait_s(answer.headers, self._clock.now())
                        failure: TryLaterError = self._busy(answer.status, path, asked)
                        is_unclear = answer.status != 429
            except TimeoutError:
                asked, is_unclear = None, True
                failure = DeadlineError(f"{self._name} did not answer '{path}' within {self._timeout_s:g} s")
            except aiohttp.ClientError as exc:
                asked, is_unclear = None, True
                failure = UpstreamError(f"{self._name} cannot be reached: {type(exc).__name__}")
            rest_s = wait_s if asked is None else asked
            if not tries_left or rest_s > LONGEST_WAIT_S or (adds and is_unclear):
                raise failure.after(asked)
            self._pacer.rest(rest_s)
            wait_s *= 2
        raise AssertionError  # the loop ends by returning or raising

    def _busy(self, status: int, path: str, asked: float | None) -> TryLaterError:
        if status == 429:
            long = f" and asks for {asked:.0f} s of rest" if asked else ""
            return UpstreamRateLimitError(f"{self._name} allows no more calls of '{path}' now{long}")
        return UpstreamError(f"{self._name} answers '{path}' with {status}")

    async def _read(self, answer: aiohttp.ClientResponse, path: str) -> Json:
        if answer.status in _REFUSED:
            raise SettingsError(f"{self._name} refuses its token; put a valid one into its section")
        content = await answer.content.read(_MOST_BYTES + 1)
        while len(content) <= _MOST_BYTES and (more := await answer.content.read(_MOST_BYTES)):
            content += more
        if len(content) > _MOST_BYTES:
            raise UpstreamError(f"{self._name} answers '{path}' with more than {_MOST_BYTES:,} bytes")
        if answer.status == 404:
            raise NotThereError(f"{self._name} has nothing at '{path}', or does not share it")
        try:
            read = json.loads(content)
        except ValueError as exc:
            raise UpstreamError(f"{self._name} answers '{path}' with what is no JSON") from exc
        if not isinstance(read, dict):
            raise UpstreamError(f"{self._name} answers '{path}' with JSON that is no object")
        if answer.status >= 400:
            said = str(read.get("message") or read.get("error") or "")[:200]
            kind = RefusedCallError if answer.status == 400 else UpstreamError
            raise kind(f"{self._name} answers '{path}' with {answer.status}: {said}")
        return read


@asynccontextmanager
async def open_api(
    base_url: str,
    *,
    name: str,
    headers: Mapping[str, str],
    clock: Clock,
    every_s: float,
    timeout_s: float,
) -> AsyncIterator[VendorApi]:
    """An API whose connections are closed with the block.

    ``headers`` hold the credentials; ``name`` is how messages call it; ``every_s`` is the least time between calls.
    """
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(headers=headers, cookie_jar=jar, trust_env=True) as session:
        yield VendorApi(session, base_url, name=name, clock=clock, every_s=every_s, timeout_s=timeout_s)


def text_of(value: object) -> str:
    """A field that should be text; empty when it is something else."""
    return value if isinstance(value, str) else ""


def object_of(value: object) -> Json:
    """A field that should be an object; empty when it is something else."""
    return value if isinstance(value, dict) else {}


def objects_of(value: object) -> list[Json]:
    """The objects of a field that should be a list of them."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
