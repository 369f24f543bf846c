"""Which modules are compiled when Causeway is installed, and when what was made of them is used in place of their sources.

`hatch_build.py` compiles them with mypyc into a package of its own. It is used only while every source is the one it was
made of: whoever edits one runs what is written there, and ``make`` compiles anew. Without a C compiler the sources are
run, which takes a fifth more time (docs/adr/0048-the-reader-of-pdfs-is-compiled.md).
"""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "causeway_compiled"
DIGEST = "sources.sha256"
_READER = (
    "pdf_blocks",
    "pdf_layout",
    "pdf_letters",
    "pdf_page",
    "pdf_running",
    "pdf_shapes",
    "pdf_tables",
    "pdf_words",
    "pdfium_calls",
)
SOURCES = tuple(Path(__file__).parent / "knowledge" / "ingest" / f"{name}.py" for name in _READER)
"""The modules that read born-digital PDFs. Compiled they call each other without Python in between, so it is all or none."""


def compiled_reader() -> list[str]:
    """Where the reader's modules are to be imported from before its sources: nowhere unless they were made of these."""
    found = find_spec(PACKAGE)
    folders = [] if found is None else list(found.submodule_search_locations or ())
    return [folder for folder in folders if _made_of(Path(folder)) == digest()]


def _made_of(folder: Path) -> str:
    file = folder / DIGEST
    return file.read_text() if file.is_file() else ""


def digest() -> str:
    """What tells the reader's sources from any others."""
    return sha256(b"".join([sha256(file.read_bytes()).digest() for file in SOURCES])).hexdigest()
