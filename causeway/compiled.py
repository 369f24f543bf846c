"""Which modules are compiled when Causeway is installed, and when what was made of them is used in place of their sources.

`hatch_build.py` compiles each part with mypyc into a package of its own. A part is used only while every source of it is
the one it was made of: whoever edits one runs what is written there, and ``make`` compiles anew. Without a C compiler the
sources are run (docs/adr/0048-the-reader-of-pdfs-is-compiled.md, docs/adr/0051-a-plain-call-is-compiled.md).
"""

from __future__ import annotations

import sys
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "causeway_compiled"
DIGEST = "sources.sha256"

_ROOT = Path(__file__).parent
_MODULES: dict[str, dict[str, tuple[str, ...]]] = {
    "reader": {
        "knowledge/ingest": (
            "pdf_blocks",
            "pdf_layout",
            "pdf_letters",
            "pdf_page",
            "pdf_running",
            "pdf_shapes",
            "pdf_tables",
            "pdf_words",
            "pdfium_calls",
        ),
    },
    "gateway": {
        "storage": ("gauges", "process_state", "random_hex"),
        "models": ("chat_completions", "http_connection", "http_pool", "key_ring", "token_estimate"),
        "gateway": (
            "call_deadline",
            "edge_path",
            "pricing",
            "rate_limits",
            "reply",
            "request_head",
            "request_texts",
            "retry_budget",
        ),
    },
}
PARTS = tuple(_MODULES)
"""Born-digital PDFs' reader, and what every call through the gateway runs. Modules of a part call each other without
Python in between, so it is all of a part or none."""


def sources(part: str) -> list[Path]:
    """The modules of a part."""
    return [_ROOT / package / f"{name}.py" for package, names in _MODULES[part].items() for name in names]


def compiled_modules(package: str) -> list[str]:
    """Where modules of a package, by its full name, are to be imported from before its sources."""
    place = package.partition(".")[2].replace(".", "/")
    folders = [compiled(part) for part, places in _MODULES.items() if place in places]
    return [str(folder / place) for folder in folders if folder is not None]


@cache
def compiled(part: str) -> Path | None:
    """Where a part's compiled modules are, by packages; None unless they were made of these very sources."""
    spec = find_spec(PACKAGE)
    for folder in [] if spec is None else spec.submodule_search_locations or ():
        made_of = Path(folder, part, DIGEST)
        if made_of.is_file() and made_of.read_text() == digest(part):
            return made_of.parent
    return None


def digest(part: str) -> str:
    """What tells a part's sources from any others."""
    return sha256(b"".join([sha256(file.read_bytes()).digest() for file in sources(part)])).hexdigest()


if __name__ == "__main__":  # make asks, to compile anew when one was edited
    sys.stdout.write(
        "\n".join(str(source.relative_to(_ROOT.parent)) for part in PARTS for source in sources(part))
    )
