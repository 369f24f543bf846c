"""Single sign-on: a browser goes to the OpenID provider and comes back as somebody.

A sign-in under way is a row: the state that the provider returns, whose hash is its key and which works once, and the
hash of a cookie, so that only the browser that began can end it. Who comes back is known by the provider's own name for
them (``sub``); the first time by their verified e-mail address, which finds their account or, in an allowed domain, makes
one. Groups follow the provider's claim at every sign-in, beside those that administrators give.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.accounts.openid import Challenge, OpenIdClient
from causeway.accounts.users import User, Users, email_of, put_into_groups
from causeway.contracts.clock import Clock
from causeway.contracts.identity import SYSTEM, Role
from causeway.errors import InvalidInputError, NotAllowedError, NotSignedInError
from causeway.gateway import audit
from causeway.gateway.identities import digest
from causeway.settings import OidcSettings
from causeway.storage.database import Database
from causeway.storage.schema import groups, sign_in_flows, users

log = logging.getLogger(__name__)

_FLOW_FOR = timedelta(minutes=10)
_AGAIN = "this sign-in was not begun in this browser, is used up or took too long; start again"
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in under way: where to send the browser, and the secret it keeps in a cookie meanwhile."""

    address: str
    browser: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Who came back, and the path they wanted to go to."""

    user: User
    onward: str


class SingleSignOn:
    """Signs people in through one provider."""

    def __init__(
        self,
        *,
        database: Database,
        users: Users,
        client: OpenIdClient,
        settings: OidcSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._users = users
        self._client = client
        self._settings = settings
        self._clock = clock

    async def begin(self, *, onward: str, redirect_uri: str) -> Begun:
        """Begin a sign-in.

        Raises:
            UpstreamError: The provider cannot be reached.
            SettingsError: It is not the one that the settings name.
        """
        challenge, browser = Challenge.fresh(), secrets.token_urlsafe(32)
        address = await self._client.address(challenge, redirect_uri)
        now = self._clock.now()
        row = {
            "state_hash": digest(challenge.state),
            "browser_hash": digest(browser),
            "nonce": challenge.nonce,
            "verifier": challenge.verifier,
            "onward": onward,
            "expires_at": now + _FLOW_FOR,
        }
        async with self._database.begin() as connection:
            await connection.execute(delete(sign_in_flows).where(sign_in_flows.c.expires_at <= now))
            await connection.execute(insert(sign_in_flows).values(row))
        return Begun(address=address, browser=browser)

    async def finish(
        self, *, state: str, code: str, issuer: str | None, browser: str, redirect_uri: str
    ) -> Ended:
        """End a sign-in with the provider's answer.

        Raises:
            NotSignedInError: It was not begun here, or the provider does not vouch for anybody.
            NotAllowedError: Whoever it is has no account and gets none by themselves, or it is disabled.
            UpstreamError: The provider cannot be reached.
        """
        gone = delete(sign_in_flows).where(
            sign_in_flows.c.state_hash == digest(state),
            sign_in_flows.c.browser_hash == digest(browser),
            sign_in_flows.c.expires_at > self._clock.now(),
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(gone.returning(sign_in_flows))).one_or_none()
        if row is None:
            raise NotSignedInError(_AGAIN)
        self._client.require_issuer(issuer)
        challenge = Challenge(state, row.nonce, row.verifier)
        claims = await self._client.claims(code, challenge, redirect_uri)
        return Ended(user=await self._account(claims), onward=row.onward)

    async def _account(self, claims: Mapping[str, Any]) -> User:
        subject = str(claims["sub"])
        try:
            async with self._database.begin() as connection:
                user_id = await self._known(connection, subject) or await self._new(
                    connection, subject, claims
                )
                await self._follow_groups(connection, user_id, claims)
                now = self._clock.now()
                await connection.execute(update(users).where(users.c.id == user_id).values(signed_in_at=now))
        except IntegrityError as exc:  # the same person in two windows at once
            raise NotSignedInError(_AGAIN) from exc
        return await self._users.find(user_id)

    async def _known(self, connection: AsyncConnection, subject: str) -> str | None:
        is_it = (users.c.issuer == self._settings.issuer) & (users.c.subject == subject)
        row = (await connection.execute(select(users).where(is_it))).one_or_none()
        if row is not None and row.disabled_at is not None:
            raise _disabled()
        return None if row is None else str(row.id)

    async def _new(self, connection: AsyncConnection, subject: str, claims: Mapping[str, Any]) -> str:
        """The account of somebody who comes for the first time: theirs by its address, or a new one."""
        email = _verified_email(claims)
        link = {"issuer": self._settings.issuer, "subject": subject}
        row = (await connection.execute(select(users).where(users.c.email == email))).one_or_none()
        if row is not None:
            if row.disabled_at is not None:
                raise _disabled()
            if row.subject is not None:
                msg = "the account of this address belongs to somebody else at the provider; ask an administrator"
                raise NotAllowedError(msg)
            await connection.execute(update(users).where(users.c.id == row.id).values(link))
            await audit.record(connection, SYSTEM, "user.link", row.id, after=link)
            return str(row.id)
        domains = {domain.strip().casefold() for domain in self._settings.allowed_domains}
        if email.rpartition("@")[2] not in domains:
            raise NotAllowedError(f"there is no account of '{email}'; ask an administrator for one")
        name = " ".join(str(claims.get("name") or "").split())[:_LONGEST_NAME]
        made = {
            "id": f"usr_{uuid4().hex}",
            "email": email,
            "name": name if name and name.isprintable() else email,
            "role": Role(self._settings.role),
            **link,
        }
        await connection.execute(insert(users).values(made))
        await audit.record(connection, SYSTEM, "user.create", made["id"], after=made)
        return made["id"]

    async def _follow_groups(
        self, connection: AsyncConnection, user_id: str, claims: Mapping[str, Any]
    ) -> None:
        if not self._settings.groups:
            return
        claimed = claims.get(self._settings.groups_claim)
        values: Sequence[object] = claimed if isinstance(claimed, list) else [claimed]
        wanted = {
            self._settings.groups[str(value)] for value in values if str(value) in self._settings.groups
        }
        there = set((await connection.scalars(select(groups.c.name).where(groups.c.name.in_(wanted)))).all())
        for name in sorted(wanted - there):
            log.warning("oidc.groups maps to a group that is not there", extra={"group": name})
        await put_into_groups(connection, user_id, sorted(there), is_claimed=True)


def _verified_email(claims: Mapping[str, Any]) -> str:
    if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
        msg = "the provider does not vouch for your e-mail address; verify it there, then start again"
        raise NotAllowedError(msg)
    try:
        return email_of(claims["email"])
    except InvalidInputError as exc:
        raise NotAllowedError(exc.message) from exc


def _disabled() -> NotAllowedError:
    return NotAllowedError("your account is disabled; ask an administrator")
