"""A reader that stands ready: a process that has done all it can before it is told which file, and reads one file.

It is forked by `parse_nursery`, and what it waits for is a message on its channel: a request as `parse_child` takes it,
with the ends of two pipes; or, from a reader whose PDF is long, so many of that PDF's pages as it gets, with the end of a
pipe, the file and what deals the pages. It opens no file before, sets its limits first, and is gone after the one answer, whichever it was.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import traceback
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import msgspec

from causeway.knowledge.document import Block
from causeway.knowledge.ingest import parse_child
from causeway.knowledge.ingest.helper import LONGEST_REQUEST_BYTES, Helper
from causeway.knowledge.ingest.in_two import die_with_parent

# ruff: noqa: PLC0415 - the readers are imported once, by the process that is forked from, or with the limits in place

_CHANNEL = 3
_MOST_DESCRIPTORS = 256
_LETTERS = " ".join(map("".join, permutations("etaoinsr", 4)))
"""As much as is looked at to tell a language, and as many kinds of syllables as a page has."""
_LINES = "".join(f"0 -12 Td ({_LETTERS[place : place + 79]}) Tj\n" for place in range(0, 2400, 80)).encode()
_PAGE = (
    b"""BT /F 16 Tf 72 720 Td (Readers that stand ready) Tj /F 11 Tf
0 -40 Td (Forking a process and touching the memory that it needs takes longer) Tj
0 -14 Td (than reading a page, so both are done before there is a page to read.) Tj
0 -14 Td (This one was read before anybody asked, and nobody will know what it says.) Tj ET
72 500 m 472 500 l 472 460 l 72 460 l h S 72 480 m 472 480 l S 272 500 m 272 460 l S
BT /F 11 Tf 76 486 Td (What is done) Tj 200 0 Td (When) Tj -200 -20 Td (All that can be) Tj 200 0 Td (Before) Tj -200 -40 Td
%sET"""
    % _LINES
)
_OWN_PDF = b"""%%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F 4 0 R>>>>/Contents 5 0 R>>endobj
4 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
5 0 obj<</Length %d>>stream
%s
endstream endobj
trailer<</Root 1 0 R>>
""" % (len(_PAGE), _PAGE)


def rehearse() -> None:
    """Read a page of our own, so that what reading touches is this process's, and made, when a file comes."""
    from causeway.knowledge.ingest import parser
    from causeway.knowledge.ingest.language import language_of
    from causeway.knowledge.ingest.reading import Reading

    parsed = parser.parse_bytes(_OWN_PDF, name="own.pdf", reading=Reading())
    language_of([*parsed.blocks, Block(kind="paragraph", text=_LETTERS)])
    json.loads(msgspec.json.encode({"document": parsed}))


def stand_by(channel: int, *, is_rehearsing: bool) -> None:
    """In a child just forked: get ready, wait for a message, do what it says and end; never returns."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        die_with_parent()
        parse_child.be_ended_first()
        os.dup2(channel, _CHANNEL)
        os.closerange(_CHANNEL + 1, _MOST_DESCRIPTORS)
        with socket.socket(fileno=_CHANNEL) as heard:
            if is_rehearsing:
                rehearse()
            message, descriptors, _, _ = socket.recv_fds(heard, LONGEST_REQUEST_BYTES, 3)
            if message:
                _do(json.loads(message), descriptors, heard)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing may get back into the nursery's loop
        traceback.print_exc()
    finally:
        os._exit(1)


def _do(request: Mapping[str, Any], descriptors: Sequence[int], channel: socket.socket) -> None:
    if "pages" in request:
        parse_child.limit(request)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        _read_pages(int(request["pages"]), *descriptors)
        return
    os.dup2(descriptors[0], 1)
    os.dup2(descriptors[1], 2)
    os.closerange(_CHANNEL + 1, _MOST_DESCRIPTORS)
    parse_child.read(request, Helper(channel, request), msgspec.json.encode)


def _read_pages(count: int, answer: int, file: int, deck: int) -> None:
    from causeway.knowledge.ingest.parse_pdf import pages_of

    with os.fdopen(file, "rb") as opened:
        opened.seek(0)  # where it is read is common to all who have it open
        content = opened.read()
    made = pickle.dumps(pages_of(content, count, deck), pickle.HIGHEST_PROTOCOL)
    with os.fdopen(answer, "wb", buffering=0) as answers:
        while made:
            made = made[answers.write(made) :]
    parse_child.let_others_first()
