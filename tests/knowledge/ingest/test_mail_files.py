from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import pytest

from causeway.errors import NotFoundError, UnreadableDocumentError
from causeway.knowledge.ingest.connector import Connector, Fetched
from causeway.knowledge.ingest.mail_files import MailFiles
from causeway.knowledge.ingest.mail_mbox import Mbox
from causeway.knowledge.ingest.source_kinds import open_source
from causeway.knowledge.ingest.sync import SizeLimit, Synchroniser
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.library import Library
from causeway.settings import SourceSettings
from causeway.testing.clock import FrozenClock
from causeway.testing.connector_contract import CHECKS, Check, Source
from tests.knowledge.ingest.imap_server import letter

LIMIT = SizeLimit(1_000_000, "sources.mail.max_file_bytes")
SECOND = 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "mail"
    place.mkdir()
    return place


def opened(place: Path, **values: object) -> AbstractAsyncContextManager[Connector]:
    settings = SourceSettings.model_validate({"kind": "mail", "path": place, **values})
    return open_source("mail", settings, clock=FrozenClock())


async def content_of(fetched: Fetched) -> bytes:
    match fetched.content:
        case bytes() as content:
            return content
        case Path() as file:
            return file.read_bytes()
        case pieces:
            return b"".join([piece async for piece in pieces])


class Box:
    """A mailbox on the disk, as a mail program keeps it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.messages: dict[str, bytes] = {}
        self._time = 1_750_000_000 * SECOND

    def save(self, file: Path, content: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self._time += SECOND
        os.utime(file, ns=(self._time, self._time))


def maildir(place: Path) -> Source:
    box = Box(place)
    for each in ("cur", "new", "tmp", ".Archive/cur", ".Archive/new"):
        (place / each).mkdir(parents=True)

    async def write(name: str, words: str) -> None:
        box.save(place / "cur" / f"{name}:2,S", letter(words, name=name))

    async def remove(name: str) -> None:
        (place / "cur" / f"{name}:2,S").unlink()

    async def rename(name: str, target: str) -> None:
        (place / "cur" / f"{name}:2,S").rename(place / ".Archive/cur" / f"{target}:2,")

    return _source(place, write, remove, rename)


def folder(place: Path) -> Source:
    box = Box(place)

    async def write(name: str, words: str) -> None:
        box.save(place / "2025" / f"{name}.eml", letter(words, name=name))

    async def remove(name: str) -> None:
        (place / "2025" / f"{name}.eml").unlink()

    async def rename(name: str, target: str) -> None:
        target_file = place / "2026" / f"{target}.eml"
        target_file.parent.mkdir(exist_ok=True)
        (place / "2025" / f"{name}.eml").rename(target_file)

    return _source(place, write, remove, rename)


def mbox(place: Path) -> Source:
    box = Box(place)
    file = place / "mail.mbox"

    def save() -> None:
        box.save(file, packed(*box.messages.values()))

    async def write(name: str, words: str) -> None:
        box.messages[name] = letter(words, name=name)
        save()

    async def remove(name: str) -> None:
        del box.messages[name]
        save()

    async def rename(name: str, target: str) -> None:
        words = box.messages.pop(name).partition(b"\r\n\r\n")[2].decode().strip()
        box.messages[target] = letter(words, name=name, subject=target)
        save()

    return _source(place, write, remove, rename, file)


def _source(
    place: Path,
    write: Callable[[str, str], Awaitable[None]],
    remove: Callable[[str], Awaitable[None]],
    rename: Callable[[str, str], Awaitable[None]],
    file: Path | None = None,
) -> Source:
    kept = place.parent / "kept"
    kept.mkdir(exist_ok=True)

    async def cut() -> None:
        shutil.rmtree(place)

    def opening() -> AbstractAsyncContextManager[Connector]:
        if file is not None:
            settings = SourceSettings.model_validate({"kind": "mail", "path": file})
            return nullcontext(Mbox("mail", file, settings))
        return opened(place)

    return Source(open=opening, write=write, remove=remove, rename=rename, cut=cut, folder=kept)


def packed(*messages: bytes) -> bytes:
    """An mbox as mail programs write it: with unix lines, and ``From `` escaped."""
    parts = []
    for message in messages:
        lines = message.replace(b"\r\n", b"\n").split(b"\n")
        escaped = [b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in lines]
        parts.append(b"From ada@fernhill.example Mon Jun  2 09:30:00 2025\n" + b"\n".join(escaped) + b"\n")
    return b"".join(parts)


@pytest.mark.parametrize("kind", [maildir, folder, mbox], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_mail_on_the_disk_keeps_the_contract_of_a_source(
    check: Check, kind: Callable[[Path], Source], root: Path
) -> None:
    await check(kind(root))


@pytest.fixture
def sync(library: Library, root: Path) -> Callable[..., Awaitable[SyncSummary]]:
    async def run(place: Path = root, **values: object) -> SyncSummary:
        async with opened(place, **values) as source:
            return await Synchroniser(library).sync(source, limit=LIMIT)

    return run


async def test_a_message_that_was_read_or_answered_is_the_same(
    root: Path, sync: Callable[..., Awaitable[SyncSummary]]
) -> None:
    for each in ("cur", "new", "tmp", ".Archive.2025/cur"):
        (root / each).mkdir(parents=True)
    (root / "new" / "1750.M1.host").write_bytes(letter("x", name="a"))
    (root / ".Archive.2025" / "cur" / "1751.M2.host:2,S").write_bytes(letter("y", name="b"))
    (root / "tmp" / "half").write_bytes(b"half a mess")
    first = await sync()
    assert [path.rpartition("/")[0] for path in first.new] == ["", "Archive/2025"]
    (root / "new" / "1750.M1.host").rename(root / "cur" / "1750.M1.host:2,RS")
    second = await sync()
    assert (len(second.unchanged), second.new, second.changed, second.deleted) == (2, (), (), ())


async def test_a_folder_of_messages_takes_eml_and_msg_alone(
    root: Path, sync: Callable[..., Awaitable[SyncSummary]]
) -> None:
    (root / "deep/er").mkdir(parents=True)
    (root / "a.EML").write_bytes(letter("x", name="a"))
    (root / "deep/er/b.msg").write_bytes(b"\xd0\xcf\x11\xe0 an outlook message")
    (root / "notes.txt").write_text("no mail")
    (root / "link.eml").symlink_to(root / "a.EML")
    done = await sync()
    assert len(done.new) == 2
    assert "deep/er/b.msg" in done.new


async def test_two_files_of_one_message_are_one_document(
    root: Path, sync: Callable[..., Awaitable[SyncSummary]]
) -> None:
    for name in ("one.eml", "copy of one.eml"):
        (root / name).write_bytes(letter("x", name="a"))
    assert len((await sync()).new) == 1


async def test_an_mbox_gives_each_message_back_as_it_was_sent(root: Path) -> None:
    sent = [
        letter("From here on\r\n>From there\r\n\r\nFrom now", name="a"),
        letter("line " * 300_000, name="long"),
        letter("\r\n".join(["x" * 50] * 30_000), name="many"),
    ]
    file = root / "mail.mbox"
    file.write_bytes(packed(*sent))
    async with opened(file) as source:
        listing = await source.listing({}, since=None)
        got = {await content_of(await source.fetch(item)) for item in listing.items}
    assert {each.rstrip() for each in got} == {each.replace(b"\r\n", b"\n").rstrip() for each in sent}


async def test_an_mbox_that_grew_is_read_again_and_only_what_is_new_is_taken(
    root: Path, sync: Callable[..., Awaitable[SyncSummary]]
) -> None:
    file = root / "mail.mbox"
    file.write_bytes(packed(letter("x", name="a")))
    assert len((await sync(file)).new) == 1
    file.write_bytes(packed(letter("x", name="a"), letter("y", name="b")))
    again = await sync(file)
    assert (len(again.new), len(again.unchanged)) == (1, 1)


async def test_an_mbox_that_changes_while_it_is_taken_is_left_for_the_next_sync(root: Path) -> None:
    file = root / "mail.mbox"
    file.write_bytes(packed(letter("x", name="a")))
    async with opened(file) as source:
        (item,) = (await source.listing({}, since=None)).items
        file.write_bytes(packed(letter("other", name="z"), letter("x", name="a")))
        with pytest.raises(UnreadableDocumentError, match="changed since it was listed"):
            await content_of(await source.fetch(item))


async def test_a_file_that_is_no_mbox_is_never_an_empty_mailbox(root: Path) -> None:
    file = root / "mail.mbox"
    file.write_bytes(b"\x00" * 200_000)
    async with opened(file) as source:
        listing = await source.listing({}, since=None)
    assert "no mbox file" in listing.unseen[""]


async def test_what_is_not_there_is_told(root: Path) -> None:
    settings = SourceSettings.model_validate({"kind": "mail", "path": root / "gone"})
    for source in (Mbox("mail", root / "gone", settings), MailFiles("mail", root / "gone", settings)):
        with pytest.raises(NotFoundError, match="restore or mount it"):
            await source.listing({}, since=None)


async def test_more_messages_than_allowed_delete_nothing(root: Path) -> None:
    for n in range(4):
        (root / f"{n}.eml").write_bytes(letter("x", name=f"m{n}"))
    file = root / "mail.mbox"
    file.write_bytes(packed(*(letter("x", name=f"m{n}") for n in range(4))))
    for place in (root, file):
        async with opened(place, max_items=2) as source:
            listing = await source.listing({}, since=None)
        assert len(listing.items) == 2
        assert listing.may_hold("anything")


async def test_threads_are_told_of_files_too(root: Path) -> None:
    message = letter("x", name="b", parent="a", thread="root")
    (root / "b.eml").write_bytes(message)
    file = root / "mail.mbox"
    file.write_bytes(packed(message))
    for place in (root, file):
        async with opened(place) as source:
            (item,) = (await source.listing({}, since=None)).items
            assert (await source.fetch(item)).metadata["thread"] == "<root@fernhill.example>"
