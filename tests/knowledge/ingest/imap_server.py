"""A small IMAP4rev1 server (RFC 3501): login, mailboxes, searches and fetches, as much as a reader needs, TLS or not."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes

USER, PASSWORD = "ada@fernhill.example", 'se"cret'


@dataclass
class Folder:
    """A mailbox: its messages by UID."""

    validity: int = 1
    messages: dict[int, bytes] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    is_selectable: bool = True
    newest: int = 0

    def add(self, message: bytes) -> int:
        self.newest += 1
        self.messages[self.newest] = message
        return self.newest


@dataclass
class ImapServer:
    """What it holds, and what it was asked.

    Attributes:
        refuses: Mailboxes that it does not open.
        is_down: It hangs up on whoever connects.
        delimiter: Between the levels of a name.
        garble: Changes every line that it answers.
    """

    folders: dict[str, Folder] = field(default_factory=lambda: {"INBOX": Folder()})
    refuses: set[str] = field(default_factory=set)
    is_down: bool = False
    delimiter: str = "/"
    arrived: str = "01-Jun-2025 10:00:00 +0000"
    garble: Callable[[bytes], bytes] | None = None
    asked: list[str] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self.is_down:
                await _Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class _Session:
    def __init__(
        self, server: ImapServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._folder: Folder | None = None
        self._is_known = False

    async def run(self) -> None:
        await self._say(b"* OK [CAPABILITY IMAP4rev1] ready")
        while line := await self._reader.readline():
            tag, _, command = line.decode().strip().partition(" ")
            self._server.asked.append(command if not command.startswith("LOGIN") else "LOGIN")
            if self._server.is_down:
                return
            await self._say(tag.encode() + b" " + await self._answer(command))
            if command == "LOGOUT":
                return

    async def _answer(self, command: str) -> bytes:
        word = command.split()[0].upper()
        if word == "CAPABILITY":
            await self._say(b"* CAPABILITY IMAP4rev1")
            return b"OK done"
        if word == "LOGOUT":
            await self._say(b"* BYE")
            return b"OK bye"
        if word == "LOGIN":
            self._is_known = _words(command)[1:] == [USER, PASSWORD]
            return b"OK in" if self._is_known else b"NO [AUTHENTICATIONFAILED] wrong"
        if not self._is_known:
            return b"NO log in first"
        if word == "LIST":
            for name, folder in self._server.folders.items():
                flags = "" if folder.is_selectable else "\\Noselect"
                quoted = name.replace("\\", "\\\\").replace('"', '\\"')
                await self._say(f'* LIST ({flags}) "{self._server.delimiter}" "{quoted}"'.encode())
            return b"OK listed"
        if word == "EXAMINE":
            return await self._examine(_words(command)[1])
        if word == "UID":
            return await self._uid(command)
        return b"BAD what?"

    async def _examine(self, name: str) -> bytes:
        self._folder = self._server.folders.get(name)
        if self._folder is None or name in self._server.refuses:
            self._folder = None
            return b"NO [NONEXISTENT] no such mailbox"
        await self._say(f"* {len(self._folder.messages)} EXISTS".encode())
        await self._say(f"* OK [UIDVALIDITY {self._folder.validity}] ids".encode())
        return b"OK [READ-ONLY] opened"

    async def _uid(self, command: str) -> bytes:
        if self._folder is None:
            return b"BAD open a mailbox first"
        if command.startswith("UID SEARCH"):
            assert "UNDELETED SINCE" in command
            kept = [uid for uid in self._folder.messages if uid not in self._folder.deleted]
            await self._say(f"* SEARCH {' '.join(map(str, kept))}".rstrip().encode())
            return b"OK searched"
        found = re.fullmatch(r"UID FETCH ([\d,]+) \((.*)\)", command)
        assert found, command
        assert "BODY[" not in found[2], "only PEEK leaves a message unseen"
        for uid in map(int, found[1].split(",")):
            if uid in self._folder.messages:
                await self._fetch(uid, self._folder.messages[uid], found[2])
        return b"OK fetched"

    async def _fetch(self, uid: int, message: bytes, wanted: str) -> None:
        number = list((self._folder or Folder()).messages).index(uid) + 1
        piece = re.search(r"BODY\.PEEK\[\]<(\d+)\.(\d+)>", wanted)
        if piece:
            start, length = int(piece[1]), int(piece[2])
            body, label = message[start : start + length], f"BODY[]<{start}>"
        else:
            body, label = _headers(message, wanted), "BODY[HEADER.FIELDS (X)]"
        told = f'UID {uid} RFC822.SIZE {len(message)} INTERNALDATE "{self._server.arrived}"'
        line = f"* {number} FETCH ({told} {label} {{{len(body)}}}".encode()
        if self._server.garble:
            line = self._server.garble(line)
        self._writer.write(line + b"\r\n" + body + b")\r\n")
        await self._writer.drain()

    async def _say(self, line: bytes) -> None:
        self._writer.write(line + b"\r\n")
        await self._writer.drain()


def _headers(message: bytes, wanted: str) -> bytes:
    names = re.search(r"FIELDS \(([^)]*)\)", wanted)
    assert names
    parsed = message_from_bytes(message)
    lines = [f"{name}: {parsed[name]}\r\n" for name in names[1].split() if parsed[name]]
    return "".join(lines).encode("utf-8", "surrogateescape") + b"\r\n"


def _words(command: str) -> list[str]:
    found = re.findall(r'"((?:\\.|[^"])*)"|(\S+)', command)
    return [re.sub(r"\\(.)", r"\1", quoted) if quoted else plain for quoted, plain in found]


@asynccontextmanager
async def imap_served(server: ImapServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[ImapServer]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def letter(
    words: str,
    *,
    name: str,
    subject: str = "",
    parent: str = "",
    thread: str = "",
    date: str = "Mon, 02 Jun 2025 09:30:00 +0200",
) -> bytes:
    """A message whose id is made of ``name``."""
    lines = [
        f"Message-ID: <{name}@fernhill.example>",
        f"Subject: {subject or name}",
        "From: Ada Lovelace <ada@fernhill.example>",
        "To: ben@fernhill.example",
        f"Date: {date}",
        *([f"In-Reply-To: <{parent}@fernhill.example>"] if parent else []),
        *([f"References: <{thread}@fernhill.example> <{parent}@fernhill.example>"] if thread else []),
        "Content-Type: text/plain; charset=utf-8",
        "",
        words,
        "",
    ]
    return "\r\n".join(lines).encode()
