from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from causeway.contracts.clock import SystemClock
from causeway.errors import (
    CausewayError,
    DeadlineError,
    SettingsError,
    UnreadableDocumentError,
    UpstreamError,
)
from causeway.knowledge.ingest.connector import Before, Listing
from causeway.knowledge.ingest.imap_session import decoded_name
from causeway.knowledge.ingest.mail_imap import Imap, open_imap
from causeway.knowledge.ingest.sync import SizeLimit, Synchroniser
from causeway.knowledge.library import Library
from causeway.settings import SourceSettings
from causeway.testing.clock import FrozenClock
from causeway.testing.connector_contract import CHECKS, Check, Source, take
from tests.knowledge.ingest.imap_server import PASSWORD, USER, Folder, ImapServer, imap_served, letter

LIMIT = SizeLimit(1_000_000, "sources.mail.max_file_bytes")


@pytest.fixture
async def server() -> AsyncIterator[ImapServer]:
    async with imap_served(ImapServer()) as served:
        yield served


def settings(server: ImapServer, **values: object) -> SourceSettings:
    fixed = {"host": "127.0.0.1", "port": server.port, "security": "none", "user": USER, "token": PASSWORD}
    return SourceSettings.model_validate({"kind": "mail", "timeout_s": 5, **fixed, **values})


@asynccontextmanager
async def opened(server: ImapServer, **values: object) -> AsyncIterator[Imap]:
    async with open_imap("mail", settings(server, **values), clock=FrozenClock()) as source:
        yield source


async def listed(server: ImapServer, before: dict[str, Before] | None = None, **values: object) -> Listing:
    async with opened(server, **values) as source:
        return await source.listing(before or {}, since=None)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_mailboxes_keep_the_contract_of_a_source(
    check: Check, server: ImapServer, tmp_path: Path
) -> None:
    server.folders["Archive"] = Folder()
    uids: dict[str, int] = {}

    async def write(name: str, words: str) -> None:
        await remove(name)
        uids[name] = server.folders["INBOX"].add(letter(words, name=name))

    async def remove(name: str) -> None:
        server.folders["INBOX"].messages.pop(uids.pop(name, 0), None)

    async def rename(name: str, target: str) -> None:
        message = server.folders["INBOX"].messages.pop(uids.pop(name))
        server.folders["Archive"].add(message)

    async def cut() -> None:
        server.is_down = True

    def opening() -> object:
        return opened(server, folders=["INBOX", "Archive"])

    await check(
        Source(open=opening, write=write, remove=remove, rename=rename, cut=cut, folder=tmp_path)  # type: ignore[arg-type]  # the same context manager
    )


async def test_a_message_has_its_place_its_time_and_its_thread(server: ImapServer) -> None:
    server.folders["INBOX"].add(letter("First.", name="root", subject="Tents for June"))
    server.folders["INBOX"].add(
        letter("Second.", name="answer", subject="Re: Tents for June", parent="middle", thread="root")
    )
    async with opened(server) as source:
        listing = await source.listing({}, since=None)
        first, second = sorted(listing.items, key=lambda item: item.path)
        assert first.path.startswith("INBOX/2025-06-02 Re")
        assert second.path.startswith("INBOX/2025-06-02 Tents for June ")
        assert second.path.endswith(".eml")
        assert second.modified_at == datetime(2025, 6, 2, 7, 30, tzinfo=UTC)
        fetched = await source.fetch(first)
        assert fetched.metadata == {
            "author": "Ada Lovelace <ada@fernhill.example>",
            "to": "ben@fernhill.example",
            "created": "2025-06-02T07:30:00+00:00",
            "mailbox": "INBOX",
            "message_id": "<answer@fernhill.example>",
            "thread": "<root@fernhill.example>",
            "in_reply_to": "<middle@fernhill.example>",
        }
        assert (await source.fetch(second)).metadata["thread"] == "<root@fernhill.example>"


async def test_only_new_messages_are_asked_for_and_none_is_marked_as_seen(
    server: ImapServer, tmp_path: Path
) -> None:
    for number in range(5):
        server.folders["INBOX"].add(letter("x", name=f"m{number}"))
    taken = await take(_source(server, tmp_path))
    server.asked.clear()
    server.folders["INBOX"].add(letter("y", name="m9"))
    again = await listed(server, taken.before)
    assert len(again.items) == 6
    fetches = [each for each in server.asked if "FETCH" in each]
    assert len(fetches) == 1
    assert fetches[0].startswith("UID FETCH 6 (UID")
    assert any(each.startswith("EXAMINE") for each in server.asked)


def _source(server: ImapServer, folder: Path) -> Source:
    async def nothing(*_: str) -> None:
        return

    return Source(
        open=lambda: opened(server), write=nothing, remove=nothing, rename=None, cut=nothing, folder=folder
    )


async def test_numbers_that_begin_anew_keep_the_documents(server: ImapServer, library: Library) -> None:
    async def sync() -> tuple[int, int, int, int]:
        async with opened(server) as source:
            summary = await Synchroniser(library).sync(source, limit=LIMIT)
        assert not summary.failed
        return tuple(len(each) for each in (summary.new, summary.changed, summary.unchanged, summary.deleted))  # type: ignore[return-value]  # four of them

    inbox = server.folders["INBOX"]
    for number in range(3):
        inbox.add(letter("x", name=f"m{number}"))
    assert await sync() == (3, 0, 0, 0)
    renewed = Folder(validity=77, newest=100)
    for message in inbox.messages.values():
        renewed.add(message)
    server.folders["INBOX"] = renewed
    assert await sync() == (0, 0, 3, 0)
    del renewed.messages[102]
    assert await sync() == (0, 0, 2, 1)
    assert (await library.documents()).total == 2


async def test_a_message_marked_as_deleted_and_one_in_two_mailboxes_count_once(server: ImapServer) -> None:
    server.folders["All Mail"] = Folder()
    for name in ("INBOX", "All Mail"):
        server.folders[name].add(letter("x", name="both"))
    server.folders["INBOX"].deleted.add(server.folders["INBOX"].add(letter("y", name="gone")))
    listing = await listed(server, folders=["*"])
    assert [item.path.partition("/")[0] for item in listing.items] == ["INBOX"]


async def test_mailboxes_are_chosen_by_pattern_and_read_in_any_script(server: ImapServer) -> None:
    server.delimiter = "."
    names = ["Archive.2024", "Archive.Entw&APw-rfe", "&U,BTFw-", 'A "B" \\C', "Spam"]
    for name in names:
        server.folders[name] = Folder()
        server.folders[name].add(letter("x", name=f"in-{names.index(name)}"))
    server.folders["Archive"] = Folder(is_selectable=False)
    listing = await listed(server, folders=["Archive/*", "台北", "A *"])
    folders = {item.path.rpartition("/")[0] for item in listing.items}
    assert folders == {"Archive/2024", "Archive/Entwürfe", "台北", 'A "B" \\C'}
    assert not listing.unseen
    assert [decoded_name(name) for name in ("Tom &- Jerry", "&broken", "&!!!-")] == [
        "Tom & Jerry",
        "&broken",
        "&!!!-",
    ]


async def test_a_mailbox_that_is_not_opened_is_unseen_and_keeps_its_documents(server: ImapServer) -> None:
    server.folders["Archive"] = Folder()
    server.folders["INBOX"].add(letter("x", name="a"))
    server.refuses = {"Archive"}
    listing = await listed(server, folders=["*"])
    assert len(listing.items) == 1
    assert "does not open it" in listing.unseen["Archive"]
    assert listing.may_hold("Archive/2025-01-01 x.eml")


async def test_a_large_message_comes_in_pieces_and_a_too_large_one_is_refused(
    server: ImapServer, library: Library
) -> None:
    server.folders["INBOX"].add(letter("long " * 150_000, name="long"))
    server.folders["INBOX"].add(letter("longer " * 300_000, name="longer"))
    async with opened(server) as source:
        summary = await Synchroniser(library).sync(source, limit=LIMIT)
    assert len(summary.new) == 1
    assert [reason for _, reason in summary.failed] == [
        f"it has {len(letter('longer ' * 300_000, name='longer')):,} bytes and sources.mail.max_file_bytes allows 1,000,000"
    ]
    assert sum("BODY.PEEK[]" in each for each in server.asked) == 2


async def test_more_messages_than_allowed_delete_nothing(server: ImapServer) -> None:
    for number in range(5):
        server.folders["INBOX"].add(letter("x", name=f"m{number}"))
    listing = await listed(server, max_items=3)
    assert len(listing.items) == 3
    assert listing.may_hold("anything")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no headers at all",
        b"Date: Mon, 99 Foo 2025 99:99:99 +9999\r\nSubject: =?utf-8?q?=FF=FE?=\r\n\r\nx",
        b"From: =?x-unknown?b?/////?=\r\nMessage-ID: <<<>>>\r\n\r\n",
        b"Subject: " + b"a/b\\..\x00\x1b[31m " * 200 + b"\r\n\r\nx",
        b"Date: Fri, 31 Dec 9999 23:59:59 -1200\r\nReferences: " + b"<a@b> " * 3000 + b"\r\n\r\nx",
    ],
)
async def test_a_malformed_message_is_a_document_all_the_same(server: ImapServer, message: bytes) -> None:
    server.folders["INBOX"].add(message or b"\r\n")
    async with opened(server) as source:
        (item,) = (await source.listing({}, since=None)).items
        assert item.path.isprintable()
        assert ".." not in item.path.split("/")
        assert len(item.path) < 200
        await source.fetch(item)


async def test_who_is_refused_is_told_without_the_password(server: ImapServer) -> None:
    with pytest.raises(SettingsError, match=r"refuses the user 'ada@fernhill.example'") as told:
        await listed(server, token="wr0ng-one")
    assert "wr0ng-one" not in str(told.value)


async def test_a_server_that_is_down_or_talks_nonsense_is_an_error_to_try_again(server: ImapServer) -> None:
    server.folders["INBOX"].add(letter("x", name="a"))
    server.garble = lambda line: line.replace(b"{", b"{9")
    with pytest.raises((UpstreamError, DeadlineError)):
        await listed(server, timeout_s=0.5)
    server.garble = lambda _: b"* 1 FETCH (UID 1 RFC822.SIZE 5 BODY[] {99999999999}"
    with pytest.raises(UpstreamError, match="sends 99,999,999,999 bytes at once"):
        await listed(server)
    server.is_down = True
    with pytest.raises(UpstreamError, match=r"127\.0\.0\.1:\d+ cannot be reached or fails"):
        await listed(server)


async def test_a_message_that_goes_between_listing_and_fetching_is_told(server: ImapServer) -> None:
    server.folders["INBOX"].add(letter("x", name="a"))
    async with opened(server) as source:
        (item,) = (await source.listing({}, since=None)).items
        server.folders["INBOX"].messages.clear()
        with pytest.raises(UnreadableDocumentError, match="moved or deleted"):
            await source.fetch(item)


@pytest.fixture
def certified(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate that nobody trusts yet, and TLS with it."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*made, *named, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return certificate, tls


async def test_tls_is_spoken_and_a_certificate_that_is_not_trusted_is_refused(
    certified: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, tls = certified
    server = ImapServer()
    server.folders["INBOX"].add(letter("x", name="a"))
    async with imap_served(server, tls):
        with pytest.raises(SettingsError, match="certificate that is not trusted"):
            await listed(server, security="tls")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert len((await listed(server, security="tls")).items) == 1


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"user": ""}, "needs 'host', 'user' and 'token'"),
        ({"host": "mail.example.com", "security": "none"}, "would send the password readable"),
    ],
)
async def test_settings_that_cannot_work_are_refused(
    server: ImapServer, values: dict[str, str], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        settings(server, **values)


async def test_a_real_clock_opens_it_too(server: ImapServer) -> None:
    async with open_imap("mail", settings(server), clock=SystemClock()) as source:
        assert (await source.listing({}, since=None)).items == ()
        assert isinstance(source.source, str)
        assert issubclass(UpstreamError, CausewayError)
