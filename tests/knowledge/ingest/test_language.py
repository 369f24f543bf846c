from __future__ import annotations

from pathlib import Path

import pytest

from causeway.knowledge.document import Block
from causeway.knowledge.ingest.language import _TABLES, language_of, model
from causeway.knowledge.ingest.parser import parse_file
from causeway.knowledge.ingest.reading import Reading

TEXTS = {
    "en": "Colleagues who work full time have twenty-five days of annual leave, and may carry over five of them into spring.",
    "de": "Vollzeitbeschäftigte haben fünfundzwanzig Tage Jahresurlaub und dürfen davon fünf in das nächste Frühjahr mitnehmen.",
    "fr": "Les collègues à temps plein ont vingt-cinq jours de congé par an et peuvent en reporter cinq au printemps suivant.",
    "ru": "Сотрудники, работающие полный день, имеют двадцать пять дней отпуска в год и могут перенести пять из них на весну.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_a_text_is_told(language: str) -> None:
    assert language_of([Block(kind="paragraph", text=TEXTS[language])]) == language


def test_too_little_text_and_code_are_in_no_language() -> None:
    assert language_of([Block(kind="paragraph", text="Annual leave")]) == ""
    assert language_of([Block(kind="code", text=TEXTS["en"])]) == ""
    assert language_of([Block(kind="paragraph", text="4711 0815 " * 40)]) == ""


def test_it_is_metadata_of_the_document(tmp_path: Path) -> None:
    file = tmp_path / "urlaub.md"
    file.write_text(f"# Urlaub\n\n{TEXTS['de']}\n")
    assert parse_file(file, name="urlaub.md", reading=Reading()).metadata == {"language": "de"}


def test_reading_the_model_in_a_forked_process_copies_no_memory() -> None:
    assert not any(isinstance(getattr(model(), name, None), list) for name in _TABLES)
