from __future__ import annotations

import pytest

from causeway.knowledge.answer.support import support

ROW = "Price 2026; Brook: £42; Weir: £89"
SUPPLIERS = ("Supplier: Alder Mill; Lead time: 105 days", "Supplier: Birch Works; Lead time: 80 days")


def _is_supported(sentence: str, *statements: str) -> bool:
    return support(sentence, "", statements, given="What does it say?").share >= 0.4


@pytest.mark.parametrize(
    ("sentence", "statements", "is_supported"),
    [
        ("First class is paid.", ("First class is not paid.",), False),
        ("First class is not paid.", ("First class is paid.",), False),
        ("First class is not paid.", ("First class is never paid.",), True),
        ("One person lifts up to 23 kg.", ("One person does not lift more than 23 kg.",), True),
        ("The workshop mended 402 tents.", ("The workshop mended 531 tents, 402 stoves and more.",), False),
        ("The workshop mended 402 stoves.", ("The workshop mended 531 tents, 402 stoves and more.",), True),
        ("The Brook costs £42 at a price of 2026.", (ROW,), True),
        ("The Brook costs £89 at a price of 2026.", (ROW,), False),
        ("The lead time of Birch Works is 80 days.", SUPPLIERS, True),
        ("The lead time of Birch Works is 105 days.", SUPPLIERS, False),
        (
            "Calls are kept for 30 days.",
            ("Pictures are kept for 30 days.", "Calls are kept for 90 days."),
            False,
        ),
        ("The policy is with Brackenfold.", ("The policy is with Hallgate.",), False),
        ("You get 25 days of leave and a company car.", ("You get 25 days of leave.",), False),
    ],
)
def test_shared_words_are_not_enough(sentence: str, statements: tuple[str, ...], is_supported: bool) -> None:
    assert _is_supported(sentence, *statements) is is_supported
