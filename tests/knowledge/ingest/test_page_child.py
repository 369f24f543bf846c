from __future__ import annotations

from pathlib import Path

import pytest

from causeway.knowledge.pages import Pages
from tests.knowledge.ingest.conftest import Drawing, MakePdf


@pytest.mark.parametrize(
    ("rotate", "corner"),
    [
        (0, (72 / 595, 92 / 842)),
        (90, (1 - 102 / 842, 72 / 595)),
        (180, (None, 1 - 102 / 842)),
        (270, (92 / 842, None)),
    ],
)
async def test_words_of_a_turned_page_stand_where_it_shows_them(
    tmp_path: Path, make_pdf: MakePdf, draw: type[Drawing], rotate: int, corner: tuple[float | None, ...]
) -> None:
    file = tmp_path / "turned.pdf"
    file.write_bytes(make_pdf([[draw.Text(72, 100, "Sideways", size=10)]], rotate=rotate))
    (word,) = (await Pages().words(file, 1)).words
    for side, wanted in zip((word.x0, word.y0), corner, strict=True):
        assert wanted is None or side / 10_000 == pytest.approx(wanted, abs=0.006)
