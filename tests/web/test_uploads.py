from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.identity import SYSTEM, Principal
from causeway.errors import InvalidInputError, TooLargeError
from causeway.knowledge import Added, DocumentState
from causeway.web.uploads import read_upload, store

MAX_BYTES = 10_000


class Arrived:
    """Files in memory, and how many are still open."""

    def __init__(self) -> None:
        self.files: list[Arriving] = []
        self.open = 0

    @asynccontextmanager
    async def arriving(self, name: str) -> AsyncIterator[Arriving]:
        self.open += 1
        self.files.append(Arriving(name))
        try:
            yield self.files[-1]
        finally:
            self.open -= 1


class Arriving:
    def __init__(self, name: str) -> None:
        self.name = name
        self.content = b""
        self.added: tuple[str | None, Mapping[str, object] | None] | None = None

    async def write(self, piece: bytes) -> None:
        self.content += piece

    async def add(
        self,
        *,
        by: Principal,
        collection: str | None = None,
        metadata: Mapping[str, object] | None = None,
        key: str = "",
    ) -> Added:
        self.added = (collection, metadata)
        return Added(document_id="doc_1", revision=1, change="new", state=DocumentState.QUEUED)


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"


END = b"--b--\r\n"


def request_of(pieces: Sequence[bytes], *, breaks_off: bool = False) -> Request:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages.append({"type": "http.disconnect"} if breaks_off else {"type": "http.request", "body": b""})
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def sent(arrived: Arrived, *pieces: bytes, breaks_off: bool = False) -> Mapping[str, str]:
    async with read_upload(request_of(pieces, breaks_off=breaks_off), arrived, max_bytes=MAX_BYTES) as form:
        for file in form.files:
            await store(file, form.fields, by=SYSTEM)
        return form.fields


async def test_a_file_is_added_with_the_fields_that_come_before_and_after_it() -> None:
    arrived = Arrived()
    metadata = part("metadata", b'{"team": "shop"}')
    await sent(arrived, part("collection", b" hr "), part("file", b"hello", "a.md"), metadata, END)
    assert [(file.name, file.content) for file in arrived.files] == [("a.md", b"hello")]
    assert arrived.files[0].added == ("hr", {"team": "shop"})
    assert arrived.open == 0


async def test_bytes_are_passed_on_as_they_come_and_not_when_the_form_ends() -> None:
    arrived = Arrived()
    seen: list[bytes] = []

    async def receive() -> dict[str, Any]:
        seen.append(arrived.files[0].content if arrived.files else b"")
        body = (part("file", b"x" * 100, "a.md")[:-2], b"y" * 100, b"\r\n" + END)[len(seen) - 1]
        return {"type": "http.request", "body": body, "more_body": len(seen) < 3}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    async with read_upload(request, arrived, max_bytes=MAX_BYTES) as form:
        assert len(form.files) == 1
    assert seen == [b"", b"x" * 100, b"x" * 100 + b"y" * 100]


@given(cuts=st.lists(st.integers(0, 400), max_size=12), content=st.binary(max_size=120))
def test_where_the_body_is_cut_into_pieces_changes_nothing(cuts: list[int], content: bytes) -> None:
    content = content.replace(b"--b", b"...")
    body = part("file", content, "notes \u2013 1.md") + part("collection", b"team") + END
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    arrived = Arrived()
    fields = asyncio.run(sent(arrived, *(body[start:end] for start, end in pairwise(places))))
    assert [(file.name, file.content) for file in arrived.files] == [("notes \u2013 1.md", content)]
    assert fields == {"collection": "team"}


async def test_a_file_that_was_not_chosen_is_no_file() -> None:
    arrived = Arrived()
    assert await sent(arrived, part("file", b"", ""), part("q", b"x"), END) == {"q": "x"}
    assert arrived.files == []


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([part("file", b"hello", "a.md")], "ends before its form does"),
        ([part("file", b"hello", "a.md")[:-9]], "ends before its form does"),
        ([b"hello"], "cannot be read"),
        ([b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n", END], "has no name"),
        ([*(part("file", b"", f"{n}.md") for n in range(51)), END], "more than 50 files"),
        ([*(part(f"f{n}", b"") for n in range(51)), END], "more than 50 fields"),
    ],
)
async def test_a_form_that_is_not_whole_or_not_right_adds_nothing(pieces: list[bytes], said: str) -> None:
    arrived = Arrived()
    with pytest.raises(InvalidInputError, match=said):
        await sent(arrived, *pieces)
    assert [file.added for file in arrived.files if file.added] == []
    assert arrived.open == 0


async def test_a_sender_who_goes_away_leaves_nothing_behind() -> None:
    arrived = Arrived()
    with pytest.raises(InvalidInputError, match="broke off"):
        await sent(arrived, part("file", b"half", "a.md")[:-2], breaks_off=True)
    assert (arrived.files[0].added, arrived.open) == (None, 0)


async def test_fields_may_not_be_the_size_of_files() -> None:
    arrived = Arrived()
    with pytest.raises(TooLargeError, match="fields"):
        async with read_upload(
            request_of([part("metadata", b"x" * 1_000_001), END]), arrived, max_bytes=5_000_000
        ):
            pytest.fail("it was taken")
