"""Signing in with a password, invitations, a person's own page; users, groups and rules as administrators change them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from causeway.accounts.users import User
from causeway.contracts.identity import Role, Scope
from causeway.errors import NotSignedInError
from causeway.gateway.identities import Identities
from causeway.storage.notices import Notices
from causeway.testing.clock import FrozenClock
from causeway.web.app import build_app
from causeway.web.parts import WebParts
from causeway.web.sign_in import COOKIE, csrf_token
from tests.accounts.people import PASSWORD
from tests.web.admin_site import AdminSite, admin_site
from tests.web.scripted import scripted

EMAIL = "dana@example.com"


@pytest.fixture
async def site(database_url: str, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[AdminSite]:
    async with admin_site(database_url, tmp_path, environment={}, clock=clock) as opened:
        yield opened


@pytest.fixture
async def visit(site: AdminSite) -> AsyncIterator[Callable[..., httpx2.AsyncClient]]:
    """Browsers, each with its own cookies and address."""
    app = build_app(site.parts)
    opened: list[httpx2.AsyncClient] = []

    def open_browser(address: str = "192.0.2.1", scheme: str = "http") -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=app, client=(address, 4000))
        opened.append(httpx2.AsyncClient(transport=transport, base_url=f"{scheme}://causeway.test"))
        return opened[-1]

    yield open_browser
    for browser in opened:
        await browser.aclose()


Visit = Callable[..., httpx2.AsyncClient]


async def make(site: AdminSite, email: str = EMAIL, role: Role = Role.READER) -> User:
    invitation = await site.admin.users.create(email, name="Dana Reyes", role=role)
    return await site.admin.users.accept(invitation.token, PASSWORD)


async def sign_in(
    browser: httpx2.AsyncClient, email: str = EMAIL, password: str = PASSWORD
) -> httpx2.Response:
    return await browser.post("/sign-in", data={"email": email, "password": password})


def token_of(browser: httpx2.AsyncClient) -> str:
    return csrf_token(browser.cookies[COOKIE])


async def test_before_anybody_has_an_account_the_page_asks_for_the_key_of_the_first_start(
    site: AdminSite, visit: Visit
) -> None:
    browser = visit()
    page = (await browser.get("/sign-in")).text
    assert "admin key that Causeway printed" in page
    assert 'name="password"' not in page
    await make(site)
    page = (await browser.get("/sign-in")).text
    assert "admin key that Causeway printed" not in page
    assert 'name="password"' in page


async def test_a_person_signs_in_with_a_password(site: AdminSite, visit: Visit) -> None:
    await make(site)
    browser = visit()
    entered = await sign_in(browser)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    page = await browser.get("/account")
    assert "Dana Reyes" in page.text
    assert "dana@example.com · Reader" in page.text


async def test_a_wrong_password_says_no_more_than_an_unknown_address(site: AdminSite, visit: Visit) -> None:
    await make(site)
    wrong = await sign_in(visit(), password="wrong")
    nobody = await sign_in(visit(), email="nobody@example.com")
    assert (wrong.status_code, nobody.status_code) == (401, 401)
    assert COOKIE not in wrong.headers.get("set-cookie", "")
    assert wrong.text.replace(EMAIL, "nobody@example.com") == nobody.text


async def test_an_account_that_is_guessed_at_waits_whatever_addresses_it_is_guessed_from(
    site: AdminSite, visit: Visit, clock: FrozenClock
) -> None:
    await make(site)
    guesses = [
        (await sign_in(visit(f"192.0.2.{number}"), password="wrong")).status_code for number in range(11)
    ]
    assert guesses == [401] * 10 + [429]
    assert (await sign_in(visit("198.51.100.9"))).status_code == 429
    clock.advance(901)
    assert (await sign_in(visit("198.51.100.9"))).status_code == 303


async def test_an_address_that_guesses_at_many_accounts_waits(site: AdminSite, visit: Visit) -> None:
    await make(site)
    browser = visit()
    for number in range(10):
        await sign_in(browser, email=f"user{number}@example.com", password="wrong")
    assert (await sign_in(browser)).status_code == 429
    assert (await sign_in(visit("192.0.2.2"))).status_code == 303


async def test_signing_in_ends_the_session_that_the_browser_had(site: AdminSite, visit: Visit) -> None:
    await make(site)
    browser = visit()
    await sign_in(browser)
    before = browser.cookies[COOKIE]
    await sign_in(browser)
    assert browser.cookies[COOKIE] != before
    other = visit()
    other.cookies.set(COOKIE, before)
    assert (await other.get("/account")).status_code == 303


async def test_the_cookie_is_secure_over_tls(site: AdminSite, visit: Visit) -> None:
    await make(site)
    over_tls = (await sign_in(visit(scheme="https"))).headers["set-cookie"].lower()
    plain = (await sign_in(visit())).headers["set-cookie"].lower()
    assert "secure" in over_tls
    assert "secure" not in plain
    for part in ("httponly", "samesite=lax", "path=/"):
        assert part in over_tls


async def test_signing_out_everywhere_ends_sessions_of_passwords_and_keys(
    site: AdminSite, visit: Visit
) -> None:
    user = await make(site)
    key = await site.admin.keys.create("laptop", [Scope.ASK], user=user.id)
    first, second, third, program = visit(), visit(), visit(), visit()
    await sign_in(first)
    await sign_in(second)
    await third.post("/sign-in", data={"key": key.secret})
    await program.post("/sign-in", data={"key": site.user_key})
    left = await first.post("/account/sign-out-everywhere", data={"csrf_token": token_of(first)})
    assert left.headers["location"] == "/sign-in"
    for browser in (first, second, third):
        assert (await browser.get("/account")).status_code == 303
    assert (await program.get("/account")).status_code == 200


async def test_what_a_session_changes_needs_its_csrf_token(site: AdminSite, visit: Visit) -> None:
    await make(site)
    browser = visit()
    await sign_in(browser)
    for path in ("/account/sign-out-everywhere", "/account/password", "/sign-out"):
        assert (await browser.post(path, data={"csrf_token": "0" * 64})).status_code == 403
    assert (await browser.get("/account")).status_code == 200


async def test_an_invitation_page_sets_the_password_and_signs_in(site: AdminSite, visit: Visit) -> None:
    invitation = await site.admin.users.create(EMAIL, name="Dana Reyes")
    browser, path = visit(), f"/invitation/{invitation.token}"
    page = await browser.get(path)
    assert EMAIL in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert (await browser.post(path, data={"password": "short"})).status_code == 422
    foreign = {"origin": "https://evil.example"}
    assert (await browser.post(path, data={"password": PASSWORD}, headers=foreign)).status_code == 303
    assert COOKIE not in browser.cookies
    assert (await browser.post(path, data={"password": PASSWORD})).headers["location"] == "/"
    assert "Dana Reyes" in (await browser.get("/account")).text
    assert (await visit().get(path)).status_code == 303


async def test_the_password_is_changed_on_the_persons_own_page(site: AdminSite, visit: Visit) -> None:
    await make(site)
    browser, other = visit(), visit()
    await sign_in(browser)
    await sign_in(other)
    form = {"csrf_token": token_of(browser), "present": "wrong", "wanted": "quite another long word"}
    refused = await browser.post("/account/password", data=form)
    assert (refused.status_code, "present password is wrong" in refused.text) == (422, True)
    changed = await browser.post("/account/password", data={**form, "present": PASSWORD})
    assert changed.headers["location"] == "/account?done=password"
    assert (await browser.get("/account")).status_code == 200
    assert (await other.get("/account")).status_code == 303
    assert (await sign_in(visit(), password="quite another long word")).status_code == 303


async def test_disabling_an_account_ends_its_browsers_and_its_keys_at_once(
    site: AdminSite, visit: Visit
) -> None:
    user = await make(site)
    key = await site.admin.keys.create("laptop", [Scope.ASK], user=user.id)
    browser, program = visit(), visit()
    await sign_in(browser)
    program.headers["authorization"] = f"Bearer {key.secret}"
    assert (await program.get("/api/documents")).status_code == 200
    await site.admin.users.update(user.id, is_disabled=True)
    assert (await browser.get("/account")).status_code == 303
    refused = await program.get("/api/documents")
    assert (refused.status_code, "disabled" in refused.json()["detail"]) == (401, True)


@pytest.mark.parametrize(
    ("role", "scopes", "may"),
    [
        (Role.READER, [Scope.ADMIN], {Scope.ASK, Scope.MODELS, Scope.TRACES}),
        (Role.READER, [Scope.ASK, Scope.INGEST], {Scope.ASK}),
        (Role.EDITOR, [Scope.MODELS, Scope.INGEST], {Scope.MODELS, Scope.INGEST}),
        (Role.ADMIN, [Scope.ASK], {Scope.ASK}),
        (Role.ADMIN, [Scope.ADMIN], {Scope.ADMIN}),
    ],
)
async def test_a_persons_key_never_does_more_than_they(
    site: AdminSite, role: Role, scopes: list[Scope], may: set[Scope]
) -> None:
    user = await make(site, role=role)
    key = await site.admin.keys.create("laptop", scopes, user=user.id)
    principal = await site.admin.keys.identify(key.secret)
    assert principal.scopes == may
    assert principal.user == user.id
    assert (principal.sees_as is None) == (role is Role.ADMIN)


async def test_a_remembered_key_follows_its_owners_role_and_groups(
    site: AdminSite, eventually: Callable[..., object]
) -> None:
    user, keys = await make(site), site.admin.keys
    group = await site.admin.groups.create("HR")
    key = await keys.create("laptop", [Scope.ASK, Scope.INGEST], user=user.id)
    assert (await keys.identify(key.secret)).scopes == {Scope.ASK}
    await site.admin.users.update(user.id, role=Role.EDITOR, groups=["HR"])

    async def follows() -> bool:
        known = await keys.identify(key.secret)
        return Scope.INGEST in known.scopes and f"group:{group.id}" in (known.sees_as or ())

    await eventually(follows)  # type: ignore[misc]  # the fixture's own type


async def test_a_program_s_key_keeps_its_rights(site: AdminSite) -> None:
    principal = await site.admin.keys.identify(site.user_key)
    assert (principal.user, principal.sees_as, principal.owner) == (None, None, principal.id)


async def test_administrators_make_change_and_delete_users_over_the_api(
    site: AdminSite, visit: Visit
) -> None:
    api = visit()
    api.headers["authorization"] = f"Bearer {site.admin_key}"
    await api.post("/api/admin/groups", json={"name": "HR"})
    made = await api.post("/api/admin/users", json={"email": EMAIL, "role": "editor", "groups": ["HR"]})
    assert made.status_code == 201
    user = made.json()["user"]
    assert (user["state"], user["role"], list(user["groups"].values())) == ("invited", "editor", ["HR"])
    assert made.json()["path"] == f"/invitation/{made.json()['token']}"
    changed = await api.patch(f"/api/admin/users/{user['user_id']}", json={"role": "reader"})
    assert (changed.json()["role"], list(changed.json()["groups"].values())) == ("reader", ["HR"])
    again = await api.post(f"/api/admin/users/{user['user_id']}/invite")
    assert again.json()["token"] != made.json()["token"]
    listed = await api.get("/api/admin/users")
    assert [each["email"] for each in listed.json()["users"]] == [EMAIL]
    for secret in (made.json()["token"], again.json()["token"]):
        assert secret not in listed.text
    assert (await api.delete(f"/api/admin/users/{user['user_id']}")).status_code == 204
    assert (await api.get(f"/api/admin/users/{user['user_id']}")).status_code == 404


async def test_only_administrators_reach_people_and_rules(site: AdminSite, visit: Visit) -> None:
    await make(site, role=Role.EDITOR)
    browser = visit()
    await sign_in(browser)
    for path in ("users", "groups", "access"):
        assert (await browser.get(f"/api/admin/{path}")).status_code == 403
        assert (await browser.get(f"/admin/{path}")).status_code == 403
    refused = await browser.post(
        "/api/admin/users", json={"email": "x@example.com"}, headers={"x-csrf-token": token_of(browser)}
    )
    assert refused.status_code == 403


async def test_the_pages_make_a_user_and_show_the_invitation_once(site: AdminSite, visit: Visit) -> None:
    browser = visit()
    await browser.post("/sign-in", data={"key": site.admin_key})
    form = {"csrf_token": token_of(browser), "email": EMAIL, "name": "Dana Reyes", "role": "reader"}
    shown = await browser.post("/admin/new/user", data=form)
    found = re.search(r"http://causeway\.test(/invitation/[\w-]+)", shown.text)
    assert found
    assert (await visit().get(found[1])).status_code == 200
    wrong = await browser.post("/admin/new/user", data=form)
    assert (wrong.status_code, "There is an account of" in wrong.text) == (422, True)
    listing = await browser.get("/admin/users?q=reyes")
    assert ("Dana Reyes" in listing.text, found[1] in listing.text) == (True, False)
    user_id = (await site.admin.users.find(EMAIL)).id
    await browser.post(f"/admin/users/{user_id}/edit", data={**form, "role": "editor", "is_disabled": "on"})
    changed = await site.admin.users.find(EMAIL)
    assert (changed.role, changed.disabled_at is not None) == (Role.EDITOR, True)
    assert "Dana Reyes" in (await browser.get("/admin/audit")).text


def test_without_accounts_there_are_keys_alone(
    tmp_path: Path, connect: Callable[[WebParts], TestClient]
) -> None:
    client = connect(scripted(tmp_path).parts)
    assert "E-mail" not in client.get("/sign-in").text
    assert client.post("/sign-in", data={"email": EMAIL, "password": PASSWORD}).status_code == 401
    assert client.get("/sign-in/openid").status_code == 404


async def test_identities_forget_a_person_whose_account_changed(site: AdminSite, clock: FrozenClock) -> None:
    identities = Identities(site.database, clock, Notices(site.database))
    user = await make(site)
    key = await site.admin.keys.create("laptop", [Scope.ASK], user=user.id)
    assert (await identities.identify(key.secret)).user == user.id
    await site.admin.users.delete(user.id)
    with pytest.raises(NotSignedInError):
        await identities.identify(key.secret)
