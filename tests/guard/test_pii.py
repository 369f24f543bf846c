from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.errors import MissingCapabilityError, SettingsError
from causeway.guard.pii import Finder, Found, Kind
from causeway.settings import GuardSettings

FINDER = Finder(GuardSettings(phone_regions=["US", "GB", "DE", "FR", "ES"]))


def found_in(text: str, finder: Finder = FINDER) -> list[tuple[str, str]]:
    return [(one.kind.value, text[one.start : one.end]) for one in finder.find(text)]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("email", "alice@example.com", "write to <alice@example.com>."),
        ("email", "jörg.o'neil+x@mail.example.co.uk", "an jörg.o'neil+x@mail.example.co.uk, bitte"),
        ("email", "zhang@example.cn", "请联系zhang@example.cn谢谢"),
        ("email", "bob@example.com", "https://example.com/?mail=bob@example.com"),
        ("phone", "(415) 555-2671", "call (415) 555-2671 now"),
        ("phone", "415.555.2671", "415.555.2671 is mine"),
        ("phone", "+1-415-555-2671", "+1-415-555-2671"),
        ("phone", "+44 (0)20 7946 0958", "ring +44 (0)20 7946 0958"),
        ("phone", "020 7946 0958", "ring 020 7946 0958"),
        ("phone", "0033 6 12 34 56 78", "0033 6 12 34 56 78"),
        ("phone", "07700 900123", "tel 07700 900123"),
        ("phone", "+44 7700 900123", "+44 7700 900123"),
        ("phone", "01632 960410", "the shop, 01632 960410, or write"),
        ("phone", "(415) 555-0134", "at (415) 555-0134"),
        ("phone", "06 12 34 56 78", "mon portable: 06 12 34 56 78"),
        ("phone", "0171-1234567", "unter 0171-1234567 erreichbar"),
        ("phone", "4155552671", "my number is 4155552671"),
        ("phone", "415-555-2671", "alice,415-555-2671,30"),
        ("phone", "415\u00a0555\u00a02671", "415\u00a0555\u00a02671"),
        ("phone", "+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨", "+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨"),
        ("card", "4111 1111 1111 1111", "card 4111 1111 1111 1111"),
        ("card", "378282246310005", "amex=378282246310005"),
        ("card", "5555-5555-5555-4444", "5555-5555-5555-4444, exp 12/29"),
        ("iban", "GB82 WEST 1234 5698 7654 32", "to GB82 WEST 1234 5698 7654 32 today"),
        ("iban", "DE89370400440532013000", "IBAN:DE89370400440532013000."),
        ("iban", "MT84 MALT 0110 0001 2345 MTLC AST0 01S", "MT84 MALT 0110 0001 2345 MTLC AST0 01S"),
        ("national_id", "536-22-1234", "SSN 536-22-1234"),
        ("national_id", "536221234", "social security number: 536221234"),
        ("national_id", "AB 12 34 56 C", "NI AB 12 34 56 C"),
        ("national_id", "12345678Z", "DNI 12345678Z"),
        ("national_id", "X1234567L", "NIE X1234567L"),
        ("national_id", "2 55 08 14 168 025 38", "sécu 2 55 08 14 168 025 38"),
        ("national_id", "86095742719", "Steuer-ID: 86095742719"),
        ("national_id", "RSSMRA85T10A562S", "codice fiscale RSSMRA85T10A562S"),
        ("national_id", "111222333", "BSN 111222333"),
        ("national_id", "529.982.247-25", "CPF 529.982.247-25"),
        ("national_id", "811228-9874", "personnummer 811228-9874"),
        ("national_id", "131052-308T", "hetu 131052-308T"),
        ("national_id", "756.9217.0769.85", "AHV 756.9217.0769.85"),
        ("national_id", "85.07.30-033.28", "85.07.30-033.28"),
        ("national_id", "44051401359", "PESEL 44051401359"),
        ("national_id", "943 476 5919", "NHS number 943 476 5919"),
        ("national_id", "2341 2341 2346", "Aadhaar 2341 2341 2346"),
        ("national_id", "046 454 286", "SIN 046 454 286"),
        ("date_of_birth", "12 March 1985", "born on 12 March 1985 in Leeds"),
        ("date_of_birth", "1985-03-12", '{"date_of_birth": "1985-03-12"}'),
        ("date_of_birth", "03/12/85", "DOB: 03/12/85"),
        ("date_of_birth", "12. März 1985", "geboren am 12. März 1985"),
        ("date_of_birth", "3 mars 1979", "née le 3 mars 1979"),
        ("date_of_birth", "7 de mayo de 1990", "fecha de nacimiento: 7 de mayo de 1990"),
        ("secret", "hunter2!x", "password=hunter2!x"),
        ("secret", "Tr0ub4dor&3", "the password is Tr0ub4dor&3."),
        ("secret", "s3cr3t", "postgres://app:s3cr3t@db.example.com/x"),
        ("secret", "abcdef1234567890abcdef", "Authorization: Bearer abcdef1234567890abcdef"),
        ("secret", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ],
)  # fmt: skip
def test_a_value_is_found_whole_and_alone(kind: str, value: str, text: str) -> None:
    assert found_in(text) == [(kind, value)]


# assembled here, so that no scanner takes this file for a leak
SECRETS = {
    "github": "ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a",
    "openai": "sk-proj" + "-abcDEF123456ghiJKL789mnoPQR",
    "anthropic": "sk-ant" + "-api03-abcDEF123456ghiJKL789mnoPQR",
    "stripe": "sk_live" + "_4eC39HqLyjWDarjtT1zdp7dc",
    "slack": "xoxb" + "-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx",
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "google": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "gitlab": "glpat" + "-abcd1234efgh5678ijkl",
    "causeway": "cw" + "-Zk3v9QmX2rT7yB1nL5wD8sF4hJ6gK0pA_cEuRiOtVx",
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----",
    "sendgrid": "SG." + "abcdefghijklmnopqrstuv.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg",
}


@pytest.mark.parametrize("vendor", SECRETS)
def test_a_vendors_secret_is_found_whole(vendor: str) -> None:
    secret = SECRETS[vendor]
    assert found_in(f"use {secret} for it") == [("secret", secret)]


@pytest.mark.parametrize(
    "text",
    [
        "order 4155552671 shipped", "Order number: 415-555-2671", "tracking no. 1234567890123", "ISBN 978-3-16-148410-0",
        "version 10.2.3.4567", "2024-01-15T10:33:12.123456Z", "at 1732688400000 or 1732688400", "550e8400-e29b-41d4-a716-446655440000",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "$1,234,567.89 and 1.234.567,89 EUR", "1 234 567,89 €",
        "git@github.com:owner/repository.git", "logo@2x.png and icon@3x.webp", "@media (min-width: 1024px)", "npm i lodash@4.17.21",
        "password: required", "token: string", "the password is incorrect", "api_key = os.environ['API_KEY']", "secret: ${SECRET}",
        "password=<your password>", "4111 1111 1111 1112", "GB82 WEST 1234 5698 7654 33", "000-12-3456 and 666-12-3456",
        "12345678A", "born to run in 2024 days", "updated on 12 March 1985", "card number 1234 5678 9012 3456",
        "IMEI 490154203237518", "ip 192.168.100.200:8080", "pages 1024-1048 and 2001, 2002, 2003", "lat 51.507351 lon -0.127758",
        "room 4111, shelf 1111", "the pin is in the drawer", "RFC 7231 section 6.5.1", "sk-learn and scikit-learn-contrib-extras",
        "key=value; theme=dark-mode-2", "5 x 10 x 15 x 20 x 25", "2024/01/15 2024/01/16 2024/01/17", "(1) 2 3 4 5 6 7 8 9 10 11",
    ],
)  # fmt: skip
def test_what_only_looks_personal_is_left(text: str) -> None:
    assert found_in(text) == []


def test_of_two_that_overlap_the_more_telling_kind_is_kept() -> None:
    text = "https://app:pa55word@mail.example.com and mail@example.com"
    assert found_in(text) == [("secret", "pa55word"), ("email", "mail@example.com")]


def test_only_the_kinds_of_the_settings_are_found() -> None:
    finder = Finder(GuardSettings(kinds=["card"]))
    assert found_in("a@example.com, 4111111111111111, +44 20 7946 0958", finder) == [
        ("card", "4111111111111111")
    ]


def test_national_numbers_follow_the_configured_regions() -> None:
    text = "020 7946 0958"
    assert found_in(text, Finder(GuardSettings(phone_regions=["US"]))) == []
    assert found_in(text, Finder(GuardSettings(phone_regions=["GB"]))) == [("phone", text)]


def test_unknown_kinds_and_regions_are_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="'emial' is unknown"):
        Finder(GuardSettings(kinds=["emial"]))
    with pytest.raises(SettingsError, match="'UK' is no region"):
        Finder(GuardSettings(phone_regions=["UK"]))


@pytest.mark.skipif("spacy" in sys.modules, reason="the extra is installed and loaded")
def test_names_without_the_extra_are_refused_at_start() -> None:
    from importlib.util import find_spec

    if find_spec("spacy"):
        finder = Finder(GuardSettings(ner=True))
        assert ("person", "Maria Gonzalez") in found_in("Yesterday Maria Gonzalez met John Smith.", finder)
        return
    with pytest.raises(MissingCapabilityError, match=r"causeway\[ner\]"):
        Finder(GuardSettings(ner=True))


def test_a_long_text_is_searched_by_windows_to_the_same_end() -> None:
    line = "filler words of no interest, mail alice{}@example.com or +44 20 7946 0958\n"
    text = "".join(line.format(n) for n in range(4_000))
    found = FINDER.find(text)
    assert len(found) == 8_000
    assert {text[one.start : one.end] for one in found if one.kind is Kind.PHONE} == {"+44 20 7946 0958"}


def test_a_private_key_over_the_border_of_two_windows_is_one() -> None:
    key = "-----BEGIN " + "PRIVATE KEY-----\n" + "QUJD" * 500 + "\n-----END PRIVATE KEY-----"
    text = "x " * 32_600 + key + " and the rest"
    assert FINDER.find(text) == (Found(Kind.SECRET, 65_200, 65_200 + len(key)),)


@given(st.text(alphabet="0123456789 -.()+@aA:=_/\n€\u0661", max_size=200))
def test_spans_are_in_order_inside_the_text_and_apart(text: str) -> None:
    end = 0
    for one in FINDER.find(text):
        assert end <= one.start < one.end <= len(text)
        end = one.end


HOSTILE = {
    "digits": "1 ", "pairs": "12 34 56 78 90 ", "international": "+10000000000 ", "letters": "a", "at": "a@a.", "words": "token: ",
    "keys": "-----BEGIN RSA PRIVATE KEY-----", "jwt": "eyJ", "underscores": "ghp_aaaaaaaaaaaaaaaaaaaa1", "urls": "://a:",
    "passwords": "password ", "births": "born 1.1.1999 ", "ibans": "GB82", "hyphens": "-", "signs": "=",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_with_the_length_and_not_its_square(name: str) -> None:
    """Counts calls and lines of Python; patterns of `re` count by the strings they are given."""
    short, long = (_steps(HOSTILE[name], length) for length in (2_000, 16_000))
    assert long <= 8 * short * 1.5 + 2_000


def _steps(piece: str, length: int) -> int:
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    text = (piece * (length // len(piece) + 1))[:length]
    sys.setprofile(count)
    try:
        FINDER.find(text)
    finally:
        sys.setprofile(None)
    return steps
