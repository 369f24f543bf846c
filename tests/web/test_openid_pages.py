"""The pages of single sign-on: the button, the way to the provider and back, and what is said when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import httpx2
import pytest

from causeway.accounts.openid import OpenIdClient
from causeway.accounts.single_sign_on import SingleSignOn
from causeway.settings import OidcSettings
from causeway.testing.clock import FrozenClock
from causeway.web.app import build_app
from causeway.web.parts import AccountParts
from causeway.web.sign_in import COOKIE
from causeway.web.sign_in_pages import FLOW_COOKIE
from tests.accounts.openid_server import CLIENT_ID, CLIENT_SECRET, Misdeeds, OpenIdServer
from tests.web.admin_site import admin_site


@pytest.fixture
async def provider(clock: FrozenClock) -> AsyncIterator[OpenIdServer]:
    async with OpenIdServer(clock).running() as running:
        yield running


@pytest.fixture
async def browser(
    database_url: str, tmp_path: Path, clock: FrozenClock, provider: OpenIdServer
) -> AsyncIterator[httpx2.AsyncClient]:
    settings = OidcSettings.model_validate(
        {
            "issuer": provider.address,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "allowed_domains": ["example.com"],
            "name": "Fernhill ID",
        }
    )
    async with admin_site(database_url, tmp_path, environment={}, clock=clock) as site:
        sso = SingleSignOn(
            database=site.database,
            users=site.admin.users,
            client=OpenIdClient(settings, clock),
            settings=settings,
            clock=clock,
        )
        accounts = AccountParts(users=site.admin.users, single_sign_on=sso, provider=settings.name)
        transport = httpx2.ASGITransport(app=build_app(replace(site.parts, accounts=accounts)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://causeway.test") as opened:
            yield opened


async def to_the_provider(address: str) -> str:
    """Where the provider sends the browser back to, below Causeway's address."""
    async with aiohttp.ClientSession() as session, session.get(address, allow_redirects=False) as answer:
        return answer.headers["location"].removeprefix("http://causeway.test")


async def test_a_browser_goes_to_the_provider_and_comes_back_signed_in(browser: httpx2.AsyncClient) -> None:
    assert "Sign in with Fernhill ID" in (await browser.get("/sign-in?next=/documents")).text
    away = await browser.get("/sign-in/openid?next=/documents")
    assert away.status_code == 303
    assert "httponly" in away.headers["set-cookie"].lower()
    back = await browser.get(await to_the_provider(away.headers["location"]))
    assert (back.status_code, back.headers["location"]) == (303, "/documents")
    assert COOKIE in browser.cookies
    assert FLOW_COOKIE not in browser.cookies
    assert "Dana Reyes" in (await browser.get("/account")).text


async def test_a_link_that_somebody_sends_signs_nobody_into_their_account(
    browser: httpx2.AsyncClient,
) -> None:
    away = await browser.get("/sign-in/openid")
    back = await to_the_provider(away.headers["location"])
    browser.cookies.clear()
    refused = await browser.get(back)
    assert (refused.status_code, "was not begun in this browser" in refused.text) == (401, True)
    assert COOKIE not in browser.cookies


async def test_who_has_no_account_is_told_so(browser: httpx2.AsyncClient, provider: OpenIdServer) -> None:
    provider.person["email"] = "dana@elsewhere.example"
    away = await browser.get("/sign-in/openid")
    refused = await browser.get(await to_the_provider(away.headers["location"]))
    assert refused.status_code == 403
    assert "no account of &#39;dana@elsewhere.example&#39;" in refused.text
    assert COOKIE not in browser.cookies


async def test_a_token_that_is_not_good_leaves_nobody_signed_in(
    browser: httpx2.AsyncClient, provider: OpenIdServer
) -> None:
    provider.misdeeds = Misdeeds(unsigned=True)
    away = await browser.get("/sign-in/openid")
    assert (await browser.get(await to_the_provider(away.headers["location"]))).status_code == 401
    assert COOKIE not in browser.cookies


async def test_what_the_provider_says_of_an_error_is_shown_as_text(browser: httpx2.AsyncClient) -> None:
    refused = await browser.get("/sign-in/openid/callback?error=<script>alert(1)</script>")
    assert refused.status_code == 401
    assert "<script>alert(1)" not in refused.text


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example"])
async def test_coming_back_never_leads_off_site(browser: httpx2.AsyncClient, elsewhere: str) -> None:
    away = await browser.get("/sign-in/openid", params={"next": elsewhere})
    back = await browser.get(await to_the_provider(away.headers["location"]))
    assert back.headers["location"] == "/"
