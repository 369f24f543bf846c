from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

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
