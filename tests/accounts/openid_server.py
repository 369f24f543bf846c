"""An OpenID provider for tests: discovery, authorisation, token and key endpoints, real signatures, PKCE checked.

It behaves as OpenID Connect Core asks for until a test says how it shall not (`Misdeeds`). Nobody is asked to sign in: the
authorisation endpoint answers at once for ``person``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from causeway.contracts.clock import Clock

CLIENT_ID = "causeway"
CLIENT_SECRET = "s3cret:with%signs"


@dataclass(slots=True)
class Misdeeds:
    """What the provider does wrong, or somebody in its name.

    Attributes:
        claims: Put over those of the ID token; a value of None takes one away.
        unsigned: ``alg: none``.
        signed_with: A key that the provider does not publish.
        hmac_with_public_key: HS256, the published key as the secret.
        tampered: A claim is changed after signing.
        no_token: The token endpoint forgets the ID token.
        issuer_of_answer: ``iss`` of the authorisation answer.
        issuer_of_discovery: ``issuer`` in the provider's description.
    """

    claims: dict[str, Any] = field(default_factory=dict)
    unsigned: bool = False
    signed_with: Key | None = None
    hmac_with_public_key: bool = False
    tampered: bool = False
    no_token: bool = False
    issuer_of_answer: str | None = None
    issuer_of_discovery: str | None = None


class OpenIdServer:
    """One provider; `address` is its issuer."""

    def __init__(self, clock: Clock) -> None:
        self.address = ""
        self.person: dict[str, Any] = {
            "sub": "person-1",
            "email": "dana@example.com",
            "email_verified": True,
            "name": "Dana Reyes",
            "groups": ["hr-staff"],
        }
        self.misdeeds = Misdeeds()
        self.exchanges: list[dict[str, str]] = []
        self.key_requests = 0
        self._clock = clock
        self._codes: dict[str, dict[str, str]] = {}
        self.keys: list[Key] = [RSAKey.generate_key(2048, {"kid": "rsa-1", "use": "sig"})]

    def rotate(self) -> None:
        """Take a new key of another kind, and publish the old one no longer."""
        self.keys = [ECKey.generate_key("P-256", {"kid": f"ec-{secrets.token_hex(4)}", "use": "sig"})]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[OpenIdServer]:
        """Listen on a loopback port until the block ends."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._describe)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/keys", self._keys)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _describe(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.misdeeds.issuer_of_discovery or self.address,
                "authorization_endpoint": f"{self.address}/authorize",
                "token_endpoint": f"{self.address}/token",
                "jwks_uri": f"{self.address}/keys",
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            }
        )

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        wrong = [
            name
            for name, value in (
                ("response_type", "code"),
                ("client_id", CLIENT_ID),
                ("code_challenge_method", "S256"),
            )
            if asked.get(name) != value
        ]
        missing = [
            name for name in ("redirect_uri", "state", "nonce", "code_challenge") if not asked.get(name)
        ]
        if wrong or missing or "openid" not in asked.get("scope", "").split():
            return web.Response(status=400, text=f"wrong: {wrong}, missing: {missing}")
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        answer = {
            "code": code,
            "state": asked["state"],
            "iss": self.misdeeds.issuer_of_answer or self.address,
        }
        return web.Response(status=302, headers={"location": f"{asked['redirect_uri']}?{urlencode(answer)}"})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.exchanges.append(form)
        asked = self._codes.pop(form.get("code", ""), None)
        if not self._knows_client(request.headers.get("authorization", "")):
            return web.json_response({"error": "invalid_client"}, status=401)
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        made = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(made).rstrip(b"=").decode() != asked["code_challenge"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        answer = {"access_token": "at-1", "token_type": "Bearer", "id_token": self._id_token(asked["nonce"])}
        if self.misdeeds.no_token:
            del answer["id_token"]
        return web.json_response(answer)

    async def _keys(self, _request: web.Request) -> web.Response:
        self.key_requests += 1
        strange = [{"kty": "new", "kid": "x"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}]
        return web.json_response({"keys": [*strange, *(key.as_dict(private=False) for key in self.keys)]})

    @staticmethod
    def _knows_client(authorization: str) -> bool:
        kind, _, pair = authorization.partition(" ")
        form = parse_qs(f"pair={base64.b64decode(pair).decode()}")["pair"][0] if kind == "Basic" else ""
        return form == f"{CLIENT_ID}:{CLIENT_SECRET}"

    def _id_token(self, nonce: str) -> str:
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": self.address,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.person,
            **self.misdeeds.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.misdeeds.unsigned:
            return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."
        if self.misdeeds.hmac_with_public_key:
            return self._with_hmac(claims)
        key = self.misdeeds.signed_with or self.keys[0]
        algorithm = "ES256" if key.key_type == "EC" else "RS256"
        token = jwt.encode(
            {"alg": algorithm, "kid": str(self.keys[0].kid)}, claims, key, algorithms=[algorithm]
        )
        if not self.misdeeds.tampered:
            return token
        head, _, signature = token.split(".")
        return f"{head}.{_part({**claims, 'email': 'ceo@example.com'})}.{signature}"

    def _with_hmac(self, claims: dict[str, Any]) -> str:
        key = self.keys[0]
        assert isinstance(key, RSAKey)
        public = key.as_pem(private=False)
        signed = f"{_part({'alg': 'HS256', 'kid': str(self.keys[0].kid)})}.{_part(claims)}"
        digest = hmac.new(public, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def state_of(address: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
