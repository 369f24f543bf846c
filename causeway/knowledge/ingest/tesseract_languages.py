"""Tesseract's language data, which are the system's: where they are, and for which languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDERS = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)
_NO_LANGUAGES = frozenset(("osd", "equ"))


@dataclass(frozen=True, slots=True)
class Installed:
    """Tesseract's language data on this machine."""

    folder: str
    languages: tuple[str, ...]
    has_scripts: bool

    def missing(self, wanted: Sequence[str]) -> list[str]:
        """Those of the languages that there are no data for."""
        return [language for language in wanted if language not in self.languages]


@cache
def installed() -> Installed | None:
    """What is there to read with; None without any language."""
    for folder in _FOLDERS:
        names = sorted(path.stem for path in Path(folder).glob("*.traineddata"))
        if languages := tuple(name for name in names if name not in _NO_LANGUAGES):
            return Installed(folder, languages, "osd" in names)
    return None
