"""Where alerts are told: a webhook, Slack, mail."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from causeway.contracts.clock import Clock
from causeway.errors import UpstreamError
from causeway.observability.alert_rules import Notice
from causeway.seams import deferred
from causeway.settings import AlertChannelSettings, AlertSettings

if TYPE_CHECKING:
    import smtplib
    from email import message as email_message
else:
    smtplib, email_message = deferred("smtplib"), deferred("email.message")

SIGNATURE: Final = "X-Causeway-Signature"
DELIVERY: Final = "X-Causeway-Delivery"

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends a body to an address that may be reached; gives back the status."""


class Channel(Protocol):
    """Tells one notice, or raises a `causeway.errors.CausewayError` to be tried again."""

    async def tell(self, notice: Notice) -> None:
        """Tell it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """JSON to an address, signed.

    The signature is ``t=TIME,v1=HEX``: HMAC-SHA256 with the secret over the seconds since 1970, a dot and the body. A
    receiver computes the same, and refuses what is minutes old.
    """

    url: str
    secret: str
    post: Post
    clock: Clock
    dashboard: str = ""

    async def tell(self, notice: Notice) -> None:
        """Post it; anything but a status of 2xx is a failure."""
        body = json.dumps(as_json(notice, self.dashboard)).encode()
        headers = {"Content-Type": "application/json", DELIVERY: notice.id}
        if self.secret:
            headers[SIGNATURE] = signature(self.secret, body, self.clock.now())
        _check(await self.post(self.url, body, headers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """A message through one of Slack's incoming webhooks."""

    url: str
    post: Post
    dashboard: str = ""

    async def tell(self, notice: Notice) -> None:
        """Post it."""
        lines = [f"*{_slack_text(notice.title())}*", _slack_text(notice.sentence())]
        if self.dashboard:
            lines.append(f"<{self.dashboard}|Open the dashboard>")
        body = json.dumps({"text": "\n".join(lines)}).encode()
        _check(await self.post(self.url, body, {"Content-Type": "application/json"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail over SMTP, sent in a thread.

    Attributes:
        security: ``tls`` from the start, ``starttls``, or ``none``.
        user: Who logs in; empty logs in nobody.
    """

    host: str
    port: int
    security: str
    user: str
    password: str
    sender: str
    to: Sequence[str]
    timeout_s: float = 20.0
    dashboard: str = ""

    async def tell(self, notice: Notice) -> None:
        """Send it."""
        try:
            await asyncio.to_thread(self._send, notice)
        except (OSError, smtplib.SMTPException) as exc:
            raise UpstreamError(
                f"the mail server '{self.host}' did not take it: {type(exc).__name__}"
            ) from exc

    def _send(self, notice: Notice) -> None:
        message = email_message.EmailMessage()
        message["Subject"] = " ".join(f"Causeway {notice.title()}".split())
        message["From"] = self.sender
        message["To"] = ", ".join(self.to)
        message["Message-ID"] = f"<{notice.id}@causeway>"
        message["Date"] = notice.at  # EmailMessage writes it as mails do
        message.set_content("\n\n".join(part for part in (notice.sentence(), self.dashboard) if part))
        context = ssl.create_default_context()
        with self._client(context) as client:
            if self.security == "starttls":
                client.starttls(context=context)
            if self.user:
                client.login(self.user, self.password)
            client.send_message(message)

    def _client(self, context: ssl.SSLContext) -> smtplib.SMTP:
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_s, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)


def channels_of(
    settings: AlertSettings, *, post: Callable[[Sequence[str]], Post], clock: Clock
) -> dict[str, Channel]:
    """The channels of the settings.

    Args:
        settings: Say which there are.
        post: Makes what sends to public addresses, and to the private networks that it is given.
        clock: Tells the time of signatures.
    """
    return {name: _channel(settings, each, post, clock) for name, each in settings.channels.items()}


def _channel(
    settings: AlertSettings,
    each: AlertChannelSettings,
    post: Callable[[Sequence[str]], Post],
    clock: Clock,
) -> Channel:
    url, dashboard = each.url.get_secret_value(), settings.dashboard_url
    match each.kind:
        case "webhook":
            secret = each.secret.get_secret_value()
            return Webhook(
                url=url, secret=secret, post=post(each.allow_networks), clock=clock, dashboard=dashboard
            )
        case "slack":
            return Slack(url=url, post=post(each.allow_networks), dashboard=dashboard)
        case "email":
            return Mail(
                host=settings.smtp_host,
                port=settings.smtp_port,
                security=settings.smtp_security,
                user=settings.smtp_user,
                password=settings.smtp_password.get_secret_value(),
                sender=settings.sender,
                to=tuple(each.to),
                dashboard=dashboard,
            )


def as_json(notice: Notice, dashboard: str) -> dict[str, object]:
    """What a webhook is sent."""
    return {
        "id": notice.id,
        "event": notice.event,
        "alert": {"id": notice.rule_id, "name": notice.name},
        "metric": notice.metric,
        "value": notice.value,
        "threshold": notice.threshold,
        "is_above": notice.is_above,
        "window_s": notice.window_s,
        "count": notice.count,
        "fired_at": notice.fired_at.isoformat(),
        "at": notice.at.isoformat(),
        "text": f"{notice.title()}: {notice.sentence()}",
        "url": dashboard or None,
    }


def signature(secret: str, body: bytes, now: datetime) -> str:
    """The header that proves who sent ``body``, and when."""
    seconds = str(int(now.timestamp()))
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _check(status: int) -> None:
    if not 200 <= status < 300:
        raise UpstreamError(f"it was answered with the status {status}")


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
