"""Bytes -> text, whatever encoding they are in."""

from __future__ import annotations

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMMON = {
    "shift_jis": ("のにはをたがでてとしれさいるかなこ", 0.35),
    "euc_jp": ("のにはをたがでてとしれさいるかなこ", 0.35),
    "gb18030": ("的一是不了人我在有他这中大来上国们到说时", 0.15),
    "big5": ("的一是不了人我在有他這中大來上國們到說時", 0.15),
    "euc_kr": ("이다의는가을를에하지고한사로도기은", 0.3),
    "cp1251": ("оеаинтср", 0.5),
    "koi8-r": ("оеаинтср", 0.5),
}
"""Encodings of other scripts: their commonest letters, and the share these usually have."""


def decode(content: bytes) -> str:
    r"""The text in ``content``, with ``\n`` line ends.

    A byte order mark decides; then UTF-8 when it fits; then UTF-16 by where its zeros are; then, when more than a
    quarter of the bytes are beyond ASCII, the legacy encoding whose commonest letters appear most; else Windows-1252.
    """
    return _decode(content).replace("\r\n", "\n").replace("\r", "\n")


def _decode(content: bytes) -> str:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content.decode(encoding, "replace").removeprefix("\ufeff")
    sample = content[:4096]
    if sample.count(0) > 0.2 * len(sample):
        odd = sample[1::2].count(0)
        return content.decode("utf-16-le" if odd > sample.count(0) / 2 else "utf-16-be", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        # One bad byte in a long UTF-8 file is damage, not another encoding.
        if exc.start > 1000 and _looks_utf8(content[: exc.start]):
            return content.decode("utf-8", "replace")
    return content.decode(_legacy_encoding(content[:65536]), "replace")


def _looks_utf8(head: bytes) -> bool:
    return sum(byte >= 0x80 for byte in head) >= 10


def _legacy_encoding(sample: bytes) -> str:
    if sum(byte >= 0x80 for byte in sample) > 0.25 * len(sample):
        scores = {encoding: _share(sample, encoding) for encoding in _COMMON}
        best = max(scores, key=lambda encoding: scores[encoding])
        if scores[best] > 0.3:
            return best
    return "latin-1" if re.search(rb"[\x81\x8d\x8f\x90\x9d]", sample) else "cp1252"


def _share(sample: bytes, encoding: str) -> float:
    """How often this encoding's common letters come up among those beyond ASCII, against how often they usually do."""
    text = sample.decode(encoding, "replace")
    foreign = [letter for letter in text if ord(letter) >= 0x80]
    if text[:-2].count("\ufffd") > 0.01 * len(text):
        return 0.0
    common, usual = _COMMON[encoding]
    return sum(letter in common for letter in foreign) / max(len(foreign), 1) / usual
