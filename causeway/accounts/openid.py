"""OpenID Connect: the authorisation code flow with PKCE, state and nonce, as the relying party.

Owns the protocol: what the provider says of itself, where browsers are sent, what a code is worth, and whether an ID
token is one. Whose account that is, is `causeway.accounts.single_sign_on`'s. Authlib makes the challenge and knows the
claims, joserfc beneath it the signatures. Only asymmetric signatures count: with ``none`` or a shared secret anybody, or
every other client, could write tokens.

https://openid.net/specs/openid-connect-core-1_0.html, RFC 7636 (PKCE), RFC 9207 (``iss`` in the answer).
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import aiohttp
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from causeway.contracts.clock import Clock
from causeway.errors import NotSignedInError, SettingsError, UpstreamError
from causeway.settings import OidcSettings

log = logging.getLogger(__name__)

SIGNATURES: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
)
_LEEWAY_S = 60
"""How far two clocks may be apart."""
_KNOWN_FOR_S = 3600.0
"""How long what the provider says of itself is believed; keys are asked for anew when one is missing."""
_KEYS_AGAIN_S = 30.0
"""Not more often, though: made-up key names must not become requests."""
_MOST_BYTES = 1_000_000
_LONGEST_SUBJECT = 255
_ESSENTIAL = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What ties an answer to its question: kept here while the browser is away."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def fresh(cls) -> Challenge:
        """A new one, of random values that nobody can guess."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


class OpenIdClient:
    """One provider, as it is asked; safe for many callers at once."""

    def __init__(self, settings: OidcSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._about: Mapping[str, str] = {}
        self._about_until = 0.0
        self._keys: jwk.KeySet | None = None
        self._keys_at = -_KEYS_AGAIN_S
        self._turn = asyncio.Lock()

    async def address(self, challenge: Challenge, redirect_uri: str) -> str:
        """Where to send the browser.

        Raises:
            UpstreamError: The provider cannot be reached, or answers nonsense.
            SettingsError: It calls itself something else than the settings do.
        """
        about = await self._provider()
        made = create_s256_code_challenge(challenge.verifier)  # type: ignore[no-untyped-call]  # its stubs have no types
        return str(
            add_params_to_uri(
                about["authorization_endpoint"],
                [
                    ("response_type", "code"),
                    ("client_id", self._settings.client_id),
                    ("redirect_uri", redirect_uri),
                    ("scope", self._settings.scopes),
                    ("state", challenge.state),
                    ("nonce", challenge.nonce),
                    ("code_challenge", made),
                    ("code_challenge_method", "S256"),
                ],
            )
        )

    async def claims(self, code: str, challenge: Challenge, redirect_uri: str) -> Mapping[str, Any]:
        """What the provider vouches for of whoever brought ``code``.

        Raises:
            NotSignedInError: The code or the ID token it was exchanged for is not good.
            UpstreamError: The provider cannot be reached, or answers nonsense.
        """
        about = await self._provider()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self._settings.client_id,
            "code_verifier": challenge.verifier,
        }
        answer = await self._exchange(about["token_endpoint"], form)
        token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(token, str):
            msg = "the provider sent no ID token; it has to know this Causeway as an OpenID Connect client"
            raise NotSignedInError(msg)
        return await self._checked(token, challenge.nonce, access_token)

    def require_issuer(self, told: str | None) -> None:
        """Pass an answer that names this provider, or none: another provider's must not be taken for it (RFC 9207).

        Raises:
            NotSignedInError: It is another's.
        """
        if told is not None and told != self._settings.issuer:
            msg = "the answer is another provider's; start again"
            raise NotSignedInError(msg)

    # --- tokens --------------------------------------------------------------------------------------

    async def _checked(self, token: str, nonce: str, access_token: object) -> Mapping[str, Any]:
        try:
            decoded = await self._verified(token)
            expected = {"nonce": nonce, "client_id": self._settings.client_id, "access_token": access_token}
            options = {
                "iss": {"essential": True, "value": self._settings.issuer},
                "aud": {"essential": True, "value": self._settings.client_id},
                "nonce": {"essential": True, "value": nonce},
            }
            claims = CodeIDToken(decoded.claims, decoded.header, options, expected)
            claims.validate(now=int(self._clock.now().timestamp()), leeway=_LEEWAY_S)
            _require_subject(decoded.claims.get("sub"))
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            log.warning("ID token refused", extra={"reason": f"{type(exc).__name__}: {exc}"[:200]})
            msg = "the provider's ID token is not good; start again, and if it stays so tell an administrator"
            raise NotSignedInError(msg) from exc
        return dict(decoded.claims)

    async def _verified(self, token: str) -> jwt.Token:
        try:
            return jwt.decode(token, await self._key_set(), algorithms=SIGNATURES)
        except (JoseError, ValueError):
            # the provider may have taken new keys since
            return jwt.decode(token, await self._key_set(again=True), algorithms=SIGNATURES)

    async def _key_set(self, *, again: bool = False) -> jwk.KeySet:
        async with self._turn:
            now = self._clock.monotonic()
            if self._keys is None or (again and now - self._keys_at >= _KEYS_AGAIN_S):
                self._keys_at = now
                self._keys = _usable(await self._get(self._about["jwks_uri"]))
            return self._keys

    # --- the provider --------------------------------------------------------------------------------

    async def _provider(self) -> Mapping[str, str]:
        async with self._turn:
            now = self._clock.monotonic()
            if not self._about or now >= self._about_until:
                found = await self._get(
                    f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                )
                self._about = self._described(found)
                self._about_until = now + _KNOWN_FOR_S
            return self._about

    def _described(self, found: Mapping[str, Any]) -> Mapping[str, str]:
        about = {name: str(found.get(name, "")) for name in _ESSENTIAL}
        if about["issuer"] != self._settings.issuer:
            raise SettingsError(
                f"oidc.issuer is '{self._settings.issuer}' and the provider calls itself "
                f"'{about['issuer'][:200]}'; write it exactly so"
            )
        is_plain = urlsplit(self._settings.issuer).scheme == "http"
        for name in _ESSENTIAL[1:]:
            scheme = urlsplit(about[name]).scheme
            if scheme != "https" and not (is_plain and scheme == "http"):
                raise UpstreamError(f"the OpenID provider's {name} is no https address")
        return about

    async def _exchange(self, address: str, form: dict[str, str]) -> Mapping[str, Any]:
        secret = self._settings.client_secret.get_secret_value()
        pair = f"{quote_plus(self._settings.client_id)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
        headers = {"authorization": f"Basic {b64encode(pair.encode()).decode()}"} if secret else {}
        status, answer = await self._ask("POST", address, data=form, headers=headers)
        if status >= 500:
            raise UpstreamError(f"the OpenID provider answered {status}; try again")
        if status >= 400:
            log.warning(
                "code refused by the OpenID provider", extra={"error": str(answer.get("error"))[:100]}
            )
            msg = "the provider did not take the code, which may have been used or be too old; start again"
            raise NotSignedInError(msg)
        return answer

    async def _get(self, address: str) -> Mapping[str, Any]:
        status, answer = await self._ask("GET", address)
        if status != 200:
            raise UpstreamError(
                f"the OpenID provider answered {status} at {urlsplit(address).path}; try again"
            )
        return answer

    async def _ask(self, method: str, address: str, **how: Any) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object of an answer; redirects are not followed, for nobody said where they may lead."""
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, address, allow_redirects=False, **how) as response,
            ):
                body = await _bounded(response)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise UpstreamError(
                f"the OpenID provider at {urlsplit(address).netloc} cannot be reached; try again"
            ) from exc
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise UpstreamError(f"the OpenID provider answered {status} without JSON; try again")
        return status, answer


def _require_subject(subject: object) -> None:
    """The claims library lets an empty one pass, which would be one person for all who have none."""
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or "\0" in subject:
        msg = "its subject is no name of 1 to 255 characters"
        raise ValueError(msg)


def _usable(found: Mapping[str, Any]) -> jwk.KeySet:
    """The public keys for signatures; kinds that are not known here are left out."""
    keys: list[Any] = []
    for written in found.get("keys", ()) if isinstance(found.get("keys"), list) else ():
        if not isinstance(written, dict) or written.get("use", "sig") != "sig" or written.get("kty") == "oct":
            continue
        try:
            keys.append(jwk.import_key(written))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if not keys:
        msg = "the OpenID provider publishes no key for signatures that can be used"
        raise UpstreamError(msg)
    return jwk.KeySet(keys)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(1 << 16):
        body += piece
        if len(body) > _MOST_BYTES:
            msg = "the answer is too long"
            raise ValueError(msg)
    return bytes(body)
