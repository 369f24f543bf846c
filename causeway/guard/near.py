"""What stands around a number: the words before it that say what it is.

Checksums of one digit let every tenth number through; the word before it decides. Words are looked up in sets: a
pattern of all of them would cost more than everything else that is done about a number.
"""

from __future__ import annotations

import re

Span = tuple[int, int]
"""Start and end of a stretch of text, in characters."""

_REACH = 48


def set_of(words: str) -> frozenset[str]:
    """The words of a text, as a set to look words up in."""
    return frozenset(words.split())


_WORD = re.compile(r"[^\W\d_]+")
_LAST_DIGIT = re.compile(r"[0-9]")

_OTHER = set_of(
    "order commande pedido invoice facture factura tracking parcel shipment waybill isbn issn doi ean upc gtin asin sku part article item "
    "model serial batch lot imei vin build version rev revision commit ticket case issue ref reference transaction txn confirmation booking "
    "product page chapter section row line port pid error code rfc iso din patent grant docket sample timestamp epoch bytes size"
)  # fmt: skip
_OTHER_BEGINNINGS = ("bestell", "rechnung", "artikel", "sendung")
_FILLERS = frozenset(("is", "was", "ist", "est", "es"))
_NUMBER_WORDS = frozenset(("no", "nr", "num", "number", "nummer", "numero", "n", "id", "code", "key"))


def words_before(text: str, start: int, reach: int = _REACH) -> str:
    """The text of the same paragraph before ``start``, at most ``reach`` characters."""
    return text[max(0, start - reach) : start].rpartition("\n\n")[2]


def undivided_before(text: str, start: int, reach: int = _REACH) -> str:
    """The text before ``start`` back to the last digit, at most ``reach`` characters, in small letters."""
    return _LAST_DIGIT.split(text[max(0, start - reach) : start])[-1].lower()


def is_labelled_as_other(text: str, start: int) -> bool:
    """Whether the words right before ``start`` say that a number is an order's, a part's, a book's or the like."""
    before = undivided_before(text, start)
    stripped = before.rstrip(" \"'(")
    if stripped.endswith("#") and not stripped[-2:-1].isalpha():
        return True
    words = _WORD.findall(before)
    if words and words[-1] in _FILLERS:
        words.pop()
    if len(words) > 1 and words[-1] in _NUMBER_WORDS:
        words.pop()
    return bool(words) and (words[-1] in _OTHER or words[-1].startswith(_OTHER_BEGINNINGS))
