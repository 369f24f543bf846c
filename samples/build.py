"""Build the binary sample documents from the readable texts in ``sources/``.

Run ``python samples/build.py`` with the packages named in ``samples/README.md``.
The same sources give the same bytes: dates come from the sources, random noise is
seeded, and archive members carry a fixed time.
"""

from makers.pdf import build_pdf
from makers.prices import build_price_list, build_wholesale
from makers.scan import build_scan
from makers.slides import build_slides
from makers.word import build_word


def main() -> None:
    """Build every document that is not kept as text."""
    for name in ("policies/b2b-terms", "policies/travel-policy-2025", "policies/travel-policy-2026"):
        build_pdf(name)
    for name in ("products/kestrel-ridge-2", "products/sleeping-bags"):
        build_pdf(name)
    build_scan("archive/supplier-agreement-scan")
    for name in ("meetings/2026-03-18-product-table", "meetings/2026-05-12-leadership-meeting"):
        build_word(name)
    build_slides("meetings/autumn-2026-season-plan")
    build_price_list("finance/price-list-2026")
    build_wholesale("finance/wholesale-prices-2026")


if __name__ == "__main__":
    main()
