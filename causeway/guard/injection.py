"""How much a text looks like a prompt injection: a score from 0 to 1, and what made it up.

A signal and not a wall. Adaptive attacks pass published detectors more than nine times in ten (arXiv 2510.09023), so
what protects is structure: marked provenance, approval for tools that change things, filtered output. The score is for
logs, for the taint flag and for tiers that would rather refuse. Rates, on sources that the phrases were not made from:
``bench/results/guard.md``.

Nothing is learned: phrases of `causeway.guard.injection_phrases`, markers of chat formats, characters nobody sees, and
base64 that decodes to one of these. Matching goes by words, so time is linear, and a text without trigger words costs
one pass.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from causeway.guard.injection_phrases import PHRASES, Phrase


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How much a text looks like an injection.

    Attributes:
        score: From 0 to 1.
        signals: What speaks for it, the strongest first: ``override``, ``prompt_leak``, ``invisible`` and others.
    """

    score: float = 0.0
    signals: tuple[str, ...] = ()


UNSUSPICIOUS = Suspicion()

_COMMON = frozenset(
    b"a an the all any every is are am in on to at as do dont not no never you your our their this if when what with without from by i im we "
    b"write show give first other only new use there can must should may data text system model show return email message file files".split()
)
"""Words that say nothing by themselves: a phrase is looked for when its rarer words are there."""


def _anchor(phrase: Phrase) -> frozenset[bytes]:
    """The words of the phrase's step that ordinary text holds most seldom."""
    return min(phrase.steps, key=lambda step: (len(step & _COMMON), len(step)))


_BY_ANCHOR: dict[bytes, tuple[Phrase, ...]] = {}
for _phrase in PHRASES:
    for _word in _anchor(_phrase):
        _BY_ANCHOR[_word] = (*_BY_ANCHOR.get(_word, ()), _phrase)
_ANCHORS = frozenset(_BY_ANCHOR)

_LOWER = bytes(
    byte + 32 if 65 <= byte <= 90 else byte if chr(byte).isalnum() or byte >= 128 or byte == 45 else 32
    for byte in range(256)
)
"""ASCII capitals to small letters, and what stands between words to spaces; bytes of UTF-8 stay."""

_CHAT_MARKERS = re.compile(
    r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\|>|\[/?INST\]|<</?SYS>>|</?(?:system|instructions?|admin|developer)>"
    r"|\"role\"\s{0,4}:\s{0,4}\"(?:system|developer)\"",
    re.IGNORECASE,
)
_BRACKETED = re.compile(
    r"\[{1,2}(?:system|admin|developer)(?: (?:message|note|prompt|override))?\]", re.IGNORECASE
)
_SYSTEM_LINE = re.compile(
    r"^[ \t>#*=\-\[(]{0,12}(?:system|developer|admin)(?: (?:prompt|message|instructions?|override|note|update|notice))?[ \t*#=\])-]{0,8}:",
    re.IGNORECASE | re.MULTILINE,
)
_END_LINE = re.compile(
    r"^[ \t>#*=\-\[(<]{0,12}end of (?:the )?(?:document|context|input|user|system|prompt|instructions|data|article|email)\b",
    re.IGNORECASE | re.MULTILINE,
)
_EAST_ASIAN = re.compile(
    r"(?:忽略|無視|无视|忘记|忘掉|不要理会).{0,12}(?:指令|指示|提示|规则|規則|说明)|(?:指示|命令|ルール|プロンプト).{0,6}(?:無視|忘れ)|(?:이전|위의|모든).{0,8}(?:지시|명령|지침).{0,6}(?:무시|잊)"
    r"|(?:显示|输出|告诉我|透露|重复).{0,10}(?:系统提示|系統提示)|システムプロンプト.{0,8}(?:表示|教え|出力)"
)
_TAGS = re.compile(r"[\U000e0020-\U000e007f]{3,}")
_FLAG = "\U0001f3f4"
_OVERRIDES = re.compile(r"[\u202d\u202e]")
_UNSEEN = re.compile(r"[\u200b\u2060\u2062-\u2064\ufeff\u00ad\u180e]")
_MOST_UNSEEN_SHARE = 0.02
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/=])(?:[A-Za-z0-9+/]{4}){6,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?(?![A-Za-z0-9+/=])"
)
_LEAST_ENCODED = 20
_MOST_DECODED_CHARACTERS = 20_000

_SHARPNESS = 3.4
"""Lays one good piece of evidence (weight .5) on a score of .9, where fewer than 1 in 100 benign texts lie."""

_WEIGHTS = {
    "chat_markers": 0.8,
    "bracketed": 0.4,
    "system_line": 0.45,
    "end_line": 0.4,
    "east_asian": 0.92,
    "tags": 0.95,
    "bidi": 0.4,
    "unseen": 0.5,
}


def suspicion(text: str) -> Suspicion:
    """How much ``text`` looks like an injection."""
    evidence = dict(_of_characters(text)) if not text.isascii() else {}
    if not text.isascii():
        text = _as_seen(text)
    words = text.encode("utf-8", "surrogatepass").translate(_LOWER, b"'").split()
    _add(evidence, _of_phrases(words))
    _add(evidence, _of_markers(text, words))
    if words and max(map(len, words)) >= _LEAST_ENCODED:
        _add(evidence, _of_encoded(text))
    return _combined(evidence) if evidence else UNSUSPICIOUS


def _combined(evidence: dict[str, float]) -> Suspicion:
    doubt = 1.0
    for weight in evidence.values():
        doubt *= 1 - weight
    signals = sorted(evidence, key=lambda name: (-evidence[name], name))
    return Suspicion(1 - doubt**_SHARPNESS, tuple(signals))


def _add(evidence: dict[str, float], more: Iterator[tuple[str, float]]) -> None:
    """Keep the strongest weight of each signal: saying a thing twice is no more evidence."""
    for signal, weight in more:
        evidence[signal] = max(weight, evidence.get(signal, 0.0))


def _of_phrases(words: list[bytes]) -> Iterator[tuple[str, float]]:
    anchors = _ANCHORS.intersection(words)
    if not anchors:
        return
    present = frozenset(words)
    # a dict keeps the phrases apart and in order, which a set of dataclasses would hash anew
    for phrase in {id(one): one for anchor in anchors for one in _BY_ANCHOR[anchor]}.values():
        if not any(step.isdisjoint(present) for step in phrase.steps) and _is_said(phrase, words):
            yield phrase.signal, phrase.weight


def _is_said(phrase: Phrase, words: list[bytes]) -> bool:
    first, reach = phrase.steps[0], phrase.gap + 1
    for position, word in enumerate(words):
        if word not in first:
            continue
        at = position
        for step in phrase.steps[1:]:
            at = next((n for n in range(at + 1, min(at + 1 + reach, len(words))) if words[n] in step), -1)
            if at < 0:
                break
        else:
            return True
    return False


def _of_markers(text: str, words: list[bytes]) -> Iterator[tuple[str, float]]:
    """Marks of chat formats and headings that pass for the operator's."""
    if ("<" in text or "[" in text or "{" in text) and _CHAT_MARKERS.search(text):
        yield "delimiters", _WEIGHTS["chat_markers"]
    if "[" in text and _BRACKETED.search(text):
        yield "delimiters", _WEIGHTS["bracketed"]
    if ":" in text and not _HEADING_WORDS.isdisjoint(words) and _SYSTEM_LINE.search(text):
        yield "delimiters", _WEIGHTS["system_line"]
    if b"end" in words and _END_LINE.search(text):
        yield "delimiters", _WEIGHTS["end_line"]


_HEADING_WORDS = frozenset((b"system", b"developer", b"admin"))


def _of_characters(text: str) -> Iterator[tuple[str, float]]:
    """Characters that people do not see and models read, and scripts that do not divide words by spaces."""
    if (tags := _TAGS.search(text)) and text[tags.start() - 1 : tags.start()] != _FLAG:
        yield "invisible", _WEIGHTS["tags"]
    elif _OVERRIDES.search(text):
        yield "invisible", _WEIGHTS["bidi"]
    elif len(_UNSEEN.findall(text)) > max(4, _MOST_UNSEEN_SHARE * len(text)):
        yield "invisible", _WEIGHTS["unseen"]
    if _EAST_ASIAN.search(text):
        yield "override", _WEIGHTS["east_asian"]


def _as_seen(text: str) -> str:
    """``text`` as a model understands it: tag characters spelt out, unseen ones gone, look-alikes folded."""
    if _TAGS.search(text):
        text = text.translate({code: code - 0xE0000 for code in range(0xE0020, 0xE007F)})
    text = _UNSEEN.sub("", text)
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return text.replace("\u2019", "'")


def _of_encoded(text: str) -> Iterator[tuple[str, float]]:
    """What base64 runs decode to, when that is text which is suspicious itself."""
    budget = _MOST_DECODED_CHARACTERS
    for match in _BASE64.finditer(text):
        if len(match[0]) > budget:
            return
        budget -= len(match[0])
        try:
            decoded = base64.b64decode(match[0], validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            continue
        words = decoded.encode().translate(_LOWER, b"'").split()
        if any(True for _ in _of_phrases(words)):
            yield "encoded", 0.92
            return
