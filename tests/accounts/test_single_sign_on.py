"""Signing in through a provider: a real one on the loopback, which keeps to the protocol until a test says otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
import pytest
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from sqlalchemy import func, select

from causeway.accounts.groups import Groups
from causeway.accounts.openid import OpenIdClient
from causeway.accounts.single_sign_on import Begun, Ended, SingleSignOn
from causeway.accounts.users import Users
from causeway.contracts.identity import Role
from causeway.errors import NotAllowedError, NotSignedInError, SettingsError, UpstreamError
from causeway.settings import OidcSettings
from causeway.storage.database import Database
from causeway.storage.schema import users as table
from causeway.testing.clock import FrozenClock
from tests.accounts.openid_server import CLIENT_ID, CLIENT_SECRET, Misdeeds, OpenIdServer, state_of

CALLBACK = "http://causeway.test/sign-in/openid/callback"


@pytest.fixture
async def provider(clock: FrozenClock) -> AsyncIterator[OpenIdServer]:
    async with OpenIdServer(clock).running() as running:
        yield running


def settings_for(provider: OpenIdServer, **changed: object) -> OidcSettings:
    return OidcSettings.model_validate(
        {
            "issuer": provider.address,
            "client_id": CLIENT_ID,
            "client_secret": SecretStr(CLIENT_SECRET),
            "allowed_domains": ["example.com"],
            "groups": {"hr-staff": "HR", "ops-staff": "Operations"},
            **changed,
        }
    )


Make = Callable[..., SingleSignOn]


@pytest.fixture
def make(database: Database, users: Users, provider: OpenIdServer, clock: FrozenClock) -> Make:
    def made(**changed: object) -> SingleSignOn:
        settings = settings_for(provider, **changed)
        client = OpenIdClient(settings, clock)
        return SingleSignOn(database=database, users=users, client=client, settings=settings, clock=clock)

    return made


@pytest.fixture
def sso(make: Make) -> SingleSignOn:
    return make()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser brings back."""

    state: str
    code: str
    iss: str


async def visit(begun: Begun) -> Answer:
    """Go to the provider as a browser does."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(begun.address, allow_redirects=False) as answer,
    ):
        assert answer.status == 302, await answer.text()
        return Answer(**state_of(answer.headers["location"]))


async def come_back(sso: SingleSignOn, begun: Begun, answer: Answer, **changed: str) -> Ended:
    return await sso.finish(
        state=changed.get("state", answer.state),
        code=changed.get("code", answer.code),
        issuer=answer.iss,
        browser=changed.get("browser", begun.browser),
        redirect_uri=CALLBACK,
    )


async def sign_in(sso: SingleSignOn) -> Ended:
    begun = await sso.begin(onward="/documents", redirect_uri=CALLBACK)
    return await come_back(sso, begun, await visit(begun))


async def test_somebody_of_an_allowed_domain_gets_an_account_by_coming(
    sso: SingleSignOn, groups: Groups, provider: OpenIdServer
) -> None:
    await groups.create("HR")
    ended = await sign_in(sso)
    assert ended.onward == "/documents"
    assert (ended.user.email, ended.user.name, ended.user.role) == (
        "dana@example.com",
        "Dana Reyes",
        Role.READER,
    )
    assert list(ended.user.groups.values()) == ["HR"]
    assert (ended.user.has_password, ended.user.issuer) == (False, provider.address)
    assert (await sign_in(sso)).user.id == ended.user.id


async def test_groups_follow_the_claim_at_every_sign_in(
    sso: SingleSignOn, groups: Groups, provider: OpenIdServer
) -> None:
    for name in ("HR", "Operations"):
        await groups.create(name)
    assert list((await sign_in(sso)).user.groups.values()) == ["HR"]
    provider.person["groups"] = ["ops-staff", "unknown"]
    assert list((await sign_in(sso)).user.groups.values()) == ["Operations"]
    provider.person["groups"] = "hr-staff"
    assert list((await sign_in(sso)).user.groups.values()) == ["HR"]
    del provider.person["groups"]
    assert (await sign_in(sso)).user.groups == {}


async def test_an_account_made_before_is_found_by_its_verified_address(
    make: Make, users: Users, provider: OpenIdServer
) -> None:
    made = await users.create("Dana@Example.com", role=Role.EDITOR)
    ended = await sign_in(make(allowed_domains=[]))
    assert (ended.user.id, ended.user.role, ended.user.issuer) == (
        made.user.id,
        Role.EDITOR,
        provider.address,
    )


async def test_a_renamed_person_keeps_the_account(sso: SingleSignOn, provider: OpenIdServer) -> None:
    first = (await sign_in(sso)).user
    provider.person |= {"email": "dana.lee@example.com", "email_verified": False}
    assert (await sign_in(sso)).user.id == first.id


async def test_whoever_gets_a_used_address_later_does_not_get_its_account(
    sso: SingleSignOn, provider: OpenIdServer
) -> None:
    await sign_in(sso)
    provider.person["sub"] = "person-2"
    with pytest.raises(NotAllowedError, match="belongs to somebody else"):
        await sign_in(sso)


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": None},
        {"email": "no address"},
        {"email": "dana@elsewhere.example"},
        {"email": "dana@example.com.elsewhere.example"},
    ],
)
async def test_nobody_gets_an_account_without_a_verified_address_of_an_allowed_domain(
    sso: SingleSignOn, provider: OpenIdServer, database: Database, claims: dict[str, object]
) -> None:
    provider.misdeeds = Misdeeds(claims=claims)
    with pytest.raises(NotAllowedError):
        await sign_in(sso)
    async with database.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(table)) == 0


async def test_an_unverified_address_never_finds_an_account(
    sso: SingleSignOn, users: Users, provider: OpenIdServer
) -> None:
    await users.create("dana@example.com", role=Role.ADMIN)
    provider.person["email_verified"] = False
    with pytest.raises(NotAllowedError, match="does not vouch"):
        await sign_in(sso)


async def test_a_disabled_account_stays_out(sso: SingleSignOn, users: Users) -> None:
    user = (await sign_in(sso)).user
    await users.update(user.id, is_disabled=True)
    with pytest.raises(NotAllowedError, match="disabled"):
        await sign_in(sso)


FORGED = RSAKey.generate_key(2048, {"kid": "rsa-1"})


@pytest.mark.parametrize(
    "misdeeds",
    [
        Misdeeds(claims={"nonce": "another"}),
        Misdeeds(claims={"nonce": None}),
        Misdeeds(claims={"aud": "another-client"}),
        Misdeeds(claims={"aud": ["another-client"]}),
        Misdeeds(claims={"aud": None}),
        Misdeeds(claims={"aud": [CLIENT_ID, "another-client"]}),
        Misdeeds(claims={"aud": [CLIENT_ID, "another-client"], "azp": "another-client"}),
        Misdeeds(claims={"iss": "https://elsewhere.example"}),
        Misdeeds(claims={"iss": None}),
        Misdeeds(claims={"exp": 1}),
        Misdeeds(claims={"exp": None}),
        Misdeeds(claims={"exp": "tomorrow"}),
        Misdeeds(claims={"iat": 9_999_999_999}),
        Misdeeds(claims={"nbf": 9_999_999_999}),
        Misdeeds(claims={"sub": None}),
        Misdeeds(claims={"sub": ""}),
        Misdeeds(claims={"sub": 7}),
        Misdeeds(claims={"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
        Misdeeds(unsigned=True),
        Misdeeds(signed_with=FORGED),
        Misdeeds(hmac_with_public_key=True),
        Misdeeds(tampered=True),
        Misdeeds(no_token=True),
    ],
    ids=str,
)
async def test_a_token_that_is_not_good_signs_nobody_in(
    sso: SingleSignOn, provider: OpenIdServer, database: Database, misdeeds: Misdeeds
) -> None:
    provider.misdeeds = misdeeds
    with pytest.raises(NotSignedInError):
        await sign_in(sso)
    async with database.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(table)) == 0


async def test_an_expired_token_is_refused_and_a_minute_of_skew_is_not(
    sso: SingleSignOn, provider: OpenIdServer, clock: FrozenClock
) -> None:
    now = int(clock.now().timestamp())
    provider.misdeeds = Misdeeds(claims={"iat": now - 900, "exp": now - 30})
    await sign_in(sso)
    provider.misdeeds = Misdeeds(claims={"iat": now - 900, "exp": now - 61})
    with pytest.raises(NotSignedInError):
        await sign_in(sso)


async def test_new_keys_of_the_provider_are_fetched_when_a_token_needs_them(
    sso: SingleSignOn, provider: OpenIdServer, clock: FrozenClock
) -> None:
    await sign_in(sso)
    provider.rotate()
    clock.advance(31)
    await sign_in(sso)
    assert provider.key_requests == 2


async def test_made_up_key_names_do_not_become_requests(sso: SingleSignOn, provider: OpenIdServer) -> None:
    provider.misdeeds = Misdeeds(signed_with=FORGED)
    for _ in range(5):
        with pytest.raises(NotSignedInError):
            await sign_in(sso)
    assert provider.key_requests == 1


async def test_an_answer_counts_once(sso: SingleSignOn, provider: OpenIdServer) -> None:
    begun = await sso.begin(onward="/", redirect_uri=CALLBACK)
    answer = await visit(begun)
    await come_back(sso, begun, answer)
    with pytest.raises(NotSignedInError, match="not begun in this browser"):
        await come_back(sso, begun, answer)
    assert len(provider.exchanges) == 1


@pytest.mark.parametrize("changed", [{"browser": "another"}, {"browser": ""}, {"state": "made up"}])
async def test_an_answer_counts_in_the_browser_that_asked(
    sso: SingleSignOn, provider: OpenIdServer, changed: dict[str, str]
) -> None:
    begun = await sso.begin(onward="/", redirect_uri=CALLBACK)
    with pytest.raises(NotSignedInError, match="not begun in this browser"):
        await come_back(sso, begun, await visit(begun), **changed)
    assert provider.exchanges == []


async def test_an_answer_comes_within_ten_minutes(sso: SingleSignOn, clock: FrozenClock) -> None:
    begun = await sso.begin(onward="/", redirect_uri=CALLBACK)
    answer = await visit(begun)
    clock.advance(601)
    with pytest.raises(NotSignedInError, match="took too long"):
        await come_back(sso, begun, answer)


async def test_a_code_of_another_sign_in_is_worth_nothing(sso: SingleSignOn) -> None:
    """Its challenge is another's (PKCE): what a thief injects is not exchanged."""
    mine = await sso.begin(onward="/", redirect_uri=CALLBACK)
    theirs = await visit(await sso.begin(onward="/", redirect_uri=CALLBACK))
    with pytest.raises(NotSignedInError, match="did not take the code"):
        await come_back(sso, mine, await visit(mine), code=theirs.code)


async def test_another_providers_answer_is_refused_before_its_code_is_used(
    sso: SingleSignOn, provider: OpenIdServer
) -> None:
    provider.misdeeds = Misdeeds(issuer_of_answer="https://elsewhere.example")
    with pytest.raises(NotSignedInError, match="another provider's"):
        await sign_in(sso)
    assert provider.exchanges == []


async def test_a_provider_that_calls_itself_otherwise_is_a_wrong_setting(
    sso: SingleSignOn, provider: OpenIdServer
) -> None:
    provider.misdeeds = Misdeeds(issuer_of_discovery="https://elsewhere.example")
    with pytest.raises(SettingsError, match=r"calls itself 'https://elsewhere\.example'"):
        await sso.begin(onward="/", redirect_uri=CALLBACK)


async def test_a_provider_out_of_reach_is_told_so(make: Make) -> None:
    with pytest.raises(UpstreamError, match="cannot be reached"):
        await make(issuer="http://127.0.0.1:9").begin(onward="/", redirect_uri=CALLBACK)


async def test_a_wrong_client_secret_signs_nobody_in(make: Make) -> None:
    sso = make(client_secret=SecretStr("wrong"))
    with pytest.raises(NotSignedInError):
        await sign_in(sso)
