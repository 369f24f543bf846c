"""Which of Tesseract's languages pictures are read in: those of the settings, or those installed for the script on the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

AUTO = "auto"
"""The setting that leaves it to the picture."""

LATIN = "Latin"
_MOST = 3
"""Languages at once: each one more takes longer and costs a little accuracy."""

_SPOKEN_FIRST = ("eng", "deu", "fra", "spa", "ita", "por", "nld", "pol", "tur", "vie")
_SCRIPTS: dict[str, tuple[str, ...]] = {
    "Cyrillic": (
        "rus",
        "ukr",
        "bul",
        "bel",
        "srp",
        "mkd",
        "kaz",
        "kir",
        "mon",
        "tgk",
        "tat",
        "uzb_cyrl",
        "aze_cyrl",
    ),
    "Greek": ("ell", "grc"),
    "Arabic": ("ara", "fas", "urd", "pus", "snd", "uig", "kmr"),
    "Hebrew": ("heb", "yid"),
    "Han": ("chi_sim", "chi_tra", "chi_sim_vert", "chi_tra_vert"),
    "Japanese": ("jpn", "jpn_vert"),
    "Korean": ("kor", "kor_vert"),
    "Devanagari": ("hin", "mar", "nep", "san"),
    "Bengali": ("ben", "asm"),
    "Thai": ("tha",),
    "Tamil": ("tam",),
    "Telugu": ("tel",),
    "Gujarati": ("guj",),
    "Gurmukhi": ("pan",),
    "Kannada": ("kan",),
    "Malayalam": ("mal",),
    "Oriya": ("ori",),
    "Sinhala": ("sin",),
    "Georgian": ("kat", "kat_old"),
    "Armenian": ("hye",),
    "Ethiopic": ("amh", "tir"),
    "Khmer": ("khm",),
    "Lao": ("lao",),
    "Myanmar": ("mya",),
    "Tibetan": ("bod", "dzo"),
}
"""As Tesseract's script detection names them; every language that is not here is written in Latin letters."""

_BY_LANGUAGE = {language: script for script, languages in _SCRIPTS.items() for language in languages}
_ALSO = {"Hangul": "Korean", "Hiragana": "Japanese", "Katakana": "Japanese"}
_READ_BY_RAPID = frozenset((LATIN, "Han", "Japanese"))


def script_of(language: str) -> str:
    """The script of one of Tesseract's languages."""
    return _BY_LANGUAGE.get(language, LATIN)


def scripts_of(languages: Iterable[str]) -> set[str]:
    """The scripts that these languages are written in."""
    return {script_of(language) for language in languages}


def of_script(script: str, installed: Sequence[str]) -> tuple[str, ...]:
    """Of the installed languages those written in a script, the most spoken first; English goes with every other."""
    script = _ALSO.get(script, script)
    if script == LATIN:
        order = {language: place for place, language in enumerate(_SPOKEN_FIRST)}
        latin = [language for language in installed if script_of(language) == LATIN]
        return tuple(sorted(latin, key=lambda each: (order.get(each, len(order)), each))[:_MOST])
    found = [language for language in _SCRIPTS.get(script, ()) if language in installed][: _MOST - 1]
    return (*found, "eng") if found and "eng" in installed else tuple(found)


def is_read_by_rapid(languages: Iterable[str]) -> bool:
    """Whether RapidOCR's models know the letters of all these languages: Latin, Chinese and Japanese ones."""
    return scripts_of(languages) <= _READ_BY_RAPID
