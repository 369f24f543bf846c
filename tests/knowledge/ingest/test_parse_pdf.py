from __future__ import annotations

from typing import Any

import pytest

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.parse_pdf import parse_pdf
from causeway.knowledge.ingest.reading import Reading

PROSE = "the survey of the inner harbour took us nine days instead of five because of fog"


def _parse(content: bytes) -> ParsedDocument:
    return parse_pdf(content, Reading(max_pages=100))


def _texts(parsed: ParsedDocument, kind: str) -> list[str]:
    return [block.text for block in parsed.blocks if block.kind == kind]


def test_larger_and_bolder_lines_become_headings_of_their_rank(make_pdf: Any, draw: Any) -> None:
    page = [
        draw.Text(72, 80, "Annual report", 20, True),
        *draw.lines([PROSE, PROSE], y=120),
        draw.Text(72, 180, "Results", 14, True),
        *draw.lines([PROSE, PROSE], y=210),
        draw.Text(72, 270, "By region", 11, True),
        *draw.lines([PROSE, PROSE], y=300),
    ]
    parsed = _parse(make_pdf([page]))
    headings = [(block.level, block.text) for block in parsed.blocks if block.kind == "heading"]
    assert headings == [(1, "Annual report"), (2, "Results"), (3, "By region")]
    assert parsed.title == "Annual report"
    assert parsed.pages == 1


def test_lines_become_paragraphs_and_split_words_are_joined(make_pdf: Any, draw: Any) -> None:
    lines = [
        "The harbour was sounded at every half cable, and the instru-",
        "ments behaved better than the weather did in all of the long",
        "week.",
        "A well-known pilot came aboard on Monday and told us of a well-",
        "known shoal. Its certificate is DE-26-MI001-",
        "PTB014.",
    ]
    parsed = _parse(make_pdf([draw.lines(lines)]))
    paragraphs = _texts(parsed, "paragraph")
    assert "instruments behaved" in paragraphs[0]
    assert paragraphs[0].endswith("week.")
    assert "a well-known shoal" in paragraphs[1]
    assert "DE-26-MI001-PTB014." in paragraphs[1]


def test_columns_are_read_one_after_the_other(make_pdf: Any, draw: Any) -> None:
    left = [f"left {number} harbour survey took nine days" for number in range(12)]
    right = [f"right {number} pilot refused to sail by guess" for number in range(12)]
    # Written line by line across the page, as some programs do.
    rows = [
        item
        for number in range(12)
        for item in (
            draw.Text(60, 160 + 14 * number, left[number]),
            draw.Text(320, 160 + 14 * number, right[number]),
        )
    ]
    page = [draw.Text(60, 90, "A title that stands over both of the columns", 18, True), *rows]
    text = " ".join(block.text for block in _parse(make_pdf([page])).blocks)
    assert text.index("A title") < text.index("left 0") < text.index("left 11") < text.index("right 0")


def test_running_lines_and_page_numbers_are_left_out(make_pdf: Any, draw: Any) -> None:
    pages = [
        [
            draw.Text(72, 40, "Acme handbook 2026", 8),
            *draw.lines([f"Page text {number} {PROSE}", PROSE, f"and it ends here, {number}."]),
            draw.Text(280, 800, f"Page {number} of 4", 8),
        ]
        for number in range(1, 5)
    ]
    parsed = _parse(make_pdf(pages))
    text = " ".join(block.text for block in parsed.blocks)
    assert "Acme handbook" not in text
    assert "of 4" not in text
    assert [block.page for block in parsed.blocks] == [1, 2, 3, 4]


def test_a_paragraph_goes_on_over_the_page_end(make_pdf: Any, draw: Any) -> None:
    first = draw.lines([PROSE, "and the pilot, quite properly, refused to sail by mere"], y=700)
    second = draw.lines(["guesswork, which we thought wise.", ""], y=90)
    parsed = _parse(make_pdf([first, second]))
    assert _texts(parsed, "paragraph") == [
        f"{PROSE} and the pilot, quite properly, refused to sail by mere guesswork, which we thought wise."
    ]


def test_a_ruled_table_keeps_its_cells_and_is_said_once(make_pdf: Any, draw: Any) -> None:
    xs, ys = (72, 172, 272, 372), (100, 120, 150, 170)
    cells = [("No.", "Action", "Due"), ("17", "Publish the", "30 Nov"), ("18", "Letter", "23 Oct")]
    page = [*draw.grid(xs, ys), *draw.lines([f"{PROSE}."], y=80)]
    for row, y in zip(cells, (114, 132, 164), strict=True):
        page += [draw.Text(x + 4, y, cell, 10) for x, cell in zip(xs, row, strict=False)]
    page.append(draw.Text(176, 144, "trial rules", 10))  # the cell's second line
    parsed = _parse(make_pdf([page]))
    assert _texts(parsed, "table") == [
        "| No. | Action | Due |\n| --- | --- | --- |\n| 17 | Publish the trial rules | 30 Nov |\n| 18 | Letter | 23 Oct |"
    ]
    assert "Letter" not in " ".join(_texts(parsed, "paragraph"))


def test_a_cell_that_spans_columns_is_not_cut(make_pdf: Any, draw: Any) -> None:
    page = [
        *draw.grid((72, 172, 272), (100, 120, 140, 160)),
        draw.Text(130, 114, "Width by height", 10),
        *(draw.Text(x, 134, text, 10) for x, text in ((76, "10"), (176, "20"))),
        *(draw.Text(x, 154, text, 10) for x, text in ((76, "30"), (176, "40"))),
    ]
    spanning = [item for item in page if item != draw.Rule(172, 100, 172, 160)] + [
        draw.Rule(172, 120, 172, 160)
    ]
    assert "| Width by height |  |" in _texts(_parse(make_pdf([spanning])), "table")[0]


def test_cells_that_line_up_are_a_table_without_lines(make_pdf: Any, draw: Any) -> None:
    rows = [("Parameter", "Min", "Max"), ("Supply voltage", "2.9", "3.9"), ("Sleep current", "-", "7.5")]
    page = draw.lines([f"{PROSE}.", f"{PROSE}."], y=60)
    for number, row in enumerate(rows):
        page += [draw.Text(x, 120 + 16 * number, cell) for x, cell in zip((72, 200, 260), row, strict=True)]
    assert _texts(_parse(make_pdf([page])), "table") == [
        "| Parameter | Min | Max |\n| --- | --- | --- |\n| Supply voltage | 2.9 | 3.9 |\n| Sleep current | - | 7.5 |"
    ]


def test_a_table_that_goes_on_says_its_header_once(make_pdf: Any, draw: Any) -> None:
    def page(names: list[str]) -> list[Any]:
        ys = [100 + 20 * number for number in range(len(names) + 2)]
        texts = [("Code", "Name"), *((name, f"thing {name}") for name in names)]
        drawn = [
            draw.Text(x, y + 14, cell, 10)
            for y, row in zip(ys, texts, strict=False)
            for x, cell in zip((76, 176), row, strict=True)
        ]
        return [*draw.grid((72, 172, 272), ys), *drawn]

    (table,) = _texts(_parse(make_pdf([page(["A1", "A2"]), page(["B1", "B2"])])), "table")
    assert table.count("Code") == 1
    assert table.index("A2") < table.index("B1")


def test_a_table_that_goes_on_without_its_header_loses_no_row(make_pdf: Any, draw: Any) -> None:
    def page(rows: list[tuple[str, str]]) -> list[Any]:
        ys = [100 + 20 * number for number in range(len(rows) + 1)]
        drawn = [
            draw.Text(x, y + 14, cell, 10)
            for y, row in zip(ys, rows, strict=False)
            for x, cell in zip((76, 176), row, strict=True)
        ]
        return [*draw.grid((72, 172, 272), ys), *drawn]

    parsed = _parse(make_pdf([page([("Code", "Name"), ("A", "one")]), page([("B", "two"), ("C", "three")])]))
    assert _texts(parsed, "table") == [
        "| Code | Name |\n| --- | --- |\n| A | one |\n| B | two |\n| C | three |"
    ]


def test_numbered_headings_at_the_top_of_pages_are_no_running_lines(make_pdf: Any, draw: Any) -> None:
    pages = [[draw.Text(72, 60, f"Chapter {n}", 18, True), *draw.lines([PROSE])] for n in range(1, 6)]
    parsed = _parse(make_pdf(pages))
    assert _texts(parsed, "heading") == [f"Chapter {n}" for n in range(1, 6)]


def test_bullets_and_numbers_become_lists(make_pdf: Any, draw: Any) -> None:
    lines = [
        "You need:",
        "\u2022 a tent, and pegs that hold in the kind of ground you",
        "find there",
        "\u2022 a stove",
    ]
    page = [draw.Text(72 if index != 2 else 82, 100 + 14 * index, line) for index, line in enumerate(lines)]
    page += draw.lines(["Then proceed as follows.", "1. Pitch the tent", "2. Light the stove"], y=180)
    assert _texts(_parse(make_pdf([page])), "list") == [
        "- a tent, and pegs that hold in the kind of ground you find there\n- a stove",
        "1. Pitch the tent\n2. Light the stove",
    ]


def test_a_rotated_page_reads_like_any_other(make_pdf: Any, draw: Any) -> None:
    upright = _parse(make_pdf([draw.lines([PROSE, PROSE])]))
    turned = _parse(make_pdf([draw.lines([PROSE, PROSE])], rotate=180))
    assert upright.blocks == (Block(kind="paragraph", text=f"{PROSE} {PROSE}", page=1),)
    assert turned.blocks == upright.blocks


def test_a_generated_title_is_no_title(make_pdf: Any, draw: Any) -> None:
    page = [draw.Text(72, 80, "Travel policy", 20, True), *draw.lines([PROSE], y=120)]
    assert _parse(make_pdf([page], title="Microsoft Word - policy_final_v2.docx")).title == "Travel policy"
    assert _parse(make_pdf([page], title="Travel rules")).title == "Travel rules"


def test_a_picture_without_text_says_that_none_was_found(make_pdf: Any, draw: Any) -> None:
    with pytest.raises(UnreadableDocumentError, match="no text could be read from them; add a clearer scan"):
        _parse(make_pdf([[draw.Picture()]]))


def test_a_text_layer_that_is_garbage_is_not_indexed(make_pdf: Any, draw: Any) -> None:
    garbage = draw.lines(["~|l .,:; 0O lI1 ^^ rn m vv w .. -- %% ## ~~"] * 40, y=60, size=9, step=18)
    legible = draw.lines([f"{PROSE} and so on", PROSE])
    parsed = _parse(make_pdf([legible, [*garbage, draw.Picture()]]))
    assert "%%" not in " ".join(block.text for block in parsed.blocks)
    assert parsed.metadata["pages_without_text"] == "2"


def test_a_scan_with_a_good_text_layer_is_read_and_its_bare_pages_named(make_pdf: Any, draw: Any) -> None:
    legible = [draw.Picture(), *draw.lines([f"{PROSE} and so on", PROSE])]
    parsed = _parse(make_pdf([legible, [draw.Picture()], [draw.Picture()], legible, [draw.Picture()]]))
    assert "harbour" in parsed.blocks[0].text
    assert parsed.metadata["pages_without_text"] == "2-3, 5"
    assert "ocr_engine" not in parsed.metadata


def test_each_block_says_where_on_its_page_it_stands(make_pdf: Any, draw: Any) -> None:
    page = [draw.Text(72, 84.2, "Annual report", 20, True), *draw.lines([PROSE, PROSE], y=421, step=14)]
    heading, paragraph = _parse(make_pdf([page])).blocks
    (place,) = paragraph.places
    assert place.page == 1
    assert place.x0 == pytest.approx(72 / 595, abs=0.002)
    assert place.y0 == pytest.approx((421 - 9) / 842, abs=0.01)
    assert place.y1 == pytest.approx((435 + 3) / 842, abs=0.01)
    assert heading.places[0].y1 < place.y0


def test_places_are_those_of_the_page_as_it_is_shown(make_pdf: Any, draw: Any) -> None:
    # The text stands on its head on a page that is shown as it is stored: it is read, and marked where it is seen.
    (block,) = _parse(make_pdf([draw.lines([PROSE, PROSE], y=100)], rotate=180)).blocks
    (place,) = block.places
    assert place.y0 > 0.8
    assert place.x1 == pytest.approx(1 - 72 / 595, abs=0.01)


def test_cells_that_stand_close_are_parted_in_evenly_spaced_lines(make_pdf: Any, draw: Any) -> None:
    rows = [
        ("Tent for two", "Kestrel", "415"),
        ("Bag for cold nights", "Nightjar", "229"),
        ("Stove", "Glim", "49"),
    ]
    page = [
        draw.Text(x, 100 + 20 * line, cell)
        for line, row in enumerate(rows)
        for x, cell in zip((72, 190, 250), row, strict=True)
    ]
    (table,) = _texts(_parse(make_pdf([page])), "table")
    assert table.split("\n")[2] == "| Bag for cold nights | Nightjar | 229 |"


def test_too_many_pages_are_refused(make_pdf: Any, draw: Any) -> None:
    with pytest.raises(UnreadableDocumentError, match="3 pages and the limit is 2"):
        parse_pdf(make_pdf([draw.lines([PROSE])] * 3), Reading(max_pages=2))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"%PDF-1.7\nnothing", "damaged or was cut short"),
        (b"%PDF-1.4\n" + b"\0" * 5000, "damaged or was cut short"),
    ],
)
def test_damage_is_said_to_be_damage(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDocumentError, match=reason):
        _parse(content)
