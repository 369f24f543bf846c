from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("folder", ["causeway/web/static/vendor", "tests/web/vendor"])
def test_every_vendored_file_is_the_one_its_lock_names(folder: str) -> None:
    place = ROOT / folder
    locked = tomllib.loads((place / "vendor.lock.toml").read_text())["file"]
    for file in locked:
        assert hashlib.sha256((place / file["name"]).read_bytes()).hexdigest() == file["sha256"], file["name"]
        assert (place / file["licence_file"]).is_file()
        assert file["package"]
        assert file["version"]
        assert file["licence"]
    kept = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert kept == {name for file in locked for name in (file["name"], file["licence_file"])} | {
        "vendor.lock.toml"
    }


def test_pages_carry_nothing_inline() -> None:
    for template in (ROOT / "causeway/web/templates").glob("*.html"):
        text = template.read_text()
        assert " style=" not in text, template.name
        assert "<style" not in text, template.name
        assert " onclick=" not in text, template.name
        scripts = text.count("<script") - text.count(
            '<script type="application/json"'
        )  # which no browser runs
        assert scripts == len(re.findall(r"<script[^>]* src=", text)), template.name
