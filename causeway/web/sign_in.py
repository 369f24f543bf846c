"""Who is asking: a bearer key for programs, a session cookie for browsers.

A request that changes something and is known by its cookie alone must also carry the session's CSRF token, in the
``X-CSRF-Token`` header or the form's ``csrf_token``. The token is derived from the cookie, which no page of another
origin can read, so nothing more is stored. The pages that sign in and out are in `causeway.web.sign_in_pages`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal, Scope
from causeway.errors import NotAllowedError, NotSignedInError
from causeway.web.parts import WebParts

COOKIE = "causeway_session"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_bearer = HTTPBearer(auto_error=False, description="A key made by `causeway keys create`")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="The browser's session")


def _parts(request: Request) -> WebParts:
    parts: WebParts = request.app.state.parts
    return parts


Parts = Annotated[WebParts, Depends(_parts)]


async def _known(
    request: Request,
    parts: Parts,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    token: Annotated[str | None, Depends(_cookie)],
) -> Principal:
    """A program by its key, or a browser by its session."""
    if bearer is not None:
        principal = await parts.keys.identify(bearer.credentials.strip())
    elif token:
        principal = await parts.sessions.principal(token)
        request.state.csrf_token = csrf_token(token)
    else:
        msg = "not signed in; send 'Authorization: Bearer cw-...' or sign in with a browser"
        raise NotSignedInError(msg)
    request.state.principal = principal
    return principal


Known = Annotated[Principal, Depends(_known)]
"""Identified, but not yet checked against cross-site posts: for handlers that do it by `check_csrf`."""


async def _guest(
    request: Request, parts: Parts, token: Annotated[str | None, Depends(_cookie)]
) -> Principal | None:
    """Whoever it is, perhaps nobody: for pages that all may read."""
    try:
        return await _known(request, parts, None, token)
    except NotSignedInError:
        return None


Guest = Annotated[Principal | None, Depends(_guest)]


async def _caller(request: Request, known: Known) -> Principal:
    """Identified, and meaning it."""
    is_session = hasattr(request.state, "csrf_token")
    if is_session and request.method not in _SAFE_METHODS:
        given = request.headers.get(CSRF_HEADER)
        if given is None and request.headers.get("content-type", "").startswith(_SMALL_FORM):
            field = (await request.form()).get(CSRF_FIELD)
            given = field if isinstance(field, str) else None
        check_csrf(request, given)
    return known


Caller = Annotated[Principal, Depends(_caller)]


def _asker(caller: Caller) -> Principal:
    caller.require(Scope.ASK)
    return caller


def _ingester(caller: Caller) -> Principal:
    caller.require(Scope.INGEST)
    return caller


def _admin(caller: Caller) -> Principal:
    caller.require(Scope.ADMIN)
    return caller


def _operator(ingester: Annotated[Principal, Depends(_ingester)]) -> Principal:
    if ingester.sees_as is not None:
        msg = f"'{ingester.name}' may not do this: it shows documents of all; ask an administrator"
        raise NotAllowedError(msg)
    return ingester


def _tracer(caller: Caller) -> Principal:
    caller.require(Scope.ADMIN if caller.user is None else Scope.ASK)
    return caller


async def _scraper(
    request: Request,
    parts: Parts,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    token: Annotated[str | None, Depends(_cookie)],
) -> None:
    if parts.telemetry is None or not parts.telemetry.is_open:
        (await _known(request, parts, bearer, token)).require(Scope.ADMIN)


Scraper = Annotated[None, Depends(_scraper)]
"""An administrator, or anybody where the settings say so: whoever reads the meters."""
Asker = Annotated[Principal, Depends(_asker)]
Tracer = Annotated[Principal, Depends(_tracer)]
"""A person, who may see their own traces, or an administrator, who may see all."""
Ingester = Annotated[Principal, Depends(_ingester)]
Operator = Annotated[Principal, Depends(_operator)]
"""An ingester who sees every document: for what cannot be shown in part, such as the sources' failures."""
Admin = Annotated[Principal, Depends(_admin)]


def csrf_token(session_token: str) -> str:
    """What a form of this session must send along."""
    return hmac.new(session_token.encode(), b"causeway csrf", hashlib.sha256).hexdigest()


def check_csrf(request: Request, given: str | None) -> None:
    """Refuse what a browser sends without its session's token; a program's key needs none.

    Raises:
        NotAllowedError: The token is missing or wrong.
    """
    expected: str | None = getattr(request.state, "csrf_token", None)
    if expected is not None and not hmac.compare_digest((given or "").encode(), expected.encode()):
        msg = "this page is out of date; reload it and try again (its CSRF token is missing or wrong)"
        raise NotAllowedError(msg)


_SMALL_FORM = "application/x-www-form-urlencoded"
"""A multipart form may be a large file, and is not read before its sender is known to be good."""


class Attempts:
    """Counts failed sign-ins by address, or by account: after ``most`` within ``window_s`` it waits.

    Keys cannot be guessed, passwords can: this bounds how often, and keeps a hostile client from turning this process
    into a hash mill. Each process counts for itself.
    Bounded: the addresses seen longest ago are forgotten first.
    """

    def __init__(
        self, clock: Clock, *, most: int = 10, window_s: float = 300.0, addresses: int = 10_000
    ) -> None:
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._addresses = addresses
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long this address must wait before its next attempt; 0 when it need not."""
        recent = self._recent(address)
        return (
            max(0.0, recent[-self._most] + self._window_s - self._now()) if len(recent) >= self._most else 0.0
        )

    def fail(self, address: str) -> None:
        """Note a failed attempt."""
        self._failed[address] = [*self._recent(address), self._now()]
        self._failed.move_to_end(address)
        while len(self._failed) > self._addresses:
            self._failed.popitem(last=False)

    def succeed(self, address: str) -> None:
        """Forget an address's failures."""
        self._failed.pop(address, None)

    def _recent(self, address: str) -> list[float]:
        return [at for at in self._failed.get(address, ()) if at > self._now() - self._window_s]

    def _now(self) -> float:
        return self._clock.monotonic()
