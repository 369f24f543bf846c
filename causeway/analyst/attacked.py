"""The database that red teams attack: made anew in a folder of its own, and watched for what nobody may change.

Its tables are ``attacked.sql``, what may be offered of them ``attacked.yaml``: rows by region, a hidden column, a table that
is not offered, and text in rows that gives orders.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Final
from uuid import uuid4

from pydantic import SecretStr

from causeway.product_sections import AnalystDatabaseSettings

ATTACKED: Final = "red-team"
"""The name that it is asked by."""
_FILE: Final = "attacked.sqlite"


def settings(folder: Path) -> AnalystDatabaseSettings:
    """How the database in ``folder`` is asked; `make` has to come first."""
    return AnalystDatabaseSettings(
        url=SecretStr(f"sqlite:///{(folder / _FILE).absolute()}"),
        layer=Path(str(files("causeway.analyst") / "attacked.yaml")),
    )


def make(folder: Path) -> None:
    """Put the database into ``folder``, unless it is there."""
    file = folder / _FILE
    if file.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{_FILE}.{uuid4().hex}"
    script = (files("causeway.analyst") / "attacked.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(unfinished)) as connection:
        connection.executescript(script)
    unfinished.rename(file)


def state(folder: Path) -> str:
    """A digest of everything in ``folder``: it is the same as long as nothing was written, made or deleted."""
    digest = hashlib.sha256()
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        digest.update(f"{file.name}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
