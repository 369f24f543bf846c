"""What stands around a number: the words before it that say what it is.

Checksums of one digit let every tenth number through; the word before it decides.
"""

from __future__ import annotations

import re

Span = tuple[int, int]
"""Start and end of a stretch of text, in characters."""

_REACH = 48

_OTHER = re.compile(
    r"(?:\b(?:order|bestell\w*|commande|pedido|invoice|rechnung\w*|facture|factura|tracking|parcel|shipment|waybill|isbn(?:-1[03])?|"
    r"issn|doi|ean|upc|gtin|asin|sku|part|article|artikel\w*|item|model|serial|batch|lot|imei|vin|build|version|rev|revision|"
    r"commit|ticket|case|issue|ref|reference|transaction|txn|confirmation|booking|product|page|chapter|section|row|line|"
    r"port|pid|error|code|rfc|iso|din|patent|grant|docket|sample|timestamp|epoch|bytes|size)\b|(?<![A-Za-z])#)"
    r"[\s_]*(?:no|nr|num|number|nummer|numero|n[\u00b0\u00ba]|id|code|key)?[.:#=\s\"'(]*(?:is|was|ist|est|es)?[:#\s\"'(]*\Z",
    re.IGNORECASE,
)


def words_before(text: str, start: int, reach: int = _REACH) -> str:
    """The text of the same paragraph before ``start``, at most ``reach`` characters."""
    return text[max(0, start - reach) : start].rpartition("\n\n")[2]


def is_labelled_as_other(text: str, start: int) -> bool:
    """Whether the words right before ``start`` say that a number is an order's, a part's, a book's or the like."""
    return _OTHER.search(words_before(text, start)) is not None
