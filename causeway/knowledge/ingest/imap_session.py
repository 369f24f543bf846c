"""A session with an IMAP4rev1 server (RFC 3501), by the standard library's client: it blocks, so it runs in a thread.

Only reads: mailboxes are opened with EXAMINE and bodies fetched with PEEK, so nothing is marked as seen. What a server
sends at once is bounded, since the client would keep it in memory whatever its length.
"""

from __future__ import annotations

import base64
import imaplib
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from time import mktime
from typing import Any

from causeway.errors import DeadlineError, SettingsError, UpstreamError
from causeway.settings import SourceSettings

_HEADERS = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID SUBJECT FROM TO DATE REFERENCES IN-REPLY-TO)]"
_MOST_LITERAL_BYTES = 4_000_000
_LIST_LINE = re.compile(rb'\((?P<flags>[^)]*)\) (?P<delimiter>NIL|"(?:\\.|[^"])*") (?P<name>.+)', re.DOTALL)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox: its name as the server writes it, and as people read it, level by level."""

    name: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is told of a message before it is fetched."""

    uid: int
    size_bytes: int
    arrived_at: datetime | None
    headers: bytes


class MissingMailboxError(UpstreamError):
    """The server has no such mailbox, or not for this user."""


class ImapSession:
    """A connection that is logged in; not safe for two threads at once.

    Every call may raise `UpstreamError` or `DeadlineError`.
    """

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self._section = f"sources.{name} (mail)"
        self._settings = settings
        self._client: imaplib.IMAP4 | None = None
        self._opened: tuple[str, int] | None = None

    def open(self) -> None:
        """Connect and log in.

        Raises:
            SettingsError: The certificate is not trusted, or user and password are refused.
        """
        with self._explained():
            self._client = client = self._connect()
            try:
                client.login(self._settings.user, self._settings.token.get_secret_value())
            except imaplib.IMAP4.abort:
                self.close(politely=False)
                raise
            except imaplib.IMAP4.error as exc:
                self.close(politely=False)
                raise SettingsError(
                    f"{self._section}: {self._settings.host} refuses the user '{self._settings.user}' and its password"
                ) from exc

    def _connect(self) -> imaplib.IMAP4:
        settings = self._settings
        context = ssl.create_default_context()
        if settings.security == "tls":
            return _BoundedTls(settings.host, settings.port, ssl_context=context, timeout=settings.timeout_s)
        client = _Bounded(settings.host, settings.port, timeout=settings.timeout_s)
        if settings.security == "starttls":
            client.starttls(context)
        return client

    def close(self, *, politely: bool = True) -> None:
        """Log out; or hang up, which a call that is under way in another thread feels too."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if politely:
                client.logout()
            else:
                client.shutdown()
        except (imaplib.IMAP4.error, OSError):
            with suppress(OSError):
                client.shutdown()

    def mailboxes(self) -> list[Mailbox]:
        """Every mailbox that can hold messages."""
        found = []
        for line in self._ask(lambda client: client.list()):
            if isinstance(line, tuple):  # a name that came as a literal
                head = re.sub(rb"\{\d+\}$", b"", line[0])
                line = head + b'"' + line[1].replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
            match = _LIST_LINE.fullmatch(line or b"")
            if match is None or b"\\noselect" in match["flags"].lower():
                continue
            name = _unquoted(match["name"])
            delimiter = "" if match["delimiter"] == b"NIL" else _unquoted(match["delimiter"])
            shown = decoded_name(name)
            parts = shown.split(delimiter) if delimiter else [shown]
            found.append(Mailbox(name, tuple(parts)))
        return found

    def examine(self, mailbox: str) -> int:
        """Open a mailbox for reading; its UIDVALIDITY.

        Raises:
            MissingMailboxError: There is none.
        """
        if self._opened is not None and self._opened[0] == mailbox:
            return self._opened[1]
        self._opened = None
        quoted = '"' + mailbox.replace("\\", "\\\\").replace('"', '\\"') + '"'
        with self._explained():
            kind, said = self._reached.select(quoted, readonly=True)
            if kind != "OK":
                raise MissingMailboxError(f"the server does not open it: {_said(said)}")
            validity = self._reached.response("UIDVALIDITY")[1]
        if not validity or validity[0] is None:
            raise UpstreamError(f"{self._section} tells no UIDVALIDITY of '{mailbox}'")
        self._opened = (mailbox, int(validity[0]))
        return self._opened[1]

    def uids(self, since: date) -> list[int]:
        """The messages of the open mailbox that came on or after a day and are not marked as deleted."""
        day = f"{since.day:02}-{_MONTHS[since.month - 1]}-{since.year}"
        found = self._ask(lambda client: client.uid("SEARCH", "UNDELETED", "SINCE", day))
        return sorted({int(word) for line in found if isinstance(line, bytes) for word in line.split()})

    def envelopes(self, uids: Sequence[int]) -> list[Envelope]:
        """Of these messages of the open mailbox, those that are there."""
        wanted = ",".join(map(str, uids))
        answer = self._ask(
            lambda client: client.uid("FETCH", wanted, f"(UID RFC822.SIZE INTERNALDATE {_HEADERS})")
        )
        found = []
        for place, line in enumerate(answer):
            if isinstance(line, tuple):
                after = answer[place + 1] if place + 1 < len(answer) else b""
                told = line[0] + b" " + (after if isinstance(after, bytes) else b"")
                if (envelope := _envelope(told, line[1])) is not None:
                    found.append(envelope)
        return found

    def piece(self, uid: int, start: int, length: int) -> bytes:
        """Some bytes of a message of the open mailbox; empty beyond its end, and when it is gone."""
        answer = self._ask(lambda client: client.uid("FETCH", str(uid), f"(BODY.PEEK[]<{start}.{length}>)"))
        return b"".join(line[1] for line in answer if isinstance(line, tuple))

    @property
    def _reached(self) -> imaplib.IMAP4:
        if self._client is None:
            raise UpstreamError(f"{self._section} is not connected")
        return self._client

    def _ask(self, call: Callable[[imaplib.IMAP4], tuple[str, list[Any]]]) -> list[Any]:
        with self._explained():
            kind, answer = call(self._reached)
        if kind != "OK":
            raise UpstreamError(f"{self._section} answers '{kind}': {_said(answer)}")
        return answer

    @contextmanager
    def _explained(self) -> Iterator[None]:
        where = f"{self._section}: {self._settings.host}:{self._settings.port}"
        try:
            yield
        except ssl.SSLCertVerificationError as exc:
            raise SettingsError(
                f"{where} shows a certificate that is not trusted: {exc.verify_message}"
            ) from exc
        except TimeoutError as exc:
            raise DeadlineError(f"{where} did not answer in {self._settings.timeout_s:.0f} s") from exc
        except (imaplib.IMAP4.error, OSError, EOFError) as exc:
            raise UpstreamError(
                f"{where} cannot be reached or fails: {' '.join(str(exc).split())[:200]}"
            ) from exc


class _Bounded(imaplib.IMAP4):
    def read(self, size: int) -> bytes:
        """The next bytes of an answer."""
        return super().read(_checked(size))


class _BoundedTls(imaplib.IMAP4_SSL):
    def read(self, size: int) -> bytes:
        """The next bytes of an answer."""
        return super().read(_checked(size))


def _checked(size: int) -> int:
    if size > _MOST_LITERAL_BYTES:
        raise imaplib.IMAP4.abort(f"it sends {size:,} bytes at once, and {_MOST_LITERAL_BYTES:,} are taken")
    return size


def decoded_name(name: str) -> str:
    """A mailbox's name from modified UTF-7 (RFC 3501, 5.1.3); one that is none stays as it is."""

    def decode(match: re.Match[str]) -> str:
        if not match[1]:
            return "&"
        packed = match[1].replace(",", "/")
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode("utf-16-be")

    try:
        return re.sub(r"&([^-]*)-", decode, name)
    except ValueError:
        return name


def _unquoted(word: bytes) -> str:
    text = word.strip().decode("utf-8", "replace")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _envelope(told: bytes, headers: bytes) -> Envelope | None:
    uid = re.search(rb"\bUID (\d+)", told)
    size = re.search(rb"RFC822\.SIZE (\d+)", told)
    if uid is None or size is None:
        return None
    arrived = imaplib.Internaldate2tuple(told)
    moment = None
    if arrived is not None:
        moment = datetime.fromtimestamp(mktime(arrived), UTC)  # the library gives it in local time
    return Envelope(int(uid[1]), int(size[1]), moment, headers)


def _said(answer: Sequence[object]) -> str:
    words = b" ".join(line for line in answer if isinstance(line, bytes))
    return words.decode("utf-8", "replace")[:200]
