"""The pages that sign in and out: by password, by key, through the OpenID provider; invitations; a person's own page.

Signing in has no session yet, and so no CSRF token; it refuses posts that another site sends. Every sign-in opens a new
session and ends the one that the browser had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from causeway.errors import CausewayError, InvalidInputError, NotFoundError, NotSignedInError
from causeway.web.parts import AccountParts, WebParts
from causeway.web.rendering import link, page
from causeway.web.sign_in import COOKIE, Attempts, Caller, Guest, Parts

if TYPE_CHECKING:
    from causeway.accounts.single_sign_on import SingleSignOn

router = APIRouter(include_in_schema=False)

FLOW_COOKIE = "causeway_openid"
_FLOW_S = 600
_TOO_LONG = 1000
_FOREIGN = "That came from another site. Sign in here instead."


# --- in ----------------------------------------------------------------------------------------------


@router.get("/sign-in", name="sign_in")
async def show(request: Request, parts: Parts, guest: Guest, next: str = "") -> Response:  # noqa: A002 - the query's name
    """The sign-in page; straight on when already signed in."""
    if guest is not None:
        return RedirectResponse(_onward(request, next), status_code=303)
    return await _form(request, parts, next)


@router.post("/sign-in", name="sign_in_post")
async def sign_in(
    request: Request,
    parts: Parts,
    key: Annotated[str, Form()] = "",
    email: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "",  # noqa: A002 - the form's name
) -> Response:
    """Trade a password or a key for a session."""
    if not _is_own_post(request):
        return await _form(request, parts, next, problem=_FOREIGN, status_code=403)
    address: Attempts = request.app.state.attempts
    account: Attempts = request.app.state.account_attempts
    counted = [(address, request.client.host if request.client else "")]
    if not key:
        counted.append((account, email.strip().casefold()[:320]))
    wait_s = max(attempts.wait_s(of) for attempts, of in counted)
    if wait_s:
        told = f"Too many attempts. Try again in {max(1, round(wait_s / 60))} minutes."
        return await _form(request, parts, next, email=email, problem=told, status_code=429)
    try:
        if key:
            token = await parts.sessions.open((await parts.keys.identify(key.strip())).id)
        else:
            token = await parts.sessions.open_for(await _by_password(parts, email, password))
    except NotSignedInError as exc:
        for attempts, of in counted:
            attempts.fail(of)
        told = f"{exc.message[:1].upper()}{exc.message[1:]}."
        return await _form(request, parts, next, email=email, is_key=bool(key), problem=told, status_code=401)
    for attempts, of in counted:
        attempts.succeed(of)
    return await _signed_in(request, parts, token, _onward(request, next))


async def _by_password(parts: WebParts, email: str, password: str) -> str:
    if parts.accounts is None or not parts.accounts.takes_passwords or len(password) > _TOO_LONG:
        msg = "the e-mail address or the password is wrong"
        raise NotSignedInError(msg)
    return (await parts.accounts.users.sign_in(email, password)).id


# --- invitations -------------------------------------------------------------------------------------


@router.get("/invitation/{token}", name="invitation")
async def invitation(token: str, request: Request, parts: Parts) -> Response:
    """The page on which somebody invited sets a password."""
    user = await _accounts(parts).users.invited(token)
    return _invitation_page(request, token, user.email)


@router.post("/invitation/{token}", name="invitation_post")
async def accept(
    token: str, request: Request, parts: Parts, password: Annotated[str, Form()] = ""
) -> Response:
    """Set the password and sign in."""
    if not _is_own_post(request):
        raise NotSignedInError(_FOREIGN)
    users = _accounts(parts).users
    invited = await users.invited(token)
    try:
        user = await users.accept(token, password[:_TOO_LONG])
    except InvalidInputError as exc:
        return _invitation_page(request, token, invited.email, problem=exc.message)
    return await _signed_in(request, parts, await parts.sessions.open_for(user.id), link(request, "ask"))


def _invitation_page(request: Request, token: str, email: str, *, problem: str | None = None) -> Response:
    values = {"token": token, "email": email, "problem": problem}
    headers = {"referrer-policy": "no-referrer", "cache-control": "no-store"}
    return page(request, "invitation.html", values, status_code=422 if problem else 200, headers=headers)


# --- through the OpenID provider ---------------------------------------------------------------------


@router.get("/sign-in/openid", name="sign_in_openid")
async def to_provider(request: Request, parts: Parts, next: str = "") -> Response:  # noqa: A002 - the query's name
    """Send the browser to the provider, with a cookie that ties its answer to this browser."""
    begun = await _single_sign_on(parts).begin(
        onward=_onward(request, next), redirect_uri=_callback(request, parts)
    )
    response = RedirectResponse(begun.address, status_code=303)
    response.set_cookie(
        FLOW_COOKIE,
        begun.browser,
        max_age=_FLOW_S,
        path=_cookie_path(request),
        httponly=True,
        samesite="lax",
        secure=_is_secure(request, parts),
    )
    return response


@router.get("/sign-in/openid/callback", name="sign_in_openid_callback")
async def from_provider(
    request: Request,
    parts: Parts,
    state: Annotated[str, Query(max_length=_TOO_LONG)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    iss: Annotated[str | None, Query(max_length=_TOO_LONG)] = None,
    error: Annotated[str, Query(max_length=_TOO_LONG)] = "",
) -> Response:
    """The provider's answer: open a session, or say why not."""
    try:
        if error:
            raise NotSignedInError(f"the provider refused: {error[:100]}")
        ended = await _single_sign_on(parts).finish(
            state=state,
            code=code,
            issuer=iss,
            browser=request.cookies.get(FLOW_COOKIE, ""),
            redirect_uri=_callback(request, parts),
        )
    except NotFoundError:
        raise
    except CausewayError as exc:
        told = f"{exc.message[:1].upper()}{exc.message[1:]}."
        response = await _form(request, parts, "", problem=told, status_code=exc.http_status)
    else:
        token = await parts.sessions.open_for(ended.user.id)
        response = await _signed_in(request, parts, token, ended.onward)
    response.delete_cookie(FLOW_COOKIE, path=_cookie_path(request))
    return response


def _callback(request: Request, parts: WebParts) -> str:
    fixed = parts.accounts.redirect_uri if parts.accounts else ""
    here = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return fixed or here + link(request, "sign_in_openid_callback")


# --- a person's own page, and out --------------------------------------------------------------------


@router.get("/account", name="account")
async def account(request: Request, parts: Parts, caller: Caller, done: str = "") -> Response:
    """Who is signed in, and their password."""
    return await _account_page(request, parts, caller, done=done)


@router.post("/account/password", name="account_password")
async def change_password(
    request: Request,
    parts: Parts,
    caller: Caller,
    present: Annotated[str, Form()] = "",
    wanted: Annotated[str, Form()] = "",
) -> Response:
    """Change the password; every other browser is signed out."""
    attempts: Attempts = request.app.state.account_attempts
    if caller.user is None or caller.id != caller.user:
        msg = "you signed in with a key, which has no password"
        raise InvalidInputError(msg)
    if attempts.wait_s(caller.user):
        problem = "too many wrong passwords; try again in a few minutes"
        return await _account_page(request, parts, caller, problem=problem, status_code=429)
    try:
        users = _accounts(parts).users
        await users.change_password(caller.user, present[:_TOO_LONG], wanted[:_TOO_LONG])
    except (NotSignedInError, InvalidInputError) as exc:
        if isinstance(exc, NotSignedInError):
            attempts.fail(caller.user)
        return await _account_page(request, parts, caller, problem=exc.message, status_code=422)
    token = await parts.sessions.open_for(caller.user)
    return await _signed_in(request, parts, token, link(request, "account", {"done": "password"}))


@router.post("/account/sign-out-everywhere", name="sign_out_everywhere")
async def sign_out_everywhere(request: Request, parts: Parts, caller: Caller) -> Response:
    """End every session of whoever asks, this one included."""
    await parts.sessions.close_all(caller)
    return _signed_out(request)


@router.post("/sign-out", name="sign_out")
async def sign_out(request: Request, parts: Parts, _caller: Caller) -> Response:
    """End the session."""
    token = request.cookies.get(COOKIE)
    if token:
        await parts.sessions.close(token)
    return _signed_out(request)


async def _account_page(
    request: Request,
    parts: WebParts,
    caller: Caller,
    *,
    done: str = "",
    problem: str = "",
    status_code: int = 200,
) -> Response:
    is_person = parts.accounts is not None and caller.user is not None
    user = await parts.accounts.users.find(caller.user) if parts.accounts and caller.user else None
    values = {"user": user if is_person else None, "done": done, "problem": problem}
    return page(request, "account.html", values, status_code=status_code)


# --- shared ------------------------------------------------------------------------------------------


async def _form(
    request: Request,
    parts: WebParts,
    next_path: str,
    *,
    email: str = "",
    is_key: bool = False,
    problem: str | None = None,
    status_code: int = 200,
) -> Response:
    accounts = parts.accounts
    # before anybody has an account there is only the key that the first start printed
    takes_passwords = accounts is not None and accounts.takes_passwords and await accounts.users.exist()
    values = {
        "next": next_path,
        "problem": problem,
        "email": email[:320],
        "takes_passwords": takes_passwords,
        "provider": accounts.provider if accounts and accounts.single_sign_on else "",
        "is_key": is_key,
    }
    return page(request, "sign_in.html", values, status_code=status_code)


async def _signed_in(request: Request, parts: WebParts, token: str, target: str) -> Response:
    before = request.cookies.get(COOKIE)
    if before:
        await parts.sessions.close(before)
    response = RedirectResponse(target, status_code=303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(parts.sessions.lifetime.total_seconds()),
        path=_cookie_path(request),
        httponly=True,
        samesite="lax",
        secure=_is_secure(request, parts),
    )
    return response


def _signed_out(request: Request) -> Response:
    response = RedirectResponse(link(request, "sign_in"), status_code=303)
    response.delete_cookie(COOKIE, path=_cookie_path(request))
    return response


def _cookie_path(request: Request) -> str:
    return request.scope.get("root_path", "") or "/"


def _is_secure(request: Request, parts: WebParts) -> bool:
    """Whether cookies go over TLS alone: when this page came over it, or the settings say that a proxy has it."""
    return parts.settings.secure_cookies or request.url.scheme == "https"


def _accounts(parts: WebParts) -> AccountParts:
    if parts.accounts is None:
        msg = "this Causeway keeps no accounts"
        raise NotFoundError(msg)
    return parts.accounts


def _single_sign_on(parts: WebParts) -> SingleSignOn:
    found = parts.accounts.single_sign_on if parts.accounts else None
    if found is None:
        msg = "no OpenID provider is set up; the settings' section 'oidc' names one"
        raise NotFoundError(msg)
    return found


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
