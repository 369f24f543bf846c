from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from causeway.errors import NotFoundError, UnreadableDocumentError
from causeway.knowledge.pages import Pages, picture_type

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "documents"
TERMS = SAMPLES / "policies" / "b2b-terms.pdf"


def size_of(picture: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(picture)) as image:
        return image.size


async def test_a_page_of_a_pdf_is_drawn_and_its_words_stand_where_they_are_drawn() -> None:
    pages = Pages()
    picture = await pages.picture(TERMS, 1)
    width, height = size_of(picture)
    assert (picture_type(picture), width) == ("image/png", 1100)
    words = (await pages.words(TERMS, 1)).words
    assert [word.text for word in words[:4]] == ["Trade", "terms", "and", "conditions"]
    with Image.open(io.BytesIO(picture)) as image:
        light = image.convert("L")
        for word in words[:80]:
            x0, x1 = word.x0 * width // 10_000, word.x1 * width // 10_000
            y0, y1 = word.y0 * height // 10_000, word.y1 * height // 10_000
            assert min(light.crop((x0, y0, x1, y1)).tobytes()) < 128, word  # ink


async def test_what_was_made_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "terms"
    file.write_bytes(TERMS.read_bytes())
    pages = Pages()
    picture = await pages.picture(file, 2)
    file.unlink()
    assert await pages.picture(file, 2) == picture


async def test_a_broken_pdf_costs_its_own_process_alone(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(TERMS.read_bytes()[:400])
    with pytest.raises(UnreadableDocumentError):
        await Pages().picture(broken, 1)
    with pytest.raises(UnreadableDocumentError):
        await Pages().words(broken, 1)


@pytest.mark.parametrize("page", [0, 4, 99])
async def test_a_page_that_is_not_there_is_not_found(page: int) -> None:
    for asked in (Pages().picture, Pages().words):
        with pytest.raises(NotFoundError, match=f"no page {page}"):
            await asked(TERMS, page)


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "I;16", {}),
        ("PNG", "P", {}),
        ("TIFF", "1", {}),
        ("GIF", "L", {}),
        ("BMP", "RGB", {}),
        ("WEBP", "RGB", {}),
        ("JPEG", "CMYK", {}),
    ],
)
async def test_pictures_of_every_kind_are_shown(
    tmp_path: Path, kind: str, mode: str, options: dict[str, object]
) -> None:
    file = tmp_path / "picture"
    Image.new(mode, (2000, 1000)).save(file, kind, **options)
    picture = await Pages().picture(file, 1)
    assert (picture_type(picture), size_of(picture)) == ("image/jpeg", (1100, 550))
    with pytest.raises(NotFoundError):
        await Pages().picture(file, 2)


async def test_a_photo_is_shown_upright_and_a_fax_page_by_page(tmp_path: Path) -> None:
    photo, fax = tmp_path / "photo", tmp_path / "fax"
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (400, 200)).save(photo, "JPEG", exif=exif)
    assert size_of(await Pages().picture(photo, 1)) == (200, 400)
    first, second = Image.new("1", (300, 100)), Image.new("1", (100, 300))
    first.save(fax, "TIFF", save_all=True, append_images=[second])
    assert size_of(await Pages().picture(fax, 2)) == (100, 300)


async def test_a_picture_of_too_many_pixels_is_not_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")
    with pytest.raises(UnreadableDocumentError):
        await Pages().picture(bomb, 1)
