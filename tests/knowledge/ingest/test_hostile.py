"""Whatever a file is made to do, it is read or refused with a reason, and the next file is read as if nothing had been."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import ParsedDocument
from causeway.knowledge.ingest.sandbox import ParseLimits
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox
from tests.knowledge.ingest.hostile_files import all_kinds, pdf

LIMITS = ParseLimits(timeout_s=10, memory_bytes=1_500_000_000)
SECRET = "the-secret-of-the-machine"
REFUSED = {
    "absolute.zip": "leads out of the archive",
    "bomb.zip": "made to do harm",
    "many.zip": "5,001 files",
    "too_long.pdf": "3001 pages and the limit is 3000",
    "locked.pdf": "password",
    "giant.png": "pixels",
    "program.pdf": "a program",
    "nothing.pdf": "empty",
    "blank.md": "empty",
}
READ = {
    "two_thousand.pdf": "Words on a page",
    "page.txt": "Words of a page",
    "paper.md": "Words on a page",
    "archive.pdf": "words",
}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def sandbox() -> AsyncIterator[WarmSandbox]:
    async with WarmSandbox(LIMITS) as opened:
        yield opened


async def read(sandbox: WarmSandbox, folder: Path, name: str, content: bytes) -> ParsedDocument | str:
    """The document, or why there is none."""
    file = folder / name
    file.write_bytes(content)
    try:
        return await sandbox.parse(file, name=name)
    except UnreadableDocumentError as exc:
        return exc.message


def words_of(outcome: ParsedDocument | str) -> str:
    return outcome if isinstance(outcome, str) else " ".join(block.text for block in outcome.blocks)


async def test_every_kind_is_read_or_refused_with_a_reason_and_the_next_file_is_read(
    sandbox: WarmSandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    outcomes = {
        name: await read(sandbox, tmp_path, name, content) for name, content in all_kinds(secret).items()
    }
    assert len(outcomes) >= 40
    for name, outcome in outcomes.items():
        assert words_of(outcome).strip(), f"{name}: neither words nor a reason"
        assert SECRET not in words_of(outcome), f"{name} gave away a file of the machine"
        assert "ha" * 10_000 not in words_of(outcome), f"{name} was expanded"
        is_source = name.endswith(".svg")  # shown as the text that it is
        assert is_source or "alert(1)" not in words_of(outcome), f"{name} kept a script"
    for name, reason in REFUSED.items():
        assert isinstance(outcomes[name], str), f"{name} was read"
        assert reason in words_of(outcomes[name]), f"{name}: {words_of(outcomes[name])}"
    for name, words in READ.items():
        assert not isinstance(outcomes[name], str), f"{name}: {outcomes[name]}"
        assert words in words_of(outcomes[name])
    good = await read(sandbox, tmp_path, "good.md", b"# Plan\n\nFirst we rest.\n")
    assert "First we rest." in words_of(good)


@pytest.fixture
def whole_files(shared_documents: Path) -> list[Path]:
    kinds = ("pdf", "docx", "pptx", "xlsx", "odt", "epub", "eml", "rtf", "png", "jpg", "html", "zip")
    return [file for kind in kinds for file in sorted(shared_documents.rglob(f"*.{kind}"))[:1]]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
async def test_a_file_that_was_cut_short_is_read_or_refused_with_a_reason(
    sandbox: WarmSandbox, tmp_path: Path, whole_files: list[Path], share: float
) -> None:
    assert len(whole_files) >= 6
    for file in whole_files:
        content = file.read_bytes()
        outcome = await read(sandbox, tmp_path, file.name, content[: int(len(content) * share)])
        assert words_of(outcome).strip(), f"{file.name}: neither words nor a reason"
    assert "Words on a page" in words_of(await read(sandbox, tmp_path, "good.pdf", pdf(1)))
