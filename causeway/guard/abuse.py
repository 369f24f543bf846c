"""Abusive language in a text: threats, insults, slurs and profanity, by rules.

For checks of what a product says, not for judging people: it knows English, and finds what is said outright. Irony and
insults without a bad word pass. Words for what is done to processes, plants and prices (kill, dummy, slut's wool) are
not abuse, so a threat needs somebody it is aimed at. Slurs and profanity are kept as hashes: nobody has to read them here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Final, Literal

Abuse = Literal["threat", "insult", "slur", "profanity"]

_WORD: Final = re.compile(r"[a-z0-9@$!*']+")
_DISGUISES: Final = str.maketrans({"@": "a", "$": "s", "0": "o", "1": "i", "3": "e", "!": "i"})
_THREATS: Final = re.compile(
    r"\b(?:i|we|i'?ll|we'?ll|i'm|we're|somebody|someone)\b(?:\s+(?:will|am|are|is|going|gonna|to|should|hope|swear))*\s+"
    r"(?:kill|hurt|stab|shoot|strangle|murder|beat|rape|burn|destroy)(?:s|ing)?\s+(?:you|your family|your kids|him|her|them)\b"
    r"|\b(?:go |just |please |should |better )*(?:kill|hang|drown|shoot) (?:yourself|yourselves)\b"
    r"|\b(?:you(?:'re| are)?|they(?:'re| are)?) (?:should|deserve to|ought to|will|all deserve to) (?:die|be shot|be killed|be hanged)\b"
    r"|\bi (?:know where you live|hope you die)\b|\bdrop dead\b"
)
_BAD: Final = (
    r"(?:idiots?|morons?|imbeciles?|stupid|dumb|dumbass|worthless|pathetic|losers?|scum|trash|garbage|vermin|disgusting|subhuman"
    r"|brainless|useless|filth|pigs?|cretins?|halfwits?|freaks?)"
)
_INSULTS: Final = re.compile(
    rf"\b(?:you|customers|users|people like you|your (?:kind|sort|people|mother|family))(?:'re| are| is)(?! not\b)"
    rf"(?:\s+(?:just|such|all|so|really|nothing but|an?|the|complete|total|absolute|bloody|utter|very|too|a bunch of))*\s+{_BAD}\b"
    rf"|\byou\s+(?:(?:absolute|complete|total|bloody|utter|stupid|dumb|little|fat|ugly|worthless)\s+)*"
    rf"(?:idiots?|morons?|imbeciles?|losers?|scum|cretins?|halfwits?|pigs?|freaks?|dumbass)\b"
    r"|\bthey(?:'re| are) (?:all |just |such )*(?:idiots|morons|imbeciles|scum|vermin|subhuman|cretins|halfwits)\b"
    r"|\b(?:shut up|get lost|screw you|go to hell|nobody (?:likes|wants|loves) you|you make me sick)\b"
)
_SLURS: Final = frozenset(
    [
        "044eb98b18",
        "08a841e996",
        "0ce875d620",
        "120f6e5b4e",
        "12e6274e43",
        "158869a973",
        "16ea09fc78",
        "17a110e533",
        "17bde8b406",
        "1e02eec4f1",
        "22fc75e65a",
        "268651b3ec",
        "27a62b6817",
        "333f761809",
        "33740da8a8",
        "341d56384a",
        "3b1e0d7c5d",
        "3cb6a563b3",
        "402f7ebd98",
        "45cd3e1bb4",
        "4b18aefe82",
        "5b3ae48be1",
        "7122c9a14b",
        "82159dd028",
        "886d51e97a",
        "8f5083e3e5",
        "92a9bf818e",
        "98b52c4b6b",
        "9915ba2d82",
        "ad64e56f21",
        "bb209d506b",
        "bd331fb1d2",
        "c1cabb6f6e",
        "c3de533e9b",
        "c70e3e7c47",
        "c74677aba3",
        "cc02032349",
        "d067075bc9",
        "daec0c235d",
        "e7b98c6aa5",
        "ee5a869b5a",
        "eef3bd0916",
        "f9d0d9b18a",
    ]
)
_PROFANITY: Final = frozenset(
    [
        "06a1d8bf7f",
        "0c64f3ba82",
        "11cf8376a1",
        "262f86db0a",
        "26578569a2",
        "2da888fb5e",
        "2f5f6ce5ae",
        "30a989afc8",
        "31506a8448",
        "3314b0999a",
        "37b57d5556",
        "45fb7c3b72",
        "517ae3f732",
        "522788b65f",
        "566f532d48",
        "5a9d9dcefb",
        "63333e4b5d",
        "6ac3c336e4",
        "7c4a5c242b",
        "80d71140f7",
        "85fc17f706",
        "937d56e497",
        "958ce5c321",
        "986c990041",
        "9ae315a94e",
        "a24efab8d9",
        "acd9193a33",
        "b04a8a4006",
        "b690cdbe59",
        "bb61ef4081",
        "bcd1642bca",
        "bdb1cc258d",
        "c2c3b68b48",
        "ccff74c2d5",
        "d11215a13d",
        "d75a838dc7",
        "d95b1fc785",
        "dac40f30b6",
        "dd92623b0a",
        "e512a05583",
        "f1a5fb5607",
        "f50c51ed23",
    ]
)


def abuse(text: str) -> tuple[Abuse, ...]:
    """The kinds of abuse that ``text`` holds, the gravest first; empty when there is none."""
    lowered = text.lower().replace("\u2019", "'")
    return tuple(dict.fromkeys(_kinds(lowered)))


def _kinds(lowered: str) -> Iterator[Abuse]:
    if _THREATS.search(lowered):
        yield "threat"
    digests = {_digest(word) for word in _WORD.findall(lowered)}
    if digests & _SLURS:
        yield "slur"
    if _INSULTS.search(lowered):
        yield "insult"
    if digests & _PROFANITY:
        yield "profanity"


def _digest(word: str) -> str:
    plain = word.strip("!*'").translate(_DISGUISES)
    return sha256(plain.encode()).hexdigest()[:10]
