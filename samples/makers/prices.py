"""Make the price list and the trade prices from the same figures."""

from __future__ import annotations

import csv
import datetime as dt

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.worksheet.worksheet import Worksheet

from makers.archives import freeze_archive
from makers.texts import DOCUMENTS, GREEN, SOURCES, read_rows

STOCKIST_DISCOUNT = 0.38
OUTFITTER_DISCOUNT = 0.20
VAT = 0.20
SHEETS = {"Retail 2026": "retail", "Spare parts": "spare-parts", "Workshop": "workshop"}


def cell_value(text: str, header: str) -> str | float | int | None:
    """Return a cell as a number where its column holds numbers."""
    if header.startswith(("Retail GBP", "Price GBP")):
        return float(text)
    if header == "Carton":
        return int(text)
    return text or None


def fill_sheet(sheet: Worksheet, rows: list[list[str]]) -> None:
    """Write rows to a worksheet and dress the header."""
    headers, *body = rows
    sheet.append(headers)
    for row in body:
        sheet.append([cell_value(text, header) for text, header in zip(row, headers, strict=True)])
    for number, header in enumerate(headers, start=1):
        cell = sheet.cell(1, number)
        cell.font = Font(bold=True, color="FFFFFF")
        cell.fill = PatternFill("solid", fgColor=GREEN)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
        widest = max(len(row[number - 1]) for row in body)
        sheet.column_dimensions[cell.column_letter].width = max(widest, 10) + 3
        if "GBP" in header:
            for (price,) in sheet.iter_rows(min_row=2, min_col=number, max_col=number):
                price.number_format = '"£"#,##0.00'
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = sheet.dimensions


def build_price_list(name: str) -> None:
    """Build the price list with its sheets for goods, spare parts and labour."""
    book = Workbook()
    opening = book.active
    opening.title = "Read me"
    for line in (SOURCES / "finance/notes.txt").read_text(encoding="utf-8").splitlines():
        opening.append([line])
    opening["A1"].font = Font(bold=True, size=14, color=GREEN)
    opening.column_dimensions["A"].width = 90
    for title, source in SHEETS.items():
        fill_sheet(book.create_sheet(title), read_rows(f"finance/{source}.csv"))
    book.properties.creator, book.properties.title = "Owen Tarrant", "Price list 2026"
    path = DOCUMENTS / f"{name}.xlsx"
    book.save(path)
    freeze_archive(path, dt.datetime(2026, 1, 19, 9, tzinfo=dt.UTC))


def trade_price(retail: str, discount: float) -> str:
    """Return the trade price: the retail price before VAT, less the discount."""
    return f"{float(retail) / (1 + VAT) * (1 - discount):.2f}"


def build_wholesale(name: str) -> None:
    """Write the trade prices as comma-separated text."""
    rows = [["sku", "product", "category", "carton_qty", "stockist_gbp_ex_vat", "outfitter_gbp_ex_vat"]]
    for sku, product, category, retail, carton, _ in read_rows("finance/retail.csv")[1:]:
        if category == "Accessories" or sku == "FS-WG-100":
            continue
        prices = [trade_price(retail, STOCKIST_DISCOUNT), trade_price(retail, OUTFITTER_DISCOUNT)]
        rows.append([sku, product, category, carton, *prices])
    with (DOCUMENTS / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
