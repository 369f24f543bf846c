from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.page_words import PageWord, PageWords

shares = st.floats(0, 1, allow_nan=False)
boxes = st.tuples(shares, shares, shares, shares)


@given(st.lists(st.tuples(st.text(), boxes), max_size=40))
def test_what_is_packed_is_unpacked_to_a_ten_thousandth(placed: list[tuple[str, tuple[float, ...]]]) -> None:
    words = PageWords.of(placed)
    again = PageWords.unpack(words.pack())
    assert [word[1:] for word in again.words] == [word[1:] for word in words.words]
    said = [word.text.encode("utf-8", "replace").decode() for word in words.words]
    assert [word.text for word in again.words] == said
    assert len(words.words) == sum(bool(text.split()) for text, _ in placed)


def test_sides_beyond_the_page_end_at_its_edge() -> None:
    assert PageWords.of([("a", (-0.1, 0.5, 1.2, 0.55))]).words == (PageWord("a", 0, 5000, 10_000, 5500),)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x01",
        b"\x02" + zlib.compress(b"\x00\x00"),
        b"\x01" + zlib.compress(b"\x05\x00abc"),
        b"\x01" + zlib.compress(b"\x01\x00" + bytes(8) + b"a\nb"),
        b"\x01" + zlib.compress(bytes(20_000_000)),
        PageWords.of([("word", (0.1, 0.1, 0.2, 0.2))]).pack()[:-6],
    ],
)
def test_what_was_not_packed_here_is_refused(packed: bytes) -> None:
    with pytest.raises(UnreadableDocumentError):
        PageWords.unpack(packed)
