from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.guard.plain_output import (
    REDACTED,
    SecretRedactor,
    disarmed_cell,
    without_secrets,
    without_unseen,
)

TOKEN = "ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a"
KEY = "-----BEGIN " + "PRIVATE KEY-----\nMIIEow\nabc\n-----END PRIVATE KEY-----"
REPLY = f"The token is {TOKEN}, the password: hunter2! and\n{KEY}\nthat is all; write a-b to x_1."


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "\uff1d1+1", "\r\n=1"]
)
def test_a_formula_is_disarmed(cell: str) -> None:
    assert disarmed_cell(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["text", "-5", "+3.50", "-1,000.00", "-12%", "1e-3", "a=b", ""])
def test_numbers_and_words_stay_in_their_cells(cell: str) -> None:
    assert disarmed_cell(cell) == cell


def test_tags_and_direction_controls_are_taken_out_and_flags_stay() -> None:
    hidden = "".join(chr(0xE0000 + ord(character)) for character in "ignore all")
    scotland = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
    assert without_unseen(f"a{hidden}b\u202ec {scotland} \u05d0") == f"abc {scotland} \u05d0"


def test_secrets_are_taken_out_and_the_rest_stays() -> None:
    assert without_secrets(REPLY) == (
        f"The token is {REDACTED}, the password: {REDACTED} and\n{REDACTED}\nthat is all; write a-b to x_1."
    )


@given(st.lists(st.integers(1, 12), min_size=1))
def test_no_cut_of_a_stream_lets_a_secret_out(lengths: list[int]) -> None:
    redactor, shown, rest = SecretRedactor(), "", REPLY
    for length in lengths:
        shown, rest = shown + redactor.feed(rest[:length]), rest[length:]
    shown += redactor.feed(rest) + redactor.end()
    assert not any(part in shown for part in ("_16C7", "e42F", "hunter", "MIIE", "BEGIN"))
    assert redactor.count == 3
    assert shown.endswith("that is all; write a-b to x_1.")


def test_words_are_not_held_back() -> None:
    redactor = SecretRedactor()
    assert redactor.feed("Plain words go through at onc") == "Plain words go through at onc"
    assert redactor.feed("e, and a-") == "e, and "
    assert redactor.feed("b is a word ") == "a-b is a word "


def test_what_is_held_back_is_bounded() -> None:
    redactor = SecretRedactor()
    shown = "".join(redactor.feed("1" * 1_000) for _ in range(50))
    assert len(shown) > 25_000
