from __future__ import annotations

import pytest

from causeway.errors import UpstreamError
from causeway.models.event_stream import EventStream

REPLY = ': ping\r\n\r\ndata: {"a":"ü"}\r\n\r\nevent: x\nid: 7\ndata:one\ndata: two\n\n:\n\ndata: [DONE]\n\n'.encode()
DATA = ['{"a":"ü"}'.encode(), b"one\ntwo", b"[DONE]"]


@pytest.mark.parametrize("size", range(1, len(REPLY) + 1))
def test_events_do_not_depend_on_where_the_bytes_are_cut(size: int) -> None:
    events = EventStream()
    pieces = [REPLY[start : start + size] for start in range(0, len(REPLY), size)]
    assert [data for piece in pieces for data in events.feed(piece)] == DATA


def test_an_event_without_end_is_refused() -> None:
    with pytest.raises(UpstreamError, match="larger than"):
        EventStream().feed(b"data: " + b"x" * (17 << 20))


def test_an_event_of_endless_lines_is_refused() -> None:
    events = EventStream()
    for _ in range(16):
        assert events.feed(b"data: x\n" * (1 << 17)) == []
    with pytest.raises(UpstreamError, match="larger than"):
        events.feed(b"data: x\n" * (1 << 19))


def test_lines_that_carry_nothing_may_go_on_for_ever() -> None:
    events = EventStream()
    for _ in range(40):
        assert events.feed(b": still here, and this takes some room\n" * (1 << 14) + b": cut off") == []
