"""Who is asking: a bearer key for programs, a session cookie for browsers; and the pages that sign in and out.

A request that changes something and is known by its cookie alone must also carry the session's CSRF token, in the
``X-CSRF-Token`` header or the form's ``csrf_token``. The token is derived from the cookie, which no page of another
origin can read, so nothing more is stored. Signing in has no session yet; it refuses posts that another site sends.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import RedirectResponse, Response

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal, Scope
from causeway.errors import NotAllowedError, NotSignedInError
from causeway.web.parts import WebParts
from causeway.web.rendering import link, page
from causeway.web.sessions import LIFETIME

COOKIE = "causeway_session"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

router = APIRouter(include_in_schema=False)
_bearer = HTTPBearer(auto_error=False, description="A key made by `causeway keys create`")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="The browser's session")


# --- who is asking -----------------------------------------------------------------------------------


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


Asker = Annotated[Principal, Depends(_asker)]
Ingester = Annotated[Principal, Depends(_ingester)]
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


# --- signing in and out ------------------------------------------------------------------------------


class Attempts:
    """Counts failed sign-ins by address: after ``most`` within ``window_s`` an address waits.

    Keys cannot be guessed; this keeps a broken or hostile client from turning the database into a hash mill.
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


@router.get("/sign-in", name="sign_in")
async def show(request: Request, guest: Guest, next: str = "") -> Response:  # noqa: A002 - the query's name
    """The sign-in page; straight on when already signed in."""
    if guest is not None:
        return RedirectResponse(_onward(request, next), status_code=303)
    return page(request, "sign_in.html", {"next": next, "problem": None})


@router.post("/sign-in", name="sign_in_post")
async def sign_in(
    request: Request,
    parts: Parts,
    key: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "",  # noqa: A002 - the form's name
) -> Response:
    """Trade a key for a session."""
    attempts: Attempts = request.app.state.attempts
    address = request.client.host if request.client else ""

    def refuse(problem: str, status_code: int) -> Response:
        return page(request, "sign_in.html", {"next": next, "problem": problem}, status_code=status_code)

    if not _is_own_post(request):
        return refuse("That came from another site. Sign in here instead.", 403)
    wait_s = attempts.wait_s(address)
    if wait_s:
        return refuse(f"Too many attempts. Try again in {wait_s / 60:.0f} minutes.", 429)
    try:
        principal = await parts.keys.identify(key.strip())
    except NotSignedInError as exc:
        attempts.fail(address)
        return refuse(f"{exc.message[:1].upper()}{exc.message[1:]}.", 401)
    attempts.succeed(address)
    response = RedirectResponse(_onward(request, next), status_code=303)
    response.set_cookie(
        COOKIE,
        await parts.sessions.open(principal.id),
        max_age=int(LIFETIME.total_seconds()),
        path=request.scope.get("root_path", "") or "/",
        httponly=True,
        samesite="lax",
        secure=parts.settings.secure_cookies,
    )
    return response


@router.post("/sign-out", name="sign_out")
async def sign_out(request: Request, parts: Parts, _caller: Caller) -> Response:
    """End the session."""
    token = request.cookies.get(COOKIE)
    if token:
        await parts.sessions.close(token)
    response = RedirectResponse(link(request, "sign_in"), status_code=303)
    response.delete_cookie(COOKIE, path=request.scope.get("root_path", "") or "/")
    return response


def _is_own_post(request: Request) -> bool:
    """Whether our own page sent this form, as far as the browser says.

    Browsers send Sec-Fetch-Site to secure origins only, and Origin with every post: https://fetch.spec.whatwg.org/.
    A proxy may change the scheme, so hosts are compared.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _onward(request: Request, next_path: str) -> str:
    """``next_path`` when it leads to a page of ours, else the first page."""
    start = link(request, "ask")
    is_path = next_path.startswith("/") and not next_path.startswith(("//", "/\\"))
    is_ours = is_path and next_path.startswith(start) and next_path.isprintable()
    return next_path if is_ours and not urlsplit(next_path).netloc else start
