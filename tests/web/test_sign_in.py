from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from causeway.contracts.identity import Scope
from causeway.contracts.money import Micros
from causeway.errors import NotSignedInError
from causeway.gateway.keys import Bounds, Keys
from causeway.gateway.teams import Teams
from causeway.storage.database import Database
from causeway.storage.notices import Notices
from causeway.testing.clock import FrozenClock
from causeway.web.parts import WebParts
from causeway.web.sessions import Sessions
from causeway.web.sign_in import COOKIE, Attempts, csrf_token
from tests.web.scripted import ADMIN_KEY, READER_KEY, Scripted, scripted


def sign_in(client: TestClient, key: str = ADMIN_KEY, next_path: str = "") -> str:
    """Sign in; where to next."""
    answer = client.post("/sign-in", data={"key": key, "next": next_path})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def token_of(client: TestClient) -> str:
    return csrf_token(client.cookies[COOKIE])


def test_pages_lead_to_sign_in_and_back(client: TestClient) -> None:
    sent = client.get("/documents?q=tents")
    assert sent.status_code == 303
    assert sent.headers["location"] == "/sign-in?next=%2Fdocuments%3Fq%3Dtents"
    assert sign_in(client, next_path="/documents?q=tents") == "/documents?q=tents"
    assert client.get("/documents").status_code == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "javascript:alert(1)",
        "/a\nb",
        "",
    ],
)
def test_sign_in_never_leads_off_site(client: TestClient, elsewhere: str) -> None:
    assert sign_in(client, next_path=elsewhere) == "/"


def test_the_cookie_is_kept_from_scripts_and_other_sites(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"key": ADMIN_KEY})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie


def test_the_cookie_is_secure_when_settings_say_so(
    site: Scripted, connect: Callable[[WebParts], TestClient]
) -> None:
    settings = site.parts.settings.model_copy(update={"secure_cookies": True})
    client = connect(dataclasses.replace(site.parts, settings=settings))
    assert "secure" in client.post("/sign-in", data={"key": ADMIN_KEY}).headers["set-cookie"].lower()


def test_a_wrong_key_is_refused_without_a_cookie(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"key": "cw-wrong"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "Unknown key" in answer.text
    assert "cw-wrong" not in answer.text


def test_an_address_that_fails_too_often_waits(
    tmp_path: Path, connect: Callable[[WebParts], TestClient], clock: FrozenClock
) -> None:
    client = connect(scripted(tmp_path, clock=clock).parts)
    statuses = [client.post("/sign-in", data={"key": "cw-wrong"}).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert client.post("/sign-in", data={"key": ADMIN_KEY}).status_code == 429
    clock.advance(301)
    assert client.post("/sign-in", data={"key": ADMIN_KEY}).status_code == 303


def test_attempts_forget_the_oldest_addresses_first(clock: FrozenClock) -> None:
    attempts = Attempts(clock, most=1, addresses=2)
    for address in ("a", "b", "c"):
        attempts.fail(address)
    assert [attempts.wait_s(address) > 0 for address in ("a", "b", "c")] == [False, True, True]


def test_another_sites_form_cannot_sign_anybody_in(client: TestClient) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        assert client.post("/sign-in", data={"key": ADMIN_KEY}, headers=headers).status_code == 403


def test_a_session_alone_changes_nothing(client: TestClient, site: Scripted) -> None:
    sign_in(client)
    document = (client.get("/api/documents").json())["documents"][0]["document_id"]
    refused = client.delete(f"/api/documents/{document}")
    assert refused.status_code == 403
    assert refused.json()["code"] == "not_allowed"
    wrong = client.post("/sign-out", data={"csrf_token": "0" * 64})
    assert wrong.status_code == 403
    allowed = client.delete(f"/api/documents/{document}", headers={"x-csrf-token": token_of(client)})
    assert allowed.status_code == 204


def test_signing_out_ends_the_session(client: TestClient) -> None:
    sign_in(client)
    cookie = client.cookies[COOKIE]
    assert client.post("/sign-out", data={"csrf_token": token_of(client)}).status_code == 303
    client.cookies.set(COOKIE, cookie)
    assert client.get("/").status_code == 303


def test_a_key_without_the_scope_is_told_so(client: TestClient) -> None:
    sign_in(client, READER_KEY)
    page = client.get("/traces")
    assert page.status_code == 403
    assert "needs the scope" in page.text
    assert "Traces" not in client.get("/").text


def _keys(database: Database, clock: FrozenClock) -> Keys:
    return Keys(database, clock, notices=Notices(database), default_tier="pro")


async def test_sessions_store_no_token_and_end_with_their_key(database: Database, clock: FrozenClock) -> None:
    keys, sessions = _keys(database, clock), Sessions(database, clock)
    key = await keys.create("dana", [Scope.ASK])
    token = await sessions.open(key.id)
    assert (await sessions.principal(token)).name == "dana"
    await keys.revoke(key.id)
    with pytest.raises(NotSignedInError):
        await sessions.principal(token)


async def test_a_session_has_its_keys_tier_team_and_budgets(database: Database, clock: FrozenClock) -> None:
    keys, sessions = _keys(database, clock), Sessions(database, clock)
    team = await Teams(database).create("ops", budget_per_day=Micros(7))
    bounds = Bounds(team=team.id, tier="free", models=("openai/*",), budget_per_month=Micros(9))
    key = await keys.create("dana", [Scope.ASK], bounds=bounds)
    assert await sessions.principal(await sessions.open(key.id)) == await keys.identify(key.secret)


async def test_rotating_without_grace_ends_the_sessions_opened_with_the_old_secret(
    database: Database, clock: FrozenClock
) -> None:
    keys, sessions = _keys(database, clock), Sessions(database, clock)
    key = await keys.create("dana", [Scope.ASK])
    token = await sessions.open(key.id)
    await keys.rotate(key.id, grace=timedelta(hours=1))
    assert (await sessions.principal(token)).id == key.id
    await keys.rotate(key.id)
    with pytest.raises(NotSignedInError):
        await sessions.principal(token)


async def test_sessions_end_after_thirty_days_of_use_or_when_closed(
    database: Database, clock: FrozenClock
) -> None:
    keys, sessions = _keys(database, clock), Sessions(database, clock)
    key = await keys.create("dana", [Scope.ASK])
    closed, kept = await sessions.open(key.id), await sessions.open(key.id)
    await sessions.close(closed)
    with pytest.raises(NotSignedInError):
        await sessions.principal(closed)
    for _ in range(5):
        clock.advance(6 * 86_400 - 1)
        assert (await sessions.principal(kept)).id == key.id
    clock.advance(6)
    with pytest.raises(NotSignedInError):
        await sessions.principal(kept)


async def test_a_session_that_nobody_uses_ends_after_a_week(database: Database, clock: FrozenClock) -> None:
    keys, sessions = _keys(database, clock), Sessions(database, clock)
    token = await sessions.open((await keys.create("dana", [Scope.ASK])).id)
    clock.advance(7 * 86_400 - 1)
    await sessions.principal(token)
    clock.advance(7 * 86_400)
    with pytest.raises(NotSignedInError):
        await sessions.principal(token)
