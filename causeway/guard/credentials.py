"""Secrets of programs: keys of known vendors, tokens, private keys, passwords.

Three ways to tell one: the prefix its vendor gives it, its structure (JSON Web Token, PEM block, password in a URL), or
a word such as ``api_key`` before a value that looks made up. Prefixes are those the vendors document for secret
scanning (https://docs.github.com/en/code-security/secret-scanning).

Nothing here walks the text character by character in Python: single characters that every form contains are looked
for first (`str.find` is memchr), and a pattern is tried only there.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from causeway.guard.near import Span

_UNDERSCORE = re.compile(r"_[A-Za-z0-9]{16,}")
_UNDERSCORE_PREFIXES = (
    "ghp", "gho", "ghu", "ghs", "ghr", "github_pat", "hf", "npm", "sk_live", "sk_test", "rk_live", "rk_test", "pk_live", "whsec",
    "dop_v1", "doo_v1", "shpat", "shpss", "shpca", "shppa", "lin_api", "figd", "gsk", "r8", "pul", "dckr_pat", "rubygems",
    "tfp", "ntn", "secret", "glsa", "phc", "phx", "re", "sbp", "nvapi", "PMAK", "ATCTT3xFfGN0", "fo1",
)  # fmt: skip
_HYPHEN = re.compile(r"-(?:----BEGIN |[A-Za-z0-9_-]{16,})")
_HYPHEN_PREFIXES = (
    "sk", "sk-ant", "sk-proj", "sk-svcacct", "sk-or", "xoxb", "xoxp", "xoxa", "xoxr", "xoxs", "xapp", "glpat", "gldt", "glrt", "cw",
    "pypi", "xai", "nvapi", "pplx", "tvly", "dapi", "key", "AGE-SECRET-KEY", "fw", "csk", "api", "lsv2", "jina", "PMAK", "pat",
)  # fmt: skip
_LOOSE_PREFIXES = frozenset(
    {"re", "secret", "key", "api", "pat", "fw", "fo1", "r8", "hf", "npm", "pul", "sk", "cw"}
)
_BODY = re.compile(r"[A-Za-z0-9_.\-]+")
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PRIVATE_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_MOST_KEY_CHARACTERS = 20_000
_TOKENS = (
    ("J", "eyJ", re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,16384}\.[A-Za-z0-9_-]{0,4096}")),
    ("K", "AKIA", re.compile(r"AKIA[0-9A-Z]{16}(?![0-9A-Za-z])")),
    ("A", "ASIA", re.compile(r"ASIA[0-9A-Z]{16}(?![0-9A-Za-z])")),
    ("z", "AIza", re.compile(r"AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])")),
    ("G", "SG.", re.compile(r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}")),
    ("9", "ya29.", re.compile(r"ya29\.[A-Za-z0-9_-]{20,}")),
    ("S", "SK", re.compile(r"SK[0-9a-f]{32}(?![0-9A-Za-z])")),
    ("/", "hooks.slack.com/services/", re.compile(r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,}")),
    ("/", "/api/webhooks/", re.compile(r"/api/webhooks/[0-9]{10,}/[A-Za-z0-9_-]{30,}")),
    (":", ":AA", re.compile(r"(?<=:)AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])")),
)  # fmt: skip
_URL_PASSWORD = re.compile(r"://[^\s/:@\"'<>]{0,128}:([^\s/@\"'<>]{1,256})@[A-Za-z0-9\[]")

_KEYWORDS = (
    "password", "passwd", "passwort", "kennwort", "passphrase", "pwd", "pass", "pin", "secret", "token", "apikey", "api_key", "api-key",
    "api key", "accesskey", "access_key", "access-key", "access key", "secret_key", "secret-key", "secret key", "secretkey",
    "private_key", "private key", "privatekey", "client_secret", "clientsecret", "auth_key", "authkey", "authorization", "credential",
    "credentials", "accountkey", "sharedaccesskey", "encryption_key", "encryption key", "signing_key", "signing key", "webhook_secret",
    "connectionstring", "contraseña", "mot de passe", "clave", "senha", "wachtwoord", "hasło", "api-schlüssel", "clé api", "x-api-key",
)  # fmt: skip
_OF_PEOPLE = ("password", "passwd", "passwort", "kennwort", "pwd", "pass", "pin", "passphrase", "contraseña", "mot de passe", "clave", "senha", "wachtwoord", "hasło")  # fmt: skip
_PASSWORD_IS = re.compile(
    r"(?:password|passwort)\b(?: for [\w .@/-]{1,40}?)?\s{1,3}(?:is|was|ist|lautet|=>|->)?\s{0,3}[\"'`(]?([^\s\"'`,;)]{6,128})",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"[\"'`]?\s{0,3}(?::=|[:=]>?)\s{0,3}(?:(?:bearer|basic|token|bot)\s{1,3})?([\"'`]?)([^\s\"'`,;<>()\[\]{}]{4,4096})",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    r"[$%<{(\[*]|[xX*.•]{4,}|(?:your|my|the|insert|example|changeme|placeholder|required|optional|string|none|null|true|false|undefined|"
    r"redacted|hidden|os\.|process\.|env|getenv|self\.|config|settings|request|str\b|int\b)",
    re.IGNORECASE,
)
_LEAST_TOKEN = 16
_LEAST_ENTROPY_BITS = 2.8
"""Per character; hexadecimal keys of 32 characters lie above 3, words and identifiers of code below 2.8 to 3.5."""


def find_credentials(text: str) -> Iterator[Span]:
    """Where ``text`` holds secrets; spans may overlap."""
    if "_" in text:
        yield from _prefixed(text, _UNDERSCORE, _UNDERSCORE_PREFIXES)
    if "-" in text:
        yield from _prefixed(text, _HYPHEN, _HYPHEN_PREFIXES)
    for character, literal, pattern in _TOKENS:
        if character in text and literal in text:
            yield from (match.span() for match in pattern.finditer(text))
    if "@" in text and "://" in text:
        yield from (match.span(1) for match in _URL_PASSWORD.finditer(text))
    if "=" in text or ":" in text:
        yield from _assigned(text)
    if "assw" in text or "ASSW" in text:
        yield from _said(text)


def follows_a_name(before: str) -> bool:
    """Whether ``before`` ends with a word for a secret and a sign, so that a value is about to come."""
    stripped = before[-80:].rstrip(" \t\"'`:=>").lower()
    return stripped.endswith(_KEYWORDS) and before.rstrip(" \t\"'`")[-1:] in (":", "=", ">")


def entropy_bits(value: str) -> float:
    """Shannon entropy of the characters of ``value``, in bits per character."""
    length = len(value)
    return -sum(count / length * math.log2(count / length) for count in Counter(value).values())


def _prefixed(text: str, joint: re.Pattern[str], prefixes: tuple[str, ...]) -> Iterator[Span]:
    """Keys whose vendor's prefix ends right before a match of ``joint``."""
    done = 0
    for match in joint.finditer(text):
        at = match.start()
        if match[0].startswith("-----BEGIN"):
            yield from _private_key(text, at)
            continue
        if at < done or not text.endswith(prefixes, 0, at):
            continue
        prefix = max((one for one in prefixes if text.endswith(one, 0, at)), key=len)
        start = at - len(prefix)
        if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
            continue
        value = _BODY.match(text, at + 1)[0].rstrip(".-")  # type: ignore[index]  # the joint matched these characters
        if _is_made_up(value) if prefix in _LOOSE_PREFIXES else _has_digit(value):
            done = at + 1 + len(value)
            yield start, done


def _private_key(text: str, start: int) -> Iterator[Span]:
    head = _PRIVATE_KEY.match(text, start)
    if head is None:
        return
    limit = head.end() + _MOST_KEY_CHARACTERS
    tail = _PRIVATE_KEY_END.search(text, head.end(), limit)
    yield start, tail.end() if tail else min(limit, len(text))


def _assigned(text: str) -> Iterator[Span]:
    """Values after a word for a secret and a colon or equals sign."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a capital İ grows when it is lowered
        lowered = text
    for sign in ("=", ":"):
        at = text.find(sign)
        while at >= 0:
            name_end = at
            while name_end and lowered[name_end - 1] in " \"'`\t" and at - name_end < 3:
                name_end -= 1
            if lowered.endswith(_KEYWORDS, 0, name_end):
                value = _VALUE.match(text, name_end)
                if value and _is_secret(value[2], value[1] != "", lowered.endswith(_OF_PEOPLE, 0, name_end)):
                    yield value.start(2), value.start(2) + len(value[2].rstrip("."))
            at = text.find(sign, at + 1)


def _said(text: str) -> Iterator[Span]:
    """``the password is ...`` in a sentence."""
    for match in _PASSWORD_IS.finditer(text):
        value = match[1].rstrip(".:")
        if len(value) >= 6 and _has_digit(value) and not value.isdigit() and not _NO_VALUE.match(value):
            yield match.start(1), match.start(1) + len(value)


def _is_secret(value: str, is_quoted: bool, is_of_people: bool) -> bool:
    value = value.rstrip(".!?")
    if _NO_VALUE.match(value) or len(value) < 4:
        return False
    if is_of_people:
        return (_has_digit(value) or (is_quoted and not value.isalpha())) and len(value) >= 4
    return _is_made_up(value)


def _is_made_up(value: str) -> bool:
    """Whether ``value`` is long, has digits and letters, and is not a word, path or identifier."""
    return (
        len(value) >= _LEAST_TOKEN
        and _has_digit(value)
        and not value.isdigit()
        and entropy_bits(value) >= _LEAST_ENTROPY_BITS
        and any(character.isalpha() for character in value)
    )


def _has_digit(value: str) -> bool:
    return any(character.isdigit() for character in value)
