"""Made-up personal data with right checksums, in labelled sentences, for `bench.guard`.

The finder was written with the formats and sentences marked "known" in sight; those marked "unseen" were written
afterwards. Every value is random: nobody's number, except by chance.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from causeway.guard.accounts import luhn


@dataclass(frozen=True)
class Row:
    """``text`` in which ``value`` is the one thing to be found; None for hard negatives."""

    text: str
    kind: str | None
    value: str = ""


Maker = Callable[[Random], str]


def rows(
    random: Random, formats: dict[str, list[Maker]], sentences: dict[str, list[str]], count: int
) -> list[Row]:
    """``count`` rows a kind."""
    made = []
    for kind, makers in formats.items():
        for _ in range(count):
            value = random.choice(makers)(random)
            made.append(Row(random.choice(sentences[kind]).replace("{}", value), kind, value))
    return made


def negatives(random: Random, makers: list[Maker], count: int) -> list[Row]:
    """``count`` texts that hold nothing personal."""
    return [Row(random.choice(makers)(random), None) for _ in range(count)]


def digits(random: Random, count: int) -> str:
    return "".join(random.choices(string.digits, k=count))


def _letters(random: Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(random.choices(alphabet, k=count))


def _card(random: Random, prefix: str, length: int) -> str:
    body = prefix + digits(random, length - len(prefix) - 1)
    return next(body + check for check in string.digits if luhn(body + check))


def _grouped(number: str, separator: str, *groups: int) -> str:
    parts, at = [], 0
    for length in groups:
        parts.append(number[at : at + length])
        at += length
    return separator.join(parts)


def _iban(country: str, account: str) -> str:
    body = f"{country}00{account}"
    number = int("".join(str(int(character, 36)) for character in body[4:] + body[:4]))
    return f"{country}{98 - number % 97:02d}{account}"


def _dni(random: Random) -> str:
    number = digits(random, 8)
    return number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def _nir(random: Random) -> str:
    number = (
        f"{random.choice('12')}{random.randrange(50, 99)}{random.randrange(1, 13):02d}75{digits(random, 6)}"
    )
    return number + f"{97 - int(number) % 97:02d}"


def _ssn(random: Random, separator: str) -> str:
    return separator.join(
        (
            f"{random.randrange(1, 665):03d}",
            f"{random.randrange(1, 99):02d}",
            f"{random.randrange(1, 9999):04d}",
        )
    )


def _us_phone(random: Random) -> str:
    return (
        random.choice(["212", "415", "617", "312", "206"])
        + str(random.randrange(2, 10))
        + "5"
        + digits(random, 5)
    )


def _name(random: Random) -> str:
    return random.choice(["anna", "bob.smith", "j.doe", "maria-luisa", "k_weber", "li.na"])


def _dated(pattern: str) -> Maker:
    """Days as ``pattern`` writes them."""

    def make(random: Random) -> str:
        day, month, year = random.randrange(1, 29), random.randrange(1, 13), random.randrange(1940, 2008)
        return pattern.format(
            d=day,
            m=month,
            y=year,
            yy=year % 100,
            th=day % 10 + 4,
            name=random.choice(_MONTHS),
            abbreviation=random.choice(_MONTHS)[:3],
            german=random.choice(["Mai", "Oktober", "Jänner", "Dezember"]),
        )

    return make


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

KNOWN_FORMATS: dict[str, list[Maker]] = {
    "email": [lambda r: f"{_name(r)}@example.com", lambda r: f"{_name(r)}{digits(r, 2)}@mail.example.co.uk"],
    "phone": [
        lambda r: "({}) {}-{}".format(*_us_parts(r)),
        lambda r: "-".join(_us_parts(r)),
        lambda r: "+1 " + " ".join(_us_parts(r)),
        lambda r: f"+44 20 7946 {digits(r, 4)}",
        lambda r: f"020 7946 {digits(r, 4)}",
    ],
    "card": [
        lambda r: _card(r, "4", 16),
        lambda r: _grouped(_card(r, "53", 16), " ", 4, 4, 4, 4),
        lambda r: _grouped(_card(r, "37", 15), " ", 4, 6, 5),
    ],
    "iban": [
        lambda r: _iban("DE", digits(r, 18)),
        lambda r: _grouped(_iban("GB", "NWBK" + digits(r, 14)), " ", 4, 4, 4, 4, 4, 2),
    ],
    "national_id": [lambda r: _ssn(r, "-"), _dni, _nir, lambda r: f"AB {digits(r, 2)} {digits(r, 2)} {digits(r, 2)} C"],
    "date_of_birth": [
        _dated("{y}-{m:02d}-{d:02d}"), _dated("{d} {name} {y}"), _dated("{d:02d}.{m:02d}.{y}"),
    ],
    "secret": [
        lambda r: "ghp_" + _letters(r, 36),
        lambda r: "sk-proj-" + _letters(r, 40) + "7",
        lambda r: "AKIA" + _letters(r, 16, string.ascii_uppercase + string.digits),
        lambda r: "cw-" + _letters(r, 42) + "1",
        lambda r: f"eyJ{_letters(r, 20)}.eyJ{_letters(r, 40)}.{_letters(r, 43)}",
    ],
}  # fmt: skip


def _us_parts(random: Random) -> tuple[str, str, str]:
    number = _us_phone(random)
    return number[:3], number[3:6], number[6:]


KNOWN_SENTENCES = {
    "email": ["Write to {} please.", "contact: {}", "<{}> wrote:", "mail {}, urgent"],
    "phone": ["Call {} after five.", "Phone: {}", "my number is {}", "{} is my mobile"],
    "card": ["Charge {} for it.", "card number {}", "pay with {} (exp 11/29)"],
    "iban": ["Transfer to {} today.", "IBAN: {}", "account {}, thanks"],
    "national_id": ["ID {} is mine.", "social security number {}", "number: {} (checked)"],
    "date_of_birth": ["born on {} in Leeds", "date of birth: {}", "DOB {}", "geboren am {}"],
    "secret": ["use {} for it", "the key is {}.", 'token = "{}"', "Authorization: Bearer {}"],
}

UNSEEN_FORMATS: dict[str, list[Maker]] = {
    "email": [
        lambda r: f"{_name(r).upper()}@EXAMPLE.ORG",
        lambda r: f"{_name(r)}+tag{digits(r, 1)}@sub.domain.example.io",
        lambda r: f"müller{digits(r, 2)}@bücher.example",
    ],
    "phone": [
        lambda r: ".".join(_us_parts(r)),
        lambda r: "1-" + "-".join(_us_parts(r)),
        lambda r: "+1({}){}-{}".format(*_us_parts(r)),
        lambda r: "".join(_us_parts(r)),
        lambda r: f"0{r.choice(['7700 900', '7400 123', '7911 987'])}{digits(r, 3)}",
        lambda r: f"(0161) 496 {digits(r, 4)}",
        lambda r: f"+33 6 {digits(r, 2)} {digits(r, 2)} {digits(r, 2)} {digits(r, 2)}",
        lambda r: f"+49 (0)30 {digits(r, 8)}",
        lambda r: f"0044 161 496 {digits(r, 4)}",
    ],
    "card": [
        lambda r: _grouped(_card(r, "4", 16), "-", 4, 4, 4, 4),
        lambda r: _grouped(_card(r, "2221", 16), "\u00a0", 4, 4, 4, 4),
        lambda r: _card(r, "6011", 16),
        lambda r: _grouped(_card(r, "36", 14), " ", 4, 6, 4),
    ],
    "iban": [
        lambda r: _iban("NL", "ABNA" + digits(r, 10)),
        lambda r: _iban("FR", digits(r, 23)).lower(),
        lambda r: _grouped(_iban("ES", digits(r, 20)), "-", 4, 4, 4, 4, 4, 4),
        lambda r: _grouped(_iban("CH", digits(r, 17)), "\u00a0", 4, 4, 4, 4, 4, 1),
    ],
    "national_id": [
        lambda r: _ssn(r, " "),
        lambda r: _ssn(r, ""),
        lambda r: f"JK{digits(r, 6)}B",
        lambda r: _grouped(_nir(r), " ", 1, 2, 2, 2, 3, 3, 2),
        lambda r: f"{digits(r, 8)}X",
    ],
    "date_of_birth": [
        _dated("{m}/{d}/{yy:02d}"), _dated("{d}-{abbreviation}-{y}"), _dated("{name} {th}th, {y}"), _dated("{d}. {german} {y}"),
    ],
    "secret": [
        lambda r: "glpat-" + _letters(r, 19) + "3",
        lambda r: "xoxb-" + digits(r, 12) + "-" + _letters(r, 24),
        lambda r: "sk_live_" + _letters(r, 24) + "9",
        lambda r: "AIza" + _letters(r, 35),
        lambda r: "hf_" + _letters(r, 33) + "2",
        lambda r: _letters(r, 40, string.ascii_letters + string.digits + "+/") + "7",
        lambda r: _letters(r, 32, "0123456789abcdef"),
        lambda r: r.choice(["Summer", "Winter", "Tiger"]) + digits(r, 4) + r.choice("!?#"),
    ],
}  # fmt: skip

UNSEEN_SENTENCES = {
    "email": ["Reply-To: {}\nSubject: x", '{"mail": "{}"}', "Ich bin unter {} erreichbar", "cc={};bcc=none"],
    "phone": [
        "Reach me at {} any time",
        '{"phone": "{}"}',
        "Tel.: {}",
        "WhatsApp {}",
        "T {} / fax on request",
        "name;{};city",
    ],
    "card": ['{"pan": "{}"}', "Visa ending soon: {}", "CC#: {}", "name;{};12/27"],
    "iban": ['{"iban": "{}"}', "Bitte auf {} überweisen", "acct: {}; bic: none"],
    "national_id": ['{"ssn": "{}"}', "SSN: {}", "NI number {}", "mon numéro de sécu est {}", "NIF/DNI: {}"],
    "date_of_birth": [
        '{"birthDate": "{}"}',
        "Birthday: {}",
        "Geburtsdatum: {}",
        "patient (b. {})",
        "She was born {}",
    ],
    "secret": [
        "export API_KEY={}",
        'client_secret: "{}"',
        "password: {}",
        '{"access_token":"{}"}',
        "my password is {}",
    ],
}

KNOWN_NEGATIVES: list[Maker] = [
    lambda r: f"Order number {digits(r, 10)} has shipped",
    lambda r: f"ISBN 978-3-16-{digits(r, 6)}-0",
    lambda r: f"Part {digits(r, 3)}-{digits(r, 3)}-{digits(r, 4)}",
    lambda r: f"version {r.randrange(20)}.{r.randrange(20)}.{digits(r, 4)}",
    lambda r: f"at 2024-{r.randrange(1, 13):02d}-11T10:33:{digits(r, 2)}.{digits(r, 6)}Z",
    lambda r: f"commit {_letters(r, 40, '0123456789abcdef')}",
    lambda r: f"id {_letters(r, 8, '0123456789abcdef')}-{_letters(r, 4, '0123456789abcdef')}-4{_letters(r, 3, '0123456789abcdef')}-a123-{_letters(r, 12, '0123456789abcdef')}",
    lambda r: f"total ${r.randrange(1000)},{digits(r, 3)},{digits(r, 3)}.{digits(r, 2)}",
    lambda r: f"epoch {17}{digits(r, 11)}",
]  # fmt: skip

UNSEEN_NEGATIVES: list[Maker] = [
    lambda r: f"Sendungsnummer {digits(r, 14)}",
    lambda r: f"flight {r.choice(['BA', 'LH'])}{digits(r, 4)} on 12/11/2025, seat 12A, gate 4",
    lambda r: f"coordinates 51.{digits(r, 6)}, -0.{digits(r, 6)}",
    lambda r: f"EAN {digits(r, 13)}",
    lambda r: f"192.168.{r.randrange(255)}.{r.randrange(255)}:{digits(r, 4)}",
    lambda r: f"1 {digits(r, 3)} {digits(r, 3)} people in {r.randrange(1900, 2024)}",
    lambda r: f"scores {digits(r, 2)} {digits(r, 2)} {digits(r, 2)} {digits(r, 2)} {digits(r, 2)}",
    lambda r: f"matrix [{digits(r, 3)} {digits(r, 3)} {digits(r, 4)}]",
    lambda r: f"| {digits(r, 5)} | {digits(r, 5)} | {digits(r, 4)} |",
    lambda r: f"meeting on {r.randrange(1, 29)} {r.choice(_MONTHS)} {r.randrange(1990, 2025)}",
    lambda r: f"model XR{digits(r, 6)}C costs {digits(r, 3)}.{digits(r, 2)} EUR",
    lambda r: f"cache_key = user_{digits(r, 8)}_page_{digits(r, 3)}",
    lambda r: f"sha256:{_letters(r, 64, '0123456789abcdef')}",
    lambda r: f"invoice 2024-{digits(r, 5)} from {r.randrange(1, 29)}.{r.randrange(1, 13)}.2024",
    lambda r: f"ticket-{digits(r, 7)} closed, ref {digits(r, 4)}-{digits(r, 4)}",
    lambda r: f"see docs at path/to_the/some_long_identifier_{r.choice('abc')} and key: value",
    lambda r: f"IMEI {digits(r, 15)}",
    lambda r: f"range {digits(r, 4)}-{digits(r, 4)} and {digits(r, 3)}x{digits(r, 3)} px",
    lambda r: f"the password field must have {r.randrange(8, 20)} characters",
    lambda r: f"DOI 10.{digits(r, 4)}/{digits(r, 6)}.{digits(r, 7)}",
]  # fmt: skip
