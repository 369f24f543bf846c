from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.guard.pii import Finder, Found, Kind
from causeway.guard.restore import Placeholders, StreamRestorer, Syntax
from causeway.settings import GuardSettings

FINDER = Finder(GuardSettings())


def table(*values: tuple[Kind, str], typed: tuple[str, ...] = ()) -> Placeholders:
    placeholders = Placeholders(typed)
    for kind, value in values:
        placeholders.mask(value, [Found(kind, 0, len(value))])
    return placeholders


ALICE = (Kind.EMAIL, "alice@example.com")
PEOPLE = table(
    ALICE, (Kind.EMAIL, "bob@example.com"), (Kind.NATIONAL_ID, "536-22-1234"), typed=("[EMAIL_2]",)
)


def test_the_nth_distinct_value_of_a_kind_gets_the_number_n() -> None:
    text = "a@example.com, b@example.com, a@example.com, +44 20 7946 0958"
    assert Placeholders().mask(text, FINDER.find(text)) == "[EMAIL_1], [EMAIL_2], [EMAIL_1], [PHONE_1]"


def test_what_is_masked_comes_back_as_it_was() -> None:
    text = "Write to a@example.com or B@example.com; call +44 20 7946 0958."
    placeholders = Placeholders()
    masked = placeholders.mask(text, FINDER.find(text))
    assert "example" not in masked
    assert placeholders.restore(masked) == text


@pytest.mark.parametrize(
    "typed", ["[EMAIL_1]", "[email_1]", "\\[EMAIL\\_1\\]", "%5BEMAIL_1%5D", "EMAIL_1", "[EMAIL_01]"]
)
def test_a_placeholder_that_the_caller_typed_is_nobodys(typed: str) -> None:
    placeholders = table(ALICE, typed=(f"replace {typed} by a name",))
    assert placeholders.restore(typed) == typed
    assert placeholders.restore("[EMAIL_2]") == "alice@example.com"


@pytest.mark.parametrize(
    ("written", "restored"),
    [
        ("[EMAIL_1]", "alice@example.com"),
        ("[email_1]", "alice@example.com"),
        ("**[EMAIL_1]**", "**alice@example.com**"),
        ("\\[EMAIL\\_1\\]", "alice@example.com"),
        ("[EMAIL\\_1]", "alice@example.com"),
        ("\\[national\\_id\\_1\\]", "536-22-1234"),
        ("<mailto:%5BEMAIL_1%5D>", "<mailto:alice%40example.com>"),
        ("[EMAIL_1](mailto:[EMAIL_1])", "alice@example.com(mailto:alice@example.com)"),
        ("C:\\[EMAIL_1]", "C:\\alice@example.com"),
    ],
)  # fmt: skip
def test_the_spellings_that_models_use_are_known(written: str, restored: str) -> None:
    assert PEOPLE.restore(written) == restored


@pytest.mark.parametrize(
    "written", ["[EMAIL_2]", "[EMAIL_9]", "[EMAIL_01]", "[EMAIL_]", "EMAIL_1", "[PHONE_1]", "[\u017fECRET_1]"]
)
def test_what_is_no_placeholder_of_this_call_is_left(written: str) -> None:
    assert PEOPLE.restore(written) == written


@given(st.text(min_size=1, max_size=40))
def test_a_value_in_json_stays_inside_its_string(value: str) -> None:
    placeholders = table((Kind.SECRET, value))
    restored = placeholders.restore('{"path": "C:\\\\[SECRET_1]", "n": 1}', "json")
    assert json.loads(restored) == {"path": f"C:\\{value}", "n": 1}


def test_the_table_does_not_show_its_values() -> None:
    assert "alice" not in f"{PEOPLE!r} {PEOPLE} {PEOPLE.counts}"


PIECES = st.sampled_from(
    ["\\", "[", "]", "EMAIL", "_", "\\_", "1", "3", "2", "0", "%5B", "%5D", "%", "%5", "email", "[EMAIL_1]", "[EMAIL_3]", "x", " ", "NATIONAL",
     "\\[EMAIL\\_1\\]", "_ID_", "[NATIONAL_ID_1]", "\\[national\\_id\\_1\\]", "%5bEMAIL_3%5d", "\\]"]
)  # fmt: skip
WRITTEN = st.lists(PIECES, max_size=9).map("".join)


@given(WRITTEN, st.sampled_from(["text", "json"]))
def test_a_stream_gives_the_whole_texts_result_at_every_cut(text: str, syntax: Syntax) -> None:
    whole = PEOPLE.restore(text, syntax)
    for cut in range(len(text) + 1):
        stream = StreamRestorer(PEOPLE, syntax)
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.end() == whole


@given(WRITTEN, st.lists(st.integers(1, 5), max_size=30))
def test_a_stream_gives_the_whole_texts_result_in_many_pieces(text: str, lengths: list[int]) -> None:
    stream, shown, rest = StreamRestorer(PEOPLE), "", text
    for length in lengths:
        shown, rest = shown + stream.feed(rest[:length]), rest[length:]
    assert shown + stream.feed(rest) + stream.end() == PEOPLE.restore(text)


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        ("plain text", "plain text"),
        ("see [1] and [", "see [1] and "),
        ("see [E", "see "),
        ("see [X", "see [X"),
        ("[EMAIL_3", ""),
        ("[EMAIL_4", "[EMAIL_4"),
        ("[EMAIL_2", "[EMAIL_2"),
        ("[EMAIL_3]", "bob@example.com"),
        ("100 %", "100 "),
        ("100 %5", "100 "),
        ("100 %6", "100 %6"),
        ("a\\", "a"),
        ("a\\n", "a\\n"),
        ("[PHONE", "[PHONE"),
    ],
)
def test_only_the_beginning_of_a_known_placeholder_is_held_back(piece: str, shown: str) -> None:
    assert StreamRestorer(PEOPLE).feed(piece) == shown
