from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import Result

from causeway.errors import InvalidInputError, NotFoundError

Run = Callable[..., Result]


def test_sources_are_listed_before_they_ever_ran(run: Run, tmp_path: Path) -> None:
    assert run("sources", "list").stdout == ""
    (tmp_path / "causeway.toml").write_text(
        f"[sources.handbook]\nkind = 'folder'\npath = '{tmp_path}'\ncollection = 'hr'\n"
    )
    (source,) = json.loads(run("sources", "list", "--json").stdout)["sources"]
    stated = [source[name] for name in ("name", "kind", "collection", "state")]
    assert stated == ["handbook", "folder", "hr", "never"]
    assert "never synced" in run("sources", "list").stdout


def test_a_source_that_was_taken_out_is_decided_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    settings = tmp_path / "causeway.toml"
    settings.write_text(f"[sources.handbook]\nkind = 'folder'\npath = '{tmp_path / 'docs'}'\n")
    with pytest.raises(InvalidInputError, match="take its section out"):
        run("sources", "remove", "handbook", "--documents")
    settings.write_text("")
    with pytest.raises(NotFoundError, match="no source 'handbook'"):
        run("sources", "remove", "handbook")


def test_documents_that_were_left_are_shown_kept_or_deleted(run: Run, database_url: str) -> None:
    left(database_url)
    assert "1 documents stay; 'causeway sources remove wiki' decides" in run("sources", "list").stdout
    (told,) = json.loads(run("sources", "list", "--json").stdout)["left"]
    assert told == {"name": "wiki", "source": "notion:wiki", "collection": "c", "documents": 1}
    assert run("sources", "remove", "wiki").stdout == "wiki: removed; its 1 documents stay in 'c'\n"
    left(database_url)
    gone = json.loads(run("sources", "remove", "wiki", "--documents", "--json").stdout)
    assert (gone["documents"], gone["deleted"]) == (1, True)
    assert run("sources", "list").stdout == ""


def left(url: str) -> None:
    """What a source of settings of yesterday left: its run, and a document."""
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        connection.execute(
            "INSERT INTO collections (id, name, embedding_model, dimensions) VALUES ('col_c', 'c', 'm', 8)"
            " ON CONFLICT DO NOTHING"
        )
        connection.execute(
            "INSERT INTO documents (id, collection_id, source, path, title, size_bytes, blob, modified_at, state)"
            " VALUES ('doc_a', 'col_c', 'notion:wiki', 'a.md', 'a', 1, repeat('ab', 32), now(), 'ready') ON CONFLICT DO NOTHING"
        )
        connection.execute(
            "INSERT INTO source_runs (name, source, collection) VALUES ('wiki', 'notion:wiki', 'c')"
        )
